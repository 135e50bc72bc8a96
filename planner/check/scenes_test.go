package check_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// The scenes are clusters without a fault, one for each mode, written without
// modules so that every line is there to be wrong.
const direct = `topology "t" {}
host "dir1" {
  address = "192.0.2.2"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.2/24"] }
}
host "rs1" {
  address = "192.0.2.11"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.11/24"] }
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "wlc"
  forward   = "dr"
  real_server "rs1" {
    host = host.rs1
  }
}
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
}
address "lo" {
  host   = host.rs1
  ip     = "192.0.2.100/32"
  device = "lo"
}
route "lo" {
  host   = host.rs1
  to     = "192.0.2.100/32"
  device = "lo"
}
sysctl "arp" {
  host     = host.rs1
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
`

const natted = `topology "t" {}
host "dir1" {
  address = "192.168.10.254"
  interface "eth0" { addresses = ["203.0.113.2/24"] }
  interface "eth1" { addresses = ["192.168.10.254/24"] }
}
host "rs1" {
  address = "192.168.10.1"
  gateway = "192.168.10.254"
  interface "eth0" { addresses = ["192.168.10.1/24"] }
}
host "rs2" {
  address = "192.168.10.2"
  gateway = "192.168.10.253"
  interface "eth0" { addresses = ["192.168.10.2/24"] }
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "203.0.113.100"
  port      = 80
  scheduler = "rr"
  forward   = "nat"
  real_server "rs1" {
    host = host.rs1
    port = 8080
  }
  real_server "rs2" {
    host = host.rs2
  }
}
address "vip" {
  host   = host.dir1
  ip     = "203.0.113.100/32"
  device = "eth0"
}
route "gateway" {
  host = host.rs2
  to   = "default"
  via  = "192.168.10.254"
}
sysctl "director" {
  host = host.dir1
  settings = {
    "net.ipv4.ip_forward"                 = 1
    "net.ipv4.conf.all.send_redirects"    = 0
    "net.ipv4.conf.eth0.send_redirects"   = 0
  }
}
`

const tunnelled = `topology "t" {}
host "dir1" {
  address = "192.0.2.2"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.2/24"] }
}
host "rs1" {
  address = "198.51.100.11"
  gateway = "198.51.100.1"
  interface "eth0" { addresses = ["198.51.100.11/24"] }
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "wlc"
  forward   = "tun"
  real_server "rs1" {
    host = host.rs1
  }
}
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
}
link "tunnel" {
  host = host.rs1
  name = "tunl0"
  kind = "ipip"
  up   = true
}
address "tunnel" {
  host   = host.rs1
  ip     = "192.0.2.100/32"
  device = "tunl0"
}
sysctl "filter" {
  host     = host.rs1
  settings = { "net.ipv4.conf.tunl0.rp_filter" = 2, "net.ipv4.conf.all.rp_filter" = 1 }
}
rule "answers" {
  host     = host.rs1
  from     = "192.0.2.100/32"
  table    = 100
  priority = 100
}
route "answers" {
  host   = host.rs1
  to     = "default"
  via    = "198.51.100.1"
  table  = 100
  advmss = 1440
}
`

const fullNAT = `topology "t" {}
host "dir1" {
  address = "192.168.10.254"
  interface "eth0" { addresses = ["203.0.113.2/24"] }
  interface "eth1" { addresses = ["192.168.10.254/24"] }
}
host "rs1" {
  address = "192.168.20.1"
  gateway = "192.168.20.253"
  interface "eth0" { addresses = ["192.168.20.1/24"] }
}
host "rs2" {
  address = "192.168.20.2"
  gateway = "192.168.20.253"
  interface "eth0" { addresses = ["192.168.20.2/24"] }
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "203.0.113.100"
  port      = 80
  scheduler = "rr"
  forward   = "nat"
  real_server "rs1" {
    host = host.rs1
  }
  real_server "rs2" {
    host = host.rs2
  }
}
masquerade "web" {
  host     = host.dir1
  vip      = "203.0.113.100"
  protocol = "tcp"
  port     = 80
  to       = ["192.168.20.1", "192.168.20.2"]
}
address "vip" {
  host   = host.dir1
  ip     = "203.0.113.100/32"
  device = "eth0"
}
sysctl "director" {
  host     = host.dir1
  settings = { "net.ipv4.ip_forward" = 1, "net.ipv4.vs.conntrack" = 1 }
}
`

