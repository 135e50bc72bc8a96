package planner_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func TestApplyThenDestroyLeavesEveryHostAsItWas(t *testing.T) {
	top := webDR("rs1", "rs2")
	before := bareAll(top)
	after := destroy(t, top, settle(t, top, before))
	if diff := cmp.Diff(dump(before), dump(after)); diff != "" {
		t.Error(diff)
	}
}

func TestRemovingARealServerRemovesExactlyThat(t *testing.T) {
	live := bareAll(webDR("rs1", "rs2"))
	both := settle(t, webDR("rs1", "rs2"), live)
	one := webDR("rs1")
	one.Hosts = append(one.Hosts, &topology.Host{Name: "rs2", Address: netip.MustParseAddr("172.18.20.12"), Managed: true})
	p := build(t, planner.Input{Topology: one, Live: both})
	want := `0 directors, drain update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
1 directors, remove delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
2 real servers, clean delete rs2:address lo/172.18.20.128
2 real servers, clean delete rs2:route 254/172.18.20.128/32/0
2 real servers, clean update rs2:sysctl net.ipv4.conf.all.arp_ignore
2 real servers, clean update rs2:sysctl net.ipv4.conf.lo.arp_ignore
`
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Error(diff)
	}
	if ids := p.Changes[2].AfterIDs; len(ids) != 1 || !strings.HasPrefix(ids[0], "dir1:ipvs_destination") {
		t.Errorf("the real server is cleaned after %v, want after its destination", ids)
	}
}

func TestRenamingResourcesPlansNothing(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	for _, r := range top.Resources {
		r.Path = "module.renamed." + r.Path
	}
	p := build(t, planner.Input{Topology: top, Live: live})
	if !p.Empty() {
		t.Error(lines(p))
	}
	if n := len(p.Renamed["rs1"]); n != 4 {
		t.Errorf("%d claims of rs1 get their new names, want 4", n)
	}
}

func TestWeightAndSchedulerChangeInPlace(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	vs := find[*topology.VirtualService](top, "virtual_service.web")
	vs.RealServers[0].Weight, vs.Scheduler = 0, "sh"
	want := `0 directors, add create dir1:module ip_vs_sh
0 directors, add update dir1:ipvs_service tcp/172.18.20.128:80
1 directors, drain update dir1:drain ipvs_service tcp/172.18.20.128:80
1 directors, drain update dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80 [drain_refuses_clients]
2 directors, remove update dir1:drained ipvs_service tcp/172.18.20.128:80
`
	if diff := cmp.Diff(want, lines(build(t, planner.Input{Topology: top, Live: live}))); diff != "" {
		t.Error(diff)
	}
}

func TestIgnoredAttributeIsLeftToTheOperator(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	for _, r := range top.Resources {
		if r.Path == "virtual_service.web" {
			r.IgnoreChanges = []string{"weight"}
		}
	}
	drained := mutate(live, "dir1", func(o state.Object) state.Object {
		if d, ok := o.(state.Destination); ok {
			d.Weight = 0
			return d
		}
		return o
	})
	if p := build(t, planner.Input{Topology: top, Live: drained}); !p.Empty() {
		t.Errorf("planned\n%s", lines(p))
	}
}

func TestDriftOfEveryObjectIsMended(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	for host, l := range live {
		for _, victim := range l.Objects {
			claimed := slices.ContainsFunc(l.Ledger.Entries, func(e state.Entry) bool { return e.Key() == victim.Key() })
			if !claimed || victim.Key().Kind == state.KindSysctl {
				continue
			}
			t.Run(host+" "+victim.Key().String(), func(t *testing.T) {
				drifted := mutate(live, host, func(o state.Object) state.Object {
					if o == victim {
						return nil
					}
					return o
				})
				p := build(t, planner.Input{Topology: top, Live: drifted})
				if len(p.Changes) != 1 || p.Changes[0].Key() != victim.Key() || p.Changes[0].Action != planner.Create {
					t.Fatalf("want the creation of %s, have:\n%s", victim.Key(), lines(p))
				}
				settle(t, top, drifted)
			})
		}
	}
}

