package check_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func route(to, via string) state.Route {
	r := state.Route{Table: state.TableMain, Via: netip.MustParseAddr(via), Device: "eth0", Protocol: 4}
	switch {
	case to != "default":
		r.To = netip.MustParsePrefix(to)
	case r.Via.Is4():
		r.To = netip.MustParsePrefix("0.0.0.0/0")
	default:
		r.To, r.Metric = netip.MustParsePrefix("::/0"), 1024
	}
	if r.Via.Is4() {
		r.Scope = "global"
	}
	return r
}

// The scenes are without a fault, offline and live. So each test below that
// changes one line of one differs from a cluster that works in that line only.
func TestScenesHaveNoFault(t *testing.T) {
	for name, scene := range map[string]string{"dr": direct, "nat": natted, "tun": tunnelled, "fullnat": fullNAT, "mark": marked, "pair": paired} {
		t.Run(name, func(t *testing.T) {
			if _, ds := judge(t, scene, nil); len(ds) > 0 {
				t.Errorf("offline: %+v", ds)
			}
			if name == "mark" { // its real servers are not described
				return
			}
			_, ds := judge(t, scene, observed(t, scene))
			ds = slices.DeleteFunc(ds, func(d topology.Diagnostic) bool { return d.Severity == topology.Info })
			if len(ds) > 0 {
				t.Errorf("live: %+v", ds)
			}
		})
	}
}

// fault changes one place of a scene.
type fault struct {
	scene, old, text string
	want             []string
}

