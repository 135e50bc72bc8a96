//go:build lab

package e2e

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// bothFamilies are hosts with addresses of both, on one network.
const bothFamilies = `
host "dir1" {
  address = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.9/24", "2001:db8::9/64"] }
}
host "rs1" {
  address = "192.0.2.11"
  interface "eth0" { addresses = ["192.0.2.11/24", "2001:db8::11/64"] }
}
host "rs2" {
  address = "192.0.2.12"
  interface "eth0" { addresses = ["192.0.2.12/24", "2001:db8::12/64"] }
}
`

// webModule is one service in a mode, with more arguments.
func webModule(mode, vip, more string, servers ...string) string {
	if len(servers) == 0 {
		servers = []string{"", ""}
	}
	return fmt.Sprintf(`
module "web" {
  source       = "lvsform://%s"
  vip          = "%s"
  port         = 8080
  scheduler    = "rr"
  directors    = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers = {
    rs1 = { host = host.rs1, %s }
    rs2 = { host = host.rs2, %s }
  }
  %s
}
`, mode, vip, servers[0], servers[1], more)
}

const four, six = "192.0.2.100", "2001:db8::100"

// Each mode, each family, and each tunnel comes, serves, and goes.
func TestModesAndTunnels(t *testing.T) {
	overSix := []string{`address = "2001:db8::11"`, `address = "2001:db8::12"`}
	s := newScene(t, `topology "modes" {}`+bothFamilies)
	// For two minutes IPVS remembers what clients of the mode before closed, and a
	// port that comes up again would go its way.
	s.on("dir1", "sysctl -qw net.ipv4.vs.conn_reuse_mode=2")
	s.usedTunnels()
	before := s.dumps()
	for _, tc := range []struct {
		name, config string
		unwraps      string // as ipvsadm shows the tunnel, and the link that unwraps
	}{
		{"tun of IPv4 in IPv4", webModule("tun", four, "mtu = 1400"), "ipip tunl0"},
		{"tun of IPv6 in IPv6", webModule("tun", six, "", overSix...), "ipip ip6tnl0"},
		{"tun of IPv4 in IPv6", webModule("tun", four, "", overSix...), "ipip ipip6"},
		{"tun of IPv6 in IPv4", webModule("tun", six, ""), "ipip sit0"},
		{"gue of IPv4 in IPv4", webModule("tun", four, `tunnel = { type = "gue", checksum = "csum" }`), "gue tunl0"},
		{"gue of IPv6 in IPv4", webModule("tun", six, `tunnel = { type = "gue", port = 6081 }`), "gue sit0"},
		{"gue of IPv6 in IPv6", webModule("tun", six, `tunnel = { type = "gue", checksum = "remcsum" }`, overSix...), "gue ip6tnl0"},
		{"gue of IPv4 in IPv6", webModule("tun", four, `tunnel = { type = "gue" }`, overSix...), "gue ipip6"},
		{"gre of IPv4", webModule("tun", four, `tunnel = { type = "gre" }`), "gre gre0"},
		{"gre of IPv6", webModule("tun", six, `tunnel = { type = "gre" }`), "gre gre0"},
		{"dr of IPv6", webModule("dr", six, "", overSix...), ""},
		{"fullnat of IPv4", webModule("fullnat", four, `source_address = "192.0.2.9"`), ""},
		{"fullnat of IPv6", webModule("fullnat", six, "", overSix...), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := s.in(t)
			s.write(`topology "modes" {}` + bothFamilies + tc.config)
			s.apply()
			s.serve()
			s.wantAnswers()
			s.wantNoChanges()
			if kind, link, ok := strings.Cut(tc.unwraps, " "); ok {
				s.wantOn("dir1", "ipvsadm -Sn | grep -c -- '--tun-type "+kind+"'", "2")
				s.wantOn("rs1", "ip -o address show dev "+link+" | grep -cE ' (192.0.2.100/32|2001:db8::100/128) '", "1")
			}
			s.destroy()
			s.wantAsBefore(before)
		})
	}
}

