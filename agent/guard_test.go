//go:build unix

package agent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// guarded is a host whose transactions are guarded.
func guarded(t *testing.T) (*host, *agenttest.Kernel) {
	h := newHost(t)
	k := h.kernel.(*agenttest.Kernel)
	h.guards = agenttest.StartGuard(k)
	return h, k
}

// toConfirm is setUp with a token.
func toConfirm(token string, within time.Duration) wire.Request {
	q := setUp()
	q.Begin.Token, q.Begin.Confirm = token, within
	return q
}

func confirm(token string) wire.Request { return wire.Request{Confirm: &wire.Confirm{Token: token}} }

// decided waits until the host's transaction is decided.
func (h *host) decided() {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Lstat(filepath.Join(h.dir, "state", "pending")); errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	h.t.Fatal("the transaction is not decided")
}

func (h *host) wantLock(owner string) *session {
	h.t.Helper()
	s := h.dial()
	if r, _ := s.ask(wire.Request{Lock: &wire.Lock{Owner: owner}}); r.Locked == nil || r.Locked.Recovered != nil {
		h.t.Errorf("the lock after it: %+v", r)
	}
	return s
}

func TestAConfirmationOverANewConnectionKeepsTheChanges(t *testing.T) {
	h, k := guarded(t)
	s := h.dial()
	s.lock()
	r, steps := s.ask(toConfirm("one", time.Hour))
	if r.Result == nil || !r.Result.Unconfirmed || len(steps) == 0 {
		t.Fatalf("%+v", r)
	}
	if r, _ := s.ask(confirm("one")); r.Error == nil {
		t.Errorf("confirmed over the same connection: %+v", r)
	}
	if r, _ := s.ask(toConfirm("two", time.Hour)); r.Error == nil || !strings.Contains(r.Error.Message, "wait for their confirmation") {
		t.Errorf("the next transaction before it: %+v", r)
	}
	other := h.dial()
	if r, _ := other.ask(confirm("none")); r.Error == nil || r.Error.Code != wire.ErrorRolledBack {
		t.Errorf("another token: %+v", r)
	}
	for range 2 { // the answer to the first may be lost
		if r, _ := other.ask(confirm("one")); r.Confirmed == nil {
			t.Errorf("%+v", r)
		}
	}
	other.close()
	after := k.Objects()
	if r, _ := s.ask(begin("t", wire.Step{ID: "c", Change: &state.Change{Before: state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}, After: state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}}})); r.Result == nil {
		t.Errorf("the next transaction: %+v", r.Error)
	}
	s.close()
	next := h.wantLock("next")
	if r, _ := next.ask(wire.Request{Observe: &wire.Observe{}}); len(r.Observation.Ledger.Entries) != 4 {
		t.Errorf("the ledger holds %v", r.Observation.Ledger.Entries)
	}
	next.close()
	if diff := diffOf(after, k.Objects()); !strings.Contains(diff, "ip_forward") {
		t.Errorf("got %s", diff)
	}
}

