package modules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/topology"
)

const pair = `
  directors = {
    dir1 = { host = host.dir1, device = "eth0", interfaces = ["eth0", "eth1"] }
    dir2 = { host = host.dir2, device = "eth0", label = "eth0:vip", interfaces = ["eth0", "eth1"] }
  }
  real_servers = { rs1 = { host = host.rs1 } }
`

func TestModulesFloat(t *testing.T) {
	for name, tc := range map[string]struct {
		source, arguments string
		want              []string
	}{
		"dr with a checked pair": {"dr", `vip = "10.0.0.99"
  port         = 80
  persistence  = { timeout = "600s" }
  health_check = { interval = "6s", timeout = "3s", retries = 3 }
  quiescent    = true
  quorum       = 2
  fallback     = { address = "127.0.0.1" }
  vrrp         = { virtual_router_id = 51, priorities = { dir1 = 100, dir2 = 90 }, password = sensitive("1111"), unicast = true }` + pair, []string{
			`dir1 sysctl.quiescent["dir1"]: map[net.ipv4.vs.expire_quiescent_template:1]`,
			`dir1 virtual_service.port["dir1:80"]: 10.0.0.99:80 keepalived tcp every 6s fallback 127.0.0.1:80 dr quorum 2 quiescent true`,
			`dir1 vrrp_instance.vip["dir1"]: eth0 51 priority 100 MASTER every 1s password 1111 peers [10.0.0.20] [10.0.0.99/32 eth0:0]`,
			`dir2 sysctl.quiescent["dir2"]: map[net.ipv4.vs.expire_quiescent_template:1]`,
			`dir2 virtual_service.port["dir2:80"]: 10.0.0.99:80 keepalived tcp every 6s fallback 127.0.0.1:80 dr quorum 2 quiescent true`,
			`dir2 vrrp_instance.vip["dir2"]: eth0 51 priority 90 BACKUP every 1s password 1111 peers [10.0.0.10] [10.0.0.99/32 eth0:vip]`,
		}},
		"tun, and the master does not come back": {"tun", `vip = "192.0.2.99"
  ports = [80, 443]
  vrrp  = { virtual_router_id = 51, priorities = { dir1 = 90, dir2 = 100 }, preempt = false, advert_interval = "2s" }` + pair, []string{
			`dir1 ipvs.connections["dir1"]: backup eth0 51, master eth0 51`,
			`dir1 virtual_service.port["dir1:443"]: 192.0.2.99:443`,
			`dir1 virtual_service.port["dir1:80"]: 192.0.2.99:80`,
			`dir1 vrrp_instance.vip["dir1"]: eth0 51 priority 90 BACKUP every 2s stays [192.0.2.99/32 eth0:0]`,
			`dir2 ipvs.connections["dir2"]: backup eth0 51, master eth0 51`,
			`dir2 virtual_service.port["dir2:443"]: 192.0.2.99:443`,
			`dir2 virtual_service.port["dir2:80"]: 192.0.2.99:80`,
			`dir2 vrrp_instance.vip["dir2"]: eth0 51 priority 100 BACKUP every 2s stays [192.0.2.99/32 eth0:vip]`,
		}},
		"nat, with a gateway that floats too": {"nat", `vip = "192.0.2.99"
  port    = 80
  gateway = "10.0.0.254"
  checker = "ldirectord"
  health_check = { type = "http", path = "/health" }
  vrrp    = { virtual_router_id = 51, priorities = { dir1 = 100, dir2 = 90 }, gateway_router_id = 52, password = sensitive("2222") }` + pair, []string{
			`dir1 ipvs.connections["dir1"]: backup eth0 51, master eth0 51`,
			`dir1 sysctl.forwarding["dir1"]: map[net.ipv4.ip_forward:1]`,
			`dir1 virtual_service.port["dir1:80"]: 192.0.2.99:80 ldirectord http every 0s`,
			`dir1 vrrp_instance.gateway["dir1"]: eth1 52 priority 100 MASTER every 1s password 2222 with vrid-51 [10.0.0.254/32 ]`,
			`dir1 vrrp_instance.vip["dir1"]: eth0 51 priority 100 MASTER every 1s password 2222 with vrid-51 [192.0.2.99/32 eth0:0]`,
			`dir2 ipvs.connections["dir2"]: backup eth0 51, master eth0 51`,
			`dir2 sysctl.forwarding["dir2"]: map[net.ipv4.ip_forward:1]`,
			`dir2 virtual_service.port["dir2:80"]: 192.0.2.99:80 ldirectord http every 0s`,
			`dir2 vrrp_instance.gateway["dir2"]: eth1 52 priority 90 BACKUP every 1s password 2222 with vrid-51 [10.0.0.254/32 ]`,
			`dir2 vrrp_instance.vip["dir2"]: eth0 51 priority 90 BACKUP every 1s password 2222 with vrid-51 [192.0.2.99/32 eth0:vip]`,
			`rs1 route.gateway["rs1"]: default 10.0.0.254`,
		}},
		"nat on one device": {"nat", `vip = "10.0.0.99"
  port    = 80
  gateway = "10.0.0.254"
  vrrp    = { virtual_router_id = 51, priorities = { dir1 = 100, dir2 = 90 } }` + strings.ReplaceAll(pair, `, interfaces = ["eth0", "eth1"]`, ""), []string{
			`dir1 ipvs.connections["dir1"]: backup eth0 51, master eth0 51`,
			`dir1 sysctl.forwarding["dir1"]: map[net.ipv4.ip_forward:1]`,
			`dir1 virtual_service.port["dir1:80"]: 10.0.0.99:80`,
			`dir1 vrrp_instance.vip["dir1"]: eth0 51 priority 100 MASTER every 1s [10.0.0.99/32 eth0:0] and [10.0.0.254/32 ]`,
			`dir2 ipvs.connections["dir2"]: backup eth0 51, master eth0 51`,
			`dir2 sysctl.forwarding["dir2"]: map[net.ipv4.ip_forward:1]`,
			`dir2 virtual_service.port["dir2:80"]: 10.0.0.99:80`,
			`dir2 vrrp_instance.vip["dir2"]: eth0 51 priority 90 BACKUP every 1s [10.0.0.99/32 eth0:vip] and [10.0.0.254/32 ]`,
			`rs1 route.gateway["rs1"]: default 10.0.0.254`,
		}},
		"fullnat with IPv6": {"fullnat", `vip = "2001:db8::99"
  port = 80
  vrrp = { virtual_router_id = 51, priorities = { dir1 = 100, dir2 = 90 } }
  directors    = { dir1 = { host = host.six, device = "eth0" }, dir2 = { host = host.six2, device = "eth0" } }
  real_servers = { rs1 = { host = host.rs6 } }`, []string{
			`six masquerade.port["dir1:80"]: 2001:db8::99 80`,
			`six sysctl.conntrack["dir1"]: map[net.ipv4.vs.conntrack:1]`,
			`six sysctl.forwarding["dir1"]: map[net.ipv6.conf.all.forwarding:1]`,
			`six virtual_service.port["dir1:80"]: [2001:db8::99]:80`,
			`six vrrp_instance.vip["dir1"]: eth0 51 priority 100 MASTER every 1s [2001:db8::99/128 ]`,
			`six2 masquerade.port["dir2:80"]: 2001:db8::99 80`,
			`six2 sysctl.conntrack["dir2"]: map[net.ipv4.vs.conntrack:1]`,
			`six2 sysctl.forwarding["dir2"]: map[net.ipv6.conf.all.forwarding:1]`,
			`six2 virtual_service.port["dir2:80"]: [2001:db8::99]:80`,
			`six2 vrrp_instance.vip["dir2"]: eth0 51 priority 90 BACKUP every 1s [2001:db8::99/128 ]`,
		}},
		"ha alone": {"ha", `addresses = {
    a = { ip = "10.0.0.99", label = "eth0:0" }
    b = { ip = "10.1.0.99/24", devices = { dir1 = "eth1" } }
    c = { ip = "2001:db8::99" }
  }
  virtual_router_id = 7
  priorities        = { dir1 = 200, dir2 = 100 }
  password          = "secret"
  preempt_delay     = "5s"
  unicast           = true
  sync_group        = "both"
  connection_sync   = true
  sync_id           = 9
  directors         = { dir1 = { host = host.dir1, device = "eth0", router_id = "one", sync = "eth1" }, dir2 = { host = host.dir2, device = "eth0" } }`, []string{
			`dir1 ipvs.connections["dir1"]: backup eth1 9, master eth1 9`,
			`dir1 vrrp_instance.pair["dir1"]: eth0 7 priority 200 BACKUP every 1s password secret peers [10.0.0.20] with both [10.0.0.99/32 eth0:0] and [10.1.0.99/24 ] on eth1 and [2001:db8::99/128 ]`,
			`dir2 ipvs.connections["dir2"]: backup eth0 9, master eth0 9`,
			`dir2 vrrp_instance.pair["dir2"]: eth0 7 priority 100 BACKUP every 1s password secret peers [10.0.0.10] with both [10.0.0.99/32 eth0:0] and [10.1.0.99/24 ] and [2001:db8::99/128 ]`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			topo, diags := loadModule(t, tc.source, tc.arguments)
			if len(diags) > 0 {
				t.Fatalf("findings: %+v", diags)
			}
			var have []string
			for _, r := range topo.Resources {
				if text := describeBody(r); text != "" && !strings.Contains(text, "arp_") && !strings.Contains(text, "send_redirects") && !strings.Contains(text, "rp_filter") {
					have = append(have, r.Host+" "+strings.TrimPrefix(r.Path, "module.m.")+": "+text)
				}
				if _, ok := r.Body.(*topology.Address); ok && r.Host != "rs1" {
					t.Errorf("%s is fixed", r.Path)
				}
				if v, ok := r.Body.(*topology.VRRPInstance); ok && v.Authentication != nil && !slices.Contains(r.Sensitive, "authentication.password") {
					t.Errorf("the password of %s is not sensitive", r.Path)
				}
			}
			slices.Sort(have)
			if diff := gocmp.Diff(tc.want, have); diff != "" {
				t.Errorf("declared (-want +have):\n%s", diff)
			}
		})
	}
}

