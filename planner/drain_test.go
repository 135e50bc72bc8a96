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

// Weight 0 for good is another thing under sh and mh than a drain.
func TestAServerThatStaysAtWeightZeroRefusesClients(t *testing.T) {
	for _, tc := range []struct {
		scheduler, flag string
		want            []planner.Hazard
	}{
		{"sh", "", []planner.Hazard{planner.HazardRefusesClients}},
		{"mh", "", []planner.Hazard{planner.HazardRefusesClients}},
		{"mh", "mh-fallback", nil},
		{"wlc", "", nil},
	} {
		two, _ := smaller(tc.scheduler)
		vs := find[*topology.VirtualService](two, "virtual_service.web")
		if tc.flag != "" {
			vs.SchedulerFlags = []string{tc.flag}
		}
		live := settle(t, two, bareAll(two))
		vs.RealServers[1].Weight = 0
		for _, c := range build(t, planner.Input{Topology: two, Live: live}).Changes {
			if c.Drain > 0 && !slices.Equal(c.Hazards, tc.want) {
				t.Errorf("%s %s: %v, want %v", tc.scheduler, tc.flag, c.Hazards, tc.want)
			}
		}
	}
}

// until makes a plan's changes up to a wave, as a run does that is cut off then.
func until(t *testing.T, w planner.Wave, p *planner.Plan, live map[string]planner.Live) map[string]planner.Live {
	t.Helper()
	part := *p
	part.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c planner.Change) bool { return c.Wave > w })
	if len(part.Changes) == 0 || len(part.Changes) == len(p.Changes) {
		t.Fatalf("nothing is cut off:\n%s", lines(p))
	}
	return execute(t, &part, live)
}

func onDirector(p *planner.Plan) string {
	shown := *p
	shown.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c planner.Change) bool { return c.Host != "dir1" })
	return lines(&shown)
}

// smaller is a topology with a scheduler that hashes, then without its second
// server.
func smaller(scheduler string) (two, one *topology.Topology) {
	two, one = webDR("rs1", "rs2"), webDR("rs1")
	one.Hosts = two.Hosts
	for _, top := range []*topology.Topology{two, one} {
		find[*topology.VirtualService](top, "virtual_service.web").Scheduler = scheduler
	}
	return two, one
}

// weights are the weights of the destinations on the director, and those that
// the ledger has, by real server.
func weights(live map[string]planner.Live) (now, kept map[string]int) {
	now, kept = map[string]int{}, map[string]int{}
	for _, o := range live["dir1"].Objects {
		if d, ok := o.(state.Destination); ok {
			now[d.Address.String()] = d.Weight
		}
	}
	for _, e := range live["dir1"].Ledger.Entries {
		c, _ := e.Claim("web")
		if d, ok := c.Value.Object.(state.Destination); ok {
			kept[d.Address.String()] = d.Weight
		}
	}
	return now, kept
}

// A drain that was cut off is in the ledger, so that a reboot does not end it.
// The next plan goes on with it: no client is refused in between, and the
// destination goes.
func TestADrainThatWasCutOffGoesOn(t *testing.T) {
	two, one := smaller("sh")
	live := settle(t, two, bareAll(two))
	live = until(t, planner.WaveDrain, build(t, planner.Input{Topology: one, Live: live}), live)
	now, kept := weights(live)
	want := map[string]int{"172.18.20.11": 1, "172.18.20.12": 0}
	if diff := cmp.Diff([]any{want, want}, []any{now, kept}); diff != "" {
		t.Errorf("weights now, and in the ledger: %s", diff)
	}
	p := build(t, planner.Input{Topology: one, Live: live})
	if diff := cmp.Diff(`0 directors, drain update dir1:drain ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
1 directors, remove delete dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80
1 directors, remove update dir1:ipvs_service tcp/172.18.20.128:80
`, onDirector(p)); diff != "" {
		t.Error(diff)
	}
	if c := p.Changes[0]; c.Drain != planner.DefaultDrainTimeout || c.After.(state.Destination).Weight != 0 {
		t.Errorf("it waits %s with %v", c.Drain, c.After)
	}
	live = execute(t, p, live)
	if now, _ = weights(live); len(now) != 1 {
		t.Errorf("left: %v", now)
	}
	if again := build(t, planner.Input{Topology: one, Live: live}); !again.Empty() {
		t.Error(lines(again))
	}
}

