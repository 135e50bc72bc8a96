//go:build lab

package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/examples/prepare"
	"github.com/lvsform/lvsform/lab"
)

// counted says how many packets that an nftables expression matches come to a
// host while f runs.
func (s *scene) counted(host, match string, f func()) int {
	s.t.Helper()
	s.on(host, `nft -f - <<'.'
table inet probe {
	counter c { }
	chain in {
		type filter hook prerouting priority raw
		`+match+` counter name c
	}
}
.
`)
	f()
	out := s.on(host, `nft list counter inet probe c; nft delete table inet probe`)
	_, rest, _ := strings.Cut(out, "packets ")
	number, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		s.t.Fatalf("%s: no packets counted: %s", host, out)
	}
	return n
}

// usedTunnels gives the kernel's own tunnels what the first use gives them for
// good, so that hosts can be compared.
func (s *scene) usedTunnels() {
	s.t.Helper()
	for _, h := range s.lab.Config.Hosts {
		if h.Role == lab.Declared {
			s.on(h.Name, `for link in tunl0 ip6tnl0 sit0 gre0; do ip link set $link up; ip link set $link down; done`)
		}
	}
}

func TestTunnelsToOtherNetworks(t *testing.T) {
	prove(t, "tun-multisite", func(s *scene) {
		s.wantOn("dir1", "ipvsadm -Sn", `
-A -t 192.0.2.100:80 -s wrr
-a -t 192.0.2.100:80 -r 198.51.100.11:80 -i -w 2 --tun-type ipip
-a -t 192.0.2.100:80 -r 203.0.113.12:80 -i -w 1 --tun-type ipip`)
		for _, rs := range []string{"rs1", "rs2"} {
			s.wantOn(rs, "ip -o -4 address show dev tunl0 "+oneAddress, "tunl0 inet 192.0.2.100/32 brd 192.0.2.100 scope global tunl0:0")
			s.wantOn(rs, "sysctl -n net.ipv4.conf.tunl0.rp_filter net.ipv4.conf.all.arp_ignore; ip -o link show tunl0 | grep -c ,UP", "2\n1\n1")
		}
		// Strict filtering elsewhere changes nothing.
		s.on("rs1", "sysctl -qw net.ipv4.conf.all.rp_filter=1")
		requests := func() { s.wantAnswers() }
		if n := s.counted("rs1", "ip protocol 4 ip daddr 198.51.100.11", requests); n == 0 {
			t.Error("no packet reached rs1 in a tunnel")
		}
		if n := s.counted("dir1", "ip saddr 192.0.2.100", requests); n != 0 {
			t.Errorf("%d packets of the answers pass the director", n)
		}
		s.on("rs1", "sysctl -qw net.ipv4.conf.all.rp_filter=0")
	})
}

func TestSourceNATLeavesRealServersAlone(t *testing.T) {
	s := newExample(t, "fullnat")
	before := s.dumps()
	s.apply()
	s.serve()
	s.wantAnswers()
	s.wantNoChanges()
	for _, rs := range []string{"rs1", "rs2"} {
		if diff := cmp.Diff(withoutFiles(before[rs]), withoutFiles(s.dump(rs))); diff != "" {
			t.Errorf("%s was changed (-before +after):\n%s", rs, diff)
		}
		if n := s.counted(rs, "ip saddr 203.0.113.9 tcp dport 8080", s.wantAnswers); n == 0 {
			t.Errorf("%s does not see the director as its client", rs)
		}
	}
	s.wantOn("dir1", "sysctl -n net.ipv4.ip_forward net.ipv4.vs.conntrack; ipvsadm -Sn", `
1
1
-A -t 203.0.113.110:80 -s rr
-a -t 203.0.113.110:80 -r 10.20.0.11:8080 -m -w 1
-a -t 203.0.113.110:80 -r 10.30.0.12:8080 -m -w 1`)
	s.destroy()
	s.wantAsBefore(before)
}

// withoutFiles leaves out what lvsform keeps for itself on a host.
func withoutFiles(dump string) string {
	head, rest, _ := strings.Cut(dump, "-- files\n")
	_, tail, _ := strings.Cut(rest, "-- sysctls\n")
	return head + tail
}

func TestAddressTranslationWithNamedNICs(t *testing.T) {
	prove(t, "nat-rhel", func(s *scene) {
		for _, rs := range []string{"rs1", "rs2"} {
			s.wantOn(rs, "ip route show default", "default via 192.168.253.142 dev ens33")
		}
		a := s.request("tcp", "192.168.227.128:80", 6)
		for i := 2; i < len(a.By); i++ {
			if a.By[i] != a.By[i-2] || a.By[i] == a.By[i-1] {
				t.Errorf("round robin does not alternate: %v", a.By)
				break
			}
		}
	})
}

