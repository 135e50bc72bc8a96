package planner_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// byKernel is webHA with the table kept by nobody but lvsform.
func byKernel(servers ...string) *topology.Topology {
	return onBoth(webHA(servers...), "virtual_service.web", func(b *topology.VirtualService) { b.Checker, b.HealthCheck = "", nil })
}

func TestAServiceMovesFromTheKernelToKeepalived(t *testing.T) {
	before := onBoth(byKernel("rs1", "rs2"), "virtual_service.web", func(b *topology.VirtualService) { b.Scheduler = "rr" })
	live := holding(settle(t, before, bareAll(before)), "dir1")
	after := webHA("rs1", "rs2")
	p := build(t, planner.Input{Topology: after, Live: live})
	var dir2 []string
	for _, c := range p.Changes {
		if c.Host == "dir2" {
			dir2 = append(dir2, fmt.Sprintf("%s %s %v", c.Action, c.ID, c.Claim != nil && c.Claim.Drop))
		}
	}
	want := []string{"create dir2:module ip_vs_wlc false", "update dir2:ipvs_service tcp/172.18.20.128:80 true",
		"forget dir2:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80 true", "forget dir2:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80 true",
		"update dir2:config keepalived/web false"}
	if diff := cmp.Diff(want, dir2); diff != "" {
		t.Error(diff)
	}
	live = settle(t, after, live)
	for _, e := range live["dir1"].Ledger.Entries {
		if e.Key().Kind == state.KindService || e.Key().Kind == state.KindDestination {
			t.Errorf("%s is claimed still", e.Key())
		}
	}
	if s, ok := live["dir1"].Objects.ByKey()[state.Key{Kind: state.KindService, ID: "tcp/172.18.20.128:80"}].(state.Service); !ok || s.Scheduler != "wlc" {
		t.Errorf("keepalived would find %+v", s)
	}
}

func TestAServiceMovesFromKeepalivedToTheKernel(t *testing.T) {
	before := webHA("rs1")
	live := settle(t, before, bareAll(before))
	dir1 := live["dir1"] // what keepalived has made, with a dead server
	id := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	dir1.Objects = append(slices.Clone(dir1.Objects), state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32},
		state.Destination{Service: id, Address: netip.MustParseAddr("172.18.20.11"), Port: 80, Forward: "dr"})
	live["dir1"] = dir1
	p := build(t, planner.Input{Topology: byKernel("rs1"), Live: live})
	var own []string
	for _, c := range p.Changes {
		if c.Host == "dir1" {
			own = append(own, fmt.Sprintf("%d %s %s %v", c.Stage, c.Action, c.ID, c.Gives))
		}
	}
	want := []string{"0 update dir1:config keepalived/web [tcp/172.18.20.128:80]", "0 create dir1:ipvs_service tcp/172.18.20.128:80 []",
		"0 create dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80 []"}
	if diff := cmp.Diff(want, own); diff != "" {
		t.Error(diff)
	}
}

func TestAServiceMovesBetweenTheCheckers(t *testing.T) {
	live := settle(t, webHA("rs1"), bareAll(webHA("rs1")))
	other := onBoth(webHA("rs1"), "virtual_service.web", func(b *topology.VirtualService) { b.Checker = "ldirectord" })
	p := build(t, planner.Input{Topology: other, Live: live})
	var own []string
	for _, c := range p.Changes {
		if c.Host == "dir1" {
			own = append(own, fmt.Sprintf("%d %s %s %v", c.Stage, c.Action, c.ID, c.Gives))
		}
	}
	want := []string{"0 create dir1:package ldirectord []", "0 update dir1:config keepalived/web [tcp/172.18.20.128:80]",
		"0 create dir1:config ldirectord/web []", "0 create dir1:service ldirectord []"}
	if diff := cmp.Diff(want, own); diff != "" {
		t.Error(diff)
	}
	settle(t, other, live)
}

func TestATableHasOneOwner(t *testing.T) {
	live := settle(t, webHA("rs1"), bareAll(webHA("rs1")))
	for name, top := range map[string]*topology.Topology{"kernel": byKernel("rs1"), "keepalived": webHA("rs1")} {
		top.Name = "mail"
		p := planner.Build(planner.Input{Topology: top, Live: live})
		if !p.Diagnostics.HasErrors() || !strings.Contains(p.Diagnostics[0].Summary, `belongs to topology "web" too`) {
			t.Errorf("%s: %+v", name, p.Diagnostics)
		}
	}
}

