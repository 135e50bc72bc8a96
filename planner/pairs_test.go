package planner_test

import (
	"errors"
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

// Two directors with different passwords would both take themselves for master.
func TestAPasswordChangesWithoutTwoMasters(t *testing.T) {
	top := webHA("rs1")
	live := holding(settle(t, top, bareAll(top)), "dir1")
	other := onBoth(webHA("rs1"), "vrrp_instance.web", password("anders"))
	p := build(t, planner.Input{Topology: other, Live: live})
	want := `0 directors, add update dir2:aside config keepalived/web
1 directors, add update dir1:config keepalived/web
2 directors, add update dir2:config keepalived/web
`
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Error(diff)
	}
	if p.Summary.Change != 2 {
		t.Errorf("%+v: the text between counts", p.Summary)
	}
	if aside := p.Changes[0].After.(state.Config).Text; strings.Contains(aside, "vrrp_instance") || !strings.Contains(aside, "virtual_server") {
		t.Errorf("put aside is:\n%s", aside)
	}
	if first := p.Changes[1]; !slices.Equal(first.AfterIDs, []string{p.Changes[0].ID}) || !slices.Equal(p.Changes[2].AfterIDs, []string{first.ID, p.Changes[0].ID}) {
		t.Errorf("%q, %q", first.AfterIDs, p.Changes[2].AfterIDs)
	}
	for stage, rest := range []string{want, `0 directors, add update dir1:config keepalived/web
1 directors, add update dir2:config keepalived/web
`, "0 directors, add update dir2:config keepalived/web\n", ""} {
		cut := execute(t, before(p, stage), live)
		if diff := cmp.Diff(rest, lines(build(t, planner.Input{Topology: other, Live: cut}))); diff != "" {
			t.Errorf("after %d stages: %s", stage, diff)
		}
	}
	held := build(t, planner.Input{Topology: other, Live: holding(settle(t, top, bareAll(top)), "dir2")})
	if held.Changes[0].ID != "dir1:aside config keepalived/web" || held.Changes[1].Host != "dir2" {
		t.Errorf("the one that holds the VIP is put aside:\n%s", lines(held))
	}
}

// keepalived complains of a group with fewer than two instances, and what is to
// move together must not do so in parts.
func TestASyncGroupIsPutAsideAsAWhole(t *testing.T) {
	grouped := func(word string) *topology.Topology {
		top := onBoth(webHA("rs1"), "vrrp_instance.web", func(b *topology.VRRPInstance) { b.SyncGroup = "both"; password(word)(b) })
		for i, host := range []string{"dir1", "dir2"} {
			top.Resources = append(top.Resources, &topology.Resource{Path: `vrrp_instance.inside["` + host + `"]`, Host: host, Body: &topology.VRRPInstance{
				Interface: "eth1", VirtualRouterID: 52, Priority: 200 - 100*i, Version: 2, AdvertInterval: time.Second, SyncGroup: "both",
				VirtualAddresses: []topology.VirtualAddress{{Name: "gateway", IP: netip.MustParsePrefix("10.0.0.254/32")}}}})
		}
		return top
	}
	live := holding(settle(t, grouped("geheim"), bareAll(webHA("rs1"))), "dir1")
	if s := text(live, "dir2"); !strings.Contains(s, "vrrp_sync_group both") {
		t.Fatal(s)
	}
	p := build(t, planner.Input{Topology: grouped("anders"), Live: live})
	if s := text(execute(t, before(p, 1), live), "dir2"); strings.Contains(s, "vrrp_") || !strings.Contains(s, "virtual_server") {
		t.Errorf("%s%s", lines(p), s)
	}
	if s := text(settle(t, grouped("anders"), live), "dir2"); !strings.Contains(s, "vrrp_sync_group both") {
		t.Error(s)
	}
}

