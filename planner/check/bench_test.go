package check_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// fleet is a topology of n hosts: clusters of one director and 19 real servers,
// half by direct routing, half by NAT, and what the hosts would report.
func fleet(n int) (*topology.Topology, map[string]check.Host) {
	t := &topology.Topology{Name: "fleet"}
	live := map[string]check.Host{}
	add := func(host, path string, body topology.Body) {
		t.Resources = append(t.Resources, &topology.Resource{Path: path, Host: host, Body: body})
	}
	for c := range n / 20 {
		network := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(c / 250), byte(c % 250), byte(i)}) }
		vip := netip.AddrFrom4([4]byte{172, 16 + byte(c/250), byte(c % 250), 1})
		forward := []string{"dr", "nat"}[c%2]
		director := fmt.Sprintf("c%d-dir", c)
		s := &topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4", Scheduler: "wlc"}
		for i := range 20 {
			name := director
			if i > 0 {
				name = fmt.Sprintf("c%d-rs%d", c, i)
			}
			nic := topology.Interface{Name: "eth0", Addresses: []netip.Prefix{netip.PrefixFrom(network(i+1), 24)}}
			gateway := network(254)
			if forward == "nat" && i > 0 {
				gateway = network(1)
			}
			t.Hosts = append(t.Hosts, &topology.Host{Name: name, Address: network(i + 1), Gateway: gateway, Managed: true,
				Interfaces: []topology.Interface{nic}})
			objects := state.Objects{
				state.Address{Device: "eth0", IP: nic.Addresses[0], Scope: "global"},
				state.Route{To: nic.Addresses[0].Masked(), Table: state.TableMain, Device: "eth0", Protocol: 2},
				state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: state.TableMain, Via: gateway, Device: "eth0"},
			}
			for _, parameter := range []string{"all.arp_ignore=1", "all.arp_announce=2", "eth0.arp_ignore=0", "eth0.arp_announce=0"} {
				objects = append(objects, state.Sysctl{Name: "net.ipv4.conf." + parameter[:len(parameter)-2], Value: parameter[len(parameter)-1:]})
			}
			device := "lo"
			if i == 0 {
				device = "eth0"
				objects = append(objects, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"})
			} else {
				s.RealServers = append(s.RealServers, topology.RealServer{Name: name, Host: name, Address: network(i + 1), Port: 80, Weight: 1, Forward: forward})
			}
			if i == 0 || forward == "dr" {
				add(name, "address."+name, &topology.Address{IP: netip.PrefixFrom(vip, 32), Device: device})
				objects = append(objects, address(device, vip.String()+"/32"))
			}
			live[name] = check.Host{Objects: objects}
		}
		add(director, "virtual_service."+director, s)
	}
	return t, live
}

func TestFleetHasNoFault(t *testing.T) {
	topo, live := fleet(200)
	for name, hosts := range map[string]map[string]check.Host{"offline": nil, "live": live} {
		if r := check.Run(check.Input{Topology: topo, Hosts: hosts}); len(r.Findings) > 0 {
			t.Errorf("%s: %+v", name, r.Findings[0])
		}
	}
}

// A mistake that every host shares is told for some of them, and counted.
func TestManyFindingsAreCounted(t *testing.T) {
	topo, live := fleet(2000)
	for name, h := range live {
		for i, o := range h.Objects {
			if s, ok := o.(state.Sysctl); ok && s.Name == "net.ipv4.conf.eth0.arp_ignore" {
				s.Value = "4"
				h.Objects[i] = s
			}
		}
		live[name] = h
	}
	r := check.Run(check.Input{Topology: topo, Hosts: live})
	const broken = 50 * 19
	last := r.Findings[len(r.Findings)-1]
	if want := fmt.Sprintf("%d more", broken-50); len(r.Findings) != 51 || last.Check != "LVS005" || last.Severity != topology.Error ||
		last.Summary[len(last.Summary)-len(want):] != want {
		t.Errorf("%d findings, the last: %+v", len(r.Findings), last)
	}
}

func BenchmarkChecks(b *testing.B) {
	for _, n := range []int{1000, 3000, 10000} {
		topo, live := fleet(n)
		b.Run(fmt.Sprintf("live/hosts=%d", n), func(b *testing.B) {
			for b.Loop() {
				check.Run(check.Input{Topology: topo, Hosts: live})
			}
		})
		b.Run(fmt.Sprintf("offline/hosts=%d", n), func(b *testing.B) {
			for b.Loop() {
				check.Run(check.Input{Topology: topo})
			}
		})
		b.Run(fmt.Sprintf("queries/hosts=%d", n), func(b *testing.B) {
			for b.Loop() {
				planner.Queries(topo)
			}
		})
	}
}
