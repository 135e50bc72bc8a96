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

func TestARealServerOfACheckerIsDrained(t *testing.T) {
	live := holding(settle(t, webHA("rs1", "rs2"), bareAll(webHA("rs1", "rs2"))), "dir1")
	one := webHA("rs1")
	one.Hosts = append(one.Hosts, webHA("rs1", "rs2").Hosts[2])
	counts := live["dir1"]
	d := state.Destination{Service: state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}, Address: netip.MustParseAddr("172.18.20.12"), Port: 80}
	counts.Connections = []state.Connections{{Destination: d.Key().ID, Active: 5}}
	counts.Objects = append(slices.Clone(counts.Objects), state.Service{ServiceID: d.Service, Scheduler: "wlc", Netmask: 32}, d)
	live["dir1"] = counts
	if got := planner.NewDrains(one).Services("dir1", counts.Objects); !slices.Equal(got, []state.ServiceID{d.Service}) {
		t.Errorf("connections of %v are counted", got)
	}
	p := build(t, planner.Input{Topology: one, Live: live})
	want := `0 directors, drain update dir1:drain config keepalived/web
0 directors, drain update dir2:drain config keepalived/web
1 directors, remove update dir2:config keepalived/web
2 directors, remove update dir1:config keepalived/web
`
	if diff := cmp.Diff(want, configs(p)); diff != "" {
		t.Error(diff)
	}
	drain := p.Changes[0]
	if drain.Drain != planner.DefaultDrainTimeout || len(drain.Waiting()) != 1 || drain.Waiting()[0].Key() != d.Key() || drain.Connections == nil || *drain.Connections != 5 {
		t.Errorf("%+v", drain)
	}
	if s := drain.After.(state.Config).Text; !strings.Contains(s, "real_server 172.18.20.12 80 {\n    weight 0\n") {
		t.Errorf("drained is:\n%s", s)
	}
	for _, c := range p.Changes {
		if c.Host == "rs2" && !slices.Contains(c.AfterIDs, "dir1:config keepalived/web") {
			t.Errorf("%s does not wait for the directors: %q", c.ID, c.AfterIDs)
		}
	}
	live = execute(t, before(p, 1), live) // interrupted while it drains
	if again := build(t, planner.Input{Topology: one, Live: live}); again.Changes[0].Drain == 0 {
		t.Errorf("the drain is not taken up:\n%s", lines(again))
	}
	zero := time.Duration(0)
	onBoth(one, "virtual_service.web", func(b *topology.VirtualService) { b.DrainTimeout = &zero })
	if now := build(t, planner.Input{Topology: one, Live: live}); now.Changes[0].Drain != 0 {
		t.Error(lines(now))
	}
}

func TestWeightZeroUnderACheckerIsDrainedToo(t *testing.T) {
	live := settle(t, webHA("rs1", "rs2"), bareAll(webHA("rs1", "rs2")))
	top := onBoth(webHA("rs1", "rs2"), "virtual_service.web", func(b *topology.VirtualService) {
		b.RealServers = slices.Clone(b.RealServers)
		b.RealServers[0].Weight = 0
	})
	p := build(t, planner.Input{Topology: top, Live: live})
	want := "0 directors, drain update dir1:config keepalived/web\n0 directors, drain update dir2:config keepalived/web\n"
	if diff := cmp.Diff(want, lines(p)); diff != "" || p.Changes[0].Drain == 0 || p.Summary.Change != 2 {
		t.Errorf("%s %+v", diff, p.Summary)
	}
	settle(t, top, live)
}

