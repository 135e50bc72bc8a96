//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/ssh"
)

// maxHosts fits the addresses below and the ports of one bridge.
const maxHosts = 500

// host is one OpenSSH server of the fleet.
type host struct {
	name, address string
	key           ssh.PublicKey
	cmd           *exec.Cmd
}

// known is the host's line of a known_hosts file.
func (h host) known() string {
	return h.address + " " + string(ssh.MarshalAuthorizedKey(h.key))
}

// buildFleet starts n hosts on one bridge, and returns when all of them greet.
// The hosts end with this process.
func buildFleet(ctx context.Context, dir string, n int) ([]host, error) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "fleet"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("add a bridge: %w", err)
	}
	if err := up("lo", ""); err != nil {
		return nil, err
	}
	if err := up("fleet", "10.77.0.1/16"); err != nil {
		return nil, err
	}
	if err := userKey(dir); err != nil {
		return nil, err
	}
	hosts := make([]host, n)
	for i := range hosts {
		h, err := startHost(dir, i, bridge.Index)
		if err != nil {
			return nil, err
		}
		hosts[i] = h
	}
	return hosts, waitForAll(ctx, hosts)
}

func startHost(dir string, i, bridge int) (host, error) {
	h := host{name: fmt.Sprintf("h%03d", i+1), address: fmt.Sprintf("10.77.%d.%d", 1+i/250, 1+i%250)}
	key, err := newKey(filepath.Join(dir, h.name+".key"))
	if err != nil {
		return h, err
	}
	h.key = key
	if err := sshdConfig(dir, h.name); err != nil {
		return h, err
	}
	h.cmd = exec.Command(filepath.Join(dir, "bench"), "host", h.name, h.address+"/16", filepath.Join(dir, h.name+".sshd"))
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: hostNamespaces, Pdeathsig: syscall.SIGKILL}
	h.cmd.Stderr = os.Stderr
	wire, err := h.cmd.StdinPipe()
	if err != nil {
		return h, err
	}
	defer wire.Close() // the host goes on when this closes
	if err := h.cmd.Start(); err != nil {
		return h, fmt.Errorf("%s: %w", h.name, err)
	}
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: "v" + h.name, MasterIndex: bridge},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsPid(h.cmd.Process.Pid),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return h, fmt.Errorf("%s: add its NIC: %w", h.name, err)
	}
	return h, up(veth.Name, "")
}

// userKey makes the key that the controller logs in with.
func userKey(dir string) error {
	home := "/root/.ssh"
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	public, err := newKey(filepath.Join(home, "id_ed25519"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(public), 0o644)
}

func newKey(path string) (ssh.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(public)
}

func waitForAll(ctx context.Context, hosts []host) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	errs := make(chan error, len(hosts))
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			if err := waitForGreeting(ctx, h.address); err != nil {
				errs <- fmt.Errorf("%s: %w", h.name, err)
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

func waitForGreeting(ctx context.Context, address string) error {
	var last error
	for ctx.Err() == nil {
		last = greeting(address)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("no SSH server at %s: %w", address, last)
}

func greeting(address string) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, "22"), 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	hello := make([]byte, 4)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return err
	}
	if !bytes.Equal(hello, []byte("SSH-")) {
		return fmt.Errorf("greeted with %q", hello)
	}
	return nil
}

// writeKnown writes a known_hosts file.
func writeKnown(path string, hosts []host) error {
	var b strings.Builder
	for _, h := range hosts {
		b.WriteString(h.known())
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
