package remote

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/wire"
)

// A guard that says it kept the changes is believed; whatever else comes of
// asking it, the agent is asked.
func TestAConfirmationAsksTheGuardThenTheAgent(t *testing.T) {
	lost := []wire.Response{{Error: &wire.Error{Code: wire.ErrorRolledBack, Message: "taken back"}}}
	kept := []wire.Response{{Confirmed: &wire.Confirmed{}}}
	for name, c := range map[string]struct {
		guard  string // its answer
		none   bool   // there is no guard
		sudo   bool
		long   bool // it is not to be asked
		agent  []wire.Response
		asked  bool // the guard was
		execs  bool // the agent was
		rolled bool
	}{
		"the guard keeps":          {guard: "kept\n", agent: lost, asked: true},
		"the guard says nothing":   {agent: kept, asked: true, execs: true},
		"the guard breaks off":     {guard: "kep", agent: lost, asked: true, execs: true, rolled: true},
		"the guard says more":      {guard: "kept as it was\n", agent: lost, asked: true, execs: true, rolled: true},
		"no guard, or no sockets":  {none: true, agent: kept, execs: true},
		"a user who is not root":   {guard: "kept\n", sudo: true, agent: kept, execs: true},
		"programs are in question": {guard: "kept\n", long: true, agent: kept, execs: true},
	} {
		t.Run(name, func(t *testing.T) {
			host := &sshtest.Host{Sudo: c.sudo, Serve: scripted{answer: func(wire.Request) []wire.Response { return c.agent }}.Serve}
			heard := make(chan string, 10)
			config := sshtest.Config{Exec: host.Exec}
			if !c.none {
				config.Socket = func(path string, stream io.ReadWriter) {
					line, _ := bufio.NewReader(stream).ReadString('\n')
					heard <- path + " " + line
					_, _ = io.WriteString(stream, c.guard)
				}
			}
			b := newBench(t, config, func(_ *sshtest.Server, _ *Config, target *Target) { target.Sudo = c.sudo })
			err := b.dialer.Fresh().Confirm(patient(t), b.target, "abc", !c.long)
			var answer *wire.Error
			if rolled := errors.As(err, &answer) && answer.Code == wire.ErrorRolledBack; rolled != c.rolled || !rolled && err != nil {
				t.Errorf("got %v", err)
			}
			if execs := len(b.server.Commands()) > 0; execs != c.execs {
				t.Errorf("the agent was started: %v", execs)
			}
			close(heard)
			var want []string
			if c.asked {
				want = []string{wire.Socket + " abc\n"}
			}
			var got []string
			for line := range heard {
				got = append(got, line)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if n := b.server.Connections(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A guard that never answers ends the try, in time.
func TestAGuardThatHangsIsNotWaitedFor(t *testing.T) {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	host := &sshtest.Host{Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec, Socket: func(string, io.ReadWriter) { <-end }}, func(_ *sshtest.Server, c *Config, _ *Target) {
		c.Timeout = c.Timeout / 20
	})
	err := b.dialer.Fresh().Confirm(patient(t), b.target, "abc", true)
	var lost *LostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "the confirmation") {
		t.Errorf("got %v", err)
	}
}