// Each fault is found without a host.
var offline = map[string]fault{
	"LVS001 a port mapping in DR": {direct, "    host = host.rs1\n", "    host = host.rs1\n    port = 8080\n",
		[]string{`LVS001 error: port = 8080`}},
	"LVS001 a port mapping in TUN": {tunnelled, "    host = host.rs1\n", "    host = host.rs1\n    port = 8080\n",
		[]string{`LVS001 error: port = 8080`}},
	"LVS002 a real server on another network": {direct, "    host = host.rs1\n", "    address = \"198.51.100.11\"\n",
		[]string{`LVS002 error: address = "198.51.100.11"`}},
	"LVS003 the real server's gateway is a fact, and not the director": {natted, `  gateway = "192.168.10.254"`, `  gateway = "192.168.10.253"`,
		[]string{`LVS003 error: gateway = "192.168.10.253"`}},
	"LVS003 the real server's declared default route is not the director": {natted, `  via  = "192.168.10.254"`, `  via  = "192.168.10.252"`,
		[]string{`LVS003 error: via = "192.168.10.252"`}},
	"LVS003 a rule sends the answers elsewhere": {natted, "", `rule "away" {
  host     = host.rs2
  from     = "192.168.10.2"
  table    = 9
  priority = 9
}
route "away" {
  host  = host.rs2
  to    = "default"
  via   = "192.168.10.250"
  table = 9
}
`, []string{`LVS003 error: via = "192.168.10.250"`}},
	"LVS004 the director is the gateway of a DR real server": {direct, "  address = \"192.0.2.11\"\n  gateway = \"192.0.2.1\"", "  address = \"192.0.2.11\"\n  gateway = \"192.0.2.2\"",
		[]string{`LVS004 error: gateway = "192.0.2.2"`}},
	"LVS005 the VIP is missing on a real server": {direct, "  host   = host.rs1\n  ip     = \"192.0.2.100/32\"", "  host   = host.rs1\n  ip     = \"192.0.2.10/32\"",
		[]string{`LVS005 error: host = host.rs1`}},
	"LVS005 the value of lo has no effect": {direct, "net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.lo.arp_ignore",
		[]string{`LVS005 error: settings = { "net.ipv4.conf.lo.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }`}},
	"LVS005 arp_ignore 3 answers for a global VIP": {direct, `arp_ignore" = 1`, `arp_ignore" = 3`,
		[]string{`LVS005 error: settings = { "net.ipv4.conf.all.arp_ignore" = 3, "net.ipv4.conf.all.arp_announce" = 2 }`}},
	"LVS005 arp_announce 1": {direct, `arp_announce" = 2`, `arp_announce" = 1`,
		[]string{`LVS005 error: settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 1 }`}},
	"LVS006 a /24 VIP on lo": {direct, "  host   = host.rs1\n  ip     = \"192.0.2.100/32\"", "  host   = host.rs1\n  ip     = \"192.0.2.100/24\"",
		[]string{`LVS006 error: ip = "192.0.2.100/24"`}},
	"LVS007 the VIP of the service is not that of the interface": {direct, `  address   = "192.0.2.100"`, `  address   = "192.0.2.101"`,
		[]string{`LVS005 error: host = host.rs1`, `LVS007 error: address = "192.0.2.101"`}},
	"LVS007 the VIP of the interface is not that of the service": {natted, `203.0.113.100/32`, `203.0.113.101/32`,
		[]string{`LVS007 error: address = "203.0.113.100"`}},
	"LVS008 a host route on lo for the gateway": {direct, `  to     = "192.0.2.100/32"`, `  to     = "192.0.2.1/32"`,
		[]string{`LVS008 error: to = "192.0.2.1/32"`}},
	"LVS009 the same real server twice": {direct, "    host = host.rs1\n  }\n", "    host = host.rs1\n  }\n  real_server \"again\" {\n    address = \"192.0.2.11\"\n  }\n",
		[]string{`LVS009 error: real_server "again" {`}},
	"LVS009 the same service twice": {direct, "", `virtual_service "again" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "rr"
}
`, []string{`LVS009 error: address = "192.0.2.100"`}},
	"LVS011 no forwarding in NAT": {natted, `"net.ipv4.ip_forward"                 = 1`, `"net.ipv4.ip_forward"                 = 0`,
		[]string{`LVS011 error: settings = {`}},
	"LVS011 no forwarding in FullNAT": {fullNAT, `"net.ipv4.ip_forward" = 1`, `"net.ipv4.ip_forward" = 0`,
		[]string{`LVS011 error: settings = { "net.ipv4.ip_forward" = 0, "net.ipv4.vs.conntrack" = 1 }`}},
	"LVS013 a strict filter": {tunnelled, `rp_filter" = 2`, `rp_filter" = 0`,
		[]string{`LVS013 error: settings = { "net.ipv4.conf.tunl0.rp_filter" = 0, "net.ipv4.conf.all.rp_filter" = 1 }`}},
	"LVS013 a tunnel that is down": {tunnelled, "  up   = true", "  up   = false",
		[]string{`LVS013 error: up = false`}},
	"LVS014 no conntrack": {fullNAT, `conntrack" = 1`, `conntrack" = 0`,
		[]string{`LVS014 error: settings = { "net.ipv4.ip_forward" = 1, "net.ipv4.vs.conntrack" = 0 }`}},
	"LVS014 a real server without source NAT": {fullNAT, `, "192.168.20.2"]`, `]`,
		[]string{`LVS014 error: host = host.rs2`}},
	"LVS015 a flag of another scheduler": {direct, `  scheduler = "wlc"`, "  scheduler = \"wlc\"\n  scheduler_flags = [\"sh-port\"]",
		[]string{`LVS015 error: scheduler_flags = ["sh-port"]`}},
	"LVS015 thresholds the wrong way round": {direct, "    host = host.rs1\n", "    host = host.rs1\n    upper_threshold = 10\n    lower_threshold = 20\n",
		[]string{`LVS015 error: lower_threshold = 20`}},
	"LVS015 a weight out of range": {direct, "    host = host.rs1\n", "    host = host.rs1\n    weight = -1\n",
		[]string{`LVS015 error: weight = -1`}},
	"LVS015 port 0 without persistence": {direct, "  port      = 80", "  port      = 0",
		[]string{`LVS015 error: port = 0`}},
	"LVS016 a service that no mark feeds": {marked, "  fwmark  = 7", "  fwmark  = 8",
		[]string{`LVS016 warning: fwmark = 8`, `LVS016 warning: mark = 7`}},
	"LVS007 a marked address on no interface": {marked, `ip     = "192.0.2.100/32"`, `ip     = "192.0.2.101/32"`,
		[]string{`LVS007 error: address = "192.0.2.100"`}},
	"LVS005 a marked address that the real server does not hold": {marked, `host "rs1" { address = "192.0.2.11" }`,
		"host \"rs1\" {\n  address = \"192.0.2.11\"\n  interface \"eth0\" { addresses = [\"192.0.2.11/24\"] }\n}",
		[]string{`LVS005 error: host = host.rs1`}},
	"LVS010 the backup's priority is above the master's": {paired, "  priority          = 90", "  priority          = 110",
		[]string{`LVS010 error: priority = 100`}},
	"LVS010 the priorities are the same": {paired, "  priority          = 90", "  priority          = (100)",
		[]string{`LVS010 error: priority = 100`}},
	"LVS010 the priorities are the same, and nobody is the declared master": {strings.Replace(paired, "\"MASTER\"", "\"BACKUP\"", 1), "  priority          = 90", "  priority          = (100)",
		[]string{`LVS010 warning: priority = 100`}},
	"LVS010 two ids of one address": {paired, "= (51)", "= 52",
		[]string{`LVS010 error: virtual_router_id = 52`}},
	"LVS010 another interval": {paired, `"1000ms"`, `"2s"`,
		[]string{`LVS010 error: advert_interval = "2s"`}},
	"LVS010 another version": {strings.NewReplacer(`authentication { password = "one" }`, "", `authentication { password = "o${"n"}e" }`, "version = 2").Replace(paired), "version = 2", "version = 3",
		[]string{`LVS010 error: version = 3`}},
	"LVS010 another password": {paired, `password = "one"`, `password = "two"`,
		[]string{`LVS010 error: authentication { password = "o${"n"}e" }`}},
	"LVS010 a password on one side": {paired, `authentication { password = "one" }`, ``,
		[]string{`LVS010 error: authentication { password = "o${"n"}e" }`}},
	"LVS010 another address beside the first": {paired, `"192.0.2.${100}/32" }`, `"192.0.2.${100}/32" }
  virtual_address "vip2" {
    ip       = "192.0.2.101/32"
    excluded = false
  }`, []string{`LVS010 error: virtual_address "vip" { ip = "192.0.2.${100}/32" }`}},
	"LVS010 unicast on one side": {paired, `authentication { password = "one" }`, "authentication { password = \"one\" }\n  unicast { peers = [host.dir2] }",
		[]string{`LVS010 error: vrrp_instance "two" {`}},
	"LVS010 unicast to somebody else": {strings.Replace(paired, `authentication { password = "one" }`, "authentication { password = \"one\" }\n  unicast { peers = [host.dir2] }", 1),
		`authentication { password = "o${"n"}e" }`, "authentication { password = \"one\" }\n  unicast { peers = [\"192.0.2.9\"] }",
		[]string{`LVS010 error: unicast { peers = ["192.0.2.9"] }`}},
	"LVS010 one id of two groups": {paired, "", another,
		[]string{`LVS010 error: virtual_router_id = 51`}},
	"LVS010 a sync group with two masters": {strings.NewReplacer("  virtual_router_id = 51\n", "  virtual_router_id = 51\n  sync_group = \"web\"\n",
		"  virtual_router_id = (51)\n", "  virtual_router_id = 51\n  sync_group = \"web\"\n").Replace(paired), "", second,
		[]string{`LVS010 error: priority = each.key == "dir1" ? 10 : 20`}},
	"LVS018 two checkers for one table": {paired, "", `virtual_service "more" {
  host     = host.dir1
  protocol = "tcp"
  address  = "192.0.2.100"
  port     = 81
  checker  = "ldirectord"
  health_check "tcp" {}
}
`, []string{`LVS018 error: health_check "tcp" {}`}},
	"LVS018 a fallback without a checker": {direct, "    host = host.rs1\n  }\n", "    host = host.rs1\n  }\n  fallback { address = \"192.0.2.12\" }\n",
		[]string{`LVS018 error: fallback { address = "192.0.2.12" }`}},
	"LVS018 a fallback on lo by NAT": {natted, "    port = 8080\n  }\n", "    port = 8080\n  }\n  health_check \"tcp\" {}\n  fallback {\n    address = \"127.0.0.1\"\n    forward = \"nat\"\n  }\n",
		[]string{`LVS018 error: forward = "nat"`}},
	"LVS023 fractions of a second in version 2": {strings.Replace(paired, `"1000ms"`, `"500ms"`, 1), `"1s"`, `"500ms"`,
		[]string{`LVS023 error: advert_interval = "500ms"`, `LVS023 error: advert_interval = "500ms"`}},
	"LVS023 a password too long": {strings.Replace(paired, `"o${"n"}e"`, `"123456789"`, 1), `password = "one"`, `password = "123456789"`,
		[]string{`LVS023 error: authentication { password = "123456789" }`, `LVS023 error: authentication { password = "123456789" }`}},
	"LVS023 authentication in version 3": {strings.Replace(paired, `authentication { password = "one" }`, "version = 3\n  authentication { password = \"one\" }", 1),
		`authentication { password = "o$`, "version = 3\n  authentication { password = \"o$",
		[]string{`LVS023 error: authentication { password = "o${"n"}e" }`, `LVS023 error: authentication { password = "one" }`}},
	"LVS024 a check that is none": {paired, `  health_check "tcp" {}
  real_server`, `  checker = "ldirectord"
  health_check "on" {}
  real_server`, []string{`LVS024 warning: health_check "on" {}`}},
	"LVS028 both sync daemons and backup_only": {paired + both, `"net.ipv4.vs.backup_only" = 0`, `"net.ipv4.vs.backup_only" = 1`,
		[]string{`LVS028 warning: settings = { "net.ipv4.vs.backup_only" = 1 }`}},
	"LVS028 the backup is a real server too": {paired, `  checker  = "keepalived"
  real_server "rs1" {
    host = host.rs1
  }
}
`, `  checker  = "keepalived"
  real_server "rs1" {
    host = host.rs1
  }
  real_server "dir1" {
    host = host.dir1
  }
}
address "lo1" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "lo"
}
sysctl "arp1" {
  host     = host.dir1
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
`, []string{`LVS028 warning: host = host.dir1`}},
	"LVS005 the backup is a real server too, with the floating VIP alone": {paired, `  checker  = "keepalived"
  real_server "rs1" {
    host = host.rs1
  }
}
`, `  checker  = "keepalived"
  real_server "dir1" {
    host = host.dir1
  }
}
sysctl "backup" {
  host     = host.dir1
  settings = { "net.ipv4.vs.backup_only" = 1 }
}
`, []string{`LVS005 error: host = host.dir1`}},
	"LVS007 the floating VIP is another": {strings.Replace(paired, `{ ip = "192.0.2.${100}/32" }`, `{ ip = "192.0.2.101/32" }`, 1), `{ ip = "192.0.2.100/32" }`, `{ ip = "192.0.2.101/32" }`,
		[]string{`LVS007 error: address = "192.0.2.100"`, `LVS007 error: address = "192.0.2.100"`}},
	"LVS020 a VIP that floats and stays": {paired, "", "address \"fixed\" {\n  host   = host.dir2\n  ip     = \"192.0.2.100/32\"\n  device = \"eth0\"\n}\n",
		[]string{`LVS020 error: ip = "192.0.2.100/32"`, `LVS020 error: ip = "192.0.2.100/32"`}},
	"LVS020 a director's own address floats": {strings.Replace(paired, `{ ip = "192.0.2.${100}/32" }`, "{ ip = \"192.0.2.${100}/32\" }\n  virtual_address \"vip2\" { ip = \"192.0.2.3/32\" }", 1), "", "",
		[]string{`LVS020 error: virtual_address "vip2" { ip = "192.0.2.3/32" }`}},
	"LVS017 a dead server stays in a persistent service": {paired, `  checker  = "keepalived"
`, `  checker   = "keepalived"
  quiescent = true
  persistence {}
  health_check "tcp" {}
`, nil},
	"LVS017 a dead server stays, and clients with it": {paired + "sysctl \"expire\" {\n  host     = host.dir2\n  settings = { \"net.ipv4.vs.expire_quiescent_template\" = 0 }\n}\n", `  checker  = "keepalived"
`, `  checker  = "ldirectord"
  persistence {}
  health_check "tcp" {}
`, []string{`LVS017 warning: persistence {}`}},
	"LVS017 a drained server of a persistent service": {direct, "    host = host.rs1\n  }\n", `    host   = host.rs1
    weight = 0
  }
  persistence {}
}
sysctl "ipvs" {
  host     = host.dir1
  settings = { "net.ipv4.vs.expire_quiescent_template" = 0 }
`, []string{`LVS017 warning: weight = 0`}},
	"LVS020 a VIP on two directors": {direct, "", `host "dir2" {
  address = "192.0.2.3"
  interface "eth0" { addresses = ["192.0.2.3/24"] }
}
address "too" {
  host   = host.dir2
  ip     = "192.0.2.100/32"
  device = "eth0"
}
`, []string{`LVS020 error: ip = "192.0.2.100/32"`}},
	"LVS020 a VIP on a NIC of the real server": {direct, "  device = \"lo\"\n}\nroute", "  device = \"eth0\"\n}\nroute",
		[]string{`LVS020 error: ip = "192.0.2.100/32"`}},
	"LVS020 a VIP that is a host's address": {direct, "", `host "db1" { address = "192.0.2.100" }
`, []string{`LVS020 error: address = "192.0.2.100"`, `LVS020 error: ip = "192.0.2.100/32"`}},
	"LVS021 mixed families outside TUN": {direct, "    host = host.rs1\n", "    address = \"2001:db8::11\"\n",
		[]string{`LVS021 error: address = "2001:db8::11"`}},
}