// describeBody is one line about what a pair consists of; "" for the rest.
func describeBody(r *topology.Resource) string {
	switch b := r.Body.(type) {
	case *topology.VRRPInstance:
		return describeVRRP(b)
	case *topology.VirtualService:
		text := fmt.Sprintf("%s %s", joinPort(b), b.Checker)
		if h := b.HealthCheck; h != nil {
			text += fmt.Sprintf(" %s every %s", h.Type, h.Interval)
		}
		if f := b.Fallback; f != nil {
			text += fmt.Sprintf(" fallback %s:%d %s", f.Address, f.Port, f.Forward)
		}
		if b.Quorum > 0 {
			text += fmt.Sprintf(" quorum %d", b.Quorum)
		}
		if b.Quiescent != nil {
			text += fmt.Sprintf(" quiescent %t", *b.Quiescent)
		}
		return strings.TrimSpace(text)
	case *topology.IPVS:
		var text []string
		for _, s := range b.Sync {
			text = append(text, fmt.Sprintf("%s %s %d", s.Role, s.Interface, s.ID))
		}
		return strings.Join(text, ", ")
	case *topology.Masquerade:
		return fmt.Sprintf("%s %d", b.VIP, b.Port)
	case *topology.Sysctl:
		return fmt.Sprint(b.Settings)
	case *topology.Route:
		if b.To.Bits() == 0 {
			return "default " + b.Via.String()
		}
	}
	return ""
}

