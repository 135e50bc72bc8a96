package modules_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/modules"
	"github.com/lvsform/lvsform/topology"
)

const hosts = `
topology "t" {}
host "dir1" { address = "10.0.0.10" }
host "dir2" { address = "10.0.0.20" }
host "six2" { address = "2001:db8::b" }
host "rs1" { address = "10.0.0.1" }
host "six" { address = "2001:db8::a" }
host "rs6" { address = "2001:db8::1" }
`

const (
	four = `
  directors    = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers = { rs1 = { host = host.rs1 } }
`
	six = `
  directors    = { dir1 = { host = host.six, device = "eth0" } }
  real_servers = { rs1 = { host = host.rs6 } }
`
)

func TestModulesDeclare(t *testing.T) {
	for name, tc := range map[string]struct {
		source, arguments string
		want              []string
	}{
		"dr touches nothing that the mode does not need": {"dr", `vip = "10.0.0.99"` + "\nport = 80" + four, []string{
			`dir1 address.vip["dir1"]: address 10.0.0.99/32 on eth0 labelled eth0:0`,
			`dir1 route.vip["dir1"]: route 10.0.0.99/32 dev eth0`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:80 dr weight 1`,
			`dir1 virtual_service.port["80"]: service tcp/10.0.0.99:80 wlc`,
			`rs1 address.vip_lo["rs1"]: address 10.0.0.99/32 on lo labelled lo:0 broadcast 10.0.0.99`,
			`rs1 route.vip_lo["rs1"]: route 10.0.0.99/32 dev lo`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_announce = 2`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_ignore = 1`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.lo.arp_announce = 2`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.lo.arp_ignore = 1`,
		}},
		"dr with IPv6 needs no ARP sysctls, label or host route": {"dr", `vip = "2001:db8::99"` + "\nport = 80" + six, []string{
			`six address.vip["dir1"]: address 2001:db8::99/128 on eth0 nodad deprecated`,
			`six virtual_service.port["80"].real_server.rs1: destination [2001:db8::1]:80 dr weight 1`,
			`six virtual_service.port["80"]: service tcp/[2001:db8::99]:80 wlc`,
			`rs6 address.vip_lo["rs1"]: address 2001:db8::99/128 on lo nodad deprecated`,
		}},
		"what is set is declared": {"dr", `vip = "10.0.0.99"
  port = 80
  ip_forward = true
  send_redirects = false
  real_server_ip_forward = false
  host_route = false
  directors    = { dir1 = { host = host.dir1, device = "bond0.7", label = "bond0.7:web" } }
  real_servers = { rs1 = { host = host.rs1, label = "lo:7", weight = 0 } }`, []string{
			`dir1 address.vip["dir1"]: address 10.0.0.99/32 on bond0.7 labelled bond0.7:web`,
			`dir1 sysctl.forwarding["dir1"]: net.ipv4.ip_forward = 1`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.all.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.bond0/7.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.default.send_redirects = 0`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:80 dr weight 0`,
			`dir1 virtual_service.port["80"]: service tcp/10.0.0.99:80 wlc`,
			`rs1 address.vip_lo["rs1"]: address 10.0.0.99/32 on lo labelled lo:7 broadcast 10.0.0.99`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_announce = 2`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_ignore = 1`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.lo.arp_announce = 2`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.lo.arp_ignore = 1`,
			`rs1 sysctl.real_server_forwarding["rs1"]: net.ipv4.ip_forward = 0`,
		}},
		"a device whose name leaves no room for an alias": {"nat", `vip = "192.0.2.99"
  port = 80
  directors    = { dir1 = { host = host.dir1, device = "enx00a0b0c0d0e0" } }
  real_servers = {}`, []string{
			`dir1 address.vip["dir1"]: address 192.0.2.99/32 on enx00a0b0c0d0e0`,
			`dir1 sysctl.forwarding["dir1"]: net.ipv4.ip_forward = 1`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.all.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.default.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.enx00a0b0c0d0e0.send_redirects = 0`,
			`dir1 virtual_service.port["80"]: service tcp/192.0.2.99:80 wlc`,
		}},
		"nat prepares forwarding and the way back": {"nat", `vip = "192.0.2.99"` + "\nport = 80" + four, []string{
			`dir1 address.vip["dir1"]: address 192.0.2.99/32 on eth0 labelled eth0:0`,
			`dir1 sysctl.forwarding["dir1"]: net.ipv4.ip_forward = 1`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.all.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.default.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.eth0.send_redirects = 0`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:80 nat weight 1`,
			`dir1 virtual_service.port["80"]: service tcp/192.0.2.99:80 wlc`,
			`rs1 route.gateway["rs1"]: route 0.0.0.0/0 via 10.0.0.10 dev nic`,
		}},
		"nat with IPv6": {"nat", `vip = "2001:db8:1::99"` + "\nport = 80" + six, []string{
			`six address.vip["dir1"]: address 2001:db8:1::99/128 on eth0 nodad deprecated`,
			`six sysctl.forwarding["dir1"]: net.ipv6.conf.all.forwarding = 1`,
			`six virtual_service.port["80"].real_server.rs1: destination [2001:db8::1]:80 nat weight 1`,
			`six virtual_service.port["80"]: service tcp/[2001:db8:1::99]:80 wlc`,
			`rs6 route.gateway["rs1"]: route ::/0 via 2001:db8::a dev nic`,
		}},
		"dr by a gateway of its own": {"dr", `vip = "10.0.0.99"
  port          = 80
  advmss        = 1400
  routing_table = 7
  directors     = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers  = { rs1 = { host = host.rs1, gateway = "10.0.0.2" } }
  host_route    = false`, []string{
			`dir1 address.vip["dir1"]: address 10.0.0.99/32 on eth0 labelled eth0:0`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:80 dr weight 1`,
			`dir1 virtual_service.port["80"]: service tcp/10.0.0.99:80 wlc`,
			`rs1 address.vip_lo["rs1"]: address 10.0.0.99/32 on lo labelled lo:0 broadcast 10.0.0.99`,
			`rs1 route.answers["rs1"]: route 0.0.0.0/0 via 10.0.0.2 dev nic table 7 advmss 1400`,
			`rs1 rule.answers["rs1"]: rule 7 from 10.0.0.99/32 table 7`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_announce = 2`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_ignore = 1`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.lo.arp_announce = 2`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.lo.arp_ignore = 1`,
		}},
		"tun": {"tun", `vip = "192.0.2.99"` + "\nport = 80\nmtu = 1400" + four, []string{
			`dir1 address.vip["dir1"]: address 192.0.2.99/32 on eth0 labelled eth0:0`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:80 tun weight 1 ipip`,
			`dir1 virtual_service.port["80"]: service tcp/192.0.2.99:80 wlc`,
			`rs1 address.vip_tunnel["rs1"]: address 192.0.2.99/32 on tunl0 labelled tunl0:0 broadcast 192.0.2.99`,
			`rs1 link.tunnel["rs1"]: link tunl0 ipip up mtu 1400`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_announce = 2`,
			`rs1 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_ignore = 1`,
			`rs1 sysctl.rp_filter["rs1"]: net.ipv4.conf.tunl0.rp_filter = 2`,
		}},
		"dr by a gateway of its own, with IPv6": {"dr", `vip = "2001:db8::99"
  port         = 80
  directors    = { dir1 = { host = host.six, device = "eth0" } }
  real_servers = { rs1 = { host = host.rs6, gateway = "2001:db8::2" } }`, []string{
			`six address.vip["dir1"]: address 2001:db8::99/128 on eth0 nodad deprecated`,
			`six virtual_service.port["80"].real_server.rs1: destination [2001:db8::1]:80 dr weight 1`,
			`six virtual_service.port["80"]: service tcp/[2001:db8::99]:80 wlc`,
			`rs6 address.vip_lo["rs1"]: address 2001:db8::99/128 on lo nodad deprecated`,
			`rs6 route.answers["rs1"]: route ::/0 via 2001:db8::2 dev nic table 100`,
			`rs6 rule.answers["rs1"]: rule 100 from 2001:db8::99/128 table 100`,
		}},
		"tun with IPv6": {"tun", `vip = "2001:db8:1::99"` + "\nport = 80" + six, []string{
			`six address.vip["dir1"]: address 2001:db8:1::99/128 on eth0 nodad deprecated`,
			`six virtual_service.port["80"].real_server.rs1: destination [2001:db8::1]:80 tun weight 1 ipip`,
			`six virtual_service.port["80"]: service tcp/[2001:db8:1::99]:80 wlc`,
			`rs6 address.vip_tunnel["rs1"]: address 2001:db8:1::99/128 on ip6tnl0 nodad deprecated`,
			`rs6 link.tunnel["rs1"]: link ip6tnl0 ip6tnl up`,
		}},
		"tun of IPv4 in IPv6, by gue": {"tun", `vip = "192.0.2.99"
  port   = 80
  tunnel = { type = "gue", checksum = "remcsum" }` + six, []string{
			`six address.vip["dir1"]: address 192.0.2.99/32 on eth0 labelled eth0:0`,
			`six virtual_service.port["80"].real_server.rs1: destination [2001:db8::1]:80 tun weight 1 gue 6080 remcsum`,
			`six virtual_service.port["80"]: service tcp/192.0.2.99:80 wlc`,
			`rs6 address.vip_tunnel["rs1"]: address 192.0.2.99/32 on ipip6 labelled ipip6:0 broadcast 192.0.2.99`,
			`rs6 link.tunnel["rs1"]: fou ipv6 6080 gue`,
			`rs6 link.tunnel["rs1"]: link ipip6 ip6tnl ipip6 local 2001:db8::1 up`,
			`rs6 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_announce = 2`,
			`rs6 sysctl.arp["rs1"]: net.ipv4.conf.all.arp_ignore = 1`,
			`rs6 sysctl.rp_filter["rs1"]: net.ipv4.conf.ipip6.rp_filter = 2`,
		}},
		"tun of IPv6 in IPv4": {"tun", `vip = "2001:db8::99"` + "\nport = 80" + four, []string{
			`dir1 address.vip["dir1"]: address 2001:db8::99/128 on eth0 nodad deprecated`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:80 tun weight 1 ipip`,
			`dir1 virtual_service.port["80"]: service tcp/[2001:db8::99]:80 wlc`,
			`rs1 address.vip_tunnel["rs1"]: address 2001:db8::99/128 on sit0 nodad deprecated`,
			`rs1 link.tunnel["rs1"]: link sit0 sit up`,
		}},
		"tun of IPv6 in GRE": {"tun", `vip = "2001:db8::99"` + "\nport = 80\ntunnel = { type = \"gre\" }" + four, []string{
			`dir1 address.vip["dir1"]: address 2001:db8::99/128 on eth0 nodad deprecated`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:80 tun weight 1 gre`,
			`dir1 virtual_service.port["80"]: service tcp/[2001:db8::99]:80 wlc`,
			`rs1 address.vip_tunnel["rs1"]: address 2001:db8::99/128 on gre0 nodad deprecated`,
			`rs1 link.tunnel["rs1"]: link gre0 gre up`,
		}},
		"fullnat leaves real servers alone": {"fullnat", `vip = "192.0.2.99"
  ports          = [80, 443]
  source_address = "192.0.2.98"
  directors      = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers   = { rs1 = { host = host.rs1, port = 8080 } }`, []string{
			`dir1 address.vip["dir1"]: address 192.0.2.99/32 on eth0 labelled eth0:0`,
			`dir1 masquerade.port["443"]: masquerade tcp 192.0.2.99:443 to 10.0.0.1 source 192.0.2.98`,
			`dir1 masquerade.port["80"]: masquerade tcp 192.0.2.99:80 to 10.0.0.1 source 192.0.2.98`,
			`dir1 sysctl.conntrack["dir1"]: net.ipv4.vs.conntrack = 1`,
			`dir1 sysctl.forwarding["dir1"]: net.ipv4.ip_forward = 1`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.all.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.default.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.eth0.send_redirects = 0`,
			`dir1 virtual_service.port["443"].real_server.rs1: destination 10.0.0.1:8080 nat weight 1`,
			`dir1 virtual_service.port["443"]: service tcp/192.0.2.99:443 wlc`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.1:8080 nat weight 1`,
			`dir1 virtual_service.port["80"]: service tcp/192.0.2.99:80 wlc`,
		}},
		"fullnat with IPv6": {"fullnat", `vip = "2001:db8:1::99"` + "\nport = 80" + six, []string{
			`six address.vip["dir1"]: address 2001:db8:1::99/128 on eth0 nodad deprecated`,
			`six masquerade.port["80"]: masquerade tcp [2001:db8:1::99]:80 to 2001:db8::1`,
			`six sysctl.conntrack["dir1"]: net.ipv4.vs.conntrack = 1`,
			`six sysctl.forwarding["dir1"]: net.ipv6.conf.all.forwarding = 1`,
			`six virtual_service.port["80"].real_server.rs1: destination [2001:db8::1]:80 nat weight 1`,
			`six virtual_service.port["80"]: service tcp/[2001:db8:1::99]:80 wlc`,
		}},
		"several ports, a mapped one, and all that a service can say": {"nat", `vip = "192.0.2.99"
  ports           = [80, 443]
  scheduler       = "sh"
  scheduler_flags = ["sh-port", "sh-fallback"]
  persistence     = { timeout = "50s", netmask = 24 }
  gateway         = "10.0.0.254"
  directors       = { dir1 = { host = host.dir1, device = "eth0", interfaces = ["eth1"] } }
  real_servers    = {
    rs1 = { host = host.rs1, address = "10.0.0.7", port = 8080, thresholds = { upper = 100, lower = 80 } }
  }`, []string{
			`dir1 address.vip["dir1"]: address 192.0.2.99/32 on eth0 labelled eth0:0`,
			`dir1 sysctl.forwarding["dir1"]: net.ipv4.ip_forward = 1`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.all.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.default.send_redirects = 0`,
			`dir1 sysctl.redirects["dir1"]: net.ipv4.conf.eth1.send_redirects = 0`,
			`dir1 virtual_service.port["443"].real_server.rs1: destination 10.0.0.7:8080 nat weight 1 thresholds 100 80`,
			`dir1 virtual_service.port["443"]: service tcp/192.0.2.99:443 sh flags sh-fallback,sh-port persistent 50s/24`,
			`dir1 virtual_service.port["80"].real_server.rs1: destination 10.0.0.7:8080 nat weight 1 thresholds 100 80`,
			`dir1 virtual_service.port["80"]: service tcp/192.0.2.99:80 sh flags sh-fallback,sh-port persistent 50s/24`,
			`rs1 route.gateway["rs1"]: route 0.0.0.0/0 via 10.0.0.254 dev nic`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			topo, diags := loadModule(t, tc.source, tc.arguments)
			if len(diags) > 0 {
				t.Fatalf("findings: %+v", diags)
			}
			have := declared(t, topo)
			slices.Sort(have)
			slices.Sort(tc.want)
			if diff := gocmp.Diff(tc.want, have); diff != "" {
				t.Errorf("declared (-want +have):\n%s", diff)
			}
		})
	}
}

