package planner_test

import (
	"bytes"
	"errors"
	"maps"
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

// webHA is webDR with two directors: the VIP floats, and keepalived keeps the
// table and checks the servers.
func webHA(servers ...string) *topology.Topology {
	t := webDR(servers...)
	service := find[*topology.VirtualService](t, "virtual_service.web")
	service.Checker, service.HealthCheck = "keepalived", &topology.HealthCheck{Type: "tcp"}
	var out []*topology.Resource
	for _, r := range t.Resources {
		if r.Host != "dir1" {
			out = append(out, r)
		}
	}
	t.Resources = out
	t.Hosts = append(t.Hosts, &topology.Host{Name: "dir2", Path: "host.dir2", Address: netip.MustParseAddr("172.18.20.127"), Managed: true})
	for i, host := range []string{"dir1", "dir2"} {
		own := *service
		t.Resources = append(t.Resources,
			&topology.Resource{Path: `virtual_service.web["` + host + `"]`, Host: host, Body: &own},
			&topology.Resource{Path: `vrrp_instance.web["` + host + `"]`, Host: host, Body: &topology.VRRPInstance{Interface: "eth0", VirtualRouterID: 51,
				Priority: 200 - 100*i, Version: 2, AdvertInterval: time.Second, Authentication: &topology.VRRPAuthentication{Type: "PASS", Password: "geheim"},
				VirtualAddresses: []topology.VirtualAddress{{Name: "vip", IP: vip32}}}})
	}
	return t
}

// holding gives hosts the VIP, as keepalived does on the master.
func holding(live map[string]planner.Live, hosts ...string) map[string]planner.Live {
	out := mutate(live, "dir1", func(o state.Object) state.Object { return o })
	for _, h := range hosts {
		l := out[h]
		l.Objects = append(l.Objects[:len(l.Objects):len(l.Objects)], state.Address{Device: "eth0", IP: vip32, Scope: "global"})
		out[h] = l
	}
	return out
}

// onBoth changes a resource's body on both directors.
func onBoth[B topology.Body](t *topology.Topology, path string, f func(B)) *topology.Topology {
	for _, host := range []string{"dir1", "dir2"} {
		f(find[B](t, path+`["`+host+`"]`))
	}
	return t
}

func password(word string) func(*topology.VRRPInstance) {
	return func(b *topology.VRRPInstance) {
		b.Authentication = &topology.VRRPAuthentication{Type: "PASS", Password: word}
	}
}

// before is the beginning of a plan: its stages before one.
func before(p *planner.Plan, stage int) *planner.Plan {
	out := *p
	out.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c planner.Change) bool { return c.Stage >= stage })
	return &out
}

// configs are the lines of a plan that are about configurations.
func configs(p *planner.Plan) string {
	var out string
	for line := range strings.Lines(lines(p)) {
		if strings.Contains(line, "config ") {
			out += line
		}
	}
	return out
}

func text(live map[string]planner.Live, host string) string {
	c, _ := live[host].Objects.ByKey()[state.Config{Program: "keepalived", Topology: "web"}.Key()].(state.Config)
	return c.Text
}

func TestAServiceWithACheckerIsConfiguredAndNotProgrammed(t *testing.T) {
	top := webHA("rs1", "rs2")
	live := settle(t, top, bareAll(top))
	for _, host := range []string{"dir1", "dir2"} {
		objects := live[host].Objects.ByKey()
		for _, want := range []state.Object{state.Package{Name: "keepalived"},
			state.Unit{Name: "keepalived", Running: state.Some(true), Enabled: state.Some(true)}} {
			if objects[want.Key()] != want {
				t.Errorf("%s: %v, want %v", host, objects[want.Key()], want)
			}
		}
		for key := range objects {
			if key.Kind == state.KindService || key.Kind == state.KindDestination {
				t.Errorf("%s: the kernel's table is written beside keepalived: %s", host, key)
			}
		}
	}
	for _, want := range []string{"vrrp_instance eth0_51 {", "auth_pass geheim", "virtual_server 172.18.20.128 80 {", "delay_loop 6", "real_server 172.18.20.12 80 {", "retry 3"} {
		if !strings.Contains(text(live, "dir2"), want) {
			t.Errorf("%q is missing in\n%s", want, text(live, "dir2"))
		}
	}
}