// A guard keeps the transaction that it watches over, and no other.
func TestAConfirmationThatReachesTheGuardItself(t *testing.T) {
	h, k := guarded(t)
	confirmations := make(chan agent.Confirmation)
	h.guards = agenttest.StartGuardThatHears(k, confirmations)
	before := k.Objects()
	s := h.dial()
	s.lock()
	if r, _ := s.ask(toConfirm("one", time.Hour)); r.Result == nil || !r.Result.Unconfirmed {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct {
		token string
		kept  bool
	}{{"", false}, {"on", false}, {"two", false}, {"one", true}} {
		answer := make(chan bool, 1)
		confirmations <- agent.Confirmation{Token: c.token, Answer: func(kept bool) { answer <- kept }}
		if kept := <-answer; kept != c.kept {
			t.Errorf("%q: kept %v", c.token, kept)
		}
		_, err := os.Stat(h.ledger())
		if kept := err == nil; kept != c.kept {
			t.Errorf("%q: there is a ledger: %v", c.token, kept)
		}
	}
	h.decided()
	s.close()
	h.wantLock("next").close()
	if diffOf(before, volatile(k.Objects(), before)) == "" {
		t.Error("the host was taken back")
	}
}

// Every way in which a confirmation may fail to come ends with the old host.
func TestWithoutAConfirmationTheHostGoesBack(t *testing.T) {
	for name, interfere := range map[string]func(h *host, s *session){
		"the time is over":    func(*host, *session) {},
		"the session is lost": func(_ *host, s *session) { s.close() },
	} {
		t.Run(name, func(t *testing.T) {
			h, k := guarded(t)
			before := k.Objects()
			s := h.dial()
			s.lock()
			if r, _ := s.ask(toConfirm("one", 50*time.Millisecond)); r.Result == nil || !r.Result.Unconfirmed {
				t.Fatalf("%+v", r)
			}
			interfere(h, s)
			h.decided()
			if diff := diffOf(before, volatile(k.Objects(), before)); diff != "" {
				t.Error(diff)
			}
			other := h.dial()
			if r, _ := other.ask(confirm("one")); r.Error == nil || r.Error.Code != wire.ErrorRolledBack {
				t.Errorf("a late confirmation: %+v", r)
			}
			other.close()
			if name == "the time is over" {
				if r, _ := s.ask(setUp()); r.Error == nil || !strings.Contains(r.Error.Message, "taken back") {
					t.Errorf("the session goes on: %+v", r)
				}
				s.close()
			}
			if _, err := os.Stat(h.ledger()); err == nil {
				t.Error("there is a ledger")
			}
			h.wantLock("next").close()
		})
	}
}

func TestAGuardTakesBackWhatAKilledAgentDid(t *testing.T) {
	for changes := 0; ; changes++ {
		h, k := guarded(t)
		before := k.Objects()
		if !h.killed(changes, toConfirm("one", time.Hour)) {
			if changes < 7 {
				t.Fatalf("it was done after %d changes", changes)
			}
			return
		}
		h.decided()
		if diff := diffOf(before, volatile(k.Objects(), before)); diff != "" {
			t.Errorf("killed after %d changes: %s", changes, diff)
		}
	}
}

// A confirmation that comes while its transaction is under way waits for it.
func TestAnEarlyConfirmationWaits(t *testing.T) {
	h, k := guarded(t)
	gate := make(chan struct{})
	h.kernel = &gated{k, gate}
	s := h.dial()
	s.lock()
	answer := make(chan wire.Response)
	go func() {
		r, _ := s.ask(toConfirm("one", time.Hour))
		answer <- r
	}()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(filepath.Join(h.dir, "state", "pending")); err == nil {
			break
		}
	}
	confirmed := make(chan wire.Response)
	other := h.dial()
	go func() {
		r, _ := other.ask(confirm("one"))
		confirmed <- r
	}()
	close(gate)
	if r := <-answer; r.Result == nil {
		t.Errorf("%+v", r)
	}
	if r := <-confirmed; r.Confirmed == nil {
		t.Errorf("%+v", r)
	}
	other.close()
	s.close()
}

type gated struct {
	*agenttest.Kernel
	gate chan struct{}
}

func (k *gated) Apply(changes []state.Change) (int, error) {
	<-k.gate
	return k.Kernel.Apply(changes)
}

// What waits for a confirmation when the machine goes down comes up old: the
// kernel has forgotten it, and what the disk remembers of it goes.
func TestARebootBeforeTheConfirmationComesUpOld(t *testing.T) {
	h := newHost(t)
	k := h.kernel.(*agenttest.Kernel)
	unit := state.Unit{Name: "firewalld", Running: state.Some(true), Enabled: state.Some(true)}
	k.Set(unit)
	off := state.Unit{Name: "firewalld", Running: state.Some(false), Enabled: state.Some(false)}
	s := h.dial()
	s.lock()
	q := begin("t", claim("t", unit, off))
	q.Begin.Token, q.Begin.Confirm = "one", time.Hour
	if r, _ := s.ask(q); r.Result == nil {
		t.Fatalf("%+v", r.Error)
	}
	s.close()
	pending := filepath.Join(h.dir, "state", "pending")
	var journal map[string]json.RawMessage
	body, err := os.ReadFile(pending)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&journal); err != nil { // its checksum follows
		t.Fatal(err)
	}
	journal["boot"] = json.RawMessage(`"an earlier one"`)
	if body, err = json.Marshal(journal); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pending, body, 0o600); err != nil {
		t.Fatal(err)
	}
	other := h.dial()
	if r, _ := other.ask(confirm("one")); r.Error == nil || r.Error.Code != wire.ErrorRolledBack {
		t.Errorf("a confirmation after the reboot: %+v", r)
	}
	other.close()
	h.decided()
	if _, err := os.Stat(h.ledger()); err == nil {
		t.Error("there is a ledger")
	}
	now := k.Objects().ByKey()[unit.Key()].(state.Unit)
	if !now.Enabled.Value || now.Running.Value {
		t.Errorf("the service is %+v, want enabled, and its running left alone", now)
	}
}