func TestExtraDestinationIsDriftAndForeignServiceIsNot(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	id := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	foreign := state.ServiceID{Protocol: "tcp", Address: vip, Port: 8080, Family: "ipv4"}
	l := live["dir1"]
	extra := state.Destination{Service: id, Address: netip.MustParseAddr("172.18.20.99"), Port: 80, Weight: 1, Forward: "dr"}
	l.Objects = append(slices.Clone(l.Objects), extra,
		state.Service{ServiceID: foreign, Scheduler: "rr", Netmask: 32},
		state.Destination{Service: foreign, Address: netip.MustParseAddr("172.18.20.99"), Port: 80, Weight: 1, Forward: "dr"})
	live["dir1"] = l
	p := build(t, planner.Input{Topology: top, Live: live})
	want := `0 directors, drain update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.99:80
1 directors, remove delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.99:80 [existed_before]
`
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Error(diff)
	}
}

func TestTwoTopologiesShareAnEqualSysctl(t *testing.T) {
	one, two := webDR("rs1"), webDR("rs1")
	two.Name = "other"
	two.Resources = slices.DeleteFunc(two.Resources, func(r *topology.Resource) bool { return r.Path != `sysctl.arp["rs1"]` })
	before := bareAll(one)
	live := settle(t, two, settle(t, one, before))
	live = destroy(t, one, live)
	if got := value(live, "rs1", "net.ipv4.conf.all.arp_ignore"); got != "1" {
		t.Errorf("arp_ignore = %s while the other topology needs 1", got)
	}
	live = destroy(t, two, live)
	if diff := cmp.Diff(dump(before), dump(live)); diff != "" {
		t.Error(diff)
	}
}

func TestTwoTopologiesThatDisagreeAreAnErrorThatNamesBoth(t *testing.T) {
	one, two := webDR("rs1"), webDR("rs1")
	live := settle(t, one, bareAll(one))
	two.Name = "other"
	find[*topology.VirtualService](two, "virtual_service.web").Scheduler = "rr"
	p := planner.Build(planner.Input{Topology: two, Live: live})
	if !p.Diagnostics.HasErrors() {
		t.Fatal("no error")
	}
	d := p.Diagnostics[slices.IndexFunc(p.Diagnostics, func(d topology.Diagnostic) bool { return d.Severity == topology.Error })]
	for _, s := range []string{`"web"`, "virtual_service.web", "dir1"} {
		if !strings.Contains(d.Summary+d.Detail, s) {
			t.Errorf("%q does not name %s", d.Summary+d.Detail, s)
		}
	}
}

func TestWhatIsAlreadyThereIsAdopted(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	for name, l := range live {
		l.Ledger = state.Ledger{}
		live[name] = l
	}
	p := build(t, planner.Input{Topology: top, Live: live})
	for _, c := range p.Changes {
		if c.Action != planner.Adopt {
			t.Errorf("planned %s %s", c.Action, c.ID)
		}
	}
	if p.Summary.Adopt != 8 {
		t.Errorf("%d adopted, want 8:\n%s", p.Summary.Adopt, lines(p))
	}
	down := build(t, planner.Input{Topology: top, Live: execute(t, p, live), Destroy: true})
	for _, c := range down.Changes {
		if c.Action == planner.Delete && !slices.Contains(c.Hazards, planner.HazardExistedBefore) {
			t.Errorf("%s is deleted without the hazard that it existed before", c.ID)
		}
	}
}

