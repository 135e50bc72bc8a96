package planner_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

var (
	vip   = netip.MustParseAddr("172.18.20.128")
	vip32 = netip.MustParsePrefix("172.18.20.128/32")
)

// webDR is the DR cluster of examples/dr-wlc, by hand.
func webDR(servers ...string) *topology.Topology {
	t := &topology.Topology{Name: "web", Hosts: []*topology.Host{
		{Name: "dir1", Path: "host.dir1", Address: netip.MustParseAddr("172.18.20.126"), Managed: true}}}
	vs := &topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4", Scheduler: "wlc"}
	add := func(host, path string, b topology.Body) {
		t.Resources = append(t.Resources, &topology.Resource{Path: path, Host: host, Body: b})
	}
	add("dir1", "sysctl.director", &topology.Sysctl{Settings: map[string]string{"net.ipv4.ip_forward": "1"}})
	add("dir1", "address.vip", &topology.Address{IP: vip32, Device: "eth0", Label: "eth0:0"})
	for i, name := range servers {
		ip := netip.MustParseAddr(fmt.Sprintf("172.18.20.%d", 11+i))
		t.Hosts = append(t.Hosts, &topology.Host{Name: name, Path: "host." + name, Address: ip, Managed: true})
		add(name, fmt.Sprintf("sysctl.arp[%q]", name), &topology.Sysctl{Settings: map[string]string{
			"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.lo.arp_ignore": "1"}})
		add(name, fmt.Sprintf("address.lo[%q]", name), &topology.Address{IP: vip32, Device: "lo", Label: "lo:0", Broadcast: vip})
		add(name, fmt.Sprintf("route.lo[%q]", name), &topology.Route{To: vip32, Device: "lo"})
		vs.RealServers = append(vs.RealServers, topology.RealServer{Name: name, Host: name, Address: ip, Port: 80, Weight: 1 + i, Forward: "dr"})
	}
	add("dir1", "virtual_service.web", vs)
	return t
}

func find[B topology.Body](t *topology.Topology, path string) B {
	for _, r := range t.Resources {
		if r.Path == path {
			return r.Body.(B)
		}
	}
	panic("no " + path)
}

// bare is a host as its distribution left it.
func bare(address string) planner.Live {
	return planner.Live{Objects: state.Objects{
		state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"},
		state.Sysctl{Name: "net.ipv4.conf.all.arp_ignore", Value: "0"},
		state.Sysctl{Name: "net.ipv4.conf.lo.arp_ignore", Value: "0"},
		state.Address{Device: "eth0", IP: netip.MustParsePrefix(address + "/24"), Label: "eth0", Scope: "global"},
	}}
}

func bareAll(t *topology.Topology) map[string]planner.Live {
	out := map[string]planner.Live{}
	for _, h := range t.Hosts {
		out[h.Name] = bare(h.Address.String())
	}
	return out
}

func build(t *testing.T, in planner.Input) *planner.Plan {
	t.Helper()
	p := planner.Build(in)
	for _, d := range p.Diagnostics {
		if d.Severity == topology.Error {
			t.Fatalf("plan: %s: %s", d.Summary, d.Detail)
		}
	}
	return p
}

// execute makes a plan's changes in memory, refusing what a kernel refuses.
func execute(t *testing.T, p *planner.Plan, live map[string]planner.Live) map[string]planner.Live {
	t.Helper()
	out := maps.Clone(live)
	for _, c := range p.Changes {
		host := out[c.Host]
		objects := host.Objects.ByKey()
		if oc, ok := c.Object(); ok {
			if objects[c.Key()] != oc.Before {
				t.Fatalf("%s: is %v, planned from %v", c.ID, objects[c.Key()], oc.Before)
			}
			if d, ok := oc.After.(state.Destination); ok {
				if objects[state.Key{Kind: state.KindService, ID: d.Service.String()}] == nil {
					t.Fatalf("%s: destination before its service", c.ID)
				}
			}
			if oc.After == nil {
				delete(objects, c.Key())
			} else {
				objects[c.Key()] = oc.After
			}
		}
		if c.Claim != nil {
			host.Ledger = host.Ledger.Update([]state.ClaimChange{*c.Claim})
		}
		host.Objects = slices.Collect(maps.Values(objects))
		host.Objects.Sort()
		out[c.Host] = host
	}
	return out
}

// settle plans, executes, and wants the next plan to be empty.
func settle(t *testing.T, top *topology.Topology, live map[string]planner.Live) map[string]planner.Live {
	t.Helper()
	live = execute(t, build(t, planner.Input{Topology: top, Live: live}), live)
	if again := build(t, planner.Input{Topology: top, Live: live}); !again.Empty() {
		t.Fatalf("second plan is not empty:\n%s", lines(again))
	}
	return live
}

func lines(p *planner.Plan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%d %s %s %s", c.Stage, c.Wave, c.Action, c.ID)
		if len(c.Hazards) > 0 {
			fmt.Fprintf(&b, " %v", c.Hazards)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func destroy(t *testing.T, top *topology.Topology, live map[string]planner.Live) map[string]planner.Live {
	t.Helper()
	return execute(t, build(t, planner.Input{Topology: top, Live: live, Destroy: true}), live)
}

func dump(live map[string]planner.Live) map[string][]string {
	out := map[string][]string{}
	for name, l := range live {
		for _, o := range l.Objects {
			if o.Key().Kind != state.KindModule {
				out[name] = append(out[name], planner.Describe(o))
			}
		}
		slices.Sort(out[name])
		if len(l.Ledger.Entries) > 0 {
			out[name] = append(out[name], "ledger not empty")
		}
	}
	return out
}

// mutate changes (or, on nil, drops) objects of a host by other hands.
func mutate(live map[string]planner.Live, host string, f func(state.Object) state.Object) map[string]planner.Live {
	out := maps.Clone(live)
	l := out[host]
	var objects state.Objects
	for _, o := range l.Objects {
		if o = f(o); o != nil {
			objects = append(objects, o)
		}
	}
	l.Objects = objects
	out[host] = l
	return out
}

func value(live map[string]planner.Live, host, name string) string {
	s, _ := live[host].Objects.ByKey()[state.Key{Kind: state.KindSysctl, ID: name}].(state.Sysctl)
	return s.Value
}

func jsonOf(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
