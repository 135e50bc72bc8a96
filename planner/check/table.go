package check

import (
	"slices"
	"strings"

	"github.com/lvsform/lvsform/topology"
)

// Check is one of the numbered checks, as a reader meets it.
type Check struct {
	ID       string            // LVS003; never used for anything else
	Severity topology.Severity // of its findings, where they do not say otherwise
	Title    string            // what is wrong, one line
	Why      string            // why it matters on the wire
	See      []string          // commands that show it on the hosts
	Fix      string
}

// Find returns the check of an id, in capitals.
func Find(id string) (Check, bool) {
	all := All()
	i, ok := slices.BinarySearchFunc(all, id, func(c Check, id string) int { return strings.Compare(c.ID, id) })
	if !ok {
		return Check{}, false
	}
	return all[i], true
}

// Near returns the ids that somebody who wrote id may have meant: those that
// differ in one character, or all without any such.
func Near(id string) []string {
	var near, all []string
	for _, c := range All() {
		all = append(all, c.ID)
		if differ(c.ID, strings.ToUpper(id)) {
			near = append(near, c.ID)
		}
	}
	if len(near) == 0 {
		return all
	}
	return near
}

// differ tells whether two texts differ by one character that is another,
// missing or too many.
func differ(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		return i < len(a) && a[i+1:] == b[i+1:]
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}

// All lists the checks by id.
func All() []Check { return slices.Concat(modeChecks(), hostChecks()) }

