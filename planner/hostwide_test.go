package planner_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// with adds a resource on dir1 to a topology.
func with(t *topology.Topology, path string, b topology.Body) *topology.Topology {
	t.Resources = append(t.Resources, &topology.Resource{Path: path, Host: "dir1", Body: b})
	return t
}

func hold(live map[string]planner.Live, host string, objects ...state.Object) {
	l := live[host]
	l.Objects = append(slices.Clone(l.Objects), objects...)
	live[host] = l
}

func TestAnExclusiveTableLosesServicesOfOthers(t *testing.T) {
	live := settle(t, webDR("rs1"), bareAll(webDR("rs1")))
	id := state.ServiceID{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.9"), Port: 53, Family: "ipv4"}
	hold(live, "dir1", state.Service{ServiceID: id, Scheduler: "rr", Netmask: 32},
		state.Destination{Service: id, Address: netip.MustParseAddr("192.0.2.10"), Port: 53, Weight: 1, Forward: "nat"})
	if p := build(t, planner.Input{Topology: webDR("rs1"), Live: live}); !p.Empty() {
		t.Errorf("a foreign service is touched:\n%s", lines(p))
	}
	p := build(t, planner.Input{Topology: with(webDR("rs1"), "ipvs.dir1", &topology.IPVS{Exclusive: true}), Live: live})
	want := `0 directors, remove delete dir1:ipvs_destination udp/192.0.2.9:53/192.0.2.10:53 [existed_before]
0 directors, remove delete dir1:ipvs_service udp/192.0.2.9:53 [existed_before interrupts_connections]
`
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Error(diff)
	}
}

func TestTimeoutsComeBackToWhatTheyWere(t *testing.T) {
	top := func() *topology.Topology {
		return with(webDR("rs1"), "ipvs.dir1", &topology.IPVS{Timeouts: &topology.Timeouts{UDP: 10 * time.Second}})
	}
	for name, tc := range map[string]struct{ before, want state.Object }{
		"the module came with us":  {nil, state.DefaultTimeouts},
		"somebody had changed one": {state.Timeouts{TCP: time.Minute, TCPFin: time.Minute, UDP: time.Minute}, state.Timeouts{TCP: time.Minute, TCPFin: time.Minute, UDP: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			live := bareAll(top())
			if tc.before != nil {
				hold(live, "dir1", tc.before)
			}
			p := build(t, planner.Input{Topology: top(), Live: live})
			live = execute(t, p, live)
			if tc.before == nil { // the kernel fills in what is left open
				full := state.DefaultTimeouts
				full.UDP = 10 * time.Second
				l := live["dir1"]
				l.Objects = slices.DeleteFunc(l.Objects, func(o state.Object) bool { return o.Key().Kind == state.KindTimeouts })
				l.Objects = append(l.Objects, full)
				live["dir1"] = l
			}
			if again := build(t, planner.Input{Topology: top(), Live: live}); !again.Empty() {
				t.Errorf("not settled:\n%s", lines(again))
			}
			live = execute(t, build(t, planner.Input{Topology: top(), Live: live, Destroy: true}), live)
			got := live["dir1"].Objects.ByKey()[state.Timeouts{}.Key()]
			if got != tc.want {
				t.Errorf("after destroy: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAModuleThatIsLoadedOtherwiseIsAWarning(t *testing.T) {
	top := with(webDR("rs1"), "ipvs.dir1", &topology.IPVS{ConnectionTableBits: 20})
	live := bareAll(top)
	if p := build(t, planner.Input{Topology: top, Live: live}); !strings.Contains(lines(p), "create dir1:module ip_vs\n") {
		t.Error(lines(p))
	} else if m := p.Changes[slices.IndexFunc(p.Changes, func(c planner.Change) bool { return c.Key().ID == "ip_vs" })]; m.After != (state.Module{Name: "ip_vs", Parameters: "conn_tab_bits=20"}) {
		t.Errorf("loaded as %v", m.After)
	}
	hold(live, "dir1", state.Module{Name: "ip_vs", Parameters: "conn_tab_bits=12"})
	p := planner.Build(planner.Input{Topology: top, Live: live})
	if len(p.Diagnostics) != 1 || p.Diagnostics[0].Severity != topology.Warning ||
		!strings.Contains(p.Diagnostics[0].Summary, "conn_tab_bits=12, not with conn_tab_bits=20") {
		t.Errorf("%+v", p.Diagnostics)
	}
}

func TestPackagesStayAndServicesComeBack(t *testing.T) {
	stopped := false
	top := func() *topology.Topology {
		return with(with(webDR("rs1"), "package.tools", &topology.Package{Names: []string{"ipvsadm"}}),
			"service.firewall", &topology.Service{Name: "firewalld", Running: &stopped})
	}
	live := bareAll(top())
	hold(live, "dir1", state.Unit{Name: "firewalld", Running: state.Some(true), Enabled: state.Some(true)})
	p := build(t, planner.Input{Topology: top(), Live: live})
	live = execute(t, p, live)
	down := planner.Build(planner.Input{Topology: top(), Live: live, Destroy: true})
	got := lines(down)
	for _, want := range []string{"forget dir1:package ipvsadm\n", "update dir1:service firewalld\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in the plan:\n%s", want, got)
		}
	}
	after := execute(t, down, live)["dir1"].Objects.ByKey()
	if u := after[state.Unit{Name: "firewalld"}.Key()]; u != (state.Unit{Name: "firewalld", Running: state.Some(true), Enabled: state.Some(true)}) {
		t.Errorf("%v", u)
	}
}
