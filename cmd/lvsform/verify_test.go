package main

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
)

func TestConnectionsFromHere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	datagrams, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close() //nolint:errcheck // the test is over
	ask := func(protocol, address string) []string {
		t.Helper()
		got, err := knockHere(t.Context(), wire.Knock{Protocol: protocol, Address: netip.MustParseAddrPort(address), Count: 3, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if diff := cmp.Diff(make([]string, 3), ask("tcp", l.Addr().String())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(make([]string, 3), ask("udp", datagrams.LocalAddr().String())); diff != "" {
		t.Error(diff)
	}
	for range 3 {
		if n, _, err := datagrams.ReadFrom(make([]byte, 9)); n != 0 || err != nil {
			t.Fatalf("a datagram of %d bytes, %v", n, err)
		}
	}
	free := l.Addr().String()
	l.Close() //nolint:errcheck // nobody listens there any more
	if got := ask("tcp", free); slices.Contains(got, "") {
		t.Errorf("nobody listens: %q", got)
	}
}

func TestWhereConnectionsGoTo(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.100")
	mark := &topology.Mark{Protocol: "udp", Address: vip, Ports: []topology.PortRange{{First: 53, Last: 60}}, Mark: 7}
	for name, tc := range map[string]struct {
		service topology.VirtualService
		from    string
		want    string // or why not
	}{
		"its own port":     {topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80}, "", "tcp 192.0.2.100:80"},
		"a marked port":    {topology.VirtualService{FWMark: 7, Family: "ipv4"}, "", "udp 192.0.2.100:53"},
		"another mark":     {topology.VirtualService{FWMark: 8, Family: "ipv4"}, "", "nothing in the configuration gives packets its mark"},
		"another family":   {topology.VirtualService{FWMark: 7, Family: "ipv6"}, "", "nothing in the configuration gives packets its mark"},
		"every port":       {topology.VirtualService{Protocol: "tcp", Address: vip}, "", "it takes every port, and none is known to answer"},
		"the checked port": {topology.VirtualService{Protocol: "tcp", Address: vip, HealthCheck: &topology.HealthCheck{Port: 81}}, "", "tcp 192.0.2.100:81"},
		"sctp from here":   {topology.VirtualService{Protocol: "sctp", Address: vip, Port: 9}, "", "connections of SCTP can be opened only with --from"},
		"from its director, by NAT": {topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80, RealServers: []topology.RealServer{{Forward: "nat"}}},
			"dir1", "tcp 192.0.2.100:80"},
		"from its director, with direct routing": {topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80, RealServers: []topology.RealServer{{Forward: "dr"}}},
			"dir1", "with direct routing and tunnels a host that holds the VIP is no client of it: name another one with --from"},
		"from a real server, with tunnels": {topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80, RealServers: []topology.RealServer{{Host: "rs1", Forward: "tun"}}},
			"rs1", "with direct routing and tunnels a host that holds the VIP is no client of it: name another one with --from"},
		"sctp from there": {topology.VirtualService{Protocol: "sctp", Address: vip, Port: 9}, "rs1", "sctp 192.0.2.100:9"},
	} {
		t.Run(name, func(t *testing.T) {
			top := &topology.Topology{Hosts: []*topology.Host{{Name: "dir1", Managed: true}}, Resources: []*topology.Resource{
				{Path: "mark.a", Host: "dir1", Body: mark}, {Path: "virtual_service.a", Host: "dir1", Body: &tc.service}}}
			trials := (&cli{}).newTrials(top, tc.from)
			if len(trials) != 1 {
				t.Fatalf("%d services", len(trials))
			}
			got := trials[0].skipped
			if got == "" {
				got = trials[0].protocol + " " + trials[0].target.String()
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