// A scheduler that hashes refuses the clients of a server of weight 0, unless it is
// told to choose another one.
func TestADrainUnderACheckerLetsTheSchedulerChooseOthers(t *testing.T) {
	for _, program := range []string{"keepalived", "ldirectord"} {
		hashing := func(weight int, servers ...string) *topology.Topology {
			return onBoth(webHA(servers...), "virtual_service.web", func(b *topology.VirtualService) {
				b.Checker, b.Scheduler, b.SchedulerFlags = program, "sh", []string{"sh-port"}
				b.RealServers = slices.Clone(b.RealServers)
				b.RealServers[len(servers)-1].Weight = weight
			})
		}
		live := settle(t, hashing(2, "rs1", "rs2"), bareAll(webHA("rs1", "rs2")))
		gone := hashing(1, "rs1")
		gone.Hosts = append(gone.Hosts, webHA("rs1", "rs2").Hosts[2])
		for name, tc := range map[string]struct {
			top     *topology.Topology
			hazards []planner.Hazard
		}{"goes": {gone, nil}, "stays": {hashing(0, "rs1", "rs2"), []planner.Hazard{planner.HazardRefusesClients}}} {
			p := build(t, planner.Input{Topology: tc.top, Live: live})
			if s := p.Changes[0].After.(state.Config).Text; p.Changes[0].Drain == 0 || !strings.Contains(s, "sh-fallback") || !strings.Contains(s, "sh-port") {
				t.Errorf("%s, one %s: %s\n%s", program, name, lines(p), s)
			}
			if diff := cmp.Diff(tc.hazards, p.Changes[0].Hazards); diff != "" {
				t.Errorf("%s, one %s: %s", program, name, diff)
			}
			cut := build(t, planner.Input{Topology: tc.top, Live: execute(t, before(p, 1), live)})
			if s := cut.Changes[0].After.(state.Config).Text; name == "goes" && (cut.Changes[0].Drain == 0 || !strings.Contains(s, "sh-fallback")) {
				t.Errorf("%s: a drain that was cut off goes on with\n%s\n%s", program, lines(cut), s)
			}
			c, _ := settle(t, tc.top, live)["dir1"].Objects.ByKey()[state.Config{Program: program, Topology: "web"}.Key()].(state.Config)
			if strings.Contains(c.Text, "sh-fallback") {
				t.Errorf("%s, one %s: at last:\n%s", program, name, c.Text)
			}
		}
	}
}

// keepalived deletes what is alive when the fallback comes, which must not end a
// drain.
func TestTheLastServerIsDrainedBesideAFallback(t *testing.T) {
	fallback := func(weight int) *topology.Topology {
		return onBoth(webHA("rs1"), "virtual_service.web", func(b *topology.VirtualService) {
			b.Fallback = &topology.Fallback{Address: netip.MustParseAddr("127.0.0.1"), Port: 80, Forward: "dr"}
			b.RealServers = slices.Clone(b.RealServers)
			b.RealServers[0].Weight = weight
		})
	}
	live := settle(t, fallback(1), bareAll(webHA("rs1")))
	p := build(t, planner.Input{Topology: fallback(0), Live: live})
	want := `0 directors, drain update dir1:drain config keepalived/web
0 directors, drain update dir2:drain config keepalived/web
1 directors, remove update dir1:config keepalived/web
1 directors, remove update dir2:config keepalived/web
`
	if diff := cmp.Diff(want, configs(p)); diff != "" {
		t.Error(diff)
	}
	if s := p.Changes[0].After.(state.Config).Text; !strings.Contains(s, "inhibit_on_failure") || !strings.Contains(s, "weight 0") {
		t.Errorf("drained is:\n%s", s)
	}
	if s := text(settle(t, fallback(0), live), "dir1"); strings.Contains(s, "inhibit_on_failure") {
		t.Errorf("at last it is:\n%s", s)
	}
}

// keepalived refuses a quorum that its servers cannot reach.
func TestTheQuorumIsThatOfTheServersThatCanBeRead(t *testing.T) {
	top := onBoth(webHA("rs1", "rs2"), "virtual_service.web", func(b *topology.VirtualService) { b.Quorum = 3 })
	live := bareAll(top)
	delete(live, "rs2")
	live = execute(t, planner.Build(planner.Input{Topology: top, Live: live, Errors: map[string]error{"rs2": errors.New("no route to host")}}), live)
	if s := text(live, "dir1"); strings.Contains(s, "172.18.20.12 ") || !strings.Contains(s, "quorum 1\n") {
		t.Error(s)
	}
	live["rs2"] = bare("172.18.20.12")
	if s := text(settle(t, top, live), "dir1"); !strings.Contains(s, "quorum 3\n") {
		t.Error(s)
	}
}

func TestARealServerThatCannotBeReadIsLeftOutOfTheText(t *testing.T) {
	top := webHA("rs1", "rs2")
	live := bareAll(top)
	delete(live, "rs2")
	in := planner.Input{Topology: top, Live: live, Errors: map[string]error{"rs2": errors.New("no route to host")}}
	live = execute(t, planner.Build(in), live)
	if s := text(live, "dir1"); strings.Contains(s, "172.18.20.12 ") || !strings.Contains(s, "172.18.20.11") {
		t.Error(s)
	}
	live["rs2"] = bare("172.18.20.12")
	settle(t, top, live)
	all := settle(t, top, bareAll(top))
	delete(all, "rs2")
	in.Live = all
	if p := planner.Build(in); !p.Empty() {
		t.Errorf("one that is in use is taken out:\n%s", lines(p))
	}
}
