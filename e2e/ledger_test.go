//go:build lab

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sharedHosts are those of several topologies.
const sharedHosts = `
host "dir1" {
  address = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}
host "rs1" {
  address = "192.0.2.11"
  interface "eth0" { addresses = ["192.0.2.11/24"] }
}
host "rs2" {
  address = "192.0.2.12"
  interface "eth0" { addresses = ["192.0.2.12/24"] }
}
`

// drModule is a service by direct routing with both real servers.
const drModule = `
module "NAME" {
  source       = "lvsform://dr"
  vip          = "VIP"
  port         = 80
  scheduler    = "rr"
  directors    = { dir1 = { host = host.dir1, device = "eth0", label = "eth0:NAME" } }
  real_servers = {
    rs1 = { host = host.rs1, label = "lo:NAME" }
    rs2 = { host = host.rs2, label = "lo:NAME" }
  }
}
`

func dr(name, vip string) string {
	return strings.NewReplacer("NAME", name, "VIP", vip).Replace(drModule)
}

func TestTopologiesShareSysctlsAndNothingElse(t *testing.T) {
	s := newScene(t, `topology "one" {}`+sharedHosts+dr("a", "192.0.2.101")+dr("b", "192.0.2.102"))
	s.on("rs1", "sysctl -qw net.ipv4.conf.all.arp_announce=1") // the earlier value is not the kernel's own
	two := s.other(`topology "two" {}` + sharedHosts + dr("c", "192.0.2.103"))
	before := s.dumps()
	s.apply()
	s.serve()
	two.apply()
	for _, x := range []*scene{s, two} {
		x.wantAnswers()
		x.wantPlan()
	}

	// One of two services of a topology goes.
	s.write(`topology "one" {}` + sharedHosts + dr("b", "192.0.2.102"))
	s.apply()
	s.wantOn("rs1", arpSysctls, arpSet)
	s.wantOn("rs1", "ip -o -4 address show dev lo | awk '{print $4}' | sort", "127.0.0.1/8\n192.0.2.102/32\n192.0.2.103/32")
	s.wantOn("dir1", "ipvsadm -Sn | grep ^-A | sort", "-A -t 192.0.2.102:80 -s rr\n-A -t 192.0.2.103:80 -s rr")
	s.wantAnswers()

	// One of two topologies goes.
	s.destroy()
	two.wantPlan()
	two.wantAnswers()
	s.wantOn("rs1", arpSysctls, arpSet)
	s.wantOn("dir1", "ipvsadm -Sn | grep ^-A", "-A -t 192.0.2.103:80 -s rr")

	two.destroy()
	s.wantOn("rs1", "sysctl net.ipv4.conf.all.arp_announce", "net.ipv4.conf.all.arp_announce = 1")
	s.wantAsBefore(before)
}

func TestRenamingPlansNothing(t *testing.T) {
	config := `topology "names" {}` + sharedHosts + dr("a", "192.0.2.101") + `
sysctl "forward" {
  for_each = { key = host.dir1 }
  host     = each.value
  settings = { "net.ipv4.ip_forward" = 1 }
}
`
	s := newScene(t, config)
	s.apply()
	for name, change := range map[string]*strings.Replacer{
		"a resource":     strings.NewReplacer(`sysctl "forward"`, `sysctl "forwarding"`),
		"a for_each key": strings.NewReplacer("{ key =", "{ other ="),
		"a module":       strings.NewReplacer(`module "a"`, `module "web"`),
	} {
		s.write(change.Replace(config))
		if got := s.planned(); len(got) != 0 {
			t.Errorf("renaming %s plans %q", name, got)
		}
	}
	s.destroy()
}

func TestWhatIsThereIsAdopted(t *testing.T) {
	const config = `topology "adopt" {}` + sharedHosts + `
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
}
sysctl "announce" {
  host     = host.dir1
  settings = { "net.ipv4.conf.all.arp_announce" = 2 }
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "rr"
  forward   = "dr"
  real_server "old" { address = "192.0.2.21" }
}
`
	s := newScene(t, config)
	s.on("dir1", `
ip address add 192.0.2.100/32 dev eth0
sysctl -qw net.ipv4.conf.all.arp_announce=2
ipvsadm -A -t 192.0.2.100:80 -s rr
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.21:80 -g -w 1`)
	live := s.on("dir1", liveAdopted)
	s.wantPlan(
		"dir1 adopt address eth0/192.0.2.100",
		"dir1 adopt ipvs_destination tcp/192.0.2.100:80/192.0.2.21:80",
		"dir1 adopt ipvs_service tcp/192.0.2.100:80",
		"dir1 adopt sysctl net.ipv4.conf.all.arp_announce")
	s.apply()
	s.wantPlan()
	s.wantOn("dir1", liveAdopted, live)

	// A removed block forgets the service and leaves it.
	withoutService, _, _ := strings.Cut(config, "virtual_service")
	s.write(withoutService + "removed { from = virtual_service.web }\n")
	s.wantPlan(
		"dir1 forget ipvs_destination tcp/192.0.2.100:80/192.0.2.21:80",
		"dir1 forget ipvs_service tcp/192.0.2.100:80")
	s.apply()
	s.wantOn("dir1", liveAdopted, live)

	// What was adopted goes with its block, and the plan says that it was there.
	s.write(`topology "adopt" {}` + sharedHosts + `
sysctl "announce" {
  host     = host.dir1
  settings = { "net.ipv4.conf.all.arp_announce" = 2 }
}
`)
	s.wantDrift("address.vip on dir1 will be removed (it was there before lvsform)")
	s.apply()
	s.wantOn("dir1", "ip -o -4 address show dev eth0 | awk '{print $4}'; ipvsadm -Sn | grep -c 192.0.2.100", "192.0.2.9/24\n2")
	s.destroy()
}

const liveAdopted = `ip -o address show dev eth0; sysctl net.ipv4.conf.all.arp_announce; ipvsadm -Sn`

func TestRetiredHostIsCleaned(t *testing.T) {
	config := `topology "retire" {}` + sharedHosts + dr("a", "192.0.2.101")
	s := newScene(t, config)
	before := s.dumps()
	s.apply()
	s.serve()
	// rs2 leaves: out of the service, and everything claimed there goes.
	retired := strings.Replace(config, "    rs2 = { host = host.rs2, label = \"lo:a\" }\n", "", 1)
	retired = strings.Replace(retired, `address = "192.0.2.12"`, "address = \"192.0.2.12\"\n  retired = true", 1)
	s.write(retired)
	s.apply()
	s.wantAnswers()
	if diff := cmp.Diff(before["rs2"], s.dump("rs2")); diff != "" {
		t.Errorf("the retired host is not as it was (-before +after):\n%s", diff)
	}
	head, tail, _ := strings.Cut(retired, `host "rs2" {`)
	_, tail, _ = strings.Cut(tail, "}\n}\n")
	s.write(head + tail)
	s.wantNoChanges()
	s.destroy()
	s.wantAsBefore(before)
}
