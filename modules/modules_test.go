package modules_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

const hosts = `
topology "t" {}
host "dir1" { address = "10.0.0.10" }
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
	} {
		for _, source := range names(t) {
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
` + four
	for _, source := range names(t) {
		if _, diags := loadModule(t, source, arguments); len(diags) > 0 {
			t.Errorf("%s: %+v", source, diags)
		}
	}
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

// declared lists what a plan on bare hosts creates, one line an object.
func declared(t *testing.T, topo *topology.Topology) []string {
	t.Helper()
	p := planner.Build(planner.Input{Topology: topo, Live: bareHosts(t, topo)})
	if p.Diagnostics.HasErrors() {
		t.Fatalf("findings: %+v", p.Diagnostics)
	}
	var lines []string
	for _, c := range p.Changes {
		if text := describeObject(c.After); text != "" {
			lines = append(lines, c.Host+" "+strings.TrimPrefix(c.Address(), "module.m.")+": "+text)
		}
	}
	return lines
}

// bareHosts have an interface with their address, and no sysctl as wanted.
func bareHosts(t *testing.T, topo *topology.Topology) map[string]planner.Live {
	t.Helper()
	live := map[string]planner.Live{}
	for host, names := range planner.Queries(topo) {
		address := topo.Host(host).Address
		bits := 24
		if address.Is6() {
			bits = 64
		}
		var l planner.Live
		for _, name := range names.Sysctls {
			l.Objects = append(l.Objects, state.Sysctl{Name: name, Value: "9"})
		}
		l.Objects = append(l.Objects, state.Address{Device: "nic", IP: netip.PrefixFrom(address, bits), Scope: "global"})
		live[host] = l
	}
	return live
}

// describeObject is one line about an object; "" for a kernel module.
func describeObject(o state.Object) string {
	var words []string
	add := func(condition bool, more ...string) {
		if condition {
			words = append(words, more...)
		}
	}
	switch o := o.(type) {
	case state.Sysctl:
		add(true, o.Name, "=", o.Value)
	case state.Address:
		add(true, "address", o.IP.String(), "on", o.Device)
		add(o.Label != "", "labelled", o.Label)
		add(o.Broadcast.IsValid(), "broadcast", o.Broadcast.String())
		add(o.NoDAD, "nodad")
		add(o.Deprecated, "deprecated")
	case state.Route:
		add(true, "route", o.To.String())
		add(o.Via.IsValid(), "via", o.Via.String())
		add(o.Device != "", "dev", o.Device)
	case state.Service:
		add(true, "service", o.ServiceID.String(), o.Scheduler)
		add(o.SchedulerFlags != "", "flags", o.SchedulerFlags)
		add(o.Timeout > 0, "persistent", o.Timeout.String()+"/"+strconv.Itoa(o.Netmask))
	case state.Destination:
		add(true, "destination", netip.AddrPortFrom(o.Address, o.Port).String(), o.Forward, "weight", strconv.Itoa(o.Weight))
		add(o.Upper > 0, "thresholds", strconv.FormatUint(uint64(o.Upper), 10), strconv.FormatUint(uint64(o.Lower), 10))
	}
	return strings.Join(words, " ")
}
