package planner_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// table is a director's, in no order that an apply would have.
func table() state.Objects {
	ip := netip.MustParseAddr
	web := state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	web6 := state.ServiceID{Protocol: "tcp", Address: ip("2001:db8::100"), Port: 80, Family: "ipv6"}
	mark4, mark6 := state.ServiceID{FWMark: 7, Family: "ipv4"}, state.ServiceID{FWMark: 7, Family: "ipv6"}
	every := state.ServiceID{Protocol: "udp", Address: vip, Family: "ipv4"}
	return state.Objects{
		state.Timeouts{TCP: time.Minute},
		state.Destination{Service: web, Address: ip("192.0.2.20"), Port: 8080, Weight: 0, Forward: "nat", Upper: 5, Lower: 2},
		state.Destination{Service: web, Address: ip("192.0.2.20"), Port: 8081, Weight: 1, Forward: "nat"},
		state.Destination{Service: web, Address: ip("192.0.2.3"), Port: 80, Weight: 1, Forward: "tun", TunnelType: "gue", TunnelPort: 6080, TunnelChecksum: "csum"},
		state.Destination{Service: web, Address: ip("192.0.2.9"), Port: 80, Weight: 1, Forward: "dr"},
		state.Destination{Service: web, Address: ip("127.0.0.1"), Port: 80, Weight: 1, Forward: "dr"},
		state.Service{ServiceID: web, Scheduler: "sh", SchedulerFlags: "sh-fallback,sh-port", Netmask: 32},
		state.Service{ServiceID: web6, Scheduler: "wlc", Timeout: time.Minute, Netmask: 32},
		state.Service{ServiceID: mark4, Scheduler: "rr", Timeout: time.Minute, Engine: "sip", Netmask: 32},
		state.Service{ServiceID: mark6, Scheduler: "rr", OnePacket: true, Netmask: 128},
		state.Service{ServiceID: every, Scheduler: "rr", Timeout: time.Minute, Netmask: 24},
		state.Sync{Role: "master", Interface: "eth0", Group: ip("224.0.0.81"), Port: 8848, TTL: 1},
		state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"},
	}
}

func importedTable(name string) *topology.Topology {
	director := &topology.Host{Name: name, Path: "host." + name, Address: netip.MustParseAddr("192.0.2.9"), Managed: true}
	return planner.Imported(director, table())
}

func TestImportedDeclaresTheTableAgain(t *testing.T) {
	var got, want state.Objects
	for _, d := range desired(t, importedTable("dir1"), "dir1") {
		if d.Object.Key().Kind != state.KindModule {
			got = append(got, d.Object)
		}
	}
	for _, o := range table() {
		if o.Key().Kind != state.KindSysctl { // no part of a table
			want = append(want, o)
		}
	}
	got.Sort()
	want.Sort()
	if diff := cmp.Diff(describe(want), describe(got)); diff != "" {
		t.Error(diff)
	}
}

func describe(objects state.Objects) []string {
	var out []string
	for _, o := range objects {
		out = append(out, planner.Describe(o))
	}
	return out
}

func TestImportedNamesCanBeReadAndDoNotCollide(t *testing.T) {
	top := importedTable("rs1") // a director by the name of a real server
	var got []string
	for _, h := range top.Hosts {
		got = append(got, h.Path+" "+h.Address.String())
	}
	for _, r := range top.Resources {
		got = append(got, r.Path)
	}
	for _, rs := range find[*topology.VirtualService](top, "virtual_service.tcp_80_172_18_20_128").RealServers {
		got = append(got, rs.Name+" on "+rs.Host)
	}
	want := []string{"host.rs1 192.0.2.9", "host.rs2 192.0.2.3", "host.rs3 192.0.2.20",
		"ipvs.rs1", "virtual_service.mark_7_ipv4", "virtual_service.mark_7_ipv6", "virtual_service.tcp_80_172_18_20_128",
		"virtual_service.tcp_80_2001_0db8_0000_0000_0000_0000_0000_0100", "virtual_service.udp_every",
		"local_127_0_0_1 on ", "rs2 on rs2", "rs1 on rs1", "rs3_8080 on rs3", "rs3_8081 on rs3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