func TestAnAddressWithAnotherPrefixIsAdoptedNotDoubled(t *testing.T) {
	top := webDR("rs1")
	live := bareAll(top)
	l := live["dir1"]
	l.Objects = append(l.Objects, state.Address{Device: "eth0", IP: netip.MustParsePrefix("172.18.20.128/24"), Label: "eth0:0", Scope: "global"})
	live["dir1"] = l
	p := build(t, planner.Input{Topology: top, Live: live})
	for _, c := range p.Changes {
		if c.Host == "dir1" && c.Key().Kind == state.KindAddress && c.Action != planner.Adopt {
			t.Errorf("planned %s %s", c.Action, c.ID)
		}
	}
	live = settle(t, top, live)
	drifted := mutate(live, "dir1", func(o state.Object) state.Object {
		if a, ok := o.(state.Address); ok && a.IP.Addr() == vip {
			a.IP = netip.PrefixFrom(vip, 16)
			return a
		}
		return o
	})
	if p := build(t, planner.Input{Topology: top, Live: drifted}); p.Empty() {
		t.Error("a prefix changed by hand is no drift")
	}
}

// The kernel labels every IPv4 address with its device; hosts report such a
// label as none.
func TestALabelThatIsTheDevicesNameIsNone(t *testing.T) {
	for _, label := range []string{"", "eth0"} {
		top := webDR("rs1")
		live := settle(t, top, bareAll(top))
		find[*topology.Address](top, "address.vip").Label = label
		reported := mutate(live, "dir1", func(o state.Object) state.Object {
			if a, ok := o.(state.Address); ok && a.IP.Addr() == vip {
				a.Label = ""
				return a
			}
			return o
		})
		for _, c := range build(t, planner.Input{Topology: top, Live: reported}).Changes {
			if c.Action != planner.Adopt {
				t.Errorf("label %q: %s %s", label, c.Action, c.ID)
			}
		}
	}
}

func TestAPrefixThatIsDeclaredAnewIsChanged(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	find[*topology.Address](top, "address.vip").IP = netip.PrefixFrom(vip, 24)
	want := "0 directors, add replace dir1:address eth0/172.18.20.128 [interrupts_connections]\n"
	p := build(t, planner.Input{Topology: top, Live: live})
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Fatal(diff)
	}
	settle(t, top, live)
}

func TestAChangedDefaultRouteComesBackOnDestroy(t *testing.T) {
	top := webDR("rs1")
	top.Resources = append(top.Resources, &topology.Resource{Path: "route.gw", Host: "rs1",
		Body: &topology.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("172.18.20.126")}})
	before := bareAll(top)
	l := before["rs1"]
	old := state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: 254, Via: netip.MustParseAddr("172.18.20.1"),
		Device: "eth0", Scope: "global", Protocol: 3}
	l.Objects = append(l.Objects, old)
	before["rs1"] = l
	live := settle(t, top, before)
	if r := live["rs1"].Objects.ByKey()[old.Key()].(state.Route); r.Via != netip.MustParseAddr("172.18.20.126") {
		t.Errorf("default route via %s", r.Via)
	}
	if diff := cmp.Diff(dump(before), dump(destroy(t, top, live))); diff != "" {
		t.Error(diff)
	}
}

func TestRetiredHostIsEmptiedAndLeavesItsServices(t *testing.T) {
	top := webDR("rs1", "rs2")
	before := bareAll(top)
	live := settle(t, top, before)
	top.Host("rs2").Retired = true
	live = settle(t, top, live)
	if diff := cmp.Diff(dump(before)["rs2"], dump(live)["rs2"]); diff != "" {
		t.Error(diff)
	}
	for _, o := range live["dir1"].Objects {
		if d, ok := o.(state.Destination); ok && d.Address == top.Host("rs2").Address {
			t.Error("a destination on the retired host is left")
		}
	}
}

func TestRemovedBlockDropsTheClaimAndLeavesTheObject(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	top.Resources = slices.DeleteFunc(top.Resources, func(r *topology.Resource) bool { return r.Path == "address.vip" })
	top.Removed = []topology.Removed{{From: "address.vip"}}
	p := build(t, planner.Input{Topology: top, Live: live})
	if got := lines(p); !strings.Contains(got, "forget dir1:address eth0/172.18.20.128") || len(p.Changes) != 1 {
		t.Error(got)
	}
}