func TestDirectRoutingOfIPv6(t *testing.T) {
	prove(t, "dr-ipv6", func(s *scene) {
		s.wantOn("dir1", "ip -o -6 address show dev eth0 to 2001:db8:18::128 | grep -c deprecated", "1")
		s.wantOn("dir1", "ipvsadm -Sn", `
-A -t [2001:db8:18::128]:80 -s wrr
-a -t [2001:db8:18::128]:80 -r [2001:db8:18::124]:80 -g -w 1
-a -t [2001:db8:18::128]:80 -r [2001:db8:18::125]:80 -g -w 3`)
		s.wantOn("client", "ip neigh show 2001:db8:18::128 | cut -d' ' -f5", s.on("dir1", "cat /sys/class/net/eth0/address"))
	})
}

func TestMarkedPortsShareAServer(t *testing.T) {
	prove(t, "fwmark-two-ports", func(s *scene) {
		s.wantOn("dir1", "ipvsadm -Sn", `
-A -f 80443 -s rr -p 600
-a -f 80443 -r 192.0.2.11:0 -g -w 1
-a -f 80443 -r 192.0.2.12:0 -g -w 1`)
		used := map[string]int{}
		for i := range 4 {
			source := netip.AddrFrom4([4]byte{192, 0, 2, byte(200 + i)})
			s.on("client", fmt.Sprintf("ip address add %s/24 dev eth0", source))
			var by []string
			for _, target := range []string{"192.0.2.100:80", "192.0.2.100:443", "192.0.2.100:80"} {
				a, err := s.lab.Request(t.Context(), "client", lab.Requests{Network: "tcp", Target: target, Source: source, Count: 2})
				if err != nil || len(a.Failures) > 0 {
					t.Fatalf("%s from %s: %v %v", target, source, err, a.Failures)
				}
				by = append(by, a.By...)
			}
			for _, who := range by {
				if who != by[0] {
					t.Errorf("%s is served by %v", source, by)
					break
				}
			}
			used[by[0]]++
		}
		if len(used) != 2 {
			t.Errorf("four clients were served by %v", used)
		}
	})
}

func TestAnswersTakeARouteOfTheirOwn(t *testing.T) {
	s := newExample(t, "policy-routing")
	s.usedTunnels()
	before := s.dumps()
	s.apply()
	s.serve()
	s.wantAnswers()
	s.wantNoChanges()
	for rs, gateway := range map[string]string{"rs1": "198.51.100.1", "rs2": "203.0.113.1"} {
		s.wantOn(rs, "ip rule show priority 20; ip route show table 20; ip route show default", `
20: from 192.0.2.100 lookup 20 proto static
default via `+gateway+` dev eth1 proto static advmss 1440
default via 10.9.0.1 dev eth0`)
		// The router of the administrators' network would let the answers through.
		s.on(rs, "nft -f - <<'.'\ntable inet only { chain out { type filter hook output priority filter; oifname eth0 ip saddr 192.0.2.100 drop; }; }\n.\n")
	}
	s.wantAnswers()
	// Clients are asked for segments that leave room for a tunnel's header.
	small := "tcp flags & (syn | ack) == syn | ack ip saddr 192.0.2.100 tcp option maxseg size 1440"
	if n := s.counted(s.client("192.0.2.100:80"), small, s.wantAnswers); n == 0 {
		t.Error("no answer asks for segments of 1440 bytes")
	}
	for _, rs := range []string{"rs1", "rs2"} {
		s.on(rs, "nft delete table inet only")
	}
	s.destroy()
	s.wantAsBefore(before)
}

func TestSitesWithAModuleFromGit(t *testing.T) {
	s := &scene{t: t, dir: t.TempDir()}
	if err := prepare.Example(filepath.Join("..", "examples", "sites"), s.dir, t.TempDir(), cliPath()); err != nil {
		t.Fatal(err)
	}
	s.build()
	s.prove(func(s *scene) {
		s.wantOn("berlin-dir", "ipvsadm -Sn | grep ^-A", "-A -t 192.0.2.100:80 -s rr")
		s.wantOn("lisbon-dir", "ipvsadm -Sn | grep ^-A", "-A -t 198.51.100.100:80 -s rr")
	})
}
