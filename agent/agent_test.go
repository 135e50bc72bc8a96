package agent_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

var vip = state.Address{Device: "lo", IP: netip.MustParsePrefix("203.0.113.7/32"), Scope: "global"}

// host is one host's kernel and directories.
type host struct {
	t      *testing.T
	kernel txn.Kernel
	dir    string
	exe    string

	working time.Duration
	guards  func(agent.Order, *os.File) (agent.Guarding, error)
}

func newHost(t *testing.T) *host {
	return &host{t: t, kernel: agenttest.NewKernel(agenttest.Host()...), dir: t.TempDir()}
}

func (h *host) ledger() string { return filepath.Join(h.dir, "state", "ledger") }

// session is one connection to the agent.
type session struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *io.PipeReader
	done chan error
}

func (h *host) dial() *session {
	h.t.Helper()
	requests, in := io.Pipe()
	out, answers := io.Pipe()
	s := &session{t: h.t, in: in, out: out, done: make(chan error, 1)}
	server := &agent.Server{
		Kernel: h.kernel, StateDir: filepath.Join(h.dir, "state"), LockDir: filepath.Join(h.dir, "run"),
		Hello: wire.Hello{Hostname: "rs1", Kernel: "6.1.0", Arch: "amd64"}, Executable: h.exe, Working: h.working,
		StartGuard: h.guards,
	}
	go func() {
		defer answers.Close()
		s.done <- server.Serve(requests, answers)
	}()
	var hello wire.Hello
	if err := wire.Read(out, &hello); err != nil {
		h.t.Fatal(err)
	}
	if diff := cmp.Diff(wire.Hello{Protocol: wire.Protocol, Hostname: "rs1", Kernel: "6.1.0", Arch: "amd64"}, hello); diff != "" {
		h.t.Error(diff)
	}
	return s
}

// ask returns the answer and the steps reported before it.
func (s *session) ask(q wire.Request) (answer wire.Response, steps []string) {
	s.t.Helper()
	go func() {
		if err := wire.Write(s.in, q); err != nil {
			s.in.CloseWithError(err)
		}
	}()
	for {
		var r wire.Response
		if err := wire.Read(s.out, &r); err != nil {
			s.t.Fatal(err)
		}
		if r.Step == nil {
			return r, steps
		}
		steps = append(steps, r.Step.ID)
	}
}

func (s *session) close() {
	s.t.Helper()
	s.in.Close()
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
}

func (s *session) lock() {
	s.t.Helper()
	if r, _ := s.ask(wire.Request{Lock: &wire.Lock{Owner: "me"}}); r.Locked == nil {
		s.t.Fatalf("no lock: %+v", r.Error)
	}
}

func claim(topology string, before, after state.Object) wire.Step {
	change := state.Change{Before: before, After: after}
	c := &state.ClaimChange{Claim: state.Claim{Topology: topology, Addresses: []string{"address.vip"}, Value: state.Boxed{Object: after}},
		Before: state.Boxed{Object: before}}
	if after == nil {
		c.Claim.Value.Object, c.Before.Object, c.Drop = before, nil, true
	}
	return wire.Step{ID: change.Key().String(), Change: &change, Claim: c}
}

func begin(topology string, steps ...wire.Step) wire.Request {
	return wire.Request{Begin: &wire.Begin{Topology: topology, Members: []string{"lb1", "rs1"}, Steps: steps}}
}

func diffOf(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty())
}

func TestObserveWritesNothing(t *testing.T) {
	h := newHost(t)
	s := h.dial()
	r, _ := s.ask(wire.Request{Observe: &wire.Observe{Sysctls: []string{"net.ipv4.ip_forward", "net.no.such"}, Modules: []string{"ip_vs", "nonsense"}}})
	s.close()
	if r.Observation == nil {
		t.Fatalf("%+v", r.Error)
	}
	objects := r.Observation.Objects.ByKey()
	if objects[state.Key{Kind: state.KindSysctl, ID: "net.ipv4.ip_forward"}] != state.Object(state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}) {
		t.Error("the sysctl that was asked for is not there")
	}
	if objects[state.Key{Kind: state.KindLink, ID: "eth0"}] == nil {
		t.Error("the link is not there")
	}
	if diff := diffOf([]string{"nonsense"}, r.Observation.MissingModules); diff != "" {
		t.Error(diff)
	}
	if files, _ := os.ReadDir(h.dir); len(files) > 0 {
		t.Errorf("it has written %v", files)
	}
}