func TestModulesRefuse(t *testing.T) {
	for name, tc := range map[string]struct{ arguments, want string }{
		"neither port nor ports": {`vip = "10.0.0.99"` + four, "exactly one of port and ports"},
		"both port and ports":    {`vip = "10.0.0.99"` + "\nport = 80\nports = [80]" + four, "exactly one of port and ports"},
		"no port at all":         {`vip = "10.0.0.99"` + "\nports = []" + four, "at least one port"},
		"a VIP with a prefix":    {`vip = "10.0.0.99/32"` + "\nport = 80" + four, "without a prefix length"},
		"a VIP that is a name":   {`vip = "www.example.org"` + "\nport = 80" + four, "without a prefix length"},
		"an unknown protocol":    {`vip = "10.0.0.99"` + "\nport = 80\nprotocol = \"icmp\"" + four, "tcp, udp or sctp"},
		"two directors": {`vip = "10.0.0.99"
  port = 80
  directors = {
    dir1 = { host = host.dir1, device = "eth0" }
    dir2 = { host = host.rs1, device = "eth0" }
  }
  real_servers = {}`, "exactly one director"},
		"an unknown tunnel":               {`vip = "10.0.0.99"` + "\nport = 80\ntunnel = { type = \"vxlan\" }" + four, "ipip, gue or gre"},
		"a checksum without gue":          {`vip = "10.0.0.99"` + "\nport = 80\ntunnel = { checksum = \"csum\" }" + four, "needs type gue"},
		"gre to an IPv6 address":          {`vip = "2001:db8::99"` + "\nport = 80\ntunnel = { type = \"gre\" }" + six, "real servers with IPv4 addresses"},
		"advmss without a route for it":   {`vip = "10.0.0.99"` + "\nport = 80\nadvmss = 1400" + four, "give every real server a gateway"},
		"a routing table of the system's": {`vip = "10.0.0.99"` + "\nport = 80\nrouting_table = 254" + four, "from 1 to 252"},
	} {
		for _, source := range modes(t) {
			t.Run(source+"/"+name, func(t *testing.T) {
				_, diags := loadModule(t, source, tc.arguments)
				var text []string
				for _, d := range diags {
					text = append(text, d.Range.String()+" "+d.Summary+": "+d.Detail)
				}
				if len(diags) != 1 || !diags.HasErrors() || !strings.Contains(text[0], tc.want) {
					t.Errorf("findings %q, want one error with %q", text, tc.want)
				}
			})
		}
	}
}

