package examples_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// What each example creates, host by host: the kernel modules aside, this is
// all of it.
var want = map[string]map[string]state.Objects{
	"dr-wlc": {
		"dir1": slices.Concat(
			director("172.18.20.128", "wlc", "dr", "172.18.20.124 1", "172.18.20.125 2"),
			sysctls("net.ipv4.ip_forward=1"),
			hostRoute("172.18.20.128", "eth0")),
		"rs1": drServer("172.18.20.128"),
		"rs2": drServer("172.18.20.128"),
	},
	"nat-two-nics": {
		"dir1": slices.Concat(
			director("203.0.113.110", "rr", "nat", "192.168.10.1 1", "192.168.10.2 1"),
			sysctls("net.ipv4.ip_forward=1",
				"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
				"net.ipv4.conf.eth0.send_redirects=0", "net.ipv4.conf.eth1.send_redirects=0")),
		"rs1": defaultRoute("192.168.10.254"),
		"rs2": defaultRoute("192.168.10.254"),
	},
	"dr-noforward": {
		"dir1": slices.Concat(
			director("203.0.113.110", "rr", "dr", "203.0.113.107 1", "203.0.113.108 1"),
			sysctls("net.ipv4.ip_forward=0",
				"net.ipv4.conf.all.send_redirects=1", "net.ipv4.conf.default.send_redirects=1",
				"net.ipv4.conf.eth0.send_redirects=1"),
			hostRoute("203.0.113.110", "eth0")),
		"rs1": slices.Concat(drServer("203.0.113.110"), sysctls("net.ipv4.ip_forward=0")),
		"rs2": slices.Concat(drServer("203.0.113.110"), sysctls("net.ipv4.ip_forward=0")),
	},
}

// director has an IPVS service on port 80 of the VIP; servers are "ADDRESS WEIGHT".
func director(vip, scheduler, forward string, servers ...string) state.Objects {
	id := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr(vip), Port: 80, Family: "ipv4"}
	objects := state.Objects{
		state.Service{ServiceID: id, Scheduler: scheduler, Netmask: 32},
		state.Address{Device: "eth0", IP: netip.MustParsePrefix(vip + "/32"), Label: "eth0:0", Scope: "global"},
	}
	for _, server := range servers {
		address, weight, _ := strings.Cut(server, " ")
		objects = append(objects, state.Destination{Service: id, Address: netip.MustParseAddr(address), Port: 80,
			Weight: int(weight[0] - '0'), Forward: forward})
	}
	return objects
}

func drServer(vip string) state.Objects {
	lo := state.Address{Device: "lo", IP: netip.MustParsePrefix(vip + "/32"), Label: "lo:0",
		Broadcast: netip.MustParseAddr(vip), Scope: "global"}
	return slices.Concat(state.Objects{lo}, hostRoute(vip, "lo"), sysctls(
		"net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2",
		"net.ipv4.conf.lo.arp_ignore=1", "net.ipv4.conf.lo.arp_announce=2"))
}

func defaultRoute(gateway string) state.Objects {
	return state.Objects{state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: state.TableMain,
		Via: netip.MustParseAddr(gateway), Device: "eth0", Scope: "global"}}
}

func hostRoute(vip, device string) state.Objects {
	return state.Objects{state.Route{To: netip.MustParsePrefix(vip + "/32"), Table: state.TableMain, Device: device, Scope: "link"}}
}

func sysctls(settings ...string) state.Objects {
	var objects state.Objects
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		objects = append(objects, state.Sysctl{Name: name, Value: value})
	}
	return objects
}

func TestExamplesPlanWhatTheirScenarioNeeds(t *testing.T) {
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			topo := load(t, name)
			if topo.Name != name {
				t.Errorf("the topology is called %q, its directory %q", topo.Name, name)
			}
			plan := planner.Build(planner.Input{Topology: topo, Live: bare(topo)})
			for _, d := range append(plan.Diagnostics, plan.Checks...) {
				t.Errorf("%s: %s: %s", d.Severity, d.Summary, d.Detail)
			}
			have := map[string]state.Objects{}
			for _, c := range plan.Changes {
				if _, ok := c.After.(state.Module); !ok {
					have[c.Host] = append(have[c.Host], c.After)
				}
			}
			byKey := cmpopts.SortSlices(func(a, b state.Object) bool { return a.Key().Less(b.Key()) })
			if diff := cmp.Diff(want[name], have, byKey, cmp.Comparer(equalObjects)); diff != "" {
				t.Errorf("planned objects (-want +have):\n%s", diff)
			}
		})
	}
}

func equalObjects(a, b state.Object) bool { return a == b }

// examples are the directories with a topology.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*/main.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Dir(f))
	}
	return names
}

func load(t *testing.T, dir string) *topology.Topology {
	t.Helper()
	topo, diags := hcl.Load(hcl.Options{Dir: dir})
	for _, d := range diags {
		t.Errorf("%s: %s: %s: %s", d.Range, d.Severity, d.Summary, d.Detail)
	}
	if diags.HasErrors() {
		t.FailNow()
	}
	return topo
}

// bare are the hosts as their facts describe them, with sysctls at values that
// no example wants, so that every one of them is planned.
func bare(topo *topology.Topology) map[string]planner.Live {
	live := map[string]planner.Live{}
	for name, names := range planner.Queries(topo) {
		var l planner.Live
		for _, sysctl := range names.Sysctls {
			l.Objects = append(l.Objects, state.Sysctl{Name: sysctl, Value: "9"})
		}
		nics := append([]topology.Interface{{Name: "lo"}}, topo.Host(name).Interfaces...)
		for _, nic := range nics {
			l.Objects = append(l.Objects, state.Link{Name: nic.Name, Kind: "veth", Up: state.Some(true)})
			for _, ip := range nic.Addresses {
				l.Objects = append(l.Objects, state.Address{Device: nic.Name, IP: ip, Label: nic.Name, Scope: "global"})
			}
		}
		live[name] = l
	}
	return live
}

func TestEveryExampleIsDescribed(t *testing.T) {
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range examples(t) {
		if !strings.Contains(string(index), "]("+name+"/main.hcl)") {
			t.Errorf("README.md does not link %s", name)
		}
		if want[name] == nil {
			t.Errorf("%s has no expected plan", name)
		}
	}
}