func TestAPeerThatCannotBeReadHoldsBackWhatPeersAgreeOn(t *testing.T) {
	top := webHA("rs1")
	live := holding(settle(t, top, bareAll(top)), "dir1")
	delete(live, "dir2")
	p := planner.Build(planner.Input{Topology: onBoth(webHA("rs1"), "vrrp_instance.web", password("anders")), Live: live,
		Errors: map[string]error{"dir2": errors.New("no route to host")}})
	if !p.Empty() || len(p.Diagnostics) != 1 || !strings.Contains(p.Diagnostics[0].Detail, "dir2 could not be read") {
		t.Errorf("%s%+v", lines(p), p.Diagnostics)
	}
}

func TestBackupsChangeBeforeTheActiveDirector(t *testing.T) {
	top := webHA("rs1")
	live := holding(settle(t, top, bareAll(top)), "dir1")
	more := webHA("rs1")
	onBoth(more, "vrrp_instance.web", func(b *topology.VRRPInstance) {
		b.VirtualAddresses = append(b.VirtualAddresses, topology.VirtualAddress{Name: "z", IP: netip.MustParsePrefix("172.18.20.130/32")})
	})
	want := "0 directors, add update dir2:config keepalived/web\n1 directors, add update dir1:config keepalived/web\n"
	if diff := cmp.Diff(want, lines(build(t, planner.Input{Topology: more, Live: live}))); diff != "" {
		t.Error(diff)
	}
	live = settle(t, more, live)
	want = "0 directors, remove update dir2:config keepalived/web\n1 directors, remove update dir1:config keepalived/web\n"
	gone := onBoth(webHA("rs1"), "vrrp_instance.web", func(b *topology.VRRPInstance) {})
	if diff := cmp.Diff(strings.ReplaceAll(want, "remove", "add"), lines(build(t, planner.Input{Topology: gone, Live: live}))); diff != "" {
		t.Error(diff)
	}
}

func TestBackupsChangeTheirTableBeforeTheActiveDirector(t *testing.T) {
	byHand := func(scheduler string, servers ...string) *topology.Topology {
		return onBoth(webHA(servers...), "virtual_service.web", func(b *topology.VirtualService) {
			b.Checker, b.HealthCheck, b.Scheduler = "", nil, scheduler
		})
	}
	live := settle(t, byHand("wlc", "rs1", "rs2"), bareAll(webHA("rs1", "rs2")))
	const service, destination = "ipvs_service tcp/172.18.20.128:80", "ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80"
	one := byHand("rr", "rs1")
	one.Hosts = append(one.Hosts, webHA("rs1", "rs2").Hosts[2])
	for active, backup := range map[string]string{"dir1": "dir2", "dir2": "dir1"} {
		var table string
		for line := range strings.Lines(lines(build(t, planner.Input{Topology: one, Live: holding(live, active)}))) {
			if strings.Contains(line, ":ipvs_service") || strings.Contains(line, "delete") && strings.Contains(line, "ipvs_destination") {
				table += line
			}
		}
		want := "0 directors, add update " + backup + ":" + service + "\n1 directors, add update " + active + ":" + service + "\n" +
			"3 directors, remove delete " + backup + ":" + destination + "\n4 directors, remove delete " + active + ":" + destination + "\n"
		if diff := cmp.Diff(want, table); diff != "" {
			t.Errorf("%s holds the VIP: %s", active, diff)
		}
	}
	waits := byHand("rr", "rs1", "rs2") // what is declared counts for more
	for _, r := range waits.Resources {
		if r.Path == `virtual_service.web["dir2"]` {
			r.DependsOn = []string{`virtual_service.web["dir1"]`}
		}
	}
	if p := build(t, planner.Input{Topology: waits, Live: holding(live, "dir1")}); p.Changes[0].Host != "dir1" {
		t.Error(lines(p))
	}
}

func TestAPairIsTakenAwayBackupFirst(t *testing.T) {
	top := webHA("rs1")
	live := holding(settle(t, top, bareAll(top)), "dir1")
	p := build(t, planner.Input{Topology: top, Live: live, Destroy: true})
	want := "0 directors, remove delete dir2:config keepalived/web\n1 directors, remove delete dir1:config keepalived/web\n"
	if diff := cmp.Diff(want, configs(p)); diff != "" {
		t.Error(diff)
	}
	left := execute(t, p, live)
	unit, _ := left["dir1"].Objects.ByKey()[state.Unit{Name: "keepalived"}.Key()].(state.Unit)
	if unit.Running.Value || len(left["dir1"].Ledger.Entries) > 0 {
		t.Errorf("%+v, ledger %v", unit, left["dir1"].Ledger.Entries)
	}
}