func TestOneWordChangesTheMode(t *testing.T) {
	arguments := `vip = "10.0.0.99"
  port = 80
  gateway = "10.0.0.10"
  ip_forward = true
  send_redirects = false
  host_route = true
  real_server_ip_forward = false
  scheduler_flags = []
  persistence     = { timeout = "50s" }
  tunnel          = { type = "gue", port = 6081, checksum = "csum" }
  drain_timeout   = "5s"
  mtu             = 1400
  advmss          = 1360
  routing_table   = 7
  source_address  = "10.0.0.10"
  directors       = { dir1 = { host = host.dir1, device = "eth0", label = "eth0:web", interfaces = ["eth0", "eth1"] } }
  real_servers    = { rs1 = { host = host.rs1, label = "lo:web", gateway = "10.0.0.2", weight = 7 } }
`
	for _, source := range modes(t) {
		topo, diags := loadModule(t, source, arguments)
		if len(diags) > 0 {
			t.Errorf("%s: %+v", source, diags)
			continue
		}
		for _, r := range topo.Resources {
			if v, ok := r.Body.(*topology.VirtualService); ok && (v.DrainTimeout == nil || *v.DrainTimeout != 5*time.Second) {
				t.Errorf("%s: %s drains for %v, not for 5 seconds", source, r.Path, v.DrainTimeout)
			}
		}
	}
}