func TestChangedByHandIsLeftAndReported(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	live = mutate(live, "rs1", func(o state.Object) state.Object {
		if s, ok := o.(state.Sysctl); ok && s.Name == "net.ipv4.conf.all.arp_ignore" {
			s.Value = "8"
			return s
		}
		return o
	})
	p := build(t, planner.Input{Topology: top, Live: live, Destroy: true})
	if !strings.Contains(lines(p), "forget rs1:sysctl net.ipv4.conf.all.arp_ignore [changed_by_hand]") {
		t.Error(lines(p))
	}
	if !slices.ContainsFunc(p.Diagnostics, func(d topology.Diagnostic) bool { return strings.Contains(d.Summary, "arp_ignore") }) {
		t.Error("nothing says so")
	}
}

func TestUnreadableHostKeepsItsNewDestinationOut(t *testing.T) {
	top := webDR("rs1", "rs2")
	live := bareAll(top)
	delete(live, "rs2")
	in := planner.Input{Topology: top, Live: live, Errors: map[string]error{"rs2": errors.New("connection refused")}}
	p := build(t, in)
	if strings.Contains(lines(p), "172.18.20.12:") {
		t.Errorf("a destination on an unreadable host is planned:\n%s", lines(p))
	}
	if h := p.Host("rs2"); h.Error != "connection refused" {
		t.Errorf("rs2: %q", h.Error)
	}
}

func TestUnreadableHostsOldDestinationIsStillRemoved(t *testing.T) {
	top := webDR("rs1", "rs2")
	live := settle(t, top, bareAll(top))
	delete(live, "rs2")
	find[*topology.VirtualService](top, "virtual_service.web").RealServers = nil
	p := build(t, planner.Input{Topology: top, Live: live, Errors: map[string]error{"rs2": errors.New("dead")}})
	if !strings.Contains(lines(p), "delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80") {
		t.Error(lines(p))
	}
}

func TestUnmanagedServerIsAHazard(t *testing.T) {
	top := webDR("rs1")
	top.Host("rs1").Managed = false
	p := build(t, planner.Input{Topology: top, Live: bareAll(top)})
	if got := lines(p); !strings.Contains(got, "172.18.20.11:80 [unverified]") || strings.Contains(got, " rs1:") {
		t.Error(got)
	}
	if len(p.Diagnostics) != 1 || p.Diagnostics[0].Host != "rs1" || p.Diagnostics[0].Severity != topology.Info {
		t.Errorf("nothing says that rs1 is left to others: %+v", p.Diagnostics)
	}
}

func TestMissingModuleAndSysctlAreErrors(t *testing.T) {
	top := webDR("rs1")
	find[*topology.Sysctl](top, "sysctl.director").Settings["net.ipv4.ip_forwrd"] = "1"
	live := bareAll(top)
	l := live["dir1"]
	l.MissingModules = []string{"ip_vs"}
	live["dir1"] = l
	p := planner.Build(planner.Input{Topology: top, Live: live})
	var got []string
	for _, d := range p.Diagnostics {
		got = append(got, d.Summary)
	}
	if diff := cmp.Diff([]string{"dir1 has no kernel module ip_vs", "dir1 has no sysctl net.ipv4.ip_forwrd"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnAddressWithoutALabelIsTheOneNamedAfterItsDevice(t *testing.T) {
	for _, label := range []string{"", "eth0"} {
		top := webDR("rs1")
		find[*topology.Address](top, "address.vip").Label = label
		live := bareAll(top)
		l := live["dir1"]
		l.Objects = append(l.Objects, state.Address{Device: "eth0", IP: vip32, Scope: "global"})
		live["dir1"] = l
		if got := lines(build(t, planner.Input{Topology: top, Live: live})); !strings.Contains(got, "adopt dir1:address eth0/172.18.20.128") {
			t.Errorf("label %q:\n%s", label, got)
		}
	}
}
