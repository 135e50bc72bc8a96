//go:build linux && kernel

package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/wire"
)

// firstTransaction is that of the first real server in an apply.
func firstTransaction(t *testing.T, count *tally) *victim {
	t.Helper()
	s := newScene(t, count)
	now := s.looks()
	p := s.plan(lives(now), false)
	end := slices.IndexFunc(p.Changes, func(c planner.Change) bool { return c.Stage != 0 || c.Host != p.Changes[0].Host })
	return &victim{host: s.host(p.Changes[0].Host), plan: p, changes: p.Changes[:end], around: now}
}

// clock steps the machine's clock while a host waits for a confirmation.
func clock(t *testing.T, _ bool, count *tally) {
	if os.Getenv("LVSFORM_GUEST") == "" {
		t.Skip("it steps the clock of the machine: LVSFORM_GUEST must say that it is a machine of its own")
	}
	v := firstTransaction(t, count)
	for _, hours := range []int{1, -1} {
		t.Run(fmt.Sprintf("by %d h", hours), func(t *testing.T) {
			v.T = t
			s, b := v.must(soon)
			v.step(hours)
			defer v.step(-hours)
			v.gone("pending")
			s.close()
			v.wantAsBefore("not confirmed", v.around)
			if code := refused(v.confirm(b.Token)); code != wire.ErrorRolledBack {
				t.Errorf("confirmed when the time was over: %q", code)
			}
			s, b = v.must(plenty)
			v.step(hours)
			v.step(-hours)
			v.step(hours)
			v.step(-hours)
			v.waits(2 * time.Second)
			v.step(hours)
			v.waits(2 * time.Second)
			v.step(-hours)
			s.kill()
			v.killGuards()
			v.wantAsBefore("killed", v.around)
		})
	}
	t.Run("before the confirmation", func(t *testing.T) {
		v.T = t
		s, b := v.must(plenty)
		v.step(1)
		defer v.step(-1)
		if err := v.confirm(b.Token); err != nil {
			t.Error(err)
		}
		s.close()
		v.tidy("confirmed")
	})
}

// waits expects the transaction to be pending all the time.
func (v *victim) waits(long time.Duration) {
	v.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Lstat(filepath.Join(stateDir(v.home), "made")); err != nil {
			v.Fatalf("it waits no longer: %v", err)
		}
	}
}

func (s *scene) step(hours int) {
	s.Helper()
	now := syscall.Timeval{}
	if err := syscall.Gettimeofday(&now); err != nil {
		s.Fatal(err)
	}
	now.Sec += int64(hours) * 3600
	if err := syscall.Settimeofday(&now); err != nil {
		s.Fatal(err)
	}
}

func stopAt(n int) string { return fmt.Sprintf("%s=%d %d", envAgent, syscall.SIGSTOP, n) }

// hang stops agents in the midst of their changes.
func hang(t *testing.T, all bool, count *tally) {
	v := firstTransaction(t, count)
	moments := v.unconfirmed()
	for n := 2; n <= len(moments); n++ {
		if !all && n%5 != 0 {
			continue
		}
		t.Run(fmt.Sprintf("the guard ends it at moment %d", n), func(t *testing.T) {
			v.T = t
			s, _, err := v.attempt(time.Second, stopAt(n))
			if err == nil {
				t.Fatal("it does not hang")
			}
			s.kill()
			count.kills++
			if by := v.wantAsBefore(moments[n-1], v.around); by != "" {
				t.Error("not taken back by the guard")
			}
		})
	}
	t.Run("unlock ends it", func(t *testing.T) {
		v.T = t
		s := v.stopped(stopAt(7))
		other := v.mustStart()
		r, err := other.ask(wire.Request{Unlock: &wire.Unlock{}})
		if err != nil || !r.Unlocked.TakenBack || r.Unlocked.Held == nil || r.Unlocked.Held.Owner != "victim" {
			t.Errorf("unlock: %+v, %v", r.Unlocked, err)
		}
		other.close()
		s.kill()
		count.kills++
		v.wantAsBefore("unlocked", v.around)
	})
	t.Run("one that was overtaken changes nothing more", func(t *testing.T) {
		v.T = t
		v.revived(moments)
	})
}

// revived lets an agent go on that was given up for lost: somebody has taken its
// files away, and ended its guard.
func (v *victim) revived(moments []string) {
	// At the end of a group of changes, before the next one.
	group := slices.IndexFunc(moments, func(m string) bool { return strings.HasPrefix(m, "before address") })
	s := v.stopped(stopAt(group)) // after the last sysctl
	v.killGuards(s.cmd.Process.Pid)
	for _, file := range []string{filepath.Join(lockDir(v.home), "lock"), filepath.Join(stateDir(v.home), "pending")} {
		if err := os.Remove(file); err != nil {
			v.Fatal(err)
		}
	}
	before := v.dump()
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		v.Fatal(err)
	}
	if _, err := s.answer(); refused(err) != wire.ErrorRolledBack {
		v.Errorf("the revived agent says %v", err)
	}
	s.close()
	v.quiet()
	if after := v.dump(); after != before {
		v.Errorf("the revived agent has changed the host:\n%s\n%s", before, after)
	}
	v.tidy("revived")
}

// stopped is an agent that hangs in its Begin.
func (v *victim) stopped(at string) *session {
	v.Helper()
	s := v.locked(at)
	b := begin(v.plan, v.changes, plenty)
	if err := wire.Write(s.in, wire.Request{Begin: &b}); err != nil {
		v.Fatal(err)
	}
	v.until("the agent is stopped", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
		return err == nil && strings.Contains(string(status), "State:\tT")
	})
	return s
}

// left leaves out a real server whose agent dies: the director must not send to
// it, and the next run does what is missing.
func left(t *testing.T, _ bool, count *tally) {
	s := newScene(t, count)
	for n := 3; n < 10; n += 3 { // before its changes, in their midst, nearly done
		c, err := s.connect("cut", map[string]string{"rs1": killAt(n)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.run(false); err == nil || !strings.Contains(err.Error(), "rs1") || strings.Contains(err.Error(), "rs2") {
			t.Errorf("the run with a dead agent: %v", err)
		}
		count.kills++
		c.close()
		s.quiet()
		now := s.looks()
		s.verified("", look{}, now)
		if d := now["dir1"].Dump; strings.Contains(d, "172.18.20.124") || !strings.Contains(d, "172.18.20.125") {
			t.Errorf("dir1 has not the one server that is ready:\n%s", d)
		}
		for _, destroy := range []bool{false, true} {
			next, err := s.connect("next", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := next.run(destroy); err != nil {
				t.Error(err)
			}
			next.close()
			if p := s.plan(lives(s.looks()), destroy); !p.Empty() {
				t.Errorf("the next plan (destroy: %v) is not empty: %v", destroy, outline(p))
			}
		}
	}
}
