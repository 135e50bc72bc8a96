package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// keeper is a Restorer at work on a host.
type keeper struct {
	*host
	kernel  *agenttest.Kernel
	changed chan struct{}
	ready   chan struct{}
	ended   chan error

	mu  sync.Mutex
	log []string
}

// keep starts a Restorer. It ends with the test.
func keep(t *testing.T, h *host) *keeper {
	t.Helper()
	k := &keeper{host: h, kernel: h.kernel.(*agenttest.Kernel), changed: make(chan struct{}, 1), ready: make(chan struct{}), ended: make(chan error, 1)}
	r := agent.Restorer{
		Kernel:   func() (txn.Kernel, func()) { return k.kernel, func() {} },
		Watch:    func() (<-chan struct{}, func(), error) { return k.changed, func() {}, nil },
		StateDir: filepath.Join(h.dir, "state"), LockDir: filepath.Join(h.dir, "run"),
		Patrol: time.Millisecond, Ready: func() { close(k.ready) },
		Log: func(line string) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.log = append(k.log, line)
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.ended <- r.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-done })
	select {
	case <-k.ready:
	case err := <-k.ended:
		k.ended <- err
	case <-time.After(time.Minute):
		t.Fatal("it is never ready")
	}
	return k
}

func (k *keeper) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.log, "\n")
}

// until waits for something that is about to come.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never comes: %s", what)
		}
	}
}

func (k *keeper) has(o state.Object) bool { return slices.Contains(k.kernel.Objects(), o) }

