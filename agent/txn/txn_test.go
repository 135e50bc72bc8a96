package txn_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

var (
	vip     = state.Address{Device: "lo", IP: netip.MustParsePrefix("203.0.113.7/32"), Scope: "global", Label: "lo:0"}
	service = state.Service{ServiceID: state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("203.0.113.7"), Port: 80, Family: "ipv4"},
		Scheduler: "wlc", Netmask: 32}
	server = state.Destination{Service: service.ServiceID, Address: netip.MustParseAddr("192.0.2.20"), Port: 80, Weight: 1, Forward: "dr"}
	tunl0  = state.Link{Name: "tunl0", Kind: "ipip", Up: state.Some(true)}

	unwraps     = state.FOU{Family: "ipv4", Port: 5555, Protocol: "gue"}
	marked      = state.Mark{Protocol: "tcp", Address: vip.IP.Addr(), Ports: "80,443", Mark: 7}
	masqueraded = state.Masquerade{VIP: vip.IP.Addr(), Protocol: "tcp", Port: 80, To: server.Address}
	timeouts    = state.Timeouts{TCP: time.Hour}
	synced      = state.Sync{Role: "master", Interface: "eth0", ID: 1, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
)

func sysctl(name, value string) state.Sysctl { return state.Sysctl{Name: name, Value: value} }

func step(before, after state.Object) wire.Step {
	c := state.Change{Before: before, After: after}
	return wire.Step{ID: c.Key().String(), Change: &c}
}

func claimed(s wire.Step) wire.Step {
	s.Claim = &state.ClaimChange{Claim: state.Claim{Topology: "t", Addresses: []string{"x"}, Value: state.Boxed{Object: s.Change.After}},
		Before: state.Boxed{Object: s.Change.Before}}
	return s
}

func begin(steps ...wire.Step) wire.Begin {
	return wire.Begin{Topology: "t", Members: []string{"h"}, Steps: steps}
}

// run makes a transaction and returns the ledger that it recorded.
func run(t *testing.T, k txn.Kernel, b wire.Begin) (state.Ledger, error) {
	t.Helper()
	var ledger state.Ledger
	err := txn.Txn{
		Kernel:  k,
		Prepare: func(txn.Pending) error { return nil },
		Record:  func(l state.Ledger) error { ledger = l; return nil },
		Done:    func([]string) {},
	}.Run(state.Ledger{}, b)
	return ledger, err
}

// diffOf compares netip values as values.
func diffOf(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}))
}