// spread sends datagrams through one socket of the client, and says who
// answered each.
func (s *scene) spread(target string, datagrams ...string) []string {
	s.t.Helper()
	conn, err := s.lab.Dial(s.t.Context(), "client", "udp", target)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	var by []string
	answers := bufio.NewReader(conn)
	for _, d := range datagrams {
		if _, err := fmt.Fprint(conn, d); err != nil {
			s.t.Fatal(err)
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%q to %s: %v", d, target, err)
		}
		by = append(by, strings.TrimSpace(line))
	}
	return by
}

// datagrams is a UDP service by direct routing, written out.
const datagrams = `
sysctl "arp" {
  for_each = { rs1 = host.rs1, rs2 = host.rs2 }
  host     = each.value
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
address "vip_lo" {
  for_each = { rs1 = host.rs1, rs2 = host.rs2 }
  host     = each.value
  ip       = "192.0.2.100/32"
  device   = "lo"
}
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
}
virtual_service "datagrams" {
  host      = host.dir1
  protocol  = "udp"
  address   = "192.0.2.100"
  port      = 5060
  scheduler = "rr"
  real_server "rs1" { host = host.rs1 }
  real_server "rs2" { host = host.rs2 }
  MORE
}
`

func TestOnePacketSchedulesEachDatagram(t *testing.T) {
	config := func(more string) string {
		return `topology "datagrams" {}` + sharedHosts + strings.Replace(datagrams, "MORE", more, 1)
	}
	s := newScene(t, config("one_packet = true"))
	before := s.dumps()
	s.apply()
	s.serve()
	s.wantOn("dir1", "ipvsadm -Sn | grep ^-A", "-A -u 192.0.2.100:5060 -s rr -o")
	s.wantNoChanges()
	by := s.spread("192.0.2.100:5060", "1", "2", "3", "4", "5", "6")
	for i := range by[1:] {
		if by[i] == by[i+1] {
			t.Errorf("datagrams of one socket do not alternate: %v", by)
			break
		}
	}
	s.write(config(""))
	s.wantPlan("dir1 update ipvs_service udp/192.0.2.100:5060")
	s.apply()
	if by := s.spread("192.0.2.100:5060", "1", "2", "3", "4"); len(slices.Compact(by)) != 1 {
		t.Errorf("without one_packet the datagrams of one socket go to %v", by)
	}
	s.destroy()
	s.wantAsBefore(before)
}

func TestCallsStayWithTheirServer(t *testing.T) {
	s := newScene(t, `topology "calls" {}`+sharedHosts+strings.Replace(datagrams, "MORE", "persistence {\n    timeout = \"5m\"\n    engine = \"sip\"\n  }", 1))
	before := s.dumps()
	s.apply()
	s.serve()
	s.wantOn("dir1", "ipvsadm -Sn | grep ^-A", "-A -u 192.0.2.100:5060 -s rr -p 300 --pe sip")
	s.wantNoChanges()
	call := func(id string) string {
		return "OPTIONS sip:office@192.0.2.100 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.254:5060\r\nCall-ID: " + id + "\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
	}
	used := map[string]bool{}
	for _, id := range []string{"alpha", "beta", "gamma", "delta"} {
		first := s.spread("192.0.2.100:5060", call(id))[0]
		for range 3 { // each time from another port
			if again := s.spread("192.0.2.100:5060", call(id))[0]; again != first {
				t.Errorf("the call %s went to %s, and then to %s", id, first, again)
			}
		}
		used[first] = true
	}
	if len(used) != 2 {
		t.Errorf("the calls of one client are all with %v", used)
	}
	s.destroy()
	s.wantAsBefore(before)
}

func TestStreamControlTransmission(t *testing.T) {
	inMachine(t, "modprobe sctp") // its sysctls come with it
	s := newScene(t, `topology "sctp" {}`+bothFamilies)
	s.usedTunnels()
	before := s.dumps()
	for _, mode := range []string{"dr", "tun", "fullnat"} {
		t.Run(mode, func(t *testing.T) {
			s := s.in(t)
			s.write(`topology "sctp" {}` + bothFamilies + webModule(mode, four, `protocol = "sctp"`))
			s.apply()
			s.serve()
			s.wantOn("dir1", "ipvsadm -Sn | grep ^-A", "-A --sctp-service 192.0.2.100:8080 -s rr")
			s.wantAnswers()
			s.wantNoChanges()
			s.destroy()
			s.wantAsBefore(before)
		})
	}
}