func TestAConfigurationWaitsForTheRealServersInIt(t *testing.T) {
	top := webHA("rs1")
	for _, c := range build(t, planner.Input{Topology: top, Live: bareAll(top)}).Changes {
		if c.Key().Kind == state.KindConfig && !slices.Equal(c.AfterIDs, []string{"rs1:route 254/172.18.20.128/32/0"}) {
			t.Errorf("%s waits for %q", c.ID, c.AfterIDs)
		}
	}
}

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

func TestOnlyTheRestIsRightWhenARealServerIsTheTarget(t *testing.T) {
	top := webHA("rs1")
	p := build(t, planner.Input{Topology: top, Live: bareAll(top), Target: []string{`virtual_service.web["dir1"].real_server.rs1`}})
	if !strings.Contains(lines(p), "dir1:config") || strings.Contains(lines(p), "dir2:config") {
		t.Error(lines(p))
	}
}

func TestPasswordsAreShownNowhere(t *testing.T) {
	top := webHA("rs1")
	live := settle(t, top, bareAll(top))
	p := build(t, planner.Input{Topology: onBoth(top, "vrrp_instance.web", password("anders")), Live: live})
	shown, err := jsonOf(p.Redacted())
	if err != nil || strings.Contains(shown, "geheim") || strings.Contains(shown, "anders") || !strings.Contains(shown, `"after_sensitive":{"text":true}`) {
		t.Errorf("%v %s", err, shown)
	}
	var b bytes.Buffer
	if err := p.Save(&b); err != nil {
		t.Fatal(err)
	}
	opened, err := planner.Open(&b)
	if err != nil {
		t.Fatal(err)
	}
	if c := opened.Changes[0]; !strings.Contains(c.Before.(state.Config).Text, "geheim") || !slices.Equal(c.Sensitive, p.Changes[0].Sensitive) {
		t.Errorf("%+v", c)
	}
	if s := planner.Describe(p.Changes[0].Before); strings.Contains(s, "geheim") {
		t.Error(s)
	}
}

func TestWhatDiesUnderACheckerIsNoDrift(t *testing.T) {
	top := webHA("rs1")
	live := settle(t, top, bareAll(top))
	id := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	with := func(weight int) map[string]planner.Live {
		out := maps.Clone(live)
		dir1 := out["dir1"]
		dir1.Objects = append(slices.Clone(dir1.Objects), state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32},
			state.Destination{Service: id, Address: netip.MustParseAddr("172.18.20.11"), Port: 80, Forward: "dr", Weight: weight})
		out["dir1"] = dir1
		return out
	}
	top.Resources = append(top.Resources, &topology.Resource{Path: "ipvs.dir1", Host: "dir1", Body: &topology.IPVS{Exclusive: true}})
	p := build(t, planner.Input{Topology: top, Live: with(1)})
	if !p.Empty() {
		t.Error(lines(p))
	}
	if stale := p.Stale(with(0)); len(stale) > 0 {
		t.Error(stale)
	}
}