const marked = `topology "t" {}
host "dir1" {
  address = "192.0.2.2"
  interface "eth0" { addresses = ["192.0.2.2/24"] }
}
host "rs1" { address = "192.0.2.11" }
address "marked" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
}
mark "web" {
  host     = host.dir1
  protocol = "tcp"
  address  = "192.0.2.100"
  ports    = [80, 443]
  mark     = 7
}
virtual_service "web" {
  host    = host.dir1
  fwmark  = 7
  forward = "dr"
  real_server "rs1" {
    host = host.rs1
  }
}
`

// edit changes a scene in one place, which must be there once.
func edit(t testing.TB, scene, old, text string) string {
	t.Helper()
	if old == "" {
		return scene + text
	}
	if strings.Count(scene, old) != 1 {
		t.Fatalf("%q stands %d times in the scene", old, strings.Count(scene, old))
	}
	return strings.Replace(scene, old, text, 1)
}

// judge loads a configuration and returns every finding: of the language, of
// the plan, and of the checks.
func judge(t testing.TB, config string, live map[string]planner.Live) (*topology.Topology, topology.Diagnostics) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	topo, found := hcl.Load(hcl.Options{Dir: dir})
	if found.HasErrors() {
		return topo, found
	}
	p := planner.Build(planner.Input{Topology: topo, Live: live})
	return topo, slices.Concat(found, p.Diagnostics, p.Checks)
}

// shown writes findings as "LVS003 error: gateway = …", with the line of the
// configuration that each one points to.
func shown(t testing.TB, config string, ds topology.Diagnostics) []string {
	t.Helper()
	lines := strings.Split(config, "\n")
	var out []string
	for _, d := range ds {
		at := "nowhere"
		if d.Range != nil {
			if filepath.Base(d.Range.File) != "main.hcl" {
				t.Errorf("%s is about the file %s", d.Summary, d.Range.File)
			}
			at = strings.Join(strings.Fields(lines[d.Range.Start.Line-1]), " ")
		}
		out = append(out, strings.TrimSpace(d.Check+" "+string(d.Severity))+": "+at)
		if d.Summary == "" || d.Detail == "" {
			t.Errorf("a finding without words: %+v", d)
		}
	}
	return out
}

// observed is what the hosts of a configuration report: their facts, the
// kernel's defaults, and all sysctls that are asked for.
func observed(t testing.TB, config string) map[string]planner.Live {
	t.Helper()
	topo, _ := judge(t, config, nil)
	return reported(topo)
}

// reported is what freshly installed hosts of a topology report.
func reported(topo *topology.Topology) map[string]planner.Live {
	live := map[string]planner.Live{}
	for name, names := range planner.Queries(topo) {
		h := topo.Host(name)
		objects := state.Objects{state.Link{Name: "lo", Up: state.Some(true), MTU: state.Some(65536)}}
		devices := []string{"all", "default", "lo"}
		for _, nic := range h.Interfaces {
			devices = append(devices, nic.Name)
			objects = append(objects, state.Link{Name: nic.Name, Kind: "veth", Up: state.Some(true), MTU: state.Some(1500)})
			for _, ip := range nic.Addresses {
				objects = append(objects, state.Address{Device: nic.Name, IP: ip, Scope: "global"},
					state.Route{To: ip.Masked(), Table: state.TableMain, Device: nic.Name, Source: ip.Addr(), Scope: "link", Protocol: 2})
			}
		}
		if h.Gateway.IsValid() {
			objects = append(objects, route("default", h.Gateway.String()))
		}
		seen := map[string]bool{}
		for _, pattern := range slices.Concat(names.Sysctls, names.Checked) {
			for _, device := range devices {
				parameter := strings.Replace(pattern, "*", device, 1)
				if seen[parameter] || strings.HasPrefix(parameter, "net.ipv4.vs.") {
					continue
				}
				seen[parameter] = true
				value := "0"
				if strings.HasSuffix(parameter, "send_redirects") {
					value = "1"
				}
				objects = append(objects, state.Sysctl{Name: parameter, Value: value})
			}
		}
		live[name] = planner.Live{Objects: objects}
	}
	return live
}