// claimed writes a ledger that claims objects for the topology web.
func (h *host) claimed(objects ...state.Object) {
	h.t.Helper()
	var changes []state.ClaimChange
	for _, o := range objects {
		changes = append(changes, state.ClaimChange{Claim: state.Claim{Topology: "web", Addresses: []string{"x.y"}, Value: state.Boxed{Object: o}}})
	}
	l := state.Ledger{Version: state.LedgerVersion}.Update(changes)
	l.Members = map[string][]string{"web": {"rs1"}}
	body, err := json.Marshal(l)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(h.ledger()), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.ledger(), body, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

var web = state.Service{ServiceID: state.ServiceID{Protocol: "tcp", Address: vip.IP.Addr(), Port: 80, Family: "ipv4"}, Scheduler: "wlc", Netmask: 32}

func TestBootMakesEverythingAndWhatIsLostOfTheNetworkComesBack(t *testing.T) {
	h := newHost(t)
	h.claimed(vip, web)
	k := keep(t, h)
	if !k.has(vip) || !k.has(web) {
		t.Fatalf("not made: %s", k.said())
	}
	k.kernel.Remove(vip.Key(), web.Key())
	k.changed <- struct{}{}
	until(t, "the VIP", func() bool { return k.has(vip) })
	if k.has(web) {
		t.Error("an IPVS table is watched")
	}
	if !strings.Contains(k.said(), "put back: address lo/203.0.113.7") {
		t.Errorf("it said %q", k.said())
	}
}

func TestARestartOfTheProgramLeavesTables(t *testing.T) {
	h := newHost(t)
	h.claimed(vip, web)
	keep(t, h)
	kernel := h.kernel.(*agenttest.Kernel)
	kernel.Remove(vip.Key(), web.Key())
	k := keep(t, h)
	if !k.has(vip) || k.has(web) {
		t.Errorf("VIP %v, service %v: %s", k.has(vip), k.has(web), k.said())
	}
}

func TestWhatCouldNotBeMadeAtBootIsMadeLater(t *testing.T) {
	h := newHost(t)
	late := state.Address{Device: "eth9", IP: vip.IP, Scope: "global"}
	h.claimed(late, web, vip)
	h.kernel.(*agenttest.Kernel).Provide() // no module
	k := keep(t, h)
	if !k.has(vip) || !strings.Contains(k.said(), "address eth9/203.0.113.7: no such device") {
		t.Fatalf("it said %q", k.said())
	}
	k.kernel.Provide("ip_vs", "ip_vs_wlc")
	k.kernel.Set(state.Link{Name: "eth9", Kind: "device", Up: state.Some(true)})
	k.changed <- struct{}{}
	until(t, "the late address, and the service that boot owes", func() bool { return k.has(late) && k.has(web) })
	if n := strings.Count(k.said(), "eth9/203.0.113.7: no such device"); n != 1 {
		t.Errorf("it complains %d times", n)
	}
}

// contested is a kernel in which somebody sets a link anew before every reading.
type contested struct {
	*agenttest.Kernel
	link  state.Link
	quiet bool // nobody does any more
}

func (k *contested) Read(q txn.Query) (txn.Host, error) {
	if !k.quiet {
		k.link.MTU.Value++
		if _, err := k.Apply([]state.Change{{Before: k.link, After: k.link}}); err != nil {
			return txn.Host{}, err
		}
	}
	return k.Kernel.Read(q)
}

// Whoever changed it last may have done so before the kernel was listened to:
// nothing tells of it any more.
func TestWhatWasLostLastIsTriedAgainInHalfAMinute(t *testing.T) {
	h := newHost(t)
	wanted := state.Link{Name: "lvs0", Kind: "dummy", Up: state.Some(true), MTU: state.Some(1400)}
	h.claimed(wanted)
	synctest.Test(t, func(t *testing.T) {
		k := &contested{Kernel: h.kernel.(*agenttest.Kernel), link: wanted}
		k.Set(wanted)
		r := agent.Restorer{
			Kernel:   func() (txn.Kernel, func()) { return k, func() { k.quiet = true } },
			Watch:    func() (<-chan struct{}, func(), error) { return make(chan struct{}), func() {}, nil },
			StateDir: filepath.Join(h.dir, "state"), LockDir: filepath.Join(h.dir, "run"), Patrol: time.Hour,
			Ready: func() {}, Log: func(string) {},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		live := func() bool { synctest.Wait(); return slices.Contains(k.Objects(), state.Object(wanted)) }
		time.Sleep(29 * time.Second) // of the bubble's clock: nobody waits
		if live() {
			t.Error("it was tried again at once, or nobody changed it")
		}
		time.Sleep(2 * time.Second)
		if !live() {
			t.Errorf("after 31 s there is %v", k.Objects())
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsPutBackWhileARunHoldsTheLock(t *testing.T) {
	h := newHost(t)
	h.claimed(vip)
	s := h.dial()
	s.lock()
	k := keep(t, h) // ready all the same: a run may be waiting for that
	k.changed <- struct{}{}
	if k.has(vip) {
		t.Error("it acted")
	}
	s.close()
	until(t, "the VIP, when the run is over", func() bool { return k.has(vip) })
}

func TestARunWaitsForARestoration(t *testing.T) {
	h := newHost(t)
	first := h.dial()
	if r, _ := first.ask(wire.Request{Lock: &wire.Lock{Owner: agent.RestoreOwner}}); r.Locked == nil {
		t.Fatalf("%+v", r.Error)
	}
	second := h.dial()
	answered := make(chan wire.Response, 1)
	go func() {
		r, _ := second.ask(wire.Request{Lock: &wire.Lock{Owner: "me"}})
		answered <- r
	}()
	first.close()
	if r := <-answered; r.Locked == nil {
		t.Errorf("%+v", r.Error)
	}
	second.close()
}

func TestARunThatWasCutOffIsTakenBackWithoutAnybody(t *testing.T) {
	h := newHost(t)
	k := keep(t, h)
	before := k.kernel.Objects()
	if !h.killed(1, setUp()) {
		t.Fatal("the agent was not killed")
	}
	until(t, "the end of the journal", func() bool {
		_, err := os.Lstat(filepath.Join(h.dir, "state", "pending"))
		return os.IsNotExist(err)
	})
	for _, c := range state.Diff(before, k.kernel.Objects()) {
		if c.Key().Kind != state.KindModule {
			t.Errorf("%v became %v", c.Before, c.After)
		}
	}
	until(t, "word of it", func() bool { return strings.Contains(k.said(), "the run of me, which had been cut off, is taken back") })
}

func TestADamagedLedgerIsNotGuessedAt(t *testing.T) {
	h := newHost(t)
	h.claimed(vip)
	if err := os.WriteFile(h.ledger(), []byte(`{"version":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	k := keep(t, h)
	if err := <-k.ended; !errors.Is(err, agent.ErrLedger) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
	if k.kernel.Made() != 0 {
		t.Error("something was changed")
	}
}

func TestAHostWithoutALedgerIsLeftAlone(t *testing.T) {
	h := newHost(t)
	k := keep(t, h)
	if entries, err := os.ReadDir(h.dir); err != nil || len(entries) > 0 || k.said() != "" {
		t.Errorf("%v, %v, %q", entries, err, k.said())
	}
	// The first apply comes while it runs.
	h.claimed(vip)
	k.changed <- struct{}{}
	until(t, "the VIP", func() bool { return k.has(vip) })
}

// recorded is a persistence that tells what was asked of it, and what the kernel
// had been made to do by then.
type recorded struct {
	kernel *agenttest.Kernel
	made   int // before the session
	calls  []string
}

func (r *recorded) Ensure() error {
	r.calls = append(r.calls, fmt.Sprintf("ensure after %d", r.kernel.Made()-r.made))
	return nil
}

func (r *recorded) Remove() error { r.calls = append(r.calls, "remove"); return nil }

// persisting is a session of an agent that has a persistence to care for.
func (h *host) persisting(p agent.Persistence) *session {
	requests, in := io.Pipe()
	out, answers := io.Pipe()
	s := &session{t: h.t, in: in, out: out, done: make(chan error, 1)}
	server := &agent.Server{Kernel: h.kernel, StateDir: filepath.Join(h.dir, "state"), LockDir: filepath.Join(h.dir, "run"), Persistence: p}
	go func() {
		defer answers.Close()
		s.done <- server.Serve(requests, answers)
	}()
	var hello wire.Hello
	if err := wire.Read(out, &hello); err != nil {
		h.t.Fatal(err)
	}
	s.lock()
	return s
}

func TestPersistenceComesBeforeTheFirstChangeAndGoesWithTheLastTopology(t *testing.T) {
	h := newHost(t)
	p := &recorded{kernel: h.kernel.(*agenttest.Kernel)}
	steps := func(want string, do func(s *session)) {
		t.Helper()
		p.calls, p.made = nil, p.kernel.Made()
		s := h.persisting(p)
		do(s)
		s.close()
		if got := strings.Join(p.calls, ", "); got != want {
			t.Errorf("it was asked to %q, want %q", got, want)
		}
	}
	ask := func(s *session, q wire.Request) wire.Response {
		t.Helper()
		r, _ := s.ask(q)
		return r
	}
	transient := func(topology string, steps ...wire.Step) wire.Request {
		q := begin(topology, steps...)
		q.Begin.Transient = true
		return q
	}
	steps("remove", func(s *session) { ask(s, transient("lab", claim("lab", nil, vip))) })
	steps("ensure after 0", func(s *session) { ask(s, begin("web", claim("web", vip, vip))) })
	steps("ensure after 0", func(s *session) { ask(s, transient("lab")) }) // web still persists
	steps("remove", func(s *session) { ask(s, transient("web")) })
	steps("ensure after 0", func(s *session) { ask(s, begin("web", claim("web", vip, nil))) })
	steps("", func(s *session) { ask(s, wire.Request{Leave: &wire.Leave{Topology: "web"}}) })
	steps("remove", func(s *session) {
		ask(s, transient("lab", claim("lab", vip, nil)))
		ask(s, wire.Request{Leave: &wire.Leave{Topology: "lab"}})
	})
}

func TestAFirstApplyThatFailsLeavesNoPersistence(t *testing.T) {
	h := newHost(t)
	p := &recorded{kernel: h.kernel.(*agenttest.Kernel)}
	p.kernel.FailAt(1)
	s := h.persisting(p)
	if r, _ := s.ask(begin("web", claim("web", nil, vip))); r.Error == nil {
		t.Errorf("%+v", r)
	}
	s.close()
	if got := strings.Join(p.calls, ", "); got != "ensure after 0, remove" {
		t.Errorf("it was asked to %q", got)
	}
}
