package hcl

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/lvsform/lvsform/topology"
)

// written is a topology with everything that Write knows.
func written() *topology.Topology {
	ip := netip.MustParseAddr
	drain := 90 * time.Second
	yes, no, none := true, false, 0
	return &topology.Topology{Name: "web", Hosts: []*topology.Host{
		{Name: "dir1", Path: "host.dir1", Address: ip("192.0.2.9"), Managed: true, SSH: topology.SSH{Address: "dir1.example"}},
		{Name: "rs1", Path: "host.rs1", Address: ip("192.0.2.11")},
	}, Resources: []*topology.Resource{
		{Path: "ipvs.dir1", Host: "dir1", Body: &topology.IPVS{Timeouts: &topology.Timeouts{TCP: time.Hour, UDP: time.Second}, ConnectionTableBits: 16,
			Modules: []string{"ip_vs_ftp"}, Exclusive: true, Sync: []topology.Sync{
				{Role: "backup", Interface: "eth0"},
				{Role: "master", Interface: "eth1", ID: 7, Group: ip("224.0.0.99"), Port: 9000, TTL: 2, MaxLength: 1400}}}},
		{Path: "virtual_service.mark", Host: "dir1", Body: &topology.VirtualService{FWMark: 4294967295, Family: "ipv6", Scheduler: "mh",
			SchedulerFlags: []string{"mh-fallback", "mh-port"}, OnePacket: true}},
		{Path: "virtual_service.web", Host: "dir1", Body: &topology.VirtualService{Protocol: "tcp", Address: ip("192.0.2.100"), Port: 80, Family: "ipv4", Scheduler: "wlc",
			Persistence: &topology.Persistence{Timeout: time.Minute, Netmask: 24, Engine: "sip"}, DrainTimeout: &drain, RealServers: []topology.RealServer{
				{Name: "a", Host: "rs1", Address: ip("192.0.2.11"), Port: 80, Weight: 1, Forward: "dr"},
				{Name: "b \"${var.x} %{ if true }\\", Address: ip("192.0.2.12"), Port: 8080, Weight: 0, Forward: "nat", Upper: 9, Lower: 3},
				{Name: "c", Address: ip("192.0.2.13"), Port: 80, Weight: 2, Forward: "tun", Tunnel: &topology.Tunnel{Type: "gue", Port: 6080, Checksum: "csum"}},
				{Name: "d", Host: "rs1", Address: ip("192.0.2.14"), Port: 80, Weight: 1, Forward: "tun", Tunnel: &topology.Tunnel{Type: "gre", Checksum: "none"}}}}},
		{Path: "virtual_service.x", Host: "dir1", Body: &topology.VirtualService{Protocol: "tcp", Address: ip("192.0.2.100"), Port: 81, Family: "ipv4", Scheduler: "rr",
			Checker: "keepalived", Quorum: 3, Quiescent: &yes, Fallback: &topology.Fallback{Address: ip("127.0.0.1"), Port: 81, Forward: "dr"},
			HealthCheck: &topology.HealthCheck{Type: "https", Interval: 1500 * time.Millisecond, Timeout: 3 * time.Second, Retries: &none, RetryDelay: time.Second, Port: 8443,
				Path: "/a?b=c", Status: []int{200, 301}, HostHeader: "www.example.net", Contains: "all ${is} well"}}},
		{Path: "virtual_service.y", Host: "dir1", Body: &topology.VirtualService{Protocol: "udp", Address: ip("192.0.2.100"), Port: 53, Family: "ipv4", Scheduler: "rr",
			Checker: "ldirectord", Quiescent: &no, Fallback: &topology.Fallback{Address: ip("192.0.2.99"), Port: 54, Forward: "nat"},
			HealthCheck: &topology.HealthCheck{Type: "dns", Name: "www.example.net"}}},
		{Path: "virtual_service.z", Host: "dir1", Body: &topology.VirtualService{FWMark: 7, Family: "ipv4", Scheduler: "rr", Checker: "keepalived"}},
		{Path: "virtual_service.zz", Host: "dir1", Body: &topology.VirtualService{FWMark: 8, Family: "ipv4", Scheduler: "rr", Checker: "keepalived",
			HealthCheck: &topology.HealthCheck{Type: "udp", Send: "a \"b\"\n", Receive: "c"}}},
		{Path: "vrrp_instance.a", Host: "dir1", Sensitive: []string{"authentication.password"}, Body: &topology.VRRPInstance{Interface: "eth0", RouterID: "lvs_1",
			VirtualRouterID: 51, Priority: 100, State: "MASTER", AdvertInterval: time.Second, Version: 2,
			Authentication:   &topology.VRRPAuthentication{Type: "AH", Password: "a%b"},
			VirtualAddresses: []topology.VirtualAddress{{Name: "vip", IP: netip.MustParsePrefix("192.0.2.100/32")}}}},
		{Path: "vrrp_instance.b", Host: "dir1", Body: &topology.VRRPInstance{Interface: "eth1", VirtualRouterID: 1, Priority: 255, State: "BACKUP",
			AdvertInterval: 250 * time.Millisecond, Preempt: &no, PreemptDelay: 1500 * time.Millisecond, Version: 3, TrackInterfaces: []string{"eth0", "eth1"}, SyncGroup: "web",
			Unicast: &topology.VRRPUnicast{Source: ip("192.0.2.9"), Peers: []netip.Addr{ip("192.0.2.7"), ip("192.0.2.8")}},
			VirtualAddresses: []topology.VirtualAddress{
				{Name: "a", IP: netip.MustParsePrefix("192.0.2.101/24"), Device: "eth2", Label: "eth2:1", Excluded: &no},
				{Name: "b", IP: netip.MustParsePrefix("2001:db8::1/128"), Excluded: &yes}}}},
		{Path: "vrrp_instance.c", Host: "dir1", Body: &topology.VRRPInstance{Interface: "eth1", VirtualRouterID: 2, Priority: 1, AdvertInterval: time.Second, Version: 3,
			VirtualAddresses: []topology.VirtualAddress{{Name: "a", IP: netip.MustParsePrefix("2001:db8::2/128")}}}},
	}}
}