// A confirmation that comes when the time is just over is in time or too late,
// and whoever sent it is told which.
func TestAConfirmationRacesItsTimer(t *testing.T) {
	const within = 10 * time.Millisecond
	kept := 0
	for i := range 60 {
		h, k := guarded(t)
		before := k.Objects()
		s := h.dial()
		s.lock()
		if r, _ := s.ask(toConfirm("one", within)); r.Result == nil {
			t.Fatalf("%+v", r)
		}
		other := h.dial()
		time.Sleep(within * time.Duration(i) / 30) // the moment is what is tried
		r, _ := other.ask(confirm("one"))
		h.decided()
		_, ledger := os.Stat(h.ledger())
		old := diffOf(before, volatile(k.Objects(), before)) == ""
		switch {
		case r.Confirmed != nil:
			if kept++; ledger != nil || old {
				t.Errorf("confirmed: ledger %v, host as before: %v", ledger, old)
			}
		case r.Error == nil || r.Error.Code != wire.ErrorRolledBack || ledger == nil || !old:
			t.Errorf("%+v: ledger %v, host as before: %v", r.Error, ledger, old)
		}
		other.close()
		s.close()
	}
	t.Logf("%d of 60 in time", kept)
}

// busy is a kernel that cannot be read some times.
type busy struct {
	*agenttest.Kernel
	left int
}

func (k *busy) Read(q txn.Query) (txn.Host, error) {
	if k.left > 0 {
		k.left--
		return txn.Host{}, errors.New("device or resource busy")
	}
	return k.Kernel.Read(q)
}

// A take-back that fails is tried again: nobody else may be able to reach the
// host.
func TestAGuardTriesAgain(t *testing.T) {
	h, k := guarded(t)
	h.guards = agenttest.StartGuard(&busy{Kernel: k, left: 50})
	before := k.Objects()
	s := h.dial()
	s.lock()
	if r, _ := s.ask(toConfirm("one", 50*time.Millisecond)); r.Result == nil {
		t.Fatalf("%+v", r)
	}
	h.decided()
	if diff := diffOf(before, volatile(k.Objects(), before)); diff != "" {
		t.Error(diff)
	}
	s.close()
}

// A disk that takes nothing any more is no reason to leave the host as it is.
func TestAHostGoesBackAlsoWhenItsDiskDoesNot(t *testing.T) {
	h, k := guarded(t)
	before := k.Objects()
	s := h.dial()
	s.lock()
	if r, _ := s.ask(toConfirm("one", 300*time.Millisecond)); r.Result == nil {
		t.Fatalf("%+v", r)
	}
	made := filepath.Join(h.dir, "state", "made")
	if err := os.Remove(made); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(made, "that cannot be removed"), 0o700); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); diffOf(before, volatile(k.Objects(), before)) != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the host does not go back")
		}
	}
	if err := os.RemoveAll(made); err != nil {
		t.Fatal(err)
	}
	h.decided()
	s.close()
}

// Agent and guard are both gone: who asks for the confirmation finds that out.
func TestAConfirmationTakesBackAnOrphan(t *testing.T) {
	h := newHost(t)
	k := h.kernel.(*agenttest.Kernel)
	before := k.Objects()
	if !h.killed(4, toConfirm("one", time.Hour)) {
		t.Fatal("it was not killed")
	}
	s := h.dial()
	if r, _ := s.ask(confirm("one")); r.Error == nil || r.Error.Code != wire.ErrorRolledBack {
		t.Errorf("%+v", r)
	}
	s.close()
	if diff := diffOf(before, volatile(k.Objects(), before)); diff != "" {
		t.Error(diff)
	}
}