func TestFaultsAreFoundOffline(t *testing.T) {
	for name, f := range offline {
		t.Run(name, func(t *testing.T) {
			config := edit(t, f.scene, f.old, f.text)
			_, ds := judge(t, config, nil)
			ds = slices.DeleteFunc(ds, func(d topology.Diagnostic) bool { return strings.Contains(d.Summary, " cannot be configured on ") }) // a consequence
			got := shown(t, config, ds)
			slices.Sort(got)
			if diff := cmp.Diff(f.want, got); diff != "" {
				t.Errorf("%s\n%+v", diff, ds)
			}
		})
	}
}

// What is no fault, as near to one as can be.
func TestNeighboursOfFaultsPass(t *testing.T) {
	for name, f := range map[string]fault{
		"LVS001 the service's own port": {scene: direct, old: "    host = host.rs1\n", text: "    host = host.rs1\n    port = 80\n"},
		"LVS002 another network that the director is on too": {scene: edit(t, direct, "    host = host.rs1\n", "    address = \"198.51.100.11\"\n"),
			old: `addresses = ["192.0.2.2/24"]`, text: `addresses = ["192.0.2.2/24", "198.51.100.2/24"]`},
		"LVS003 the wrong gateway, and a rule for what comes from the real server": {scene: edit(t, natted, `  via  = "192.168.10.254"`, `  via  = "192.168.10.252"`),
			text: "rule \"back\" {\n  host = host.rs2\n  from = \"192.168.10.2\"\n  table = 9\n  priority = 9\n}\nroute \"back\" {\n  host = host.rs2\n  to = \"default\"\n  via = \"192.168.10.254\"\n  table = 9\n}\n"},
		"LVS003 a gateway that is a router of the topology, behind which is the director": {scene: edit(t, natted, `  via  = "192.168.10.254"`, `  via  = "192.168.10.252"`),
			text: "host \"router\" {\n  address = \"192.168.10.252\"\n  gateway = \"192.168.10.254\"\n  interface \"eth0\" { addresses = [\"192.168.10.252/24\"] }\n}\n"},
		"LVS003 nothing is known of the real server's gateway": {scene: natted, old: "  gateway = \"192.168.10.254\"\n"},
		"LVS004 the director is the gateway, but not of what comes from the VIP": {scene: edit(t, direct, "  address = \"192.0.2.11\"\n  gateway = \"192.0.2.1\"", "  address = \"192.0.2.11\"\n  gateway = \"192.0.2.2\""),
			text: "rule \"answers\" {\n  host = host.rs1\n  from = \"192.0.2.100\"\n  table = 100\n  priority = 100\n}\nroute \"answers\" {\n  host = host.rs1\n  to = \"default\"\n  via = \"192.0.2.1\"\n  table = 100\n}\n"},
		"LVS004 the director is the gateway, and takes its own address": {scene: edit(t, direct, "  address = \"192.0.2.11\"\n  gateway = \"192.0.2.1\"", "  address = \"192.0.2.11\"\n  gateway = \"192.0.2.2\""),
			text: "sysctl \"local\" {\n  host = host.dir1\n  settings = { \"net.ipv4.conf.all.accept_local\" = 1 }\n}\n"},
		"LVS005 arp_ignore 2":                                    {scene: direct, old: `arp_ignore" = 1`, text: `arp_ignore" = 2`},
		"LVS005 on the NIC alone":                                {scene: direct, old: "net.ipv4.conf.all.arp_ignore", text: "net.ipv4.conf.eth0.arp_ignore"},
		"LVS005 nothing known of ARP":                            {scene: direct, old: `"net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2`, text: `"net.ipv4.ip_forward" = 0`},
		"LVS005 the VIP as a fact":                               {scene: edit(t, direct, "address \"lo\" {\n  host   = host.rs1\n  ip     = \"192.0.2.100/32\"\n  device = \"lo\"\n}\n", ""), old: `  interface "eth0" { addresses = ["192.0.2.11/24"] }`, text: "  interface \"eth0\" { addresses = [\"192.0.2.11/24\"] }\n  interface \"lo\" { addresses = [\"192.0.2.100/32\"] }"},
		"LVS006 an address of its own on lo":                     {scene: direct, text: "address \"own\" {\n  host = host.rs1\n  ip = \"10.9.9.9/24\"\n  device = \"lo\"\n}\n"},
		"LVS008 a host route on a NIC":                           {scene: direct, old: "  to     = \"192.0.2.100/32\"\n  device = \"lo\"", text: "  to     = \"192.0.2.1/32\"\n  device = \"eth0\""},
		"LVS009 the same host with another port":                 {scene: natted, old: "  real_server \"rs2\" {\n    host = host.rs2\n", text: "  real_server \"rs2\" {\n    host = host.rs1\n    port = 8081\n"},
		"LVS009 the same address and port with another protocol": {scene: direct, text: "virtual_service \"udp\" {\n  host = host.dir1\n  protocol = \"udp\"\n  address = \"192.0.2.100\"\n  port = 80\n}\n"},
		"LVS011 no forwarding in DR":                             {scene: direct, text: "sysctl \"f\" {\n  host = host.dir1\n  settings = { \"net.ipv4.ip_forward\" = 0 }\n}\n"},
		"LVS013 no filter at all":                                {scene: tunnelled, old: `"net.ipv4.conf.tunl0.rp_filter" = 2, "net.ipv4.conf.all.rp_filter" = 1`, text: `"net.ipv4.conf.tunl0.rp_filter" = 0, "net.ipv4.conf.all.rp_filter" = 0`},
		"LVS014 a server without source NAT that has the director as its gateway": {scene: edit(t, fullNAT, `, "192.168.20.2"]`, `]`),
			old: "192.168.20.253\"\n  interface \"eth0\" { addresses = [\"192.168.20.2/24\"] }", text: "192.168.10.254\"\n  interface \"eth0\" { addresses = [\"192.168.20.2/24\"] }"},
		"LVS015 a flag of the scheduler":                     {scene: direct, old: `  scheduler = "wlc"`, text: "  scheduler = \"sh\"\n  scheduler_flags = [\"sh-port\"]"},
		"LVS016 a mark that a rule uses":                     {scene: edit(t, marked, "  fwmark  = 7\n", "  protocol = \"tcp\"\n  address = \"127.0.0.1\"\n  port = 81\n"), text: "rule \"r\" {\n  host = host.dir1\n  fwmark = 7\n  table = 9\n  priority = 9\n}\n"},
		"LVS017 a drained server without persistence":        {scene: direct, old: "    host = host.rs1\n", text: "    host = host.rs1\n    weight = 0\n"},
		"LVS020 the VIP on a dummy of the real server":       {scene: direct, old: "  device = \"lo\"\n}\nroute", text: "  device = \"dummy0\"\n}\nroute"},
		"LVS021 mixed families in TUN without a sync daemon": {scene: tunnelled, old: "    host = host.rs1\n", text: "    address = \"2001:db8::11\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			config := edit(t, f.scene, f.old, f.text)
			if _, ds := judge(t, config, nil); len(ds) > 0 {
				t.Errorf("%q %+v", shown(t, config, ds), ds)
			}
		})
	}
}

