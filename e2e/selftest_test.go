//go:build lab

package e2e

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
)

// The hosts of the Linux kernel's own IPVS test: a client, a director between
// two networks, and a real server that, but for NAT, has a foot in both.
const selftestHosts = `
topology "selftest" {}
host "client" {
  address = "10.0.0.2"
  interface "br0" { addresses = ["10.0.0.2/24"] }
}
host "director" {
  address = "172.16.0.1"
  interface "veth10" { addresses = ["10.0.0.1/24"] }
  interface "veth12" { addresses = ["172.16.0.1/24"] }
}
host "server" {
  address = "172.16.0.2"
  interface "veth21" { addresses = ["172.16.0.2/24"] }
  SECOND
}
locals { vip = "207.175.44.110" }

# Clients find the VIP behind the director.
route "vip" {
  host   = host.client
  to     = "${local.vip}/32"
  via    = "10.0.0.1"
  device = "br0"
}
address "director" {
  host   = host.director
  ip     = "${local.vip}/32"
  device = "lo"
  label  = "lo:1"
}
virtual_service "test" {
  host      = host.director
  protocol  = "tcp"
  address   = local.vip
  port      = 8080
  scheduler = "rr"
  forward   = "FORWARD"
  real_server "server" { host = host.server }
}
`

const selftestVIPOnServer = `
address "server" {
  host   = host.server
  ip     = "${local.vip}/32"
  device = "lo"
  label  = "lo:1"
}
`

// selftests are its topologies; lvsform does all that its script does by hand.
var selftests = map[string]string{
	"dr": selftestVIPOnServer + `
sysctl "director" {
  host     = host.director
  settings = { "net.ipv4.ip_forward" = 1 }
}
sysctl "server" {
  host = host.server
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
    "net.ipv4.conf.all.rp_filter"    = 0
    "net.ipv4.conf.veth21.rp_filter" = 0
  }
}
`,
	"nat": `
sysctl "director" {
  host     = host.director
  settings = { "net.ipv4.ip_forward" = 1 }
}
route "server" {
  host   = host.server
  to     = "default"
  via    = "172.16.0.1"
  device = "veth21"
}
`,
	"tun": selftestVIPOnServer + `
sysctl "director" {
  host = host.director
  settings = {
    "net.ipv4.ip_forward"                 = 0
    "net.ipv4.conf.all.send_redirects"     = 0
    "net.ipv4.conf.default.send_redirects" = 0
  }
}
link "director" {
  host = host.director
  name = "tunl0"
  kind = "ipip"
  up   = true
}
link "server" {
  host = host.server
  name = "tunl0"
  kind = "ipip"
  up   = true
}
sysctl "server" {
  host = host.server
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
    "net.ipv4.conf.all.rp_filter"    = 0
    "net.ipv4.conf.tunl0.rp_filter"  = 0
    "net.ipv4.conf.veth21.rp_filter" = 0
  }
}
`,
}

func TestTopologiesOfTheKernelsSelftest(t *testing.T) {
	for _, mode := range []string{"dr", "nat", "tun"} {
		t.Run(mode, func(t *testing.T) {
			second := `interface "veth20" { addresses = ["10.0.0.3/24"] }`
			if mode == "nat" { // or answers would go past the director
				second = ""
			}
			s := newScene(t, strings.NewReplacer("SECOND", second, "FORWARD", mode).Replace(selftestHosts)+selftests[mode])
			if mode == "tun" { // the first use of tunl0 leaves traces that nobody can wipe away
				for _, host := range []string{"director", "server"} {
					s.on(host, "ip link set tunl0 up; ip link set tunl0 down")
				}
			}
			before := s.dumps()
			s.apply()
			s.wantPlan()
			if err := s.lab.Serve(t.Context(), "server", "tcp", 8080); err != nil {
				t.Fatal(err)
			}
			// 32 random bytes arrive, and come back.
			o := s.openFrom("client", "207.175.44.110:8080")
			word := make([]byte, 16)
			if _, err := rand.Read(word); err != nil {
				t.Fatal(err)
			}
			if who := o.ask(fmt.Sprintf("%x", word)); who != "server" {
				t.Errorf("%s answers", who)
			}
			o.conn.Close()
			s.destroy()
			s.wantAsBefore(before)
		})
	}
}
