//go:build linux && kernel

// Package soak kills agents wherever they can be killed.
package soak

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// The test's program is the agent too, and its guard: the environment says so,
// and when it is to die.
const (
	envHome  = "LVSFORM_SOAK_HOME"  // a host's directory
	envAgent = "LVSFORM_SOAK_AGENT" // "9 30": signal 9 at the 30th moment
	envGuard = "LVSFORM_SOAK_GUARD"
)

func TestMain(m *testing.M) {
	home := os.Getenv(envHome)
	if home == "" {
		os.Exit(m.Run())
	}
	run := map[string]func(string) error{"serve": serve, "guard": guard}[os.Args[1]]
	if err := run(home); err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		os.Exit(1)
	}
}

// stateDir and lockDir stand for those of a whole machine.
func stateDir(home string) string { return filepath.Join(home, "state") }
func lockDir(home string) string  { return filepath.Join(home, "run") }

// serve is lvsform-agent serve.
func serve(home string) error {
	k, err := newMortal(filepath.Join(home, "agent.moments"), os.Getenv(envAgent))
	if err != nil {
		return err
	}
	server := &agent.Server{Kernel: k, StateDir: stateDir(home), LockDir: lockDir(home), Hello: wire.Hello{UID: os.Geteuid()}}
	server.StartGuard = func(o agent.Order, lock *os.File) (agent.Guarding, error) {
		k.armed = true
		k.moment("before the guard")
		g, err := startGuard(o, lock)
		k.moment("after the guard")
		return g, err
	}
	signal.Ignore(syscall.SIGPIPE)
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-ending
		server.Idle(func() { os.Exit(1) })
	}()
	return server.Serve(os.Stdin, os.Stdout)
}

// guarding is a guard's process.
type guarding struct {
	cmd  *exec.Cmd
	pipe *os.File
}

func (g *guarding) Alive() { _, _ = g.pipe.Write([]byte{'.'}) }
func (g *guarding) Close() { _ = g.pipe.Close() }
func (g *guarding) Wait()  { _ = g.cmd.Wait() }

func startGuard(o agent.Order, lock *os.File) (agent.Guarding, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", "guard")
	cmd.Stdin, cmd.ExtraFiles = out, []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	out.Close()
	if err == nil {
		err = wire.Write(in, o)
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return &guarding{cmd, in}, nil
}

// guard is lvsform-agent guard.
func guard(home string) error {
	unix.CloseOnExec(3) // the host's lock
	var o agent.Order
	if err := wire.Read(os.Stdin, &o); err != nil {
		return err
	}
	process, err := unix.PidfdOpen(o.Agent, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	k, err := newMortal(filepath.Join(home, "guard.moments"), os.Getenv(envGuard))
	if err != nil {
		return err
	}
	k.armed = true
	signs := make(chan struct{})
	go func() {
		defer close(signs)
		for b := make([]byte, 1); ; signs <- struct{}{} {
			if n, err := os.Stdin.Read(b); n == 0 || err != nil {
				return
			}
		}
	}()
	_, err = (&agent.Guard{Order: o, Kernel: k, Signs: signs, Stop: stop, Kill: func() error {
		if process < 0 {
			return nil
		}
		return unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0)
	}}).Run()
	return err
}

// mortal is the kernel for a process that gets a signal at one of the moments
// of its transactions: before and after every look, change and announcement.
type mortal struct {
	*kernel.Kernel
	armed   bool
	moments *os.File // what they were
	count   int
	at      int // 0: never
	signal  syscall.Signal
}

func newMortal(moments, plan string) (*mortal, error) {
	m := &mortal{Kernel: kernel.New()}
	var err error
	if m.moments, err = os.Create(moments); err != nil {
		return nil, err
	}
	if plan == "" {
		return m, nil
	}
	number, at, _ := strings.Cut(plan, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	m.signal = syscall.Signal(n)
	m.at, err = strconv.Atoi(at)
	return m, err
}

func (m *mortal) moment(what string) {
	if !m.armed {
		return
	}
	m.count++
	fmt.Fprintln(m.moments, what)
	if m.count == m.at {
		// Sent to the thread itself the signal comes before anything follows.
		runtime.LockOSThread()
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), m.signal)
		runtime.UnlockOSThread()
	}
}

// Read implements txn.Kernel.
func (m *mortal) Read(q txn.Query) (txn.Host, error) {
	m.moment("before a look")
	defer m.moment("after a look")
	return m.Kernel.Read(q)
}

// Apply implements txn.Kernel.
func (m *mortal) Apply(changes []state.Change) (int, error) {
	for i, c := range changes {
		m.moment("before " + c.Key().String())
		if _, err := m.Kernel.Apply(changes[i : i+1]); err != nil {
			return i, err
		}
		m.moment("after " + c.Key().String())
	}
	return len(changes), nil
}

// Announce implements txn.Kernel.
func (m *mortal) Announce(a state.Address) error {
	m.moment("before the announcement")
	defer m.moment("after the announcement")
	return m.Kernel.Announce(a)
}
