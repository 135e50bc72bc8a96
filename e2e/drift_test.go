//go:build lab

package e2e

import (
	"strings"
	"testing"

	"github.com/lvsform/lvsform/lab"
)

// everyKind has one object of each kind on dir1, two IPVS services among them.
const everyKind = `
topology "kinds" {}
host "dir1" {
  address = "192.0.2.9"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}
host "rs1" {
  address = "192.0.2.11"
  gateway = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.11/24"] }
}
host "rs2" {
  address = "192.0.2.12"
  gateway = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.12/24"] }
}
sysctl "redirects" {
  host     = host.dir1
  settings = { "net.ipv4.conf.all.send_redirects" = 0, "net.ipv4.ip_forward" = 1 }
}
link "extra" {
  host = host.dir1
  name = "extra0"
  kind = "dummy"
  up   = true
}
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
  label  = "eth0:0"
}
address "vip6" {
  host   = host.dir1
  ip     = "2001:db8::100/128"
  device = "eth0"
  nodad  = true

  preferred_lifetime = 0
}
route "far" {
  host = host.dir1
  to   = "198.51.100.0/24"
  via  = "192.0.2.11"
}
rule "from" {
  host     = host.dir1
  from     = "203.0.113.0/24"
  table    = 100
  priority = 1000
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "wlc"
  forward   = "nat"
  real_server "rs1" {
    host   = host.rs1
    weight = 2
  }
  real_server "rs2" {
    host            = host.rs2
    upper_threshold = 100
    lower_threshold = 50
  }
}
virtual_service "dns" {
  host      = host.dir1
  protocol  = "udp"
  address   = "192.0.2.100"
  port      = 53
  scheduler = "rr"
  forward   = "nat"
  real_server "rs1" { host = host.rs1 }
}
`

// strangers are objects of the same kinds that no topology declares.
const strangers = `
ip address add 192.0.2.77/32 dev eth0
ip -6 address add 2001:db8::77/128 dev eth0 nodad
ip route add 198.51.101.0/24 via 192.0.2.12
ip rule add from 10.9.9.0/24 lookup 99 priority 900
ip link add stranger0 type dummy
sysctl -qw net.ipv4.conf.eth0.arp_notify=1
ipvsadm -A -t 192.0.2.77:8080 -s rr
ipvsadm -a -t 192.0.2.77:8080 -r 192.0.2.12:8080 -m -w 7`

// stranger is what is left of a dump of dir1 that shows them.
const strangerTable = `ipvsadm -Sn | grep 192.0.2.77; ip -o address | grep -c 77/; ip route show 198.51.101.0/24; ip rule show priority 900; sysctl -n net.ipv4.conf.eth0.arp_notify; ls -d /sys/class/net/stranger0`