func TestWhatIsWrittenLoadsAsTheSame(t *testing.T) {
	want := written()
	text, err := Write(want)
	if err != nil {
		t.Fatal(err)
	}
	if formatted, _ := Format("main.hcl", text); string(formatted) != string(text) {
		t.Errorf("not in canonical form:\n%s", cmp.Diff(string(formatted), string(text)))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "a%b") {
		t.Errorf("a password is written:\n%s", text)
	}
	var inputs []Input
	for name, value := range Secrets(want) {
		inputs = append(inputs, Input{Name: name, Value: value})
	}
	got, diags := Load(Options{Dir: dir, Inputs: inputs})
	if len(diags) > 0 {
		t.Fatalf("%+v in\n%s", diags, text)
	}
	places := cmp.FilterPath(func(p cmp.Path) bool {
		name := p.Last().String()
		return strings.HasSuffix(name, "Range") || name == ".Attributes" || name == ".DependsOn" || name == ".Call"
	}, cmp.Ignore())
	if diff := cmp.Diff(want, got, places, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
}

// What it cannot write it refuses, so that nothing is lost in silence.
func TestWriteRefusesWhatItCannotWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*topology.Topology)
		want   string
	}{
		"another kind of resource": {func(t *topology.Topology) {
			t.Resources[0] = &topology.Resource{Path: "sysctl.a", Host: "dir1", Body: &topology.Sysctl{}}
		}, "sysctl.a: a sysctl cannot be written"},
		"a module's resource":    {func(t *topology.Topology) { t.Resources[2].Path = "module.m.virtual_service.web" }, "only resources of the root"},
		"an instance":            {func(t *topology.Topology) { t.Resources[2].Path = `virtual_service.web["a"]` }, "only resources of the root"},
		"a host that is missing": {func(t *topology.Topology) { t.Resources[2].Host = "dir2" }, `no host "dir2"`},
		"a module's host":        {func(t *topology.Topology) { t.Hosts[1].Path = "module.m.host.rs1" }, "only hosts of the root"},
		"a host's facts":         {func(t *topology.Topology) { t.Hosts[0].Interfaces = []topology.Interface{{Name: "eth0"}} }, "only its addresses"},
		"an output":              {func(t *topology.Topology) { t.Outputs = []topology.Output{{Name: "vip"}} }, "only its hosts and resources"},
		"a lifecycle":            {func(t *topology.Topology) { t.Resources[2].PreventDestroy = true }, "only resources of the root"},
		"a retired host":         {func(t *topology.Topology) { t.Hosts[0].Retired = true }, "only its addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			top := written()
			tc.change(top)
			if text, err := Write(top); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s:\n%s", err, tc.want, text)
			}
		})
	}
}