func TestAnAddressThatBeginsToFloatStaysWithItsHost(t *testing.T) {
	before := webHA("rs1")
	before.Resources = slices.DeleteFunc(before.Resources, func(r *topology.Resource) bool {
		return r.Host == "dir2" || r.Body.Type() == "vrrp_instance"
	})
	before.Resources = append(before.Resources, &topology.Resource{Path: "address.vip", Host: "dir1", Body: &topology.Address{IP: vip32, Device: "eth0"}})
	live := settle(t, before, bareAll(before))
	p := build(t, planner.Input{Topology: webHA("rs1"), Live: live})
	var own []string
	for _, c := range p.Changes {
		if k := c.Key().Kind; k == state.KindConfig || k == state.KindAddress {
			own = append(own, fmt.Sprintf("%d %s %s", c.Stage, c.Action, c.ID))
		}
	}
	want := []string{"0 update dir1:config keepalived/web", "0 forget dir1:address eth0/172.18.20.128", "1 create dir2:config keepalived/web"}
	if diff := cmp.Diff(want, own); diff != "" {
		t.Error(diff)
	}
	settle(t, webHA("rs1"), live)
}

// What a checker has in the table is no extra, whoever has told it to, and whatever
// has become of its text.
func TestAnExclusiveTableLeavesWhatProgramsKeep(t *testing.T) {
	top := webHA("rs1")
	live := settle(t, top, bareAll(top))
	id := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	dir1 := live["dir1"]
	dir1.Objects = append(slices.Clone(dir1.Objects), state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32},
		state.Destination{Service: id, Address: netip.MustParseAddr("127.0.0.1"), Port: 80, Forward: "dr", Weight: 1}) // its fallback
	live["dir1"] = dir1
	exclusive := &topology.Resource{Path: "ipvs.dir1", Host: "dir1", Body: &topology.IPVS{Exclusive: true}}
	other := &topology.Topology{Name: "mail", Hosts: top.Hosts, Resources: []*topology.Resource{exclusive}}
	asked := maps.Clone(live) // of what others have configured, the ledger alone tells
	dir1.Objects = slices.DeleteFunc(slices.Clone(dir1.Objects), func(o state.Object) bool { return o.Key().Kind == state.KindConfig })
	asked["dir1"] = dir1
	if p := build(t, planner.Input{Topology: other, Live: asked}); strings.Contains(lines(p), "delete") {
		t.Errorf("another topology: %s", lines(p))
	}
	top.Resources = append(top.Resources, exclusive)
	edited := mutate(live, "dir1", func(o state.Object) state.Object {
		if c, ok := o.(state.Config); ok {
			c.Text += "static_routes {\n}\n"
			return c
		}
		return o
	})
	p := build(t, planner.Input{Topology: top, Live: edited})
	if strings.Contains(lines(p), "delete") || !strings.Contains(lines(p), "update dir1:config keepalived/web") {
		t.Errorf("an edited text: %s", lines(p))
	}
}

// keepalived takes away what it had as a master: one apply makes the address again.
func TestAnAddressThatFloatsNoMoreIsMadeWhenKeepalivedHasGivenItUp(t *testing.T) {
	const made = "remove create dir1:address eth0/172.18.20.128 [address_gap]\n"
	for holder, want := range map[string]string{
		"dir1": "0 directors, remove update dir2:config keepalived/web\n1 directors, remove update dir1:config keepalived/web\n1 directors, " + made,
		"dir2": "0 directors, remove update dir1:config keepalived/web\n1 directors, remove update dir2:config keepalived/web\n2 directors, " + made,
	} {
		settled := settle(t, webHA("rs1"), bareAll(webHA("rs1")))
		fixed := webHA("rs1")
		fixed.Resources = slices.DeleteFunc(fixed.Resources, func(r *topology.Resource) bool { return r.Body.Type() == "vrrp_instance" })
		fixed.Resources = append(fixed.Resources, &topology.Resource{Path: "address.vip", Host: "dir1", Body: &topology.Address{IP: vip32, Device: "eth0", Label: "eth0:0"}})
		p := build(t, planner.Input{Topology: fixed, Live: holding(settled, holder)})
		if diff := cmp.Diff(want, lines(p)); diff != "" {
			t.Errorf("%s holds it: %s", holder, diff)
		}
		live := execute(t, p, settled) // whose addresses keepalived has taken away
		if p := build(t, planner.Input{Topology: fixed, Live: live}); !p.Empty() {
			t.Errorf("%s held it: %s", holder, lines(p))
		}
		if a := live["dir1"].Objects.ByKey()[state.Address{Device: "eth0", IP: vip32}.Key()]; a == nil {
			t.Errorf("%s held it: nobody has it", holder)
		}
		for _, c := range p.Changes {
			if c.Key().Kind == state.KindAddress && (c.Claim.Before.Object != nil || !c.Announce || !slices.Contains(c.Hazards, planner.HazardAddressGap)) {
				t.Errorf("%s held it: it would be left behind one day, not announced, or missing without a word: %+v", holder, c)
			}
		}
	}
}