func TestFaultsOfSeveralLines(t *testing.T) {
	oneNetwork := strings.NewReplacer("203.0.113.100", "192.168.10.100", `device = "eth0"`, `device = "eth1"`).Replace(natted)
	synced := edit(t, edit(t, tunnelled, "    host = host.rs1\n", "    address = \"2001:db8::11\"\n"), "", `ipvs "sync" {
  host = host.dir1
  sync "master" {
    interface = "eth0"
  }
}
`)
	for name, tc := range map[string]struct {
		config string
		want   []string
	}{
		"LVS027 clients on the real servers' network": {oneNetwork, []string{
			`LVS027 warning: address = "192.168.10.100"`, `LVS027 warning: address = "192.168.10.100"`}},
		"LVS012 redirects on one network": {strings.Replace(oneNetwork, `"net.ipv4.conf.all.send_redirects"    = 0`, `"net.ipv4.conf.all.send_redirects"    = 1`, 1), []string{
			`LVS012 warning: settings = {`, `LVS027 warning: address = "192.168.10.100"`, `LVS027 warning: address = "192.168.10.100"`}},
		"LVS021 mixed families beside a sync daemon": {synced, []string{`LVS021 error: address = "2001:db8::11"`}},
		"LVS019 more than twenty servers":            {manyServers(21), []string{`LVS019 info: forward = "nat"`}},
		"LVS019 twenty servers":                      {manyServers(20), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, ds := judge(t, tc.config, nil)
			got := shown(t, tc.config, ds)
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n%+v", diff, ds)
			}
		})
	}
}