// A drained server whose removal is taken back gets its weight again, also where
// operators may set it.
func TestADrainThatWasCutOffIsTakenBack(t *testing.T) {
	for _, ignored := range [][]string{nil, {"weight"}} {
		two, one := smaller("mh")
		for _, top := range []*topology.Topology{two, one} {
			top.Resources[len(top.Resources)-1].IgnoreChanges = ignored
		}
		live := settle(t, two, bareAll(two))
		before, _ := weights(live)
		live = until(t, planner.WaveDrain, build(t, planner.Input{Topology: one, Live: live}), live)
		live = settle(t, two, live)
		now, kept := weights(live)
		if diff := cmp.Diff([]any{before, before}, []any{now, kept}); diff != "" {
			t.Errorf("ignoring %q: %s", ignored, diff)
		}
		if s := live["dir1"].Objects.ByKey()[state.Key{Kind: state.KindService, ID: "tcp/172.18.20.128:80"}].(state.Service); s.SchedulerFlags != "" {
			t.Errorf("the service keeps %q", s.SchedulerFlags)
		}
	}
}

// What was there before lvsform goes like the rest, although its weight is
// another one when the drain has been cut off.
func TestADrainThatWasCutOffOfWhatWasThereBefore(t *testing.T) {
	two, one := smaller("wlc")
	live := settle(t, two, bareAll(two))
	host := live["dir1"]
	for i, e := range host.Ledger.Entries {
		if d, ok := e.Claims[0].Value.Object.(state.Destination); ok {
			host.Ledger.Entries[i].Before = state.Boxed{Object: d}
		}
	}
	live["dir1"] = host
	first := build(t, planner.Input{Topology: one, Live: live})
	live = until(t, planner.WaveDrain, first, live)
	if diff := cmp.Diff(onDirector(first), onDirector(build(t, planner.Input{Topology: one, Live: live}))); diff != "" {
		t.Error(diff)
	}
}

// The service's other changes are made before the drain, and do not take away
// the flag of a drain that was cut off.
func TestADrainThatWasCutOffKeepsItsFlagThroughOtherChanges(t *testing.T) {
	two, one := smaller("sh")
	live := settle(t, two, bareAll(two))
	live = until(t, planner.WaveDrain, build(t, planner.Input{Topology: one, Live: live}), live)
	find[*topology.VirtualService](one, "virtual_service.web").SchedulerFlags = []string{"sh-port"}
	p := build(t, planner.Input{Topology: one, Live: live})
	var flags []string
	for _, c := range p.Changes {
		if s, ok := c.After.(state.Service); ok {
			flags = append(flags, s.SchedulerFlags)
		}
	}
	if diff := cmp.Diff([]string{"sh-fallback,sh-port", "sh-port"}, flags); diff != "" {
		t.Errorf("%s\n%s", diff, lines(p))
	}
	settle(t, one, live)
}

func TestPlansTellHowManyConnectionsADrainWaitsFor(t *testing.T) {
	two, one := smaller("wlc")
	live := settle(t, two, bareAll(two))
	id := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	for _, tc := range []struct {
		name string
		top  *topology.Topology
		edit func(*topology.VirtualService)
		want []state.ServiceID
	}{
		{"nothing changes", two, func(*topology.VirtualService) {}, nil},
		{"a server goes", one, func(*topology.VirtualService) {}, []state.ServiceID{id}},
		{"a weight becomes 0", two, func(s *topology.VirtualService) { s.RealServers[1].Weight = 0 }, []state.ServiceID{id}},
		{"a server changes to NAT", two, func(s *topology.VirtualService) { s.RealServers[1].Forward = "nat" }, []state.ServiceID{id}},
		{"the service goes", two, func(s *topology.VirtualService) { s.Port = 81 }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := *tc.top
			top.Resources = slices.Clone(top.Resources)
			last := *top.Resources[len(top.Resources)-1]
			vs := *last.Body.(*topology.VirtualService)
			vs.RealServers = slices.Clone(vs.RealServers)
			tc.edit(&vs)
			last.Body = &vs
			top.Resources[len(top.Resources)-1] = &last
			if got := planner.NewDrains(&top).Services("dir1", live["dir1"].Objects); !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
	host := live["dir1"]
	host.Connections = []state.Connections{{Destination: "tcp/172.18.20.128:80/172.18.20.12:80", Active: 37, Inactive: 5}}
	live["dir1"] = host
	c := build(t, planner.Input{Topology: one, Live: live}).Changes[0]
	text, err := jsonOf(c)
	if c.Connections == nil || *c.Connections != 37 || err != nil || !strings.Contains(text, `"connections":37`) {
		t.Errorf("%v %v %s", c.Connections, err, text)
	}
}