func joinPort(b *topology.VirtualService) string {
	if b.Address.Is4() {
		return fmt.Sprintf("%s:%d", b.Address, b.Port)
	}
	return fmt.Sprintf("[%s]:%d", b.Address, b.Port)
}

func describeVRRP(v *topology.VRRPInstance) string {
	text := fmt.Sprintf("%s %d priority %d %s every %s", v.Interface, v.VirtualRouterID, v.Priority, v.State, v.AdvertInterval)
	if !v.Preempts() {
		text += " stays"
	}
	if v.Authentication != nil {
		text += " password " + v.Authentication.Password
	}
	if v.Unicast != nil {
		text += fmt.Sprintf(" peers %s", v.Unicast.Peers)
	}
	if v.SyncGroup != "" {
		text += " with " + v.SyncGroup
	}
	var addresses []string
	for _, a := range slices.Concat(v.Advertised(), v.Unadvertised()) {
		address := fmt.Sprintf("[%s %s]", a.IP, a.Label)
		if a.Device != "" {
			address += " on " + a.Device
		}
		addresses = append(addresses, address)
	}
	return text + " " + strings.Join(addresses, " and ")
}

// A password that the root keeps secret stays so on its way through a module,
// and one that it writes out becomes so.
func TestModulesKeepThePassword(t *testing.T) {
	for _, source := range modes(t) {
		_, diags := loadModule(t, source, `vip = "10.0.0.99"
  port    = 80
  gateway = "10.0.0.254"
  vrrp    = { virtual_router_id = 51, priorities = { dir1 = 100, dir2 = 90 }, password = sensitive("swordfish \"") }`+pair)
		if !diags.HasErrors() {
			t.Fatalf("%s takes a password with a quote", source)
		}
		for _, d := range diags {
			if strings.Contains(fmt.Sprintf("%+v", d), "swordfish") {
				t.Errorf("%s shows the password: %+v", source, d)
			}
		}
	}
}

