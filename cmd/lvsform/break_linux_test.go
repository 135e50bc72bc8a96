package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/wire"
)

const breakConfig = `
topology "t" {}
host "h1" { address = "192.0.2.1" }
sysctl "f" {
  host     = host.h1
  settings = { "net.ipv4.ip_forward" = 1 }
}
address "vip" {
  host   = host.h1
  ip     = "192.0.2.100/32"
  device = "lo"
}
`

// broken is a run in which something happens at one message between the CLI and
// the agents of its host, counted over all sessions.
type broken struct {
	what string // cut or kill
	when string // before or after
	from string // the side that sends the message: cli or agent
	nth  int

	fleet *testFleet
	host  *testHost
	mu    sync.Mutex
	seen  map[string]int
	done  bool
	run   *exec.Cmd

	code int
	said string
}

func (b *broken) String() string {
	return fmt.Sprintf("%s %s message %d of the %s", b.what, b.when, b.nth, b.from)
}

// pass hands a message on, unless it is the one.
func (b *broken) pass(from string, hand func() error) error {
	b.mu.Lock()
	n := b.seen[from]
	b.seen[from]++
	mine := from == b.from && n == b.nth
	b.done = b.done || mine
	b.mu.Unlock()
	if !mine {
		return hand()
	}
	if b.when == "after" {
		if err := hand(); err != nil {
			return err
		}
	}
	if b.what == "kill" {
		_ = b.run.Process.Kill() // it may just have ended
		return nil
	}
	b.host.server.Cut()
	return io.ErrClosedPipe
}

// serve is the host's agent with everything that is said passing by.
func (b *broken) serve(stdin io.Reader, stdout, stderr io.Writer) int {
	heard, in := io.Pipe()
	go func() {
		for {
			var q wire.Request
			err := wire.Read(stdin, &q)
			if err == nil {
				err = b.pass("cli", func() error { return wire.Write(in, q) })
			}
			if err != nil {
				in.Close() //nolint:errcheck // a pipe in memory
				return
			}
		}
	}()
	return sshtest.Tamper(b.host.serve, func(_ int, body []byte, out io.Writer) error {
		return b.pass("agent", func() error {
			_, err := out.Write(sshtest.Frame(body))
			return err
		})
	})(heard, stdout, stderr)
}

func (b *broken) command(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "lvsform", append(args, "--ssh-config", filepath.Join(b.fleet.dir, "ssh_config"),
		"--agent-dir", filepath.Join(b.fleet.dir, "agents"))...)
	cmd.Dir = b.fleet.dir
	return cmd
}

// apply runs lvsform, and notes how it ended.
func (b *broken) apply() {
	var out bytes.Buffer
	b.run.Stdout, b.run.Stderr = &out, &out
	err := b.run.Start()
	if err == nil {
		err = b.run.Wait()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		out.WriteString(err.Error())
	}
	b.code, b.said = b.run.ProcessState.ExitCode(), out.String()
}

// settled waits until the host is nobody's.
func (b *broken) settled() error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		release, err := b.host.takeLock("a test")
		if err == nil {
			release()
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// Whatever is the last message that comes through, and whether the connection
// breaks or lvsform is killed: the host is as before or as after, its lock is
// free, and the exit code says which.
func TestARunThatBreaksAtAnyMessageLeavesOldOrNewAndSaysSo(t *testing.T) {
	t.Parallel()
	prepare := func(b *broken) *broken {
		b.fleet, b.seen = newFleet(t, breakConfig, map[string]string{"h1": "192.0.2.1/24,192.0.2.254"}), map[string]int{}
		b.host = b.fleet.hosts["h1"]
		b.host.remote.Serve = b.serve
		b.run = b.command(t, "apply", "--auto-approve", "--confirm-timeout", "1s", "--timeout", "20s")
		return b
	}
	whole := prepare(&broken{nth: -1})
	before := dump(whole.host.kernel.Objects())
	whole.apply()
	after := dump(whole.host.kernel.Objects())
	if whole.code != 0 || bytes.Equal(before, after) {
		t.Fatalf("exit code %d: %s", whole.code, whole.said)
	}
	var all []*broken
	for from, messages := range whole.seen {
		for nth := range messages {
			for _, when := range []string{"before", "after"} {
				for _, what := range []string{"cut", "kill"} {
					all = append(all, prepare(&broken{what: what, when: when, from: from, nth: nth}))
				}
			}
		}
	}
	var wait sync.WaitGroup
	for _, b := range all {
		wait.Go(func() {
			b.apply()
			if err := b.settled(); err != nil {
				t.Errorf("%s: the host stays locked: %v", b, err)
			}
		})
	}
	wait.Wait()
	for _, b := range all {
		now := dump(b.host.kernel.Objects())
		isOld, isNew := bytes.Equal(now, before), bytes.Equal(now, after)
		killed := b.what == "kill" && b.code < 0
		switch {
		case !b.done:
			t.Errorf("%s: it did not come to that", b)
		case !isOld && !isNew:
			t.Errorf("%s: the host is neither old nor new:\n%s", b, now)
		case killed: // it could say nothing
		case b.code == exitDone && !isNew, (b.code == exitError || b.code == exitRolledBack) && !isOld,
			b.code != exitDone && b.code != exitError && b.code != exitRolledBack && b.code != exitPartly:
			t.Errorf("%s: exit code %d, and the host is new: %v\n%s", b, b.code, isNew, b.said)
		case b.code != exitDone && !strings.Contains(b.said, "h1"):
			t.Errorf("%s: it does not name the host: %s", b, b.said)
		}
		for _, name := range []string{"pending", "made"} {
			if _, err := os.Lstat(filepath.Join(b.host.dir, "state", name)); err == nil {
				t.Errorf("%s: %s is left", b, name)
			}
		}
	}
}
