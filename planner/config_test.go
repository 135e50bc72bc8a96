package planner_test

import (
	"bytes"
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

// keepalived compares no more of an answer than it got: a shorter one would do.
func TestAnAnswerByUDPIsAsLongAsWhatItBeginsWith(t *testing.T) {
	top := onBoth(webHA("rs1"), "virtual_service.web", func(b *topology.VirtualService) {
		b.Protocol, b.HealthCheck = "udp", &topology.HealthCheck{Type: "udp", Send: "ping", Receive: "pong!"}
	})
	if s := text(settle(t, top, bareAll(top)), "dir1"); !strings.Contains(s, "require_reply 706f6e6721\n") || !strings.Contains(s, "min_reply_length 5\n") {
		t.Error(s)
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
