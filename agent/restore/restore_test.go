package restore_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/restore"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

var (
	vip     = netip.MustParseAddr("10.9.0.1")
	service = state.Service{ServiceID: state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}, Scheduler: "wlc", Netmask: 32}
	server  = state.Destination{Service: service.ServiceID, Address: netip.MustParseAddr("192.0.2.21"), Port: 80, Weight: 1, Forward: "dr"}
	onNIC   = address("eth0", "10.9.0.1/32")
	onLo    = address("lo", "10.9.0.1/32")
	tunnel  = state.Link{Name: "lvs0", Kind: "dummy", Up: state.Some(true)}
	direct  = state.Route{To: netip.MustParsePrefix("10.8.0.0/24"), Table: state.TableMain, Device: "eth0", Scope: "link"}
	routed  = state.Route{To: netip.MustParsePrefix("10.7.0.0/24"), Table: state.TableMain, Via: netip.MustParseAddr("10.8.0.1")}
)

func address(device, ip string) state.Address {
	return state.Address{Device: device, IP: netip.MustParsePrefix(ip), Scope: "global"}
}

func sysctl(name, value string) state.Sysctl { return state.Sysctl{Name: name, Value: value} }

// ledger claims objects for the topology web.
func ledger(objects ...state.Object) state.Ledger {
	var changes []state.ClaimChange
	for _, o := range objects {
		changes = append(changes, claim("web", o))
	}
	l := state.Ledger{Version: state.LedgerVersion}.Update(changes)
	l.Members = map[string][]string{"web": {"a"}}
	return l
}

func claim(topology string, o state.Object) state.ClaimChange {
	return state.ClaimChange{Claim: state.Claim{Topology: topology, Addresses: []string{"x.y"}, Value: state.Boxed{Object: o}}}
}

func keys(objects state.Objects) (out []string) {
	for _, o := range objects {
		out = append(out, o.Key().String())
	}
	return out
}