// modeChecks are LVS001 to LVS014: what the forwarding modes need.
func modeChecks() []Check {
	return []Check{
		{
			ID: "LVS001", Severity: topology.Error,
			Title: "port mapping where the mode cannot map ports",
			Why: "With dr and tun the director passes a packet on as the client wrote it: only the MAC address changes, or another header goes around it. " +
				"The real server sees the VIP and the service's port. A different port in its block would be shown by ipvsadm and never be used.",
			See: []string{"ipvsadm -Ln", "tcpdump -ni any host VIP and port PORT    # on the real server: the port is the service's"},
			Fix: "Leave the real server's port out, or let the service listen on the same port. Only nat (and fullnat) can map ports.",
		},
		{
			ID: "LVS002", Severity: topology.Error,
			Title: "DR: the real server is not on a network of the director",
			Why: "Direct routing sends the packet, still addressed to the VIP, to the MAC address of the real server. A router in between would look at the destination address, " +
				"which is the VIP, and send the packet back to the director or elsewhere.",
			See: []string{"ip route get RIP    # on the director: there must be no `via`", "tcpdump -eni DEVICE host VIP    # whose MAC address do the packets get?"},
			Fix: "Put director and real server on one network (a second interface will do), or use tun, which crosses routers.",
		},
		{
			ID: "LVS003", Severity: topology.Error,
			Title: "NAT: the route back from the real server does not lead through the director",
			Why: "With NAT the director exchanges the destination of a request, VIP for real server, and must exchange it back in the answer. An answer that takes another way reaches the client " +
				"from the real server's own address. The client, which has a connection with the VIP, answers with a reset, and the request hangs or fails.",
			See: []string{"ip route get CLIENT from RIP    # on the real server: via the director?", "ip rule; ip route show table all", "tcpdump -ni any host CLIENT    # on the director: requests go out, no answers come in"},
			Fix: "Make an address of the director the real server's default gateway, or, where it has to keep its own, add a rule `from RIP` with a table whose default route is the director. " +
				"Where neither is possible use fullnat, with which real servers answer the director itself.",
		},
		{
			ID: "LVS004", Severity: topology.Error,
			Title: "DR or TUN: the answers lead through the director, which drops them",
			Why: "A real server answers the client by itself, with the VIP as the source. If the director is its gateway, a packet arrives at the director from outside that claims to come from the director's own " +
				"address. The kernel holds it for forged (martian source) and drops it, without a counter that anybody looks at.",
			See: []string{"ip route get CLIENT from VIP    # on the real server", "sysctl net.ipv4.conf.all.log_martians=1; dmesg    # on the director: martian source VIP"},
			Fix: "Give the real server a gateway that is not the director; a rule `from VIP` with a table of its own is enough. If answers have to pass the director, set accept_local = 1 on the interface where they come in.",
		},
		{
			ID: "LVS005", Severity: topology.Error,
			Title: "DR or TUN: the VIP is missing on a real server, or the real server answers ARP for it",
			Why: "The packet reaches the real server with the VIP as its destination, so the VIP must be local there, on lo or a tunnel. But only the director may tell the network who has the VIP. Unless told otherwise " +
				"Linux answers ARP on every interface for every address that it has; clients and routers then reach, by chance, one real server directly, past the director, until their ARP caches expire and chance decides anew. " +
				"What counts is the interface that receives the ARP request: the kernel uses the larger of its value and all's. The values of lo play no part. arp_ignore must be 1, 2 or 8 (3 and 4 still answer for a global address), arp_announce 2.",
			See: []string{"ip address show lo", "sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.DEVICE.arp_ignore", "arping -I DEVICE VIP    # from a client: more than one MAC address answers", "tcpdump -eni DEVICE arp and host VIP"},
			Fix: "Declare the VIP as /32 on lo of the real server, and net.ipv4.conf.all.arp_ignore = 1 and net.ipv4.conf.all.arp_announce = 2 before it.",
		},
		{
			ID: "LVS006", Severity: topology.Error,
			Title: "an address on lo with a prefix wider than one address",
			Why: "The kernel makes the whole prefix of an address on lo local, not only the address. With 192.0.2.10/24 on lo a host takes all 256 addresses for its own: " +
				"it no longer reaches its gateway, its director or any client there.",
			See: []string{"ip route show table local dev lo", "ip route get GATEWAY    # `local` is wrong"},
			Fix: "Write /32, or /128 for IPv6. An address that is already there keeps its prefix length: delete it on the host first.",
		},
		{
			ID: "LVS007", Severity: topology.Error,
			Title: "the service's VIP is on no interface of its director",
			Why: "IPVS looks at packets on their way into the host. A packet to an address that the host does not have is routed on or dropped before, and nobody answers ARP for the address: the service is there and never sees a packet. " +
				"The common cause is a slip of a digit in one of the two places.",
			See: []string{"ip address | grep VIP", "ipvsadm -Ln", "arping -I DEVICE VIP    # from a client: no answer"},
			Fix: "Declare an address with the VIP on the director, or correct the one of the two that is wrong.",
		},
		{
			ID: "LVS008", Severity: topology.Error,
			Title: "a host route on lo for something other than a VIP",
			Why:   "Older instructions add a host route for the VIP on lo:0. Written with another address, the gateway's say, it sends everything for that address into the host's own loopback: the gateway, and with it every client elsewhere, is unreachable.",
			See:   []string{"ip route show dev lo", "ip route get GATEWAY"},
			Fix:   "Put the VIP into `to`, or leave the route out: a /32 on lo is local without it.",
		},
		{
			ID: "LVS009", Severity: topology.Error,
			Title: "the same real server twice in a service, or the same service twice on a director",
			Why:   "The kernel knows a real server by its address and port, and a service by protocol, address and port. A second one of the same identity is refused or overwrites the first, and the weight that was meant is not the one that is live.",
			See:   []string{"ipvsadm -Ln"},
			Fix:   "Remove one of the two. To send a server more connections raise its weight; to run two programs on it use two ports.",
		},
		{
			ID: "LVS010", Severity: topology.Error,
			Title: "VRRP: the hosts of a group do not agree, or one id stands for two groups",
			Why: "The hosts of a group know each other by the id, and throw advertisements away that differ from their own in version, interval (version 2), password or addresses. A backup that hears nothing becomes master: two hosts hold the VIP, and " +
				"clients reach the one whose ARP answer came last. A master with a lower priority than a backup loses the address at once after it started, whatever state says. Two groups with one id on one network take each other's advertisements for their own.",
			See: []string{"journalctl -u keepalived    # received an invalid passwd, ip address associated with VRID not present, expected … got …", "tcpdump -vni DEVICE ip proto 112    # vrid, prio, intvl and addresses of both", "ip -br address show DEVICE    # on each host: who holds the VIP"},
			Fix: "Write virtual_router_id, advert_interval, version, authentication and the addresses once and use them in both instances (module ha, or vrrp in the other modules), give the master the highest priority, and each group of a network an id of its own.",
		},
		{
			ID: "LVS011", Severity: topology.Error,
			Title: "NAT: the director does not forward packets",
			Why: "The real servers' answers come to the director addressed to clients. Passing on what is addressed to others is forwarding, and without it the kernel drops them. Requests arrive at the real servers nevertheless, so the table looks busy: " +
				"connections stay in SYN_RECV.",
			See: []string{"sysctl net.ipv4.ip_forward", "ipvsadm -Lnc    # SYN_RECV"},
			Fix: "Set net.ipv4.ip_forward = 1 (IPv6: net.ipv6.conf.all.forwarding = 1) on the director, as the modules nat and fullnat do.",
		},
		{
			ID: "LVS012", Severity: topology.Warning,
			Title: "NAT on one network: the director's redirects lead real servers past it",
			Why: "When a packet leaves by the interface on which it came, the kernel tells its sender with an ICMP redirect that there is a shorter way. Here the sender is a real server, and the shorter way leads past the director, " +
				"which then cannot exchange the addresses back. The kernel redirects while all's value or the interface's is 1.",
			See: []string{"sysctl net.ipv4.conf.all.send_redirects net.ipv4.conf.DEVICE.send_redirects", "tcpdump -ni DEVICE 'icmp[icmptype] == icmp-redirect'", "ip route show cache    # on the real server"},
			Fix: "Set send_redirects = 0 for all and for the interface on the director. Better, give the real servers a network of their own.",
		},
		{
			ID: "LVS013", Severity: topology.Error,
			Title: "TUN: the real server's tunnel is missing, down, strict or too narrow",
			Why: "The director puts the packet into another one, and a tunnel interface of the real server takes it out. If that interface is down the packet is dropped. Then the reverse path filter asks whether the client would be answered through the tunnel; " +
				"it would not, and with the effective value 1 (the larger of all's and the tunnel's) the packet is dropped. The outer header also takes room: a client that sends full packets needs ICMP messages to learn it, which many networks drop, so uploads hang " +
				"while small requests work (this one is a warning).",
			See: []string{"ip -d link show type ipip", "sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.tunl0.rp_filter", "nstat -az TcpExtIPReversePathFilter IpExtInNoRoutes", "tcpdump -ni any proto 4    # arrives, but not on tunl0"},
			Fix: "Bring the tunnel up and set its rp_filter to 2 (0 has no effect while all has 1). Set advmss on the route by which the real server answers, so that clients send what fits.",
		},
		{
			ID: "LVS014", Severity: topology.Error,
			Title: "FullNAT: real servers see the clients' addresses",
			Why: "FullNAT works because real servers answer the director, whatever their gateway is. For that the director exchanges the source of each request too, with nftables; and nftables sees IPVS connections only with net.ipv4.vs.conntrack = 1. " +
				"A real server without source NAT answers the client by its own gateway, with its own address, and the client drops it.",
			See: []string{"sysctl net.ipv4.vs.conntrack", "nft list table inet lvsform", "tcpdump -ni any port PORT    # on the real server: whose address asks?"},
			Fix: "Set net.ipv4.vs.conntrack = 1 on the director, and name every real server in the `to` of the masquerade block.",
		},
	}
}