func manyServers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  real_server \"more%d\" {\n    address = \"192.168.11.%d\"\n  }\n", i, i+1)
	}
	return strings.Replace(natted, "  real_server \"rs1\" {\n    host = host.rs1\n    port = 8080\n  }\n  real_server \"rs2\" {\n    host = host.rs2\n  }\n", b.String(), 1)
}

// Every check has a test that finds it.
func TestEveryCheckIsTested(t *testing.T) {
	tested := map[string]bool{}
	for name := range offline {
		tested[name[:6]] = true
	}
	for name := range liveFaults {
		tested[name[:6]] = true
	}
	for _, c := range check.All() {
		if !tested[c.ID] && !slices.Contains([]string{"LVS012", "LVS019", "LVS027"}, c.ID) {
			t.Errorf("nothing triggers %s", c.ID)
		}
	}
}

// change edits what a host reports.
type change func(planner.Live) planner.Live

func with(objects ...state.Object) change {
	return func(l planner.Live) planner.Live {
		have := l.Objects.ByKey()
		for _, o := range objects {
			have[o.Key()] = o
		}
		l.Objects = nil
		for _, o := range have {
			l.Objects = append(l.Objects, o)
		}
		l.Objects.Sort()
		return l
	}
}

func without(keys ...state.Key) change {
	return func(l planner.Live) planner.Live {
		l.Objects = slices.DeleteFunc(slices.Clone(l.Objects), func(o state.Object) bool { return slices.Contains(keys, o.Key()) })
		return l
	}
}

