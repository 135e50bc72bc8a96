package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

func TestChangesComeInTheSafeOrder(t *testing.T) {
	top := webDR("rs1")
	live := bareAll(top)
	up := build(t, planner.Input{Topology: top, Live: live})
	want := `0 real servers, add update rs1:sysctl net.ipv4.conf.all.arp_ignore
0 real servers, add update rs1:sysctl net.ipv4.conf.lo.arp_ignore
0 real servers, add create rs1:address lo/172.18.20.128
0 real servers, add create rs1:route 254/172.18.20.128/32/0
1 directors, add create dir1:module ip_vs
1 directors, add create dir1:module ip_vs_wlc
1 directors, add update dir1:sysctl net.ipv4.ip_forward
1 directors, add create dir1:ipvs_service tcp/172.18.20.128:80
1 directors, add create dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80
1 directors, add create dir1:address eth0/172.18.20.128
`
	if diff := cmp.Diff(want, lines(up)); diff != "" {
		t.Error(diff)
	}
	down := build(t, planner.Input{Topology: top, Live: execute(t, up, live), Destroy: true})
	want = `0 directors, remove delete dir1:address eth0/172.18.20.128
0 directors, remove delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80
0 directors, remove delete dir1:ipvs_service tcp/172.18.20.128:80 [interrupts_connections]
0 directors, remove update dir1:sysctl net.ipv4.ip_forward
1 real servers, clean delete rs1:address lo/172.18.20.128
1 real servers, clean delete rs1:route 254/172.18.20.128/32/0
1 real servers, clean update rs1:sysctl net.ipv4.conf.all.arp_ignore
1 real servers, clean update rs1:sysctl net.ipv4.conf.lo.arp_ignore
`
	if diff := cmp.Diff(want, lines(down)); diff != "" {
		t.Error(diff)
	}
}

func TestDestinationWaitsForItsRealServer(t *testing.T) {
	top := webDR("rs1")
	p := build(t, planner.Input{Topology: top, Live: bareAll(top)})
	for _, c := range p.Changes {
		if c.Key().Kind == state.KindDestination {
			if diff := cmp.Diff([]string{"rs1:route 254/172.18.20.128/32/0"}, c.AfterIDs); diff != "" {
				t.Error(diff)
			}
			return
		}
	}
	t.Fatal("no destination in the plan")
}

func TestDependencyAgainstTheSafeOrderIsAnError(t *testing.T) {
	top := webDR("rs1")
	for _, r := range top.Resources {
		if r.Path == `address.lo["rs1"]` {
			r.DependsOn = []string{"virtual_service.web"}
		}
	}
	p := planner.Build(planner.Input{Topology: top, Live: bareAll(top)})
	if !p.Diagnostics.HasErrors() || !strings.Contains(p.Diagnostics[0].Detail, `address.lo["rs1"] (real servers, add) → virtual_service.web`) {
		t.Errorf("%+v", p.Diagnostics)
	}
}

func TestDependencyAcrossHostsMakesAStage(t *testing.T) {
	top := webDR("rs1", "rs2")
	for _, r := range top.Resources {
		if r.Path == `address.lo["rs1"]` {
			r.DependsOn = []string{`address.lo["rs2"]`}
		}
	}
	p := build(t, planner.Input{Topology: top, Live: bareAll(top)})
	at := map[string]int{}
	for _, c := range p.Changes {
		at[c.ID] = c.Stage
	}
	if at["rs1:address lo/172.18.20.128"] <= at["rs2:address lo/172.18.20.128"] {
		t.Error(lines(p))
	}
}

func TestTargetBringsWhatItWaitsFor(t *testing.T) {
	top := webDR("rs1", "rs2")
	p := build(t, planner.Input{Topology: top, Live: bareAll(top), Target: []string{"virtual_service.web.real_server.rs1"}})
	got := lines(p)
	for _, want := range []string{"rs1:address lo/", "dir1:module ip_vs", "dir1:ipvs_service", "172.18.20.11:80"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing:\n%s", want, got)
		}
	}
	for _, other := range []string{"rs2:", "dir1:address", "172.18.20.12:"} {
		if strings.Contains(got, other) {
			t.Errorf("%s came along:\n%s", other, got)
		}
	}
}

func TestExcludeTakesWhatWaitsForItAlong(t *testing.T) {
	top := webDR("rs1", "rs2")
	p := build(t, planner.Input{Topology: top, Live: bareAll(top), Exclude: []string{"host.rs2"}})
	if got := lines(p); strings.Contains(got, "rs2:") || strings.Contains(got, "172.18.20.12:") {
		t.Error(got)
	}
	p = planner.Build(planner.Input{Topology: top, Live: bareAll(top), Exclude: []string{"host.rs3"}})
	if !p.Diagnostics.HasErrors() {
		t.Error("an exclusion of nothing passes")
	}
}

func TestHostsWithEqualChangesAreOneGroup(t *testing.T) {
	top := webDR("rs1", "rs2")
	p := build(t, planner.Input{Topology: top, Live: bareAll(top)})
	var got []string
	for _, g := range planner.Groups(p.Changes) {
		got = append(got, fmt.Sprintf("%v %d", g.Hosts, len(g.Changes)))
	}
	if diff := cmp.Diff([]string{"[rs1 rs2] 4", "[dir1] 7"}, got); diff != "" {
		t.Error(diff)
	}
}