func TestBeginNeedsTheLock(t *testing.T) {
	h := newHost(t)
	s := h.dial()
	defer s.close()
	if r, _ := s.ask(begin("t", claim("t", nil, vip))); r.Error == nil || r.Error.Code != wire.ErrorFailed {
		t.Errorf("got %+v", r)
	}
}

func TestBeginChangesReportsAndRecords(t *testing.T) {
	h := newHost(t)
	s := h.dial()
	s.lock()
	r, steps := s.ask(begin("t", claim("t", nil, vip)))
	if r.Result == nil {
		t.Fatalf("%+v", r.Error)
	}
	if diff := diffOf([]string{vip.Key().String()}, steps); diff != "" {
		t.Error(diff)
	}
	s.close()

	s = h.dial()
	r, _ = s.ask(wire.Request{Observe: &wire.Observe{}})
	s.close()
	want := state.Ledger{Version: state.LedgerVersion, Members: map[string][]string{"t": {"lb1", "rs1"}},
		Last:    r.Observation.Ledger.Last, // chance decides it
		Entries: []state.Entry{{Claims: []state.Claim{{Topology: "t", Addresses: []string{"address.vip"}, Value: state.Boxed{Object: vip}}}}}}
	if diff := diffOf(want, r.Observation.Ledger); diff != "" || len(want.Last) != 1 {
		t.Errorf("tokens %q: %s", want.Last, diff)
	}
	info, err := os.Stat(h.ledger())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the ledger: %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(h.ledger())); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v, %v", info, err)
	}
}

func TestObserveAddsWhatTheLedgerNames(t *testing.T) {
	h := newHost(t)
	s := h.dial()
	defer s.close()
	s.lock()
	off, on := state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}
	if r, _ := s.ask(begin("t", claim("t", off, on))); r.Result == nil {
		t.Fatalf("%+v", r.Error)
	}
	r, _ := s.ask(wire.Request{Observe: &wire.Observe{}})
	if r.Observation.Objects.ByKey()[on.Key()] != state.Object(on) {
		t.Error("the claimed sysctl is not observed")
	}
}

func TestLockIsHeldUntilTheSessionEnds(t *testing.T) {
	h := newHost(t)
	first, second := h.dial(), h.dial()
	first.lock()
	first.lock() // it is ours already
	r, _ := second.ask(wire.Request{Lock: &wire.Lock{Owner: "you"}})
	if r.Error == nil || r.Error.Code != wire.ErrorLocked || r.Error.Lock == nil || r.Error.Lock.Owner != "me" || r.Error.Lock.Since.IsZero() {
		t.Fatalf("got %+v", r.Error)
	}
	first.close()
	second.lock()
	second.close()
}

func TestDamagedLedgerChangesNothing(t *testing.T) {
	good := `{"version":1,"before":{},"topologies":{}}`
	tests := map[string]string{
		"empty":         "",
		"cut short":     good[:len(good)-1],
		"more":          good + good,
		"unknown field": `{"version":1,"before":{},"topologies":{},"extra":1}`,
		"other version": `{"version":2,"before":{},"topologies":{}}`,
		"no version":    `{"before":{},"topologies":{}}`,
		"garbage":       "\x00\x01\x02",
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			if err := os.MkdirAll(filepath.Dir(h.ledger()), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(h.ledger(), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			s := h.dial()
			defer s.close()
			s.lock()
			for _, q := range []wire.Request{{Observe: &wire.Observe{}}, begin("t", claim("t", nil, vip)), {Leave: &wire.Leave{Topology: "t"}}} {
				r, _ := s.ask(q)
				if r.Error == nil || r.Error.Code != wire.ErrorFailed || !strings.Contains(r.Error.Message, "ledger") {
					t.Errorf("%+v: got %+v", q, r)
				}
			}
			if made := h.kernel.(*agenttest.Kernel).Made(); made != 0 {
				t.Errorf("%d changes were made", made)
			}
			if now, _ := os.ReadFile(h.ledger()); string(now) != body {
				t.Errorf("the ledger is now %q", now)
			}
		})
	}
}