func facts(f state.Facts) change {
	return func(l planner.Live) planner.Live { l.Facts = f; return l }
}

func boot(o state.BootOwner) change { return facts(state.Facts{Boot: []state.BootOwner{o}}) }

func sysctl(name, value string) state.Sysctl { return state.Sysctl{Name: name, Value: value} }

func address(device, ip string) state.Address {
	return state.Address{Device: device, IP: netip.MustParsePrefix(ip), Scope: "global"}
}

func listener(address string, port uint16) state.Listener {
	return state.Listener{Protocol: "tcp", Address: netip.MustParseAddr(address), Port: port}
}

var (
	noARP   = strings.Replace(direct, `"net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2`, `"net.ipv4.ip_forward" = 0`, 1)
	noQuiet = strings.Replace(direct, "    host = host.rs1\n  }\n", "    host   = host.rs1\n    weight = 0\n  }\n  persistence {}\n", 1)
	noRoute = strings.Replace(natted, "route \"gateway\" {\n  host = host.rs2\n  to   = \"default\"\n  via  = \"192.168.10.254\"\n}\n", "", 1)
	ipv6    = strings.NewReplacer("192.0.2.100/32", "2001:db8::100/128", "192.0.2.100", "2001:db8::100", "192.0.2.", "2001:db8::", "/24", "/64",
		`settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }`, `settings = { "net.ipv6.conf.all.forwarding" = 1 }`).Replace(direct)
	router6 = state.Route{To: netip.MustParsePrefix("::/0"), Table: state.TableMain, Metric: 1024, Via: netip.MustParseAddr("fe80::1"), Device: "eth0", Protocol: 9}
)

func filter(drops bool, verdicts ...state.Verdict) state.Facts {
	return state.Facts{Filters: []state.Filter{{Family: "inet", Table: "filter", Chain: "input", Hook: "input", Drops: drops, Verdicts: verdicts}}}
}

type liveFault struct {
	scene string
	host  string
	live  change
	want  []string // nil: no fault
}