func TestModulesRefusePairs(t *testing.T) {
	const vip = "vip = \"10.0.0.99\"\nport = 80\ngateway = \"10.0.0.254\"\n"
	for name, tc := range map[string]struct{ source, arguments, want string }{
		"priorities without a director":  {"dr", vip + `vrrp = { virtual_router_id = 51, priorities = { dir1 = 100 } }` + pair, "one number for each of the directors"},
		"equal priorities":               {"dr", vip + `vrrp = { virtual_router_id = 51, priorities = { dir1 = 100, dir2 = 100 } }` + pair, "must be different"},
		"an unknown checker":             {"dr", vip + `checker = "monit"` + four, "none, keepalived or ldirectord"},
		"nat without a floating gateway": {"nat", "vip = \"10.0.0.99\"\nport = 80\nvrrp = { virtual_router_id = 51, priorities = { dir1 = 100, dir2 = 90 } }" + pair, "nat with vrrp needs gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := loadModule(t, tc.source, tc.arguments)
			if !diags.HasErrors() || !strings.Contains(fmt.Sprintf("%+v", diags), tc.want) {
				t.Errorf("findings %+v, want %q", diags, tc.want)
			}
		})
	}
}

// Where the daemons cannot help, or the kernel refuses them, there are none
// unless somebody asks.
func TestDirectorsTellEachOtherOfConnections(t *testing.T) {
	v4 := pair
	mixed := strings.ReplaceAll(pair, "host.rs1", "host.rs6")
	alone := strings.ReplaceAll(strings.ReplaceAll(pair, "dir2 =", "# dir2 ="), "dir2 = 90", "")
	for name, tc := range map[string]struct {
		source, directors, more string
		want                    int
	}{
		"dr":                   {"dr", v4, "", 2},
		"told not to":          {"dr", v4, ", connection_sync = false", 0},
		"fullnat":              {"fullnat", v4, "", 0},
		"fullnat, but told to": {"fullnat", v4, ", connection_sync = true", 2},
		"unicast":              {"dr", v4, ", unicast = true", 0},
		"unicast, but told to": {"dr", v4, ", unicast = true, connection_sync = true", 2},
		"two families":         {"tun", mixed, "", 0},
		"one director":         {"dr", alone, "", 0},
	} {
		priorities := "dir1 = 100, dir2 = 90"
		if tc.directors == alone {
			priorities = "dir1 = 100"
		}
		topo, diags := loadModule(t, tc.source, fmt.Sprintf("vip = \"10.0.0.99\"\n  port = 80\n  vrrp = { virtual_router_id = 51, priorities = { %s }%s }%s", priorities, tc.more, tc.directors))
		if len(diags) > 0 {
			t.Fatalf("%s: %+v", name, diags)
		}
		have := 0
		for _, r := range topo.Resources {
			if b, ok := r.Body.(*topology.IPVS); ok && len(b.Sync) == 2 {
				have++
			}
		}
		if have != tc.want {
			t.Errorf("%s: %d directors tell, want %d", name, have, tc.want)
		}
	}
}
