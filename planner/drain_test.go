package planner_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// webNAT is webDR with address translation: the director is the servers' gateway.
func webNAT(servers ...string) *topology.Topology {
	t := webDR()
	for i, r := range t.Resources {
		if r.Path != "virtual_service.web" {
			continue
		}
		vs := *r.Body.(*topology.VirtualService)
		vs.RealServers = nil
		for _, s := range find[*topology.VirtualService](webDR(servers...), r.Path).RealServers {
			s.Forward = "nat"
			vs.RealServers = append(vs.RealServers, s)
		}
		t.Resources[i].Body = &vs
	}
	for _, h := range webDR(servers...).Hosts[1:] {
		t.Hosts = append(t.Hosts, h)
		t.Resources = append(t.Resources, &topology.Resource{Path: `route.gateway["` + h.Name + `"]`, Host: h.Name,
			Body: &topology.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: t.Hosts[0].Address, Device: "eth0"}})
	}
	return t
}

// A server cannot answer through the director and around it at once, so each
// one gets no requests while it moves, and the other ones do.
func TestServersMoveBetweenDRAndNATOneByOne(t *testing.T) {
	servers := []string{"rs1", "rs2"}
	live := settle(t, webDR(servers...), bareAll(webDR(servers...)))
	p := build(t, planner.Input{Topology: webNAT(servers...), Live: live})
	want := `0 real servers, move update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80
1 real servers, move create rs1:route 254/0.0.0.0/0/0
1 real servers, move delete rs1:address lo/172.18.20.128
1 real servers, move delete rs1:route 254/172.18.20.128/32/0
1 real servers, move update rs1:sysctl net.ipv4.conf.all.arp_ignore
1 real servers, move update rs1:sysctl net.ipv4.conf.lo.arp_ignore
2 real servers, move update dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80
2 real servers, move update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
3 real servers, move create rs2:route 254/0.0.0.0/0/0
3 real servers, move delete rs2:address lo/172.18.20.128
3 real servers, move delete rs2:route 254/172.18.20.128/32/0
3 real servers, move update rs2:sysctl net.ipv4.conf.all.arp_ignore
3 real servers, move update rs2:sysctl net.ipv4.conf.lo.arp_ignore
4 real servers, move update dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
`
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Error(diff)
	}
	if p.Summary.Change != 6 {
		t.Errorf("%d changes are counted, want those without the drains: %+v", p.Summary.Change, p.Summary)
	}
	back := execute(t, p, live)
	if again := build(t, planner.Input{Topology: webNAT(servers...), Live: back}); !again.Empty() {
		t.Error(lines(again))
	}
	if p = build(t, planner.Input{Topology: webDR(servers...), Live: back}); len(p.Changes) != 14 || p.Changes[0].Drain == 0 {
		t.Error(lines(p))
	}
	execute(t, p, back)
}

func TestAServiceThatGoesIsNotDrained(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	top.Resources = top.Resources[:len(top.Resources)-1]
	for _, c := range build(t, planner.Input{Topology: top, Live: live}).Changes {
		if c.Drain > 0 {
			t.Errorf("%s waits %s", c.ID, c.Drain)
		}
	}
}

func TestDrainTakesTheTimeOfItsService(t *testing.T) {
	live := settle(t, webDR("rs1", "rs2"), bareAll(webDR("rs1", "rs2")))
	zero, minute := time.Duration(0), time.Minute
	for _, tc := range []struct {
		timeout *time.Duration
		want    time.Duration
	}{{nil, planner.DefaultDrainTimeout}, {&minute, time.Minute}, {&zero, 0}} {
		one := webDR("rs1")
		one.Hosts = append(one.Hosts, webDR("rs1", "rs2").Hosts[2])
		find[*topology.VirtualService](one, "virtual_service.web").DrainTimeout = tc.timeout
		p := build(t, planner.Input{Topology: one, Live: live})
		if got := p.Changes[0].Drain; got != tc.want {
			t.Errorf("drained for %s, want %s", got, tc.want)
		}
		if tc.want == 0 {
			if p.Changes[0].Action != planner.Delete {
				t.Error(lines(p))
			}
			continue
		}
		if d := p.Changes[0].After.(state.Destination); d.Weight != 0 {
			t.Errorf("drained with weight %d", d.Weight)
		}
	}
}

func TestTheWeightZeroDrains(t *testing.T) {
	live := settle(t, webDR("rs1", "rs2"), bareAll(webDR("rs1", "rs2")))
	top := webDR("rs1", "rs2")
	find[*topology.VirtualService](top, "virtual_service.web").RealServers[0].Weight = 0
	p := build(t, planner.Input{Topology: top, Live: live})
	if len(p.Changes) != 1 || p.Changes[0].Drain != planner.DefaultDrainTimeout || p.Changes[0].Wave != planner.WaveDrain || p.Summary.Change != 1 {
		t.Errorf("%+v\n%s", p.Summary, lines(p))
	}
	if again := build(t, planner.Input{Topology: top, Live: execute(t, p, live)}); !again.Empty() {
		t.Error(lines(again))
	}
}

// Services that choose by hashing need their fallback flag while they drain.
func TestDrainUnderEveryKindOfScheduler(t *testing.T) {
	for scheduler, want := range map[string]string{
		"wlc": `0 directors, drain update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
1 directors, remove delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
`, "dh": `0 directors, drain update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80 [drain_refuses_clients]
1 directors, remove delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
`, "mh": `0 directors, drain update dir1:drain ipvs_service tcp/172.18.20.128:80
0 directors, drain update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
1 directors, remove delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
1 directors, remove update dir1:drained ipvs_service tcp/172.18.20.128:80
`} {
		t.Run(scheduler, func(t *testing.T) {
			two, one := webDR("rs1", "rs2"), webDR("rs1")
			one.Hosts = two.Hosts
			for _, top := range []*topology.Topology{two, one} {
				vs := find[*topology.VirtualService](top, "virtual_service.web")
				if vs.Scheduler = scheduler; scheduler == "mh" {
					vs.SchedulerFlags = []string{"mh-port"}
				}
			}
			live := settle(t, two, bareAll(two))
			p := build(t, planner.Input{Topology: one, Live: live})
			p.Changes = slices.DeleteFunc(p.Changes, func(c planner.Change) bool { return c.Host != "dir1" })
			if diff := cmp.Diff(want, lines(p)); diff != "" {
				t.Error(diff)
			}
			if s, ok := p.Changes[0].After.(state.Service); ok && s.SchedulerFlags != "mh-fallback,mh-port" {
				t.Errorf("drained with %q", s.SchedulerFlags)
			}
			execute(t, p, live)
		})
	}
}

// A destination that somebody gave another way of forwarding is put right at
// once: its server is as it should be.
func TestAWrongDestinationOfARightServerIsNoMove(t *testing.T) {
	top := webDR("rs1", "rs2")
	live := settle(t, top, bareAll(top))
	id := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	l := live["dir1"]
	for i, o := range l.Objects {
		if d, ok := o.(state.Destination); ok && d.Service == id && d.Weight == 1 {
			d.Forward = "nat"
			l.Objects[i] = d
		}
	}
	p := build(t, planner.Input{Topology: top, Live: live})
	if diff := cmp.Diff("0 directors, add update dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80\n", lines(p)); diff != "" {
		t.Error(diff)
	}
}