func TestLedgerOfOthersIsRefused(t *testing.T) {
	h := newHost(t)
	if err := os.MkdirAll(filepath.Dir(h.ledger()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.ledger(), []byte(`{"version":1,"before":{},"topologies":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.ledger(), 0o666); err != nil {
		t.Fatal(err)
	}
	s := h.dial()
	defer s.close()
	if r, _ := s.ask(wire.Request{Observe: &wire.Observe{}}); r.Error == nil || !strings.Contains(r.Error.Message, "written by others") {
		t.Errorf("got %+v", r)
	}
}

func TestFailedChangeLeavesTheLedger(t *testing.T) {
	h := newHost(t)
	s := h.dial()
	defer s.close()
	s.lock()
	bad := vip
	bad.Device = "eth9"
	r, steps := s.ask(begin("t", claim("t", nil, vip), claim("t", nil, bad)))
	if r.Error == nil || r.Error.Code != wire.ErrorRolledBack || r.Error.Step != bad.Key().String() {
		t.Errorf("got %+v", r.Error)
	}
	if len(steps) > 0 {
		t.Errorf("steps %v were reported", steps)
	}
	if _, err := os.Stat(h.ledger()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ledger: %v", err)
	}
}

func TestLeaveRemovesEverythingOfTheLastTopology(t *testing.T) {
	h := newHost(t)
	h.exe = filepath.Join(h.dir, "lvsform", "agent-0123")
	if err := os.Mkdir(filepath.Dir(h.exe), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{h.exe, filepath.Join(h.dir, "lvsform", "agent-older"), filepath.Join(h.dir, "lvsform", ".agent.333")} {
		if err := os.WriteFile(file, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := h.dial()
	s.lock()
	forward := claim("u", state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"})
	for _, q := range []wire.Request{begin("t", claim("t", nil, vip)), begin("u", forward)} {
		if r, _ := s.ask(q); r.Result == nil {
			t.Fatalf("%+v", r.Error)
		}
	}
	leave := func(topology string) wire.Response {
		r, _ := s.ask(wire.Request{Leave: &wire.Leave{Topology: topology}})
		return r
	}
	if r := leave("t"); r.Error == nil || !strings.Contains(r.Error.Message, "claims") {
		t.Errorf("left with claims: %+v", r)
	}
	if r, _ := s.ask(begin("t", claim("t", vip, nil))); r.Result == nil {
		t.Fatalf("%+v", r.Error)
	}
	if r := leave("t"); r.Left == nil || r.Left.Removed {
		t.Errorf("u is still there: %+v", r)
	}
	back := claim("u", forward.Change.After, nil)
	back.Change.After = forward.Change.Before
	if r, _ := s.ask(begin("u", back)); r.Result == nil {
		t.Fatalf("%+v", r.Error)
	}
	if r := leave("u"); r.Left == nil || !r.Left.Removed {
		t.Errorf("got %+v", r)
	}
	s.close()
	if files, _ := os.ReadDir(h.dir); len(files) > 0 {
		t.Errorf("%v is left", files)
	}
}

func TestLostSessionDoesNotInterruptATransaction(t *testing.T) {
	h := newHost(t)
	h.kernel = &hangUp{Kernel: h.kernel.(*agenttest.Kernel)}
	s := h.dial()
	s.lock()
	h.kernel.(*hangUp).session = s
	if err := wire.Write(s.in, begin("t", claim("t", nil, vip))); err != nil {
		t.Fatal(err)
	}
	<-s.done
	s = h.dial()
	r, _ := s.ask(wire.Request{Observe: &wire.Observe{}})
	s.close()
	if len(r.Observation.Ledger.Entries) != 1 || r.Observation.Objects.ByKey()[vip.Key()] == nil {
		t.Error("the transaction was not completed")
	}
}

// hangUp loses the session at the first change.
type hangUp struct {
	*agenttest.Kernel
	session *session
}

func (k *hangUp) Apply(changes []state.Change) (int, error) {
	if k.session != nil {
		k.session.in.CloseWithError(io.ErrUnexpectedEOF)
		k.session.out.Close()
	}
	return k.Kernel.Apply(changes)
}

// slowKernel waits with every change until it is told to go on.
type slowKernel struct {
	txn.Kernel
	start chan struct{}
}

func (k slowKernel) Apply(changes []state.Change) (int, error) {
	<-k.start
	return k.Kernel.Apply(changes)
}

func TestAgentSaysThatItIsStillAtAPackage(t *testing.T) {
	k := slowKernel{agenttest.NewKernel(agenttest.Host()...), make(chan struct{})}
	h := &host{t: t, kernel: k, dir: t.TempDir(), working: time.Millisecond}
	s := h.dial()
	s.lock()
	go wire.Write(s.in, begin("web", claim("web", nil, state.Package{Name: "ipvsadm"}))) //nolint:errcheck // the answer tells
	signs := 0
	for {
		var r wire.Response
		if err := wire.Read(s.out, &r); err != nil {
			t.Fatal(err)
		}
		if r.Working != nil {
			if signs++; signs == 3 {
				close(k.start)
			}
			continue
		}
		if r.Step == nil {
			if r.Result == nil || signs < 3 {
				t.Errorf("after %d signs of life: %+v", signs, r)
			}
			break
		}
	}
	s.close()
}

func TestPeerThatStopsReadingDoesNotHoldUpATransaction(t *testing.T) {
	h := newHost(t)
	s := h.dial()
	s.lock()
	if err := wire.Write(s.in, begin("t", claim("t", nil, vip))); err != nil {
		t.Fatal(err)
	}
	// Nothing is read from the session: a pipe holds nothing back.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(h.ledger()); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the transaction has not been committed")
		}
	}
	s.out.Close()
	s.in.Close()
	<-s.done
}

func TestUnreadableFrameEndsTheSession(t *testing.T) {
	for name, frame := range map[string]string{
		"too long":      "\xff\xff\xff\xff",
		"no JSON":       "\x00\x00\x00\x02xx",
		"unknown field": "\x00\x00\x00\x07{\"x\":1}",
		"cut short":     "\x00\x00\x00\x07{",
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			s := agent.Server{Kernel: agenttest.NewKernel(), StateDir: t.TempDir(), LockDir: t.TempDir()}
			if err := s.Serve(strings.NewReader(frame), &out); err == nil {
				t.Error("want an error")
			}
			var hello wire.Hello
			var r wire.Response
			if err := errors.Join(wire.Read(&out, &hello), wire.Read(&out, &r)); err != nil {
				t.Fatal(err)
			}
			if r.Error == nil {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func FuzzServe(f *testing.F) {
	for _, q := range []wire.Request{
		{Lock: &wire.Lock{Owner: "me"}}, {Observe: &wire.Observe{Sysctls: []string{"net.ipv4.ip_forward"}}},
		begin("t", claim("t", nil, vip), claim("t", vip, nil)), {Leave: &wire.Leave{Topology: "t"}}, {},
	} {
		var lock, b bytes.Buffer
		if err := errors.Join(wire.Write(&lock, wire.Request{Lock: &wire.Lock{Owner: "me"}}), wire.Write(&b, q)); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
		f.Add(append(lock.Bytes(), b.Bytes()...))
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		dir := t.TempDir()
		k := agenttest.NewKernel(agenttest.Host()...)
		s := agent.Server{Kernel: k, StateDir: filepath.Join(dir, "state"), LockDir: filepath.Join(dir, "run")}
		var out bytes.Buffer
		_ = s.Serve(bytes.NewReader(frames), &out)
		var hello wire.Hello
		if err := wire.Read(&out, &hello); err != nil {
			t.Fatal(err)
		}
		for {
			var r wire.Response
			if err := wire.Read(&out, &r); err != nil {
				if err != io.EOF {
					t.Fatal(err)
				}
				return
			}
			if r.Error != nil && r.Error.Code == wire.ErrorBroken {
				t.Fatalf("%+v", r.Error)
			}
		}
	})
}