// A topology changes its mode by changing the word in `source`, so every mode
// takes the same variables and yields the same outputs.
func TestModesShareVariablesAndOutputs(t *testing.T) {
	for _, file := range []string{"variables.hcl", "outputs.hcl"} {
		want, err := fs.ReadFile(modules.FS, "dr/"+file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range modes(t) {
			have, err := fs.ReadFile(modules.FS, name+"/"+file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), string(have)); diff != "" {
				t.Errorf("%s of dr and %s differ:\n%s", file, name, diff)
			}
		}
	}
}

// Every module's example is what its README shows.
func TestModuleExamplesLoad(t *testing.T) {
	for _, name := range names(t) {
		topo, diags := hcl.Load(hcl.Options{Dir: filepath.Join(name, "example")})
		if len(diags) > 0 {
			t.Errorf("%s: %+v", name, diags)
			continue
		}
		if len(topo.Resources) == 0 {
			t.Errorf("%s declares nothing", name)
		}
	}
}

func names(t *testing.T) []string {
	t.Helper()
	entries, err := fs.ReadDir(modules.FS, ".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// modes are the modules that differ by the mode of forwarding.
func modes(t *testing.T) []string {
	return slices.DeleteFunc(names(t), func(name string) bool { return name == "ha" })
}

func loadModule(t *testing.T, source, arguments string) (*topology.Topology, topology.Diagnostics) {
	t.Helper()
	dir := t.TempDir()
	text := hosts + "module \"m\" {\n  source = \"lvsform://" + source + "\"\n  " + arguments + "\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return hcl.Load(hcl.Options{Dir: dir})
}
