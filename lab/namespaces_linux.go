package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespaces are held by their open files alone: no process has to live in
// them. mnt and uts are nil where only a network namespace was made.
type namespaces struct {
	net, mnt, uts *os.File
	id            string // of the network namespace, as /proc/PID/ns/net links to it
}

// onThread runs f on a thread that nothing else uses and that ends with it,
// whatever f has done to its namespaces.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends
		done <- f()
	}()
	return <-done
}

// newNamespaces makes new namespaces, and runs prepare in them.
func newNamespaces(flags int, prepare func() error) (*namespaces, error) {
	n := &namespaces{}
	return n, onThread(func() error {
		if err := unix.Unshare(flags); err != nil {
			return err
		}
		var err error
		open := func(kind string) *os.File {
			f, e := os.Open("/proc/thread-self/ns/" + kind)
			err = errors.Join(err, e)
			return f
		}
		n.net = open("net")
		if flags&unix.CLONE_NEWNS != 0 {
			n.mnt, n.uts = open("mnt"), open("uts")
		}
		link, e := os.Readlink("/proc/thread-self/ns/net")
		n.id = link
		if err = errors.Join(err, e); err != nil || prepare == nil {
			return err
		}
		return prepare()
	})
}

// network runs f in the network namespace, with the machine's own files.
func (n *namespaces) network(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.net.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		return f()
	})
}

// all runs f in all of the namespaces.
func (n *namespaces) all(f func() error) error {
	return n.network(func() error {
		// A thread shares its root directory with the others until told not to.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(int(n.uts.Fd()), unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("enter the UTS namespace: %w", err)
		}
		if err := unix.Setns(int(n.mnt.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the mount namespace: %w", err)
		}
		return f()
	})
}

func (n *namespaces) close() {
	for _, f := range []*os.File{n.net, n.mnt, n.uts} {
		if f != nil {
			f.Close()
		}
	}
}