func TestWhatIsWantedComesInTheOrderOfItsMaking(t *testing.T) {
	second := service
	second.Port = 443
	l := ledger(service, server, second, routed, direct, onLo, tunnel, sysctl("net.ipv4.conf.lvs0.rp_filter", "0"),
		sysctl("net.ipv4.ip_forward", "1"), sysctl("net.ipv4.conf.all.send_redirects", "0"), state.Module{Name: "ip_vs"},
		state.Package{Name: "curl"}, state.Unit{Name: "sshd", Running: state.Some(true)}, state.DefaultTimeouts)
	want := []string{"module ip_vs", "link lvs0", "sysctl net.ipv4.ip_forward", "sysctl net.ipv4.conf.all.send_redirects",
		"sysctl net.ipv4.conf.lvs0.rp_filter", "address lo/10.9.0.1", "route 254/10.8.0.0/24/0", "route 254/10.7.0.0/24/0",
		"ipvs_timeouts host", "ipvs_service tcp/10.9.0.1:443", "ipvs_service tcp/10.9.0.1:80", "ipvs_destination tcp/10.9.0.1:80/192.0.2.21:80"}
	if diff := cmp.Diff(want, keys(restore.Wanted(l))); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyTopologiesThatPersistAreWanted(t *testing.T) {
	l := ledger(onLo, state.Timeouts{UDP: 1e9}).Update([]state.ClaimChange{claim("mail", onNIC), claim("mail", state.Timeouts{TCP: 1e9})})
	if diff := cmp.Diff(state.Objects{onNIC, onLo, state.Timeouts{TCP: 1e9, UDP: 1e9}}, restore.Wanted(l), cmp.Comparer(same)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(state.Objects{onLo, state.Timeouts{UDP: 1e9}}, restore.Wanted(l.SetTransient("mail", true)), cmp.Comparer(same)); diff != "" {
		t.Error(diff)
	}
}

func TestModulesOfTopologiesThatPersistAreWanted(t *testing.T) {
	l := ledger().SetModules("web", []state.Module{{Name: "ip_vs"}, {Name: "ip_vs_wlc"}}).
		SetModules("mail", []state.Module{{Name: "ip_vs", Parameters: "conn_tab_bits=16"}, {Name: "ip_vs_ftp"}})
	if diff := cmp.Diff(state.Objects{state.Module{Name: "ip_vs", Parameters: "conn_tab_bits=16"}, state.Module{Name: "ip_vs_ftp"},
		state.Module{Name: "ip_vs_wlc"}}, restore.Wanted(l)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(state.Objects{state.Module{Name: "ip_vs"}, state.Module{Name: "ip_vs_wlc"}},
		restore.Wanted(l.SetTransient("mail", true))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatTheConfigurationLeavesToOthersIsOnlyMadeWhereItIsGone(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	by, wanted := claim("web", tunnel), tunnel
	by.Claim.Loose = true
	l := state.Ledger{}.Update([]state.ClaimChange{by})
	task := restore.Task{Wanted: restore.Wanted(l), Loose: restore.Loose(l)}
	if report, err := restore.Run(k, task); err != nil || len(report.Made) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	wanted.Up, wanted.MTU = state.Some(false), state.Some(1500)
	k.Set(wanted) // somebody sets it down
	if report, err := restore.Run(k, task); err != nil || len(report.Made)+len(report.Left) != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
}

func same(a, b state.Object) bool { return a == b }

// run restores and returns what was made and what is left, in words.
func run(t *testing.T, k *agenttest.Kernel, objects ...state.Object) (made, left []string) {
	t.Helper()
	report, err := restore.Run(k, restore.Task{Wanted: restore.Wanted(ledger(objects...))})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range report.Made {
		made = append(made, key.String())
	}
	for _, f := range report.Left {
		left = append(left, f.Key.String()+": "+f.Err.Error())
	}
	return made, left
}

func TestAFreshlyBootedHostGetsEverything(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	objects := []state.Object{service, server, onNIC, tunnel, routed, direct, state.Module{Name: "ip_vs_wlc"},
		sysctl("net.ipv4.ip_forward", "1"), sysctl("net.ipv4.conf.lvs0.rp_filter", "0"), sysctl("net.ipv4.vs.conntrack", "1"),
		address("lvs0", "10.9.0.9/32")}
	made, left := run(t, k, objects...)
	if len(made) != len(objects) || left != nil {
		t.Errorf("made %q, left %q", made, left)
	}
	live := state.Objects(k.Objects()).ByKey()
	for _, o := range objects {
		if have := live[o.Key()]; have == nil || o.Resolve(have) != have {
			t.Errorf("want %v, live is %v", o, have)
		}
	}
	if diff := cmp.Diff([]state.Address{onNIC}, k.Announced(), cmp.Comparer(func(a, b state.Address) bool { return a == b })); diff != "" {
		t.Errorf("announced: %s", diff)
	}
	if made, left := run(t, k, objects...); made != nil || left != nil {
		t.Errorf("the second time: made %q, left %q", made, left)
	}
}

func TestOneThingThatFailsDoesNotKeepTheOthers(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	odd := service
	odd.Port, odd.Scheduler = 81, "nonsense"
	oddServer := server
	oddServer.Service = odd.ServiceID
	made, left := run(t, k, odd, oddServer, service, server, address("eth9", "10.9.0.5/32"), onNIC, sysctl("net.ipv4.conf.eth9.rp_filter", "0"))
	if diff := cmp.Diff([]string{"address eth0/10.9.0.1", "ipvs_service tcp/10.9.0.1:80", "ipvs_destination tcp/10.9.0.1:80/192.0.2.21:80"}, made); diff != "" {
		t.Error(diff)
	}
	if text := strings.Join(left, "\n"); len(left) != 4 || !strings.Contains(text, "eth9/10.9.0.5") || !strings.Contains(text, "scheduler") {
		t.Errorf("left: %s", text)
	}
	k.Set(state.Link{Name: "eth9", Kind: "device", Up: state.Some(true)}, sysctl("net.ipv4.conf.eth9.rp_filter", "1"))
	made, _ = run(t, k, odd, oddServer, service, server, address("eth9", "10.9.0.5/32"), onNIC, sysctl("net.ipv4.conf.eth9.rp_filter", "0"))
	if diff := cmp.Diff([]string{"sysctl net.ipv4.conf.eth9.rp_filter", "address eth9/10.9.0.5"}, made); diff != "" {
		t.Error(diff)
	}
}

func TestARealServerIsSilentBeforeItHasTheVIP(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	silent := sysctl("net.ipv4.conf.all.arp_ignore", "1")
	k.Set(sysctl("net.ipv4.conf.all.arp_ignore", "0"))
	refused := refusing{k, silent.Key()}
	report, err := restore.Run(refused, restore.Task{Wanted: restore.Wanted(ledger(silent, onLo))})
	if err != nil || len(report.Made) != 0 || len(report.Left) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	made, left := run(t, k, silent, onLo)
	if diff := cmp.Diff([]string{silent.Key().String(), onLo.Key().String()}, made); diff != "" || left != nil {
		t.Error(diff, left)
	}
}

// refusing is a kernel that does not set one thing.
type refusing struct {
	*agenttest.Kernel
	key state.Key
}

func (r refusing) Apply(changes []state.Change) (int, error) {
	for i, c := range changes {
		if c.Key() == r.key {
			return i, errors.New("refused")
		}
	}
	return r.Kernel.Apply(changes)
}

func TestWhatAChangeTakesAlongIsPutBack(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	wrong := address("eth0", "10.9.0.1/24")
	foreign := state.Route{To: netip.MustParsePrefix("10.6.0.0/24"), Table: state.TableMain, Device: "eth0", Source: vip, Protocol: 4}
	if _, err := k.Apply([]state.Change{{After: wrong}, {After: address("eth0", "10.9.0.77/24")}, {After: foreign}}); err != nil {
		t.Fatal(err)
	}
	before := k.Objects()
	made, left := run(t, k, onNIC)
	if diff := cmp.Diff([]string{onNIC.Key().String()}, made); diff != "" || left != nil {
		t.Error(diff, left)
	}
	for _, c := range state.Diff(before, k.Objects()) {
		switch c.Key().Kind {
		case state.KindAddress:
			if c.After != state.Object(onNIC) {
				t.Errorf("%v became %v", c.Before, c.After)
			}
		case state.KindRoute: // that of the wrong network, by the address that is primary now
			if c.Key() == foreign.Key() {
				t.Errorf("%v became %v", c.Before, c.After)
			}
		}
	}
}

func TestAnotherLinkOfTheNameIsLeftAlone(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	k.Set(state.Link{Name: "lvs0", Kind: "bridge", Up: state.Some(true), MTU: state.Some(1500)})
	before := k.Objects()
	made, left := run(t, k, tunnel)
	if made != nil || len(left) != 1 || !strings.Contains(left[0], "another link") {
		t.Errorf("made %q, left %q", made, left)
	}
	if changes := state.Diff(before, k.Objects()); len(changes) > 0 {
		t.Error(fmt.Sprint(changes))
	}
}

func TestALargeTableIsRestoredWhole(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	var objects []state.Object
	at, real := netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.128.0.0")
	for range 300 {
		at = at.Next()
		s := service
		s.Address = at
		objects = append(objects, s)
		for range 10 {
			real = real.Next()
			d := server
			d.Service, d.Address = s.ServiceID, real
			objects = append(objects, d)
		}
	}
	if made, left := run(t, k, objects...); len(made) != len(objects) || left != nil {
		t.Errorf("made %d, left %q", len(made), left)
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// stubborn is a kernel in which a link comes to be something else than it was
// told, each time.
type stubborn struct {
	*agenttest.Kernel
	tries int
}

func (s *stubborn) Apply(changes []state.Change) (int, error) {
	for _, c := range changes {
		if l, ok := c.After.(state.Link); ok && l.Name == "eth0" && l.MTU.Value == 9000 {
			s.tries++
			return len(changes), nil
		}
	}
	return s.Kernel.Apply(changes)
}

func TestWhatIsInVainIsNotTriedForEver(t *testing.T) {
	k := &stubborn{Kernel: agenttest.NewKernel(agenttest.Host()...)}
	wanted := restore.Wanted(ledger(state.Link{Name: "eth0", MTU: state.Some(9000)}, onNIC))
	first, err := restore.Run(k, restore.Task{Wanted: wanted})
	if err != nil || len(first.Left) != 1 || len(first.Made) != 1 || k.tries == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	tries := k.tries
	second, err := restore.Run(k, restore.Task{Wanted: wanted, Vain: map[state.Change]error{first.Left[0].Vain: first.Left[0].Err}})
	if err != nil || len(second.Left) != 1 || second.Left[0].Err != first.Left[0].Err || k.tries != tries {
		t.Errorf("%+v, %v, %d more tries", second, err, k.tries-tries)
	}
}

// meddled is a kernel in which somebody may change a link right before a reading.
type meddled struct {
	*agenttest.Kernel
	reads  int
	before func(read int) (link state.Link, changed bool)
}

func (m *meddled) Read(q txn.Query) (txn.Host, error) {
	m.reads++
	if link, changed := m.before(m.reads); changed {
		if _, err := m.Kernel.Apply([]state.Change{{Before: link, After: link}}); err != nil {
			return txn.Host{}, err
		}
	}
	return m.Kernel.Read(q)
}

// What is changed between two looks of a restoration has not been tried, and is
// put back by the next one at the latest.
func TestWhatIsChangedMeanwhileIsNotInVain(t *testing.T) {
	wanted := tunnel
	wanted.MTU = state.Some(1400)
	changed := wanted
	changed.MTU = state.Some(1300)
	for at := 1; at < 9; at++ {
		k := &meddled{Kernel: agenttest.NewKernel(append(agenttest.Host(), tunnel)...),
			before: func(read int) (state.Link, bool) { return changed, read == at }}
		task := restore.Task{Wanted: state.Objects{wanted}, Vain: map[state.Change]error{}}
		var report restore.Report
		for range 2 {
			var err error
			if report, err = restore.Run(k, task); err != nil {
				t.Fatal(err)
			}
			for _, left := range report.Left {
				task.Vain[left.Vain] = left.Err
			}
		}
		if len(report.Left) != 0 {
			t.Errorf("changed before reading %d: %+v", at, report.Left)
		}
	}
}

// A fight is left after a while, and what was lost last is known not to have been
// tried.
func TestWhatIsLostLastIsUntried(t *testing.T) {
	wanted := tunnel
	wanted.MTU = state.Some(1400)
	k := &meddled{Kernel: agenttest.NewKernel(append(agenttest.Host(), tunnel)...), before: func(read int) (state.Link, bool) {
		another := wanted
		another.MTU.Value += read
		return another, true
	}}
	report, err := restore.Run(k, restore.Task{Wanted: state.Objects{wanted}})
	if err != nil || len(report.Left) != 1 || !report.Left[0].Untried || report.Left[0].Vain != (state.Change{}) {
		t.Errorf("%+v, %v", report, err)
	}
}
