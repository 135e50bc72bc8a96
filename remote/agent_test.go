//go:build unix

package remote

import (
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// realAgent serves a kernel in memory with the agent's own code.
func realAgent(t *testing.T, kernel *agenttest.Kernel) *sshtest.Host {
	stateDir, lockDir := t.TempDir(), t.TempDir()
	return &sshtest.Host{Serve: func(stdin io.Reader, stdout, stderr io.Writer) int {
		s := agent.Server{Kernel: kernel, StateDir: stateDir, LockDir: lockDir, Hello: goodHello}
		if err := s.Serve(stdin, stdout); err != nil {
			_, _ = io.WriteString(stderr, err.Error())
			return 1
		}
		return 0
	}}
}

func TestTheAgentChangesAHostOverSSH(t *testing.T) {
	kernel := agenttest.NewKernel(agenttest.Host()...)
	b := newBench(t, sshtest.Config{Exec: realAgent(t, kernel).Exec}, nil)
	ctx := patient(t)
	connect := func() *Session {
		s, err := b.dialer.Connect(ctx, b.target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	first, second := connect(), connect()
	if err := first.Lock(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	var held *wire.Error
	if err := second.Lock(ctx, "second"); !errors.As(err, &held) || held.Code != wire.ErrorLocked || held.Lock.Owner != "first" {
		t.Fatalf("the second lock: %v", err)
	}
	before, after := state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}
	begin := wire.Begin{Topology: "web", Members: []string{"rs1"}, Steps: []wire.Step{{ID: "fwd", Change: &state.Change{Before: before, After: after}}}}
	var steps []string
	if _, err := first.Begin(ctx, begin, func(e wire.StepEvent) { steps = append(steps, e.ID) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"fwd"}, steps); diff != "" {
		t.Error(diff)
	}
	var stale *wire.Error
	if _, err := first.Begin(ctx, begin, nil); !errors.As(err, &stale) || stale.Code != wire.ErrorStale {
		t.Errorf("the same change again: %v", err)
	}
	// A closed session has given its lock back.
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := second.Lock(ctx, "second"); err != nil {
		t.Errorf("after the first ended: %v", err)
	}
	got, err := second.Observe(ctx, wire.Observe{Sysctls: []string{after.Name}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state.Object(after), got.Objects.ByKey()[after.Key()]); diff != "" {
		t.Error(diff)
	}
}
