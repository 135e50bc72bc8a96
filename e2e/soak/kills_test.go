//go:build linux && kernel

package soak

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/wire"
)

// soon is a time for a confirmation that does not come. It must be longer than
// a slow machine takes for a few changes: the guard takes an agent for hung that
// has given no sign of life for as long.
const soon = 6 * time.Second

// kills goes through a whole apply and a whole destroy, and kills whoever works
// at every transaction wherever that can be done, before it lets it succeed.
func kills(t *testing.T, all bool, count *tally) {
	s := newScene(t, count)
	pristine, now := s.dumps(), s.looks()
	for _, destroy := range []bool{false, true} {
		p := s.plan(lives(now), destroy)
		if p.Empty() {
			t.Fatal("nothing to do")
		}
		for start := 0; start < len(p.Changes); {
			end := start
			for end < len(p.Changes) && p.Changes[end].Stage == p.Changes[start].Stage && p.Changes[end].Host == p.Changes[start].Host {
				end++
			}
			v := victim{host: s.host(p.Changes[start].Host), plan: p, changes: p.Changes[start:end], around: now}
			unplanned := now[v.name] // another host has changed since
			unplanned.Plan, unplanned.Destroy = nil, nil
			now[v.name] = unplanned
			v.murder(all)
			v.succeed(start%2 == 0)
			now[v.name], _ = v.look()
			start = end
		}
		l := now["dir1"]
		s.plans(&l, "dir1", now)
		if next := map[bool][]string{false: l.Plan, true: l.Destroy}[destroy]; len(next) > 0 {
			t.Errorf("the next plan (destroy: %v) is not empty: %v", destroy, next)
		}
	}
	c, err := s.connect("leaving", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.run(true); err != nil {
		t.Fatal(err)
	}
	c.close()
	if diff := cmp.Diff(pristine, s.dumps()); diff != "" {
		t.Errorf("after the destruction (-before +after):\n%s", diff)
	}
	for _, h := range s.hosts {
		if left := h.files(); len(left) > 0 {
			t.Errorf("%s: %v is left", h.name, left)
		}
	}
}

func lives(looks map[string]look) map[string]planner.Live {
	out := map[string]planner.Live{}
	for name, l := range looks {
		out[name] = l.live
	}
	return out
}

// victim is one transaction of a plan.
type victim struct {
	*host
	plan    *planner.Plan
	changes []planner.Change
	around  map[string]look // all hosts before it
}

func (v *victim) String() string {
	return fmt.Sprintf("%s, %s", v.changes[0].Wave, v.name)
}

func (v *victim) murder(all bool) {
	agentMoments := v.unconfirmed()
	v.Logf("%s: %d changes, %d moments: %v", v, len(v.changes), len(agentMoments), agentMoments)
	v.afterLock()
	v.withGuard()
	some := func(n, of int) bool { return all || n == 1+(len(v.changes)*5+of/2)%of }
	for n := 1; n <= len(agentMoments); n++ {
		if some(n, len(agentMoments)) {
			v.inTheMidst(n, agentMoments[n-1])
		}
	}
	guardMoments := v.guardAlone(1 << 20)
	for n := 1; n <= len(guardMoments); n++ {
		if some(n, len(guardMoments)) {
			v.guardAlone(n)
		}
	}
}

// attempt begins the transaction.
func (v *victim) attempt(within time.Duration, env ...string) (*session, wire.Begin, error) {
	v.Helper()
	return v.send(v.locked(env...), within)
}

// locked is an agent that has the lock.
func (v *victim) locked(env ...string) *session {
	v.Helper()
	s := v.mustStart(env...)
	if _, err := s.lock("victim"); err != nil {
		v.Fatalf("%s: lock: %v", v, err)
	}
	return s
}

func (v *victim) send(s *session, within time.Duration) (*session, wire.Begin, error) {
	v.Helper()
	b := begin(v.plan, v.changes, within)
	r, err := s.ask(wire.Request{Begin: &b})
	if err == nil && !r.Result.Unconfirmed {
		v.Fatalf("%s: kept without a confirmation", v)
	}
	return s, b, err
}

// must is an attempt that comes to its end.
func (v *victim) must(within time.Duration, env ...string) (*session, wire.Begin) {
	v.Helper()
	s, b, err := v.attempt(within, env...)
	if err != nil {
		v.Fatalf("%s: %v", v, err)
	}
	return s, b
}

// unconfirmed lets the time for the confirmation pass, and returns the moments
// at which the agent could have been killed.
func (v *victim) unconfirmed() []string {
	s, b := v.must(soon)
	moments := v.moments("agent")
	v.gone("pending")
	if code := refused(v.confirm(b.Token)); code != wire.ErrorRolledBack {
		v.Errorf("%s: confirmed when the time was over: %q", v, code)
	}
	s.close()
	v.wantAsBefore("not confirmed", v.around)
	return moments
}

// gone waits until a file of the transaction is not there any more.
func (v *victim) gone(file string) {
	v.Helper()
	v.until(v.String()+": no "+file, func() bool {
		_, err := os.Lstat(filepath.Join(stateDir(v.home), file))
		return errors.Is(err, os.ErrNotExist)
	})
}

// moments are those that the last process of a kind had, as far as it came.
func (v *victim) moments(kind string) []string {
	body, err := os.ReadFile(filepath.Join(v.home, kind+".moments"))
	if err != nil {
		v.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
}

func (v *victim) afterLock() {
	v.locked().kill()
	v.tally.kills++
	v.wantAsBefore("killed with the lock", v.around)
}

func killAt(n int) string { return fmt.Sprintf("%s=%d %d", envAgent, syscall.SIGKILL, n) }

// inTheMidst kills the agent; its guard, or where there is none yet the next
// run, takes back what it has done.
func (v *victim) inTheMidst(n int, moment string) {
	s, _, err := v.attempt(plenty, killAt(n))
	if err == nil {
		v.Fatalf("%s: the agent did not die at moment %d, %s", v, n, moment)
	}
	s.kill()
	v.tally.kills++
	by := v.wantAsBefore(fmt.Sprintf("killed at moment %d, %s", n, moment), v.around)
	if (by != "") != (moment == "before the guard") {
		v.Errorf("%s: killed %s: taken back by the next run: %q", v, moment, by)
	}
}

// guardAlone kills the agent when all is made and not yet confirmed, then its
// guard on the way back, so that the next run takes it back. It returns the
// moments that the guard had.
func (v *victim) guardAlone(n int) []string {
	ready := filepath.Join(v.home, "guard.moments")
	_ = os.Remove(ready) // of the guard before
	s, _ := v.must(plenty, fmt.Sprintf("%s=%d %d", envGuard, syscall.SIGKILL, n))
	s.kill()
	v.tally.kills++
	v.until("the guard is at work", func() bool {
		_, err := os.Lstat(ready)
		return err == nil
	})
	for _, pid := range agents() {
		_ = syscall.Kill(pid, syscall.SIGTERM) // it waits no longer
	}
	v.quiet()
	_, err := os.Lstat(filepath.Join(stateDir(v.home), "pending"))
	died := err == nil
	moments := v.moments("guard")
	if died {
		v.tally.kills++
	}
	by := v.wantAsBefore(fmt.Sprintf("the guard killed at moment %d, %s", n, moments[min(n, len(moments))-1]), v.around)
	if (by != "") != died {
		v.Errorf("%s: the guard died at moment %d: %v; taken back by the next run: %q", v, n, died, by)
	}
	return moments
}

// withGuard kills the agent and the guard that waits.
func (v *victim) withGuard() {
	s, b := v.must(plenty)
	s.kill()
	v.killGuards()
	v.tally.kills += 2
	if by := v.wantAsBefore("killed with its guard", v.around); by == "" {
		v.Errorf("%s: killed with its guard: not taken back by the next run", v)
	}
	if code := refused(v.confirm(b.Token)); code != wire.ErrorRolledBack {
		v.Errorf("%s: confirmed when it was taken back: %q", v, code)
	}
}

// killGuards ends all agents and guards but one, which is stopped.
func (s *scene) killGuards(but ...int) {
	s.Helper()
	for _, pid := range agents() {
		if !slices.Contains(but, pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	s.until("the guards have ended", func() bool { return len(agents()) == len(but) })
}

// succeed lets the transaction succeed, after some confirmations have been cut
// off. The agent dies before the confirmation or after it.
func (v *victim) succeed(before bool) {
	s, b := v.must(plenty)
	if before {
		s.kill()
		v.tally.kills++
	}
	for n := range 6 {
		v.cutConfirmation(b.Token, time.Duration(n)*3*time.Millisecond)
	}
	if err := v.confirm(b.Token); err != nil {
		v.Fatalf("%s: confirm: %v", v, err)
	}
	s.kill()
	v.tally.kills++
	v.tidy("confirmed")
	if err := v.confirm(b.Token); err != nil {
		v.Errorf("%s: confirmed again: %v", v, err)
	}
	got, by := v.look()
	if by != "" {
		v.Errorf("%s: taken back after its confirmation", v)
	}
	v.verified(v.name, got, v.around)
	for _, c := range v.changes {
		if plan := outline(v.planAfter(got)); len(plan) > 0 && strings.Contains(strings.Join(plan, "\n"), c.ID+"\n") {
			v.Errorf("%s: %s is not done: %v", v, c.ID, plan)
		}
	}
}

func (v *victim) planAfter(got look) *planner.Plan {
	live := lives(v.around)
	live[v.name] = got.live
	return v.scene.plan(live, v.plan.Destroy)
}

// cutConfirmation kills the agent that confirms, a while after it was asked to.
func (v *victim) cutConfirmation(token string, after time.Duration) {
	s := v.mustStart()
	if err := wire.Write(s.in, wire.Request{Confirm: &wire.Confirm{Token: token}}); err != nil {
		v.Fatal(err)
	}
	time.Sleep(after) // wherever it is by then
	s.kill()
	v.tally.kills++
}