func TestDriftOfEachKindIsFoundAndMended(t *testing.T) {
	s := newScene(t, everyKind)
	s.on("dir1", strangers)
	before, foreign := s.dumps(), s.on("dir1", strangerTable)
	s.apply()
	s.wantPlan()
	applied := s.on("dir1", liveTable)
	for _, tc := range []struct {
		name, byHand string
		want         []string
	}{
		{"each object removed by hand", `
ip link del extra0
ip address del 192.0.2.100/32 dev eth0
ip address del 2001:db8::100/128 dev eth0
ip route del 198.51.100.0/24
ip rule del priority 1000
ipvsadm -D -u 192.0.2.100:53
ipvsadm -d -t 192.0.2.100:80 -r 192.0.2.12`, []string{
			"dir1 create address eth0/192.0.2.100",
			"dir1 create address eth0/2001:db8::100",
			"dir1 create ipvs_destination tcp/192.0.2.100:80/192.0.2.12:80",
			"dir1 create ipvs_destination udp/192.0.2.100:53/192.0.2.11:53",
			"dir1 create ipvs_service udp/192.0.2.100:53",
			"dir1 create link extra0",
			"dir1 create route 254/198.51.100.0/24/0",
			"dir1 create rule ipv4/1000/from=203.0.113.0/24/to=all/fwmark=0/table=100",
		}},
		{"each object changed by hand", `
sysctl -qw net.ipv4.conf.all.send_redirects=1
sysctl -qw net.ipv4.ip_forward=0
ip link set extra0 down
ip address change 192.0.2.100/32 dev eth0 broadcast 192.0.2.100
ip route replace 198.51.100.0/24 via 192.0.2.12
ipvsadm -E -t 192.0.2.100:80 -s wrr
ipvsadm -E -u 192.0.2.100:53 -s rr -p 60
ipvsadm -e -t 192.0.2.100:80 -r 192.0.2.11 -m -w 5
ipvsadm -e -t 192.0.2.100:80 -r 192.0.2.12 -g -w 1 -x 100 -y 50`, []string{
			"dir1 update ipvs_destination tcp/192.0.2.100:80/192.0.2.11:80",
			"dir1 update ipvs_destination tcp/192.0.2.100:80/192.0.2.12:80",
			"dir1 update ipvs_service tcp/192.0.2.100:80",
			"dir1 update ipvs_service udp/192.0.2.100:53",
			"dir1 update link extra0",
			"dir1 update route 254/198.51.100.0/24/0",
			"dir1 update sysctl net.ipv4.conf.all.send_redirects",
			"dir1 update sysctl net.ipv4.ip_forward",
		}},
		{"thresholds, a label and a weight of nothing", `
ip address del 192.0.2.100/32 dev eth0
ip address add 192.0.2.100/32 dev eth0
ip address del 2001:db8::100/128 dev eth0
ip -6 address add 2001:db8::100/128 dev eth0 nodad
ipvsadm -e -t 192.0.2.100:80 -r 192.0.2.12 -m -w 1 -x 100 -y 40
ipvsadm -e -t 192.0.2.100:80 -r 192.0.2.11 -m -w 0`, []string{
			"dir1 delete+create address eth0/192.0.2.100",
			"dir1 update address eth0/2001:db8::100",
			"dir1 update ipvs_destination tcp/192.0.2.100:80/192.0.2.11:80",
			"dir1 update ipvs_destination tcp/192.0.2.100:80/192.0.2.12:80",
		}},
		{"a real server added to a declared service", `
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.13 -m -w 3`, []string{
			"dir1 delete ipvs_destination tcp/192.0.2.100:80/192.0.2.13:80",
			"dir1 update ipvs_destination tcp/192.0.2.100:80/192.0.2.13:80", // its drain
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := s.in(t)
			s.on("dir1", tc.byHand)
			s.wantPlan(tc.want...)
			s.apply()
			s.wantPlan()
			s.wantOn("dir1", liveTable, applied)
			s.wantOn("dir1", strangerTable, foreign)
		})
	}
	s.destroy()
	s.wantAsBefore(before)
}

// liveTable shows what everyKind declares, without what the kernel chooses, and
// without who made a route: one that was replaced by hand keeps that mark.
const liveTable = `ip -o address show dev eth0 | sort; ip -o link show extra0 | cut -d' ' -f2-3; ip route | sed 's/ proto [a-z]*//'; ip rule
sysctl net.ipv4.ip_forward net.ipv4.conf.all.send_redirects; ipvsadm -Sn | sort; ipvsadm -Ln --thresholds | sort`

// The plan's text names what drifted, with both values.
func TestDriftIsNamed(t *testing.T) {
	s := newScene(t, everyKind)
	s.apply()
	s.on("dir1", `
ipvsadm -e -t 192.0.2.100:80 -r 192.0.2.11 -m -w 5
ip address del 192.0.2.100/32 dev eth0
sysctl -qw net.ipv4.ip_forward=0`)
	s.wantDrift(
		"# virtual_service.web.real_server.rs1 on dir1 will be updated in place", "~ weight = 5 -> 2",
		"# address.vip on dir1 will be created", `+ address "192.0.2.100/32"`,
		"# sysctl.redirects on dir1 will be updated in place", `~ "net.ipv4.ip_forward" = 0 -> 1`)
	s.destroy()
}

// Without the module a table is empty and its loading is planned; the plan
// itself loads nothing. It takes a machine of its own: in the common one the
// kernel keeps the tables, and so the module, of earlier hosts for minutes.
func TestModuleThatIsNotLoaded(t *testing.T) {
	own, err := lab.Boot(t.Context(), lab.Options{Memory: 1024})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &scene{t: t, dir: t.TempDir()}
	s.write(everyKind)
	config, err := lab.New(s.topology())
	if err != nil {
		t.Fatal(err)
	}
	if s.lab, err = own.Build(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	s.wantDrift(`+ kernel_module "ip_vs"`, `+ kernel_module "ip_vs_wlc"`, `+ virtual_service "tcp/192.0.2.100:80"`)
	r, err := own.Exec(t.Context(), "cat", "/proc/modules")
	if err != nil || r.Code != 0 || strings.Contains(string(r.Stdout), "ip_vs") {
		t.Fatalf("after the plan: %v, %s%s", err, r.Stdout, r.Stderr)
	}
	s.apply()
	s.wantOn("dir1", "ipvsadm -Sn | grep -c ^-A", "2")
	s.wantNoChanges()
	s.destroy()
}