// Operators edit the weights where the checker reads them.
func TestWeightsOfACheckerAreLeftToOperators(t *testing.T) {
	left := func(servers ...string) *topology.Topology {
		top := webHA(servers...)
		for _, r := range top.Resources {
			if _, ok := r.Body.(*topology.VirtualService); ok {
				r.IgnoreChanges = []string{"weight"}
			}
		}
		return top
	}
	for program, weight := range map[string][2]string{"keepalived": {"weight 1\n", "weight 7\n"}, "ldirectord": {"80 gate 1\n", "80 gate 7\n"}} {
		declared := onBoth(left("rs1"), "virtual_service.web", func(b *topology.VirtualService) { b.Checker = program })
		live := mutate(settle(t, declared, bareAll(declared)), "dir1", func(o state.Object) state.Object {
			if c, ok := o.(state.Config); ok && c.Program == program {
				c.Text = strings.Replace(c.Text, weight[0], weight[1], 1)
				return c
			}
			return o
		})
		p := build(t, planner.Input{Topology: declared, Live: live})
		if !p.Empty() {
			t.Errorf("%s: %s", program, lines(p))
		}
		c, _ := live["dir1"].Objects.ByKey()[state.Config{Program: program, Topology: "web"}.Key()].(state.Config)
		if !strings.Contains(c.Text, weight[1]) {
			t.Fatalf("%s:\n%s", program, c.Text)
		}
		for _, r := range declared.Resources {
			r.IgnoreChanges = nil
		}
		if p := build(t, planner.Input{Topology: declared, Live: live}); !strings.Contains(lines(p), "update dir1:config "+program) {
			t.Errorf("%s: without it a weight changed by hand is no drift", program)
		}
	}
}

func TestARunbookShowsNoPassword(t *testing.T) {
	objects, err := planner.Desired(webHA("rs1"), "dir2")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(objects, func(d planner.Declared) bool { return d.Object.Key().Kind == state.KindConfig })
	if at < 0 || at != len(objects)-2 { // the last is the program, which starts with it
		t.Fatalf("%+v", objects)
	}
	if s := objects[at].Object.(state.Config).Text; strings.Contains(s, "geheim") || !strings.Contains(s, "virtual_server") || !objects[at].Sensitive {
		t.Error(s)
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

// ldirectord gives a dead server its weight back at every reload unless it is told
// not to, and ends at its first HTTP check of an IPv6 server without a package.
func TestWhatLdirectordNeeds(t *testing.T) {
	six := func(b *topology.VirtualService) {
		b.Family, b.Address = "ipv6", netip.MustParseAddr("2001:db8::80")
		b.RealServers = []topology.RealServer{{Name: "rs1", Host: "rs1", Address: netip.MustParseAddr("2001:db8::11"), Port: 80, Weight: 1, Forward: "dr"}}
	}
	for name, tc := range map[string]struct {
		change func(*topology.VirtualService)
		want   bool
	}{
		"HTTP with IPv4": {func(b *topology.VirtualService) { b.HealthCheck = &topology.HealthCheck{Type: "http"} }, false},
		"TCP with IPv6":  {six, false},
		"HTTP with IPv6": {func(b *topology.VirtualService) { six(b); b.HealthCheck = &topology.HealthCheck{Type: "http"} }, true},
	} {
		top := onBoth(webHA("rs1"), "virtual_service.web", func(b *topology.VirtualService) { b.Checker = "ldirectord"; tc.change(b) })
		live := settle(t, top, bareAll(top))["dir1"].Objects.ByKey()
		if live[state.Package{Name: "libnet-inet6glue-perl"}.Key()] != nil != tc.want {
			t.Errorf("%s: the package is wanted: %v", name, !tc.want)
		}
		if c, _ := live[state.Config{Program: "ldirectord", Topology: "web"}.Key()].(state.Config); !strings.Contains(c.Text, "\nreaddquiescent = yes\n") {
			t.Errorf("%s:\n%s", name, c.Text)
		}
	}
}

func TestWhatACheckTellsIsToldOnce(t *testing.T) {
	top := webHA("rs1")
	find[*topology.VRRPInstance](top, `vrrp_instance.web["dir1"]`).AdvertInterval = 1500 * time.Millisecond
	find[*topology.VRRPInstance](top, `vrrp_instance.web["dir2"]`).Priority = 0
	p := planner.Build(planner.Input{Topology: top, Live: bareAll(top)})
	var told []string
	for _, d := range slices.Concat(p.Diagnostics, p.Checks) {
		if d.Severity == topology.Error {
			told = append(told, d.Check+" "+d.Object)
		}
	}
	want := []string{` vrrp_instance.web["dir2"]`, `LVS010 vrrp_instance.web["dir2"]`, `LVS023 vrrp_instance.web["dir1"]`}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("%s%+v", diff, p.Diagnostics)
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
