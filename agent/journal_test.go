package agent_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// dying is a kernel whose user ends, as by kill -9, when it has made some
// changes: nothing of it runs any more but what the system does.
type dying struct {
	*agenttest.Kernel
	changes int
}

func (k *dying) Apply(changes []state.Change) (int, error) {
	for i, c := range changes {
		if k.changes == 0 {
			runtime.Goexit()
		}
		k.changes--
		if _, err := k.Kernel.Apply([]state.Change{c}); err != nil {
			return i, err
		}
	}
	if k.changes == 0 {
		runtime.Goexit()
	}
	return len(changes), nil
}

// killed runs a transaction whose agent ends after some changes, and tells
// whether it came to that.
func (h *host) killed(changes int, b wire.Request) bool {
	h.t.Helper()
	whole := h.kernel.(*agenttest.Kernel)
	h.kernel = &dying{whole, changes}
	s := h.dial()
	h.kernel = whole
	s.lock()
	answers := make(chan wire.Response)
	go func() {
		defer close(answers)
		for {
			var r wire.Response
			if wire.Read(s.out, &r) != nil {
				return
			}
			if r.Step == nil {
				answers <- r
			}
		}
	}()
	if err := wire.Write(s.in, b); err != nil {
		h.t.Fatal(err)
	}
	_, answered := <-answers
	s.in.Close()
	s.out.Close()
	return !answered
}

var service = state.Service{ServiceID: state.ServiceID{Protocol: "tcp", Address: vip.IP.Addr(), Port: 80, Family: "ipv4"},
	Scheduler: "wlc", Netmask: 32}

func setUp() wire.Request {
	forward := state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}
	return begin("t", claim("t", state.Sysctl{Name: forward.Name, Value: "0"}, forward),
		wire.Step{ID: "m", Change: &state.Change{After: state.Module{Name: "ip_vs"}}},
		wire.Step{ID: "s", Change: &state.Change{After: state.Module{Name: "ip_vs_wlc"}}},
		wire.Step{ID: "i", Change: &state.Change{After: state.Module{Name: "ipip"}}},
		claim("t", nil, service),
		claim("t", nil, state.Destination{Service: service.ServiceID, Address: netip.MustParseAddr("192.0.2.11"), Port: 80, Weight: 1, Forward: "dr"}),
		claim("t", nil, vip))
}

// volatile are the objects that a recovery must bring back: modules stay
// loaded, with the sysctls and the links, down, that they bring.
func volatile(objects, before state.Objects) state.Objects {
	was := before.ByKey()
	var out state.Objects
	for _, o := range objects {
		if l, ok := o.(state.Link); ok && l.Fallback && !l.Up.Value {
			continue
		}
		switch o.(type) {
		case state.Module, state.Timeouts:
			continue
		case state.Sysctl:
			if was[o.Key()] == nil {
				continue
			}
		}
		out = append(out, o)
	}
	return out
}

// Whenever the agent is killed, the next run finds the host as it was.
func TestTheNextRunTakesBackWhatAKilledOneDid(t *testing.T) {
	for changes := 0; ; changes++ {
		h := newHost(t)
		k := h.kernel.(*agenttest.Kernel)
		before := k.Objects()
		if !h.killed(changes, setUp()) {
			if changes < 7 {
				t.Fatalf("it was done after %d changes", changes)
			}
			return
		}
		s := h.dial()
		r, _ := s.ask(wire.Request{Lock: &wire.Lock{Owner: "next"}})
		if r.Locked == nil || r.Locked.Recovered == nil || r.Locked.Recovered.Owner != "me" {
			t.Fatalf("killed after %d changes: %+v", changes, r)
		}
		if diff := diffOf(before, volatile(k.Objects(), before)); diff != "" {
			t.Errorf("killed after %d changes: %s", changes, diff)
		}
		if _, err := os.Stat(filepath.Join(h.dir, "state", "pending")); err == nil {
			t.Error("the journal is still there")
		}
		if r, _ := s.ask(wire.Request{Observe: &wire.Observe{}}); len(r.Observation.Ledger.Entries) > 0 {
			t.Errorf("the ledger remembers %v", r.Observation.Ledger.Entries)
		}
		s.close()
	}
}

// The ledger decides: what it has recorded is not taken back.
func TestASuccessIsNotTakenBack(t *testing.T) {
	h := newHost(t)
	s := h.dial()
	s.lock()
	journal := filepath.Join(h.dir, "state", "pending")
	var kept []byte
	if r, _ := s.ask(setUp()); r.Result == nil {
		t.Fatalf("%+v", r.Error)
	}
	s.close()
	after := h.kernel.(*agenttest.Kernel).Objects()
	// As if it had been killed between the ledger and the end of the journal.
	ledger, err := os.ReadFile(h.ledger())
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(ledger), `"last":["`)
	token, _, _ := strings.Cut(rest, `"`)
	if token == "" {
		t.Fatalf("the ledger has no token: %s", ledger)
	}
	kept = []byte(`{"boot":"","by":{"owner":"me","since":"2026-01-01T00:00:00Z"},"token":"` + token + `","begin":{"topology":"t","members":[],"steps":[]},"before":{}}`)
	if err := os.WriteFile(journal, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	s = h.dial()
	if r, _ := s.ask(wire.Request{Lock: &wire.Lock{Owner: "next"}}); r.Locked == nil || r.Locked.Recovered != nil {
		t.Errorf("%+v", r)
	}
	s.close()
	if diff := diffOf(after, h.kernel.(*agenttest.Kernel).Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestADamagedJournalStopsTheRun(t *testing.T) {
	for name, text := range map[string]string{"cut": `{"token":"abc","beg`, "empty": "", "no token": "{}", "another thing": `[]`} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			dir := filepath.Join(h.dir, "state")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "pending"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // nobody keeps the lock
				s := h.dial()
				r, _ := s.ask(wire.Request{Lock: &wire.Lock{Owner: "next"}})
				if r.Error == nil || !strings.Contains(r.Error.Message, "is damaged") || r.Error.Code != wire.ErrorFailed {
					t.Errorf("%+v", r)
				}
				s.close()
			}
		})
	}
}
