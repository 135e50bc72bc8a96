//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
)

// A host of the fleet is a process in namespaces of its own (network, mount,
// PID, UTS) that becomes an OpenSSH server.
const hostNamespaces = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS

// private are the folders that each host has for itself, empty at first: a
// clean home, so that a developer's shell profile is not what is measured, and
// what lvsform and its peers write to.
var private = []string{"/root", "/run", "/var/lib", "/usr/local", "/etc/sysctl.d"}

// hostRole prepares its namespaces, waits for its NIC and turns into sshd.
func hostRole(_ context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: host NAME ADDRESS/PREFIX SSHD_CONFIG")
	}
	name, address, config := args[0], args[1], args[2]
	if err := ownMounts(private...); err != nil {
		return err
	}
	if err := syscall.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := os.Mkdir("/run/sshd", 0o755); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(name)); err != nil {
		return err
	}
	// The other end closes when the NIC is there.
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := up("lo", ""); err != nil {
		return err
	}
	if err := up("eth0", address); err != nil {
		return err
	}
	const sshd = "/usr/sbin/sshd"
	return syscall.Exec(sshd, []string{sshd, "-D", "-e", "-f", config}, []string{"PATH=" + os.Getenv("PATH")})
}

// ownMounts detaches this process's mounts from the machine's and puts empty
// file systems over dirs, and a /proc of its PID namespace.
func ownMounts(dirs ...string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, dir := range dirs {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID, "mode=0755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// up sets a link up, with an address unless it is "".
func up(name, address string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if address != "" {
		ip, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, ip); err != nil {
			return fmt.Errorf("%s: add %s: %w", name, address, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// sshdConfig is a server as distributions ship it, without PAM (there is no
// session manager in the namespace) and with keys only.
func sshdConfig(dir, name string) error {
	text := "Port 22\n" +
		"HostKey " + filepath.Join(dir, name+".key") + "\n" +
		"AuthorizedKeysFile " + filepath.Join(dir, "authorized_keys") + "\n" +
		"StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n" +
		"PermitRootLogin prohibit-password\nPidFile none\nPrintMotd no\nUseDNS no\nLogLevel FATAL\n" +
		"Subsystem sftp internal-sftp\n"
	return os.WriteFile(filepath.Join(dir, name+".sshd"), []byte(text), 0o600)
}
