//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/wire"
)

// lockFD is the host's lock in a guard.
const lockFD = 3

// guarding is a guard's process, seen from the agent that started it.
type guarding struct {
	pid  int
	pipe *os.File
}

// startGuard starts this program again, as a guard. It shares nothing with the
// session but the host's lock: sshd may end, and take what it started along.
// Package os/exec would do the same, and start a process more to find out what
// the kernel can do.
func startGuard(o agent.Order, lock *os.File) (agent.Guarding, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"/proc/self/exe", "guard"}, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true},
		Files: []uintptr{out.Fd(), null.Fd(), null.Fd(), lock.Fd()},
	})
	out.Close()
	if err == nil {
		err = wire.Write(in, o)
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return &guarding{pid, in}, nil
}

func (g *guarding) Alive() { _, _ = g.pipe.Write([]byte{'.'}) } // a guard that has died is no reason to stop
func (g *guarding) Close() { _ = g.pipe.Close() }
func (g *guarding) Wait() {
	for {
		if _, err := syscall.Wait4(g.pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// guard watches over one transaction; see agent.Guard.
func guard() error {
	time.AfterFunc(lingers, leaveGroup)
	unix.CloseOnExec(lockFD) // what the guard runs must not hold the lock on
	var o agent.Order
	if err := wire.Read(os.Stdin, &o); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	process, err := unix.PidfdOpen(o.Agent, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("guard: %w", err)
	}
	byPID := errors.Is(err, unix.ENOSYS) // before Linux 5.3
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	k := newKernel()
	defer k.Close()
	confirmed, unlisten := confirmations(wire.Socket)
	defer unlisten()
	g := agent.Guard{Order: o, Kernel: k, Signs: signs(), Confirmations: confirmed, Stop: stop, Kill: func() error {
		err := error(nil)
		switch {
		case byPID:
			err = unix.Kill(o.Agent, unix.SIGKILL)
		case process >= 0:
			err = unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0)
		}
		if errors.Is(err, unix.ESRCH) {
			err = nil // it has ended
		}
		return err
	}}
	tookBack, err := g.Run()
	if executable, e := os.Executable(); e == nil && tookBack {
		_ = agent.Tidy(o.StateDir, persistence(executable))
	}
	switch {
	case err != nil:
		say("the changes of a run could not be taken back: " + err.Error())
	case tookBack:
		say("the changes of a run were not confirmed, or it was cut off: taken back")
	}
	return err
}

// signs are the bytes on stdin.
func signs() <-chan struct{} {
	out := make(chan struct{})
	go func() {
		defer close(out)
		for b := make([]byte, 1); ; {
			if n, err := os.Stdin.Read(b); n == 0 || err != nil {
				return
			}
			out <- struct{}{}
		}
	}()
	return out
}

// lingers is how old a guard becomes that has more to do than see a transaction
// through that goes well.
const lingers = time.Second

// leaveGroup takes the process out of the session's control group: systemd-logind
// may end all that is in it with the session. Where there is none it fails. The
// kernel lets nobody start a program meanwhile, for many milliseconds.
func leaveGroup() {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		_ = os.WriteFile(root+"/cgroup.procs", []byte("0"), 0)
	}
}

// say leaves a line in the kernel's log: a guard has nobody to speak to.
func say(text string) {
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		fmt.Fprintf(f, "<4>lvsform: %s\n", text)
		f.Close()
	}
}