func TestADirectorLeavesBeforeItsPeerChangesWhatTheyAgreeOn(t *testing.T) {
	live := holding(settle(t, webHA("rs1"), bareAll(webHA("rs1"))), "dir1")
	one := onBoth(webHA("rs1"), "vrrp_instance.web", password("anders"))
	one.Resources = slices.DeleteFunc(one.Resources, func(r *topology.Resource) bool { return r.Host == "dir2" })
	want := "0 directors, add delete dir2:config keepalived/web\n1 directors, add update dir1:config keepalived/web\n"
	if diff := cmp.Diff(want, configs(build(t, planner.Input{Topology: one, Live: live}))); diff != "" {
		t.Error(diff)
	}
}

// An instance of another number is another instance to keepalived.
func TestWhatPeersAgreeOn(t *testing.T) {
	live := holding(settle(t, webHA("rs1"), bareAll(webHA("rs1"))), "dir1")
	for name, tc := range map[string]struct {
		change func(*topology.VRRPInstance)
		agree  bool
	}{
		"virtual_router_id": {func(b *topology.VRRPInstance) { b.VirtualRouterID = 77 }, true},
		"advert_interval":   {func(b *topology.VRRPInstance) { b.AdvertInterval = 3 * time.Second }, true},
		"version":           {func(b *topology.VRRPInstance) { b.Version, b.Authentication = 3, nil }, true},
		"no authentication": {func(b *topology.VRRPInstance) { b.Authentication = nil }, true},
		"an advertised address": {func(b *topology.VRRPInstance) {
			told := false
			b.VirtualAddresses = append(b.VirtualAddresses, topology.VirtualAddress{Name: "z", IP: netip.MustParsePrefix("172.18.20.130/32"), Excluded: &told})
		}, true},
		"unicast": {func(b *topology.VRRPInstance) {
			b.Unicast = &topology.VRRPUnicast{Peers: []netip.Addr{netip.MustParseAddr("172.18.20.9")}}
		}, true},
		"priority": {func(b *topology.VRRPInstance) { b.Priority++ }, false},
		"tracking": {func(b *topology.VRRPInstance) { b.TrackInterfaces = []string{"eth1"} }, false},
	} {
		top := onBoth(webHA("rs1"), "vrrp_instance.web", tc.change)
		p := build(t, planner.Input{Topology: top, Live: live})
		if got := strings.Contains(lines(p), "dir2:aside"); got != tc.agree {
			t.Errorf("%s: put aside is %v\n%s", name, got, lines(p))
		}
		settle(t, top, live)
	}
}

// An instance has the name of its interface and number: with another one it gives
// up its addresses before it has them again.
func TestThePlanSaysWhenNobodyHasAnAddressForAMoment(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*topology.VRRPInstance)
		want   []string
	}{
		"virtual_router_id":    {func(b *topology.VRRPInstance) { b.VirtualRouterID = 77 }, []string{"dir1:config keepalived/web"}},
		"interface":            {func(b *topology.VRRPInstance) { b.Interface = "eth1" }, []string{"dir1:config keepalived/web"}},
		"device of an address": {func(b *topology.VRRPInstance) { b.VirtualAddresses[0].Device = "eth1" }, []string{"dir1:config keepalived/web"}},
		"priority":             {func(b *topology.VRRPInstance) { b.Priority++ }, nil},
		"password":             {password("anders"), nil},
	} {
		live := holding(settle(t, webHA("rs1"), bareAll(webHA("rs1"))), "dir1")
		top := onBoth(webHA("rs1"), "vrrp_instance.web", tc.change)
		var got []string
		for _, c := range build(t, planner.Input{Topology: top, Live: live}).Changes {
			if slices.Contains(c.Hazards, planner.HazardAddressGap) {
				got = append(got, c.ID)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