func code(err error) wire.ErrorCode {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// realServer and director are what the planner asks of a plain host.
func director() []wire.Step {
	changed := service
	changed.Scheduler = "rr"
	forward := sysctl("net.ipv4.ip_forward", "1")
	return []wire.Step{
		claimed(step(nil, state.Module{Name: "ip_vs"})),
		claimed(step(nil, sysctl("net.ipv4.vs.expire_nodest_conn", "1"))),
		claimed(step(sysctl("net.ipv4.ip_forward", "0"), forward)),
		claimed(step(nil, tunl0)),
		claimed(step(nil, sysctl("net.ipv4.conf.tunl0.rp_filter", "2"))),
		claimed(step(nil, vip)),
		claimed(step(nil, state.Route{To: vip.IP, Table: state.TableMain, Device: "lo", Scope: "link", Source: vip.IP.Addr()})),
		claimed(step(nil, unwraps)),
		claimed(step(nil, marked)),
		claimed(step(nil, masqueraded)),
		claimed(step(nil, timeouts)),
		claimed(step(nil, synced)),
		claimed(step(nil, service)),
		claimed(step(nil, server)),
		step(service, changed),
	}
}

func TestCommitsEverything(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	ledger, err := run(t, k, begin(director()...))
	if err != nil {
		t.Fatal(err)
	}
	live := k.Objects().ByKey()
	for _, s := range director() {
		if s.Change.After == state.Object(service) {
			continue // its last step changes it
		}
		have := live[s.Change.Key()]
		if have == nil || s.Change.After.Resolve(have) != have {
			t.Errorf("%s: want %v, got %v", s.ID, s.Change.After, have)
		}
	}
	entries := ledger.ByKey()
	if got := len(entries); got != 14 {
		t.Errorf("want 14 entries, got %d", got)
	}
	for _, came := range []state.Object{sysctl("net.ipv4.vs.expire_nodest_conn", "0"), state.DefaultTimeouts} {
		if diff := diffOf(state.Boxed{Object: came}, entries[came.Key()].Before); diff != "" {
			t.Errorf("the value that %s came with: %s", came.Key(), diff)
		}
	}
	if diff := diffOf(map[string][]string{"t": {"h"}}, ledger.Members); diff != "" {
		t.Error(diff)
	}
}

// without leaves out what no rollback takes back: modules, and what they bring.
func without(objects state.Objects, like state.Objects) state.Objects {
	known := like.ByKey()
	var out state.Objects
	for _, o := range objects {
		switch o := o.(type) {
		case state.Module:
			continue
		case state.Timeouts:
			if o == state.DefaultTimeouts && known[o.Key()] == nil {
				continue // of a module that has been loaded
			}
		case state.Sysctl:
			if known[o.Key()] == nil {
				continue
			}
		case state.Link:
			if o.Fallback && known[o.Key()] == nil {
				if o.Up.Value {
					out = append(out, o) // must have been put down
				}
				continue
			}
		}
		out = append(out, o)
	}
	return out
}

func TestRollsBackAfterAFaultAtEveryChange(t *testing.T) {
	for n := 1; n <= len(director()); n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			k := agenttest.NewKernel(agenttest.Host()...)
			before := k.Objects()
			k.FailAt(n)
			_, err := run(t, k, begin(director()...))
			if code(err) != wire.ErrorRolledBack {
				t.Fatalf("want rolled back, got %v", err)
			}
			var e *wire.Error
			errors.As(err, &e)
			if want := director()[n-1].ID; e.Step != want {
				t.Errorf("want step %s, got %s", want, e.Step)
			}
			if diff := diffOf(before, without(k.Objects(), before)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRollsBackWhenTheLedgerCannotBeWritten(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	before := k.Objects()
	err := txn.Txn{
		Kernel:  k,
		Prepare: func(txn.Pending) error { return nil },
		Record:  func(state.Ledger) error { return errors.New("disk full") },
		Done:    func([]string) {},
	}.Run(state.Ledger{}, begin(director()...))
	if code(err) != wire.ErrorRolledBack || !strings.Contains(err.Error(), "disk full") {
		t.Fatalf("got %v", err)
	}
	if diff := diffOf(before, without(k.Objects(), before)); diff != "" {
		t.Error(diff)
	}
}

func TestRestoresSysctlsThatCameWithAModule(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	k.FailAt(3)
	if _, err := run(t, k, begin(director()...)); code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	want := state.Object(sysctl("net.ipv4.vs.expire_nodest_conn", "0"))
	if got := k.Objects().ByKey()[want.Key()]; got != want {
		t.Errorf("want %v, got %v", want, got)
	}
}

func TestStaleChangesNothing(t *testing.T) {
	tests := map[string]wire.Step{
		"other value": step(sysctl("net.ipv4.ip_forward", "1"), sysctl("net.ipv4.ip_forward", "0")),
		"gone":        step(vip, nil),
		"there":       step(nil, sysctl("net.ipv4.ip_forward", "1")),
	}
	for name, last := range tests {
		t.Run(name, func(t *testing.T) {
			k := agenttest.NewKernel(agenttest.Host()...)
			_, err := run(t, k, begin(step(nil, state.Module{Name: "ip_vs"}), last))
			if code(err) != wire.ErrorStale || !strings.Contains(err.Error(), last.Change.Key().String()) {
				t.Errorf("got %v", err)
			}
			if k.Made() != 0 {
				t.Errorf("%d changes were made", k.Made())
			}
		})
	}
}

func TestRefusesWhatTheKernelRefuses(t *testing.T) {
	lonely := server
	lonely.Service.Port = 81
	unknown := service
	unknown.Scheduler = "nonsense"
	noDevice, unicast := synced, synced
	noDevice.Interface, unicast.Group = "eth9", vip.IP.Addr()
	six, nothing := masqueraded, marked
	six.To, nothing.Mark = netip.MustParseAddr("2001:db8::1"), 0
	tests := map[string]struct {
		step wire.Step
		want error
	}{
		"sync by an interface that is missing": {step(nil, noDevice), agenttest.ErrNoDevice},
		"sync with one host":                   {step(nil, unicast), agenttest.ErrInvalid},
		"masquerading into another family":     {step(nil, six), agenttest.ErrInvalid},
		"mark 0":                               {step(nil, nothing), agenttest.ErrInvalid},
		"half a second":                        {step(nil, state.Timeouts{UDP: time.Second / 2}), agenttest.ErrInvalid},
		"unwrapping what is unknown":           {step(nil, state.FOU{Family: "ipv4", Port: 1, Protocol: "x"}), agenttest.ErrInvalid},
		"destination without service":          {step(nil, lonely), agenttest.ErrNotFound},
		"unknown scheduler":                    {step(nil, unknown), agenttest.ErrNotFound},
		"missing module":                       {step(nil, state.Module{Name: "nonsense"}), errors.New("not found")},
		"missing device": {step(nil, state.Address{Device: "eth9", IP: netip.MustParsePrefix("10.0.0.1/8"), Scope: "global"}),
			agenttest.ErrNoDevice},
		"unreachable gateway": {step(nil, state.Route{To: netip.MustParsePrefix("10.0.0.0/8"), Table: 254,
			Via: netip.MustParseAddr("198.51.100.1"), Scope: "global"}), agenttest.ErrUnreachable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k := agenttest.NewKernel(agenttest.Host()...)
			before := k.Objects()
			_, err := run(t, k, begin(claimed(step(nil, vip)), test.step))
			if code(err) != wire.ErrorRolledBack || !strings.Contains(err.Error(), test.want.Error()) {
				t.Errorf("want %v, got %v", test.want, err)
			}
			if diff := diffOf(before, without(k.Objects(), before)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPacketRulesNeedNftables(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	k.Provide("ip_vs", "fou")
	before := k.Objects()
	_, err := run(t, k, begin(claimed(step(nil, vip)), step(nil, marked)))
	if code(err) != wire.ErrorRolledBack || !strings.Contains(err.Error(), "no nftables") {
		t.Errorf("got %v", err)
	}
	if diff := diffOf(before, without(k.Objects(), before)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatOthersHaveMadeMeanwhileIsNotTaken(t *testing.T) {
	for _, o := range []state.Object{unwraps, synced, marked, masqueraded} {
		k := agenttest.NewKernel(agenttest.Host()...)
		k.Set(o)
		if _, err := k.Apply([]state.Change{{After: o}}); !errors.Is(err, agenttest.ErrExist) {
			t.Errorf("%s: got %v", o.Key(), err)
		}
	}
	k := agenttest.NewKernel(agenttest.Host()...)
	k.SetFacts(state.Facts{Listeners: []state.Listener{{Protocol: "udp", Address: netip.IPv4Unspecified(), Port: unwraps.Port}}})
	if _, err := run(t, k, begin(step(nil, unwraps))); err == nil || !strings.Contains(err.Error(), agenttest.ErrInUse.Error()) {
		t.Errorf("got %v", err)
	}
}

// addressOf finds a host's address object.
func addressOf(k *agenttest.Kernel, device, ip string) state.Object {
	return k.Objects().ByKey()[state.Address{Device: device, IP: netip.MustParsePrefix(ip)}.Key()]
}

func TestPutsBackWhatAPrimaryAddressTakesAlong(t *testing.T) {
	secondary := state.Address{Device: "eth0", IP: netip.MustParsePrefix("192.0.2.77/24"), Scope: "global", Label: "eth0:7"}
	k := agenttest.NewKernel(append(agenttest.Host(), secondary)...)
	primary := addressOf(k, "eth0", "192.0.2.10/24")
	if _, err := run(t, k, begin(step(primary, nil))); err != nil {
		t.Fatal(err)
	}
	live := k.Objects().ByKey()
	if live[primary.Key()] != nil {
		t.Error("the primary address is still there")
	}
	if live[secondary.Key()] != state.Object(secondary) {
		t.Errorf("the secondary address is %v", live[secondary.Key()])
	}
	route := state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: 254}
	if live[route.Key()] == nil {
		t.Error("the default route is gone")
	}
}

func TestRefusesToCostAForeignRoute(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	before := k.Objects()
	_, err := run(t, k, begin(step(addressOf(k, "eth0", "192.0.2.10/24"), nil)))
	if code(err) != wire.ErrorRolledBack || !strings.Contains(err.Error(), "0.0.0.0/0") {
		t.Errorf("want an error naming the default route, got %v", err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestPutsBackWhatALinkLosesWhenItIsMadeAnew(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	k.Provide("ipip")
	tunnel := state.Link{Name: "tun1", Kind: "ipip", Local: netip.MustParseAddr("192.0.2.10"), Remote: netip.MustParseAddr("192.0.2.20"),
		Up: state.Some(true), MTU: state.Some(1480)}
	address := state.Address{Device: "tun1", IP: netip.MustParsePrefix("10.9.0.1/32"), Scope: "global"}
	route := state.Route{To: netip.MustParsePrefix("10.9.1.0/24"), Table: 254, Device: "tun1", Scope: "link", Source: address.IP.Addr()}
	setting := sysctl("net.ipv4.conf.tun1.rp_filter", "2")
	if _, err := run(t, k, begin(step(nil, tunnel), step(nil, setting), step(nil, address), step(nil, route))); err != nil {
		t.Fatal(err)
	}
	before := k.Objects()
	moved := tunnel
	moved.Remote = netip.MustParseAddr("192.0.2.30")
	if _, err := run(t, k, begin(step(tunnel, moved))); err != nil {
		t.Fatal(err)
	}
	want := before.ByKey()
	want[moved.Key()] = moved
	if diff := diffOf(want, k.Objects().ByKey()); diff != "" {
		t.Error(diff)
	}
	// The same, but the change fails in the end.
	k.Set(before...)
	if _, err := run(t, k, begin(step(tunnel, moved), step(nil, state.Module{Name: "nonsense"}))); code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestSysctlsOfADeletedLinkNeedNoRestoring(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	dummy := state.Link{Name: "d0", Kind: "dummy", Up: state.Some(true), MTU: state.Some(1500)}
	if _, err := run(t, k, begin(step(nil, dummy), step(nil, sysctl("net.ipv4.conf.d0.rp_filter", "2")))); err != nil {
		t.Fatal(err)
	}
	_, err := run(t, k, begin(step(dummy, nil),
		step(sysctl("net.ipv4.conf.d0.rp_filter", "2"), sysctl("net.ipv4.conf.d0.rp_filter", "0"))))
	if err != nil {
		t.Error(err)
	}
}

func TestForwardingThatWasSetForOneInterfaceComesBack(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	k.Set(sysctl("net.ipv4.conf.eth0.forwarding", "1"))
	before := k.Objects()
	k.FailAt(2)
	_, err := run(t, k, begin(
		step(sysctl("net.ipv4.ip_forward", "0"), sysctl("net.ipv4.ip_forward", "1")),
		step(sysctl("net.ipv4.conf.all.arp_ignore", "0"), sysctl("net.ipv4.conf.all.arp_ignore", "1"))))
	if code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	if diff := diffOf(before, k.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestLedgerKeepsWhatAFallbackLinkCameWith(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	small := tunl0
	small.MTU = state.Some(1400)
	ledger, err := run(t, k, begin(step(nil, state.Module{Name: "ipip"}), claimed(step(nil, small))))
	if err != nil {
		t.Fatal(err)
	}
	want := state.Boxed{Object: state.Link{Name: "tunl0", Kind: "ipip", Up: state.Some(false), MTU: state.Some(1480), Fallback: true}}
	if diff := diffOf(want, ledger.ByKey()[small.Key()].Before); diff != "" {
		t.Error(diff)
	}
}

func TestALinkThatIsDisturbedKeepsForwarding(t *testing.T) {
	for name, kind := range map[string]string{"changed": "device", "made anew": "dummy"} {
		t.Run(name, func(t *testing.T) {
			k := agenttest.NewKernel(agenttest.Host()...)
			k.Set(state.Module{Name: "dummy"},
				state.Link{Name: "nic", Kind: kind, Up: state.Some(true), MTU: state.Some(1500)},
				sysctl("net.ipv4.conf.nic.forwarding", "0"), sysctl("net.ipv4.conf.nic.accept_redirects", "1"))
			live := k.Objects().ByKey()[state.Link{Name: "nic"}.Key()].(state.Link)
			want := live
			want.MTU = state.Some(1400)
			if kind == "dummy" {
				want.Local = netip.MustParseAddr("192.0.2.10") // needs another link
			}
			_, err := run(t, k, begin(
				step(sysctl("net.ipv4.ip_forward", "0"), sysctl("net.ipv4.ip_forward", "1")), step(live, want)))
			if err != nil {
				t.Fatal(err)
			}
			if got := k.Objects().ByKey()[sysctl("net.ipv4.conf.nic.forwarding", "").Key()]; got != state.Object(sysctl("net.ipv4.conf.nic.forwarding", "1")) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestFallbackLinkIsAdoptedThenPutDown(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	if _, err := run(t, k, begin(step(nil, tunl0))); err != nil {
		t.Fatal(err)
	}
	live := k.Objects().ByKey()[tunl0.Key()].(state.Link)
	if !live.Fallback || !live.Up.Value {
		t.Errorf("got %+v", live)
	}
	if _, err := run(t, k, begin(step(live, nil))); err != nil {
		t.Fatal(err)
	}
	if live := k.Objects().ByKey()[tunl0.Key()].(state.Link); live.Up.Value {
		t.Error("it is still up")
	}
}

func TestBrokenSaysWhatIsLeft(t *testing.T) {
	k := &stuck{Kernel: agenttest.NewKernel(agenttest.Host()...)}
	_, err := run(t, k, begin(step(nil, vip), step(nil, state.Module{Name: "nonsense"})))
	if code(err) != wire.ErrorBroken || !strings.Contains(err.Error(), vip.Key().String()) {
		t.Errorf("got %v", err)
	}
}

// stuck is a kernel that deletes nothing.
type stuck struct{ *agenttest.Kernel }

func (k *stuck) Apply(changes []state.Change) (int, error) {
	for i, c := range changes {
		if c.After == nil {
			return i, errors.New("stuck")
		}
	}
	return k.Kernel.Apply(changes)
}

func TestAnnouncesOnlyWhatIsCreated(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	eth := vip
	eth.Device, eth.Label = "eth0", ""
	add := step(nil, eth)
	add.Announce = true
	if _, err := run(t, k, begin(add)); err != nil {
		t.Fatal(err)
	}
	remove := step(eth, nil)
	remove.Announce = true
	if _, err := run(t, k, begin(remove)); err != nil {
		t.Fatal(err)
	}
	if diff := diffOf([]state.Address{eth}, k.Announced()); diff != "" {
		t.Error(diff)
	}
}