var liveFaults = map[string]liveFault{
	"LVS003 the live gateway is another":      {noRoute, "rs2", with(route("default", "192.168.10.253")), []string{`LVS003 error: host = host.rs2`}},
	"LVS003 the live gateway is the director": {noRoute, "rs2", with(route("default", "192.168.10.254")), nil},
	"LVS003 a rule by hand sends the answers elsewhere": {natted, "rs1", with(
		state.Rule{Family: "ipv4", Priority: 10, From: netip.MustParsePrefix("192.168.10.1/32"), Table: 9},
		state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: 9, Via: netip.MustParseAddr("192.168.10.250"), Device: "eth0", Scope: "global"}), []string{`LVS003 error: host = host.rs1`}},
	"LVS003 a rule that is not understood": {natted, "rs1", with(
		state.Rule{Family: "ipv4", Priority: 10, From: netip.MustParsePrefix("192.168.10.1/32"), Table: 9, Other: "iif eth0"},
		state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: 9, Via: netip.MustParseAddr("192.168.10.250"), Device: "eth0", Scope: "global"}), nil},
	"LVS003 a better metric leads elsewhere": {noRoute, "rs2", with(
		func() state.Route { r := route("default", "192.168.10.254"); r.Metric = 100; return r }(), route("default", "192.168.10.253")), []string{`LVS003 error: host = host.rs2`}},
	"LVS003 clients' networks have routes through the director": {noRoute, "rs2", with(route("default", "192.168.10.253"), route("203.0.113.0/24", "192.168.10.254")), nil},
	"LVS003 there is no way back at all":                        {noRoute, "rs2", without(route("default", "192.168.10.253").Key()), []string{`LVS003 error: host "rs2" {`}},
	"LVS005 nobody set arp_ignore":                              {noARP, "rs1", with(), []string{`LVS005 error: host = host.rs1`, `LVS005 error: host = host.rs1`}},
	"LVS005 somebody set it by hand":                            {noARP, "rs1", with(sysctl("net.ipv4.conf.eth0.arp_ignore", "1"), sysctl("net.ipv4.conf.all.arp_announce", "2")), nil},
	"LVS005 the NIC has a larger value that answers":            {direct, "rs1", with(sysctl("net.ipv4.conf.eth0.arp_ignore", "4")), []string{`LVS005 error: settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }`}},
	"LVS005 another NIC has":                                    {direct, "rs1", with(sysctl("net.ipv4.conf.eth1.arp_ignore", "4")), nil},
	"LVS006 it is there already, and wide":                      {direct, "rs1", with(address("lo", "192.0.2.100/24")), []string{`LVS006 error: ip = "192.0.2.100/32"`}},
	"LVS006 it is there already":                                {direct, "rs1", with(address("lo", "192.0.2.100/32")), nil},
	"LVS012 redirects are on by default": {strings.NewReplacer("203.0.113.100", "192.168.10.100", `device = "eth0"`, `device = "eth1"`).Replace(natted), "dir1", with(),
		[]string{`LVS012 warning: address = "192.168.10.100"`, `LVS027 warning: address = "192.168.10.100"`, `LVS027 warning: address = "192.168.10.100"`}},
	"LVS013 a narrow path": {strings.Replace(tunnelled, "  advmss = 1440\n", "", 1), "rs1", with(state.Link{Name: "tunl0", Kind: "ipip", Fallback: true}),
		[]string{`LVS013 warning: host = host.rs1`}},
	"LVS013 a path with room":                             {strings.Replace(tunnelled, "  advmss = 1440\n", "", 1), "dir1", with(state.Link{Name: "eth0", Kind: "veth", Up: state.Some(true), MTU: state.Some(9000)}), nil},
	"LVS014 conntrack is off by default":                  {strings.Replace(fullNAT, `, "net.ipv4.vs.conntrack" = 1`, "", 1), "dir1", with(), []string{`LVS014 error: virtual_service "web" {`}},
	"LVS014 somebody switched it on":                      {strings.Replace(fullNAT, `, "net.ipv4.vs.conntrack" = 1`, "", 1), "dir1", with(sysctl("net.ipv4.vs.conntrack", "1")), nil},
	"LVS017 quiescent templates do not expire by default": {noQuiet, "dir1", with(), []string{`LVS017 warning: weight = 0`}},
	"LVS017 somebody made them expire":                    {noQuiet, "dir1", with(sysctl("net.ipv4.vs.expire_quiescent_template", "1")), nil},
	"LVS020 another host still holds the VIP":             {direct + "host \"old\" { address = \"192.0.2.9\" }\n", "old", with(address("eth0", "192.0.2.100/32")), []string{`LVS020 error: ip = "192.0.2.100/32"`}},
	"LVS020 another host holds another address":           {direct + "host \"old\" { address = \"192.0.2.9\" }\n", "old", with(address("eth0", "192.0.2.99/32")), nil},
	"LVS022 the default route moves to a router outside": {strings.Replace(direct, `  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.2/24"] }
}`, `  interface "eth0" { addresses = ["192.0.2.2/24"] }
}
route "gateway" {
  host = host.dir1
  to   = "default"
  via  = "192.0.2.7"
}`, 1), "dir1", with(route("default", "192.0.2.1")), []string{`LVS022 warning: route "gateway" {`}},
	"LVS022 the default route is a new one": {strings.Replace(direct, `  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.2/24"] }
}`, `  interface "eth0" { addresses = ["192.0.2.2/24"] }
}
route "gateway" {
  host = host.dir1
  to   = "default"
  via  = "192.0.2.7"
}`, 1), "dir1", with(), nil},
	"LVS022 the default route is a new one before that of DHCP": {strings.Replace(direct, `  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.2/24"] }
}`, `  interface "eth0" { addresses = ["192.0.2.2/24"] }
}
route "gateway" {
  host = host.dir1
  to   = "default"
  via  = "192.0.2.7"
}`, 1), "dir1", with(func() state.Route { r := route("default", "192.0.2.1"); r.Metric = 100; return r }()), []string{`LVS022 warning: route "gateway" {`}},
	"LVS022 a default route of a table of its own": {tunnelled, "rs1", with(func() state.Route { r := route("default", "198.51.100.1"); r.Metric = 100; return r }(), state.Link{Name: "tunl0", Kind: "ipip", Fallback: true}), nil},
	"LVS022 the link goes down":                    {direct + "link \"nic\" {\n  host = host.dir1\n  name = \"eth0\"\n  kind = \"existing\"\n  up = false\n}\n", "dir1", with(), []string{`LVS022 warning: link "nic" {`}},
	"LVS022 a link gets an MTU":                    {direct + "link \"nic\" {\n  host = host.dir1\n  name = \"eth0\"\n  kind = \"existing\"\n  mtu = 1400\n}\n", "dir1", with(), nil},
	"LVS025 the VIP's port is closed": {direct, "dir1", facts(filter(true, state.Verdict{Accept: true, Protocol: 6, Ports: [][2]uint16{{22, 22}}})),
		[]string{`LVS025 warning: address = "192.0.2.100"`}},
	"LVS025 the VIP's port is open": {direct, "dir1", facts(filter(true, state.Verdict{Accept: true, Protocol: 6, Ports: [][2]uint16{{22, 22}, {80, 90}}})), nil},
	"LVS025 a rule for answers does not open it": {direct, "dir1", facts(filter(true, state.Verdict{Accept: true, Partial: true, Replies: true})),
		[]string{`LVS025 warning: address = "192.0.2.100"`}},
	"LVS025 a rule for answers lets the answers of NAT through": {natted, "dir1", facts(state.Facts{Filters: []state.Filter{{Family: "ip", Table: "filter", Chain: "FORWARD", Hook: "forward",
		Drops: true, Verdicts: []state.Verdict{{Accept: true, Partial: true, Replies: true}}}}}), nil},
	"LVS025 nothing is forwarded": {natted, "dir1", facts(state.Facts{Filters: []state.Filter{{Family: "ip", Table: "filter", Chain: "FORWARD", Hook: "forward",
		Drops: true}}}), []string{`LVS025 warning: virtual_service "web" {`}},
	"LVS025 nothing is forwarded, and DR needs nothing": {direct, "dir1", facts(state.Facts{Filters: []state.Filter{{Family: "ip", Table: "filter", Chain: "FORWARD", Hook: "forward",
		Drops: true}}}), nil},
	"LVS025 a rule may open it":                   {direct, "dir1", facts(filter(true, state.Verdict{Accept: true, Partial: true})), nil},
	"LVS025 a rule for another address closes it": {direct, "dir1", facts(filter(false, state.Verdict{Protocol: 6, To: netip.MustParsePrefix("192.0.2.2/32")})), nil},
	"LVS025 wrapped packets are dropped": {tunnelled, "rs1", facts(filter(true, state.Verdict{Accept: true, Protocol: 6})),
		[]string{`LVS025 warning: host = host.rs1`}},
	"LVS026 it listens on its own address only":                    {direct, "rs1", facts(state.Facts{Listeners: []state.Listener{listener("192.0.2.11", 80)}}), []string{`LVS026 warning: host = host.rs1`}},
	"LVS026 it listens on another port":                            {direct, "rs1", facts(state.Facts{Listeners: []state.Listener{listener("0.0.0.0", 22)}}), []string{`LVS026 warning: host = host.rs1`}},
	"LVS026 it listens on every IPv4 address, and the VIP is none": {ipv6, "rs1", facts(state.Facts{Listeners: []state.Listener{listener("0.0.0.0", 80)}}), []string{`LVS026 warning: host = host.rs1`}},
	"LVS026 it listens on every address":                           {direct, "rs1", facts(state.Facts{Listeners: []state.Listener{listener("::", 80)}}), nil},
	"LVS030 sysctl.conf sets it otherwise":                         {direct, "rs1", boot(state.BootOwner{File: "/etc/sysctl.conf", Sysctl: "net.ipv4.conf.all.arp_ignore", Value: "0"}), []string{`LVS030 warning: settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }`}},
	"LVS030 a pattern sets it otherwise":                           {direct, "rs1", boot(state.BootOwner{File: "/etc/sysctl.d/x.conf", Sysctl: "net.ipv4.conf.*.arp_announce", Value: "0"}), []string{`LVS030 warning: settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }`}},
	"LVS030 sysctl.conf sets it as declared":                       {direct, "rs1", boot(state.BootOwner{File: "/etc/sysctl.conf", Sysctl: "net.ipv4.conf.all.arp_ignore", Value: "1"}), nil},
	"LVS030 sysctl.conf sets something else":                       {direct, "rs1", boot(state.BootOwner{File: "/etc/sysctl.conf", Sysctl: "net.ipv4.tcp_rmem", Value: "1"}), nil},
	"LVS030 an alias of lo has the VIP":                            {direct, "rs1", boot(state.BootOwner{File: "/etc/sysconfig/network-scripts/ifcfg-lo:0", Address: netip.MustParseAddr("192.0.2.100"), Device: "lo"}), []string{`LVS030 warning: ip = "192.0.2.100/32"`}},
	"LVS030 the host's own address":                                {direct, "rs1", boot(state.BootOwner{File: "/etc/network/interfaces", Address: netip.MustParseAddr("192.0.2.11"), Device: "eth0"}), nil},
	"LVS030 ipvsadm's service on the director":                     {direct, "dir1", boot(state.BootOwner{File: "/etc/rc3.d/S20ipvsadm"}), []string{`LVS030 warning: address = "192.0.2.100"`}},
	"LVS031 keepalived beside a service":                           {direct, "dir1", facts(state.Facts{Programs: []string{"keepalived"}}), []string{`LVS031 warning: address = "192.0.2.100"`}},
	"LVS031 keepalived on a real server":                           {direct, "rs1", facts(state.Facts{Programs: []string{"keepalived"}}), nil},
	"LVS030 ipvsadm's service elsewhere":                           {direct, "rs1", boot(state.BootOwner{File: "/etc/rc3.d/S20ipvsadm"}), nil},
	"LVS029 a router's route and forwarding":                       {ipv6, "rs1", with(router6, sysctl("net.ipv6.conf.eth0.accept_ra", "1")), []string{`LVS029 warning: settings = { "net.ipv6.conf.all.forwarding" = 1 }`}},
	"LVS029 a router's route and accept_ra 2":                      {ipv6, "rs1", with(router6, sysctl("net.ipv6.conf.eth0.accept_ra", "2")), nil},
	"LVS029 no forwarding, and a router's route as ever":           {strings.Replace(ipv6, `forwarding" = 1`, `forwarding" = 0`, 1), "rs1", with(router6, sysctl("net.ipv6.conf.eth0.accept_ra", "1")), nil},
}

func TestFaultsAreFoundLive(t *testing.T) {
	for name, f := range liveFaults {
		t.Run(name, func(t *testing.T) {
			live := observed(t, f.scene)
			live[f.host] = f.live(live[f.host])
			_, ds := judge(t, f.scene, live)
			ds = slices.DeleteFunc(ds, func(d topology.Diagnostic) bool { return d.Severity == topology.Info })
			got := shown(t, f.scene, ds)
			slices.Sort(got)
			if diff := cmp.Diff(f.want, got); diff != "" {
				t.Errorf("%s\n%+v", diff, ds)
			}
		})
	}
}
