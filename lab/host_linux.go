package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// host is one machine of a cluster, or without namespaces the guest itself.
type host struct {
	name string
	dir  string // its layer of files, as the guest sees it
	ns   *namespaces

	mu      sync.Mutex
	servers map[string]io.Closer
}

// inside runs f in the host's namespaces.
func (h *host) inside(f func() error) error {
	if h.ns == nil {
		return onThread(f)
	}
	return h.ns.all(f)
}

// network runs f in the host's network namespace.
func (h *host) network(f func() error) error {
	if h.ns == nil {
		return onThread(f)
	}
	return h.ns.network(f)
}

func (h *host) build(ctx context.Context, wires *namespaces, index int, spec buildHost, authorized string) error {
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(h.dir, d), 0o755); err != nil {
			return err
		}
	}
	var err error
	h.ns, err = newNamespaces(unix.CLONE_NEWNET|unix.CLONE_NEWNS|unix.CLONE_NEWUTS, func() error {
		if err := unix.Sethostname([]byte(spec.Name)); err != nil {
			return err
		}
		return h.enterFiles(spec, authorized)
	})
	if err != nil {
		return err
	}
	if err := h.plug(wires, index, spec.Interfaces); err != nil {
		return err
	}
	if err := h.configure(ctx, spec.Host); err != nil {
		return err
	}
	return h.serveSSH(spec.Port)
}

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

// enterFiles makes the host's file tree the root of the calling thread's mount
// namespace: this machine's files, with an own layer on top.
func (h *host) enterFiles(spec buildHost, authorized string) error {
	root := filepath.Join(h.dir, "root")
	layers := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", runDir, h.dir, h.dir)
	modules := "/usr/lib/modules"
	if fi, err := os.Lstat("/lib"); err == nil && fi.IsDir() {
		modules = "/lib/modules"
	}
	if err := mountAll([]mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"root", root, "overlay", 0, layers},
	}); err != nil {
		return err
	}
	if err := h.cleanFiles(root, spec, authorized); err != nil {
		return err
	}
	if err := os.MkdirAll(root+modules, 0o755); err != nil {
		return err
	}
	if err := mountAll([]mount{
		{modules, root + modules, "", unix.MS_BIND, ""},
		{"proc", root + "/proc", "proc", 0, ""},
		{"sys", root + "/sys", "sysfs", 0, ""}, // shows the network namespace that mounts it
		{"/dev", root + "/dev", "", unix.MS_BIND | unix.MS_REC, ""},
		{"run", root + "/run", "tmpfs", 0, "mode=755"},
		{"tmp", root + "/tmp", "tmpfs", 0, "mode=1777"},
		{"home", root + "/root", "tmpfs", 0, "mode=700"},
	}); err != nil {
		return err
	}
	if err := os.MkdirAll(root+"/run/sshd", 0o755); err != nil {
		return err
	}
	// The old root ends up below the new one, and is let go there.
	return errors.Join(unix.Chdir(root), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), unix.Chdir("/"))
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

// cleanFiles takes away what this machine's own administration has left, and
// puts the host's own accounts and keys in its place.
func (h *host) cleanFiles(root string, spec buildHost, authorized string) error {
	for _, path := range []string{"/var/lib/lvsform", "/usr/local/libexec", "/etc/ssh"} {
		if err := os.RemoveAll(root + path); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/etc/ssh", "/usr/local/libexec", "/proc", "/sys", "/dev", "/run", "/tmp", "/root"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{"/etc/passwd", passwd, 0o644},
		{"/etc/group", group, 0o644},
		{"/etc/shadow", shadow, 0o600},
		{"/etc/hostname", spec.Name + "\n", 0o644},
		{"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", 0o644},
		{"/etc/ssh/sshd_config", sshdConfig, 0o644},
		{"/etc/ssh/host_key", spec.HostKey, 0o600},
		{"/etc/ssh/authorized_keys", authorized + "\n", 0o644},
	} {
		// Removed first: the machine's own file may be a link, or not be ours to read.
		if err := os.RemoveAll(root + f.path); err != nil {
			return err
		}
		if err := os.WriteFile(root+f.path, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// serveSSH listens outside the host's network, and hands each connection to an
// sshd inside: the host has its declared interfaces only, and nothing that is
// done to them cuts the connection.
func (h *host) serveSSH(port int) error {
	l, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", guestAddress, port))
	if err != nil {
		return err
	}
	h.keep("ssh", l)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if err := h.sshd(conn.(*net.TCPConn)); err != nil {
					fmt.Printf("lvsform-lab: %s: sshd: %v\n", h.name, err)
				}
			}()
		}
	}()
	return nil
}

// sshd serves one connection.
func (h *host) sshd(conn *net.TCPConn) error {
	file, err := conn.File()
	conn.Close()
	if err != nil {
		return err
	}
	defer file.Close()
	// The file shares its flags with nobody else now; sshd wants it to block.
	if err := unix.SetNonblock(int(file.Fd()), false); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(h.dir, "sshd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	var cmd *exec.Cmd
	if err := h.inside(func() error {
		cmd = exec.Command("/usr/sbin/sshd", "-i", "-e")
		cmd.Env, cmd.Dir = environment(), "/"
		cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, log
		return cmd.Start()
	}); err != nil {
		return err
	}
	file.Close() // sshd's alone now, so that the peer sees it end
	_ = cmd.Wait()
	return nil
}

// keep remembers what has to be closed with the host.
func (h *host) keep(name string, c io.Closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.servers == nil {
		h.servers = map[string]io.Closer{}
	}
	h.servers[name] = c
}

func (h *host) closeServers() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		s.Close()
	}
	h.servers = nil
}

// newInput is nil, which is /dev/null, for nothing to read.
func newInput(data []byte) io.Reader {
	if len(data) == 0 {
		return nil
	}
	return bytes.NewReader(data)
}
