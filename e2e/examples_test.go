//go:build lab

package e2e

import (
	"testing"
)

// prove is the life of an example: applied, used, nothing left to do, gone.
func prove(t *testing.T, name string, live func(*scene)) {
	newExample(t, name).prove(live)
}

func (s *scene) prove(live func(*scene)) {
	s.t.Helper()
	s.usedTunnels()
	before := s.dumps()
	s.must(2, "plan", "--detailed-exitcode")
	s.apply()
	s.serve()
	s.wantAnswers()
	s.wantNoChanges()
	s.wantNoFindings()
	live(s)
	s.destroy()
	s.wantAsBefore(before)
}

const arpSysctls = `sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce net.ipv4.conf.lo.arp_ignore net.ipv4.conf.lo.arp_announce`

const arpSet = `net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
net.ipv4.conf.lo.arp_ignore = 1
net.ipv4.conf.lo.arp_announce = 2`

// oneAddress leaves the index and the lifetimes out of `ip -o address`.
const oneAddress = ` | sed -E 's/^[0-9]+: //; s/\\.*//'`

func TestDirectRoutingByWeight(t *testing.T) {
	prove(t, "dr-wlc", func(s *scene) {
		s.wantOn("dir1", "sysctl net.ipv4.ip_forward", "net.ipv4.ip_forward = 1")
		s.wantOn("dir1", "ip -o -4 address show label eth0:0 "+oneAddress, "eth0 inet 172.18.20.128/32 scope global eth0:0")
		s.wantOn("dir1", "ip route show 172.18.20.128", "172.18.20.128 dev eth0 proto static scope link")
		s.wantOn("dir1", "ipvsadm -Sn", `
-A -t 172.18.20.128:80 -s wlc
-a -t 172.18.20.128:80 -r 172.18.20.124:80 -g -w 1
-a -t 172.18.20.128:80 -r 172.18.20.125:80 -g -w 2`)
		for _, rs := range []string{"rs1", "rs2"} {
			s.wantOn(rs, arpSysctls, arpSet)
			s.wantOn(rs, "ip -o -4 address show label lo:0 "+oneAddress, "lo inet 172.18.20.128/32 brd 172.18.20.128 scope global lo:0")
			s.wantOn(rs, "ip route show 172.18.20.128", "172.18.20.128 dev lo proto static scope link")
		}
		// Exactly one machine answers for the VIP on the wire.
		s.wantOn("client", "ip neigh show 172.18.20.128 | cut -d' ' -f5", s.on("dir1", "cat /sys/class/net/eth0/address"))
	})
}

func TestAddressTranslation(t *testing.T) {
	prove(t, "nat-two-nics", func(s *scene) {
		s.wantOn("dir1", `sysctl net.ipv4.ip_forward; for i in all default eth0 eth1; do sysctl net.ipv4.conf.$i.send_redirects; done`, `
net.ipv4.ip_forward = 1
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.send_redirects = 0
net.ipv4.conf.eth0.send_redirects = 0
net.ipv4.conf.eth1.send_redirects = 0`)
		s.wantOn("dir1", "ip -o -4 address | grep -c 203.0.113.110/", "1")
		s.wantOn("dir1", "ipvsadm -Sn", `
-A -t 203.0.113.110:80 -s rr
-a -t 203.0.113.110:80 -r 192.168.10.1:80 -m -w 1
-a -t 203.0.113.110:80 -r 192.168.10.2:80 -m -w 1`)
		for _, rs := range []string{"rs1", "rs2"} {
			s.wantOn(rs, "ip route show default", "default via 192.168.10.254 dev eth0")
		}
		a := s.request("tcp", "203.0.113.110:80", 6)
		for i := 2; i < len(a.By); i++ {
			if a.By[i] != a.By[i-2] || a.By[i] == a.By[i-1] {
				t.Errorf("round robin does not alternate: %v", a.By)
				break
			}
		}
	})
}

func TestDirectRoutingWithoutForwarding(t *testing.T) {
	prove(t, "dr-noforward", func(s *scene) {
		s.wantOn("dir1", `sysctl net.ipv4.ip_forward; for i in all default eth0; do sysctl net.ipv4.conf.$i.send_redirects; done`, `
net.ipv4.ip_forward = 0
net.ipv4.conf.all.send_redirects = 1
net.ipv4.conf.default.send_redirects = 1
net.ipv4.conf.eth0.send_redirects = 1`)
		s.wantOn("dir1", "ipvsadm -Sn", `
-A -t 203.0.113.110:80 -s rr
-a -t 203.0.113.110:80 -r 203.0.113.107:80 -g -w 1
-a -t 203.0.113.110:80 -r 203.0.113.108:80 -g -w 1`)
		for _, rs := range []string{"rs1", "rs2"} {
			s.wantOn(rs, "sysctl net.ipv4.ip_forward", "net.ipv4.ip_forward = 0")
			s.wantOn(rs, arpSysctls, arpSet)
		}
	})
}
