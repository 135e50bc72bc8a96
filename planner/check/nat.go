package check

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/topology"
)

// nat makes the checks of a real server that is reached by NAT.
func (w *world) nat(s *service, rs server) {
	some, this := w.masquerades(s, rs.Address)
	if some {
		w.conntrack(s)
	}
	if this || rs.machine == nil {
		return
	}
	w.natReturns(s, rs, some)
	w.oneNetwork(s, rs)
}

// natReturns follows the answers of a real server.
func (w *world) natReturns(s *service, rs server, sourceNAT bool) {
	p := w.wayBack(rs.machine, rs.Address, s.director)
	if !p.known || p.through || w.hasVia(rs.machine, s.director) {
		return
	}
	dir, name := s.director.host.Name, rs.machine.host.Name
	if sourceNAT {
		w.report(finding{id: "LVS014", host: dir, object: s.serverPath(rs),
			summary: fmt.Sprintf("No source NAT towards %s", name),
			detail: fmt.Sprintf("Other real servers of this service see an address of %s, %s sees the clients', and answers them by its own route (%s). Add %s to the masquerade block's `to`, or make %s its gateway.",
				dir, name, p.first(), rs.Address, dir),
			at: append([]topology.Range{s.serverRange(rs, "address", "host")}, p.at()...)})
		return
	}
	w.report(finding{id: "LVS003", host: name, object: s.serverPath(rs),
		summary: fmt.Sprintf("Answers of %s do not come back through %s", name, dir),
		detail: fmt.Sprintf("What %s sends to clients leaves %s, which is not %s. The client then gets an answer from %s, to which it never spoke, and drops it. Point the real server's default route at an address of %s on its network%s, or give the service source NAT (module fullnat).",
			rs.Address, p.first(), dir, rs.Address, dir, w.towards(s.director, rs.machine, rs.Address)),
		at: append(p.at(), s.serverRange(rs, "host", "address"))})
}

// towards names the director's address on a real server's network.
func (w *world) towards(director, m *machine, rip netip.Addr) string {
	network, ok := m.networkOf(rip)
	for _, a := range director.addrs {
		if ok && network.Contains(a.ip.Addr()) && director.answers(a.device) {
			return " (" + a.ip.Addr().String() + ")"
		}
	}
	return ""
}

// oneNetwork looks at NAT where clients and real servers share a network.
func (w *world) oneNetwork(s *service, rs server) {
	if !s.Address.IsValid() {
		return
	}
	d := s.director
	device := d.deviceOf(s.Address)
	r, answer := d.lookup(s.Address, rs.Address)
	if answer == found && device != "" && r.device == device && !r.via.IsValid() && s.Address.Is4() {
		w.redirects(s, device)
	}
	if direct, answer := rs.machine.lookup(rs.Address, s.Address); answer != found || direct.via.IsValid() || !contains(rs.machine, rs.Address, s.Address) {
		return
	}
	name := rs.machine.host.Name
	network, _ := rs.machine.networkOf(rs.Address)
	w.report(finding{id: "LVS027", host: name, object: s.serverPath(rs),
		summary: fmt.Sprintf("%s answers clients on its own network past %s", name, d.host.Name),
		detail: fmt.Sprintf("The VIP %s is on %s, where %s is too. It answers a client of that network directly, from %s, and the client drops that. Clients elsewhere are served. Put the VIP on another network, or give the service source NAT (module fullnat).",
			s.Address, network, name, rs.Address),
		at: []topology.Range{s.vipRange(), s.serverRange(rs, "host", "address")}})
}

// contains tells whether another address is on the network of an address of a host.
func contains(m *machine, own, other netip.Addr) bool {
	network, ok := m.networkOf(own)
	return ok && network.Contains(other)
}

// redirects looks at the director's ICMP redirects: all's and the interface's
// count, whichever says yes.
func (w *world) redirects(s *service, device string) {
	d := s.director
	var on []string
	var at []topology.Range
	for _, dev := range []string{"all", device} {
		if v, known := d.conf("ipv4", dev, "send_redirects"); known && v != 0 {
			name := "net.ipv4.conf." + sysctlDevice(dev) + ".send_redirects"
			on = append(on, name+" = 1")
			at = append(at, rangeOf(d.declared[name], "settings"))
		}
	}
	if len(on) == 0 {
		return
	}
	w.report(finding{id: "LVS012", host: d.host.Name, object: s.resource.Path,
		summary: fmt.Sprintf("%s redirects its real servers past itself", d.host.Name),
		detail: fmt.Sprintf("Clients and real servers of %s are on %s, so the kernel tells a real server that it can reach the client directly: its further answers bypass the director. It does so while all's value or the interface's is 1, and here %s. Set both to 0.",
			s.Address, device, join(on)),
		at: append(at, s.vipRange())})
}

func join(list []string) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += " and "
		}
		out += s
	}
	return out
}

// forwards looks at the director's forwarding.
func (w *world) forwards(s *service) {
	name := "net.ipv4.ip_forward"
	if s.Family == "ipv6" {
		name = "net.ipv6.conf.all.forwarding"
	}
	d := s.director
	if v, known := d.sysctl(name); !known || v != 0 {
		return
	}
	w.report(finding{id: "LVS011", host: d.host.Name, object: s.resource.Path,
		summary: fmt.Sprintf("%s does not forward, and NAT needs it", d.host.Name),
		detail:  fmt.Sprintf("%s is 0. The real servers' answers reach %s and are dropped there, because the client's address is not its own. Set it to 1.", name, d.host.Name),
		at:      []topology.Range{rangeOf(d.declared[name], "settings"), s.resource.Range}})
}

// conntrack looks at what source NAT of IPVS connections needs.
func (w *world) conntrack(s *service) {
	const name = "net.ipv4.vs.conntrack"
	d := s.director
	if w.isOn(d, name) {
		return
	}
	w.report(finding{id: "LVS014", host: d.host.Name, object: s.resource.Path,
		summary: fmt.Sprintf("IPVS on %s hides its connections from source NAT", d.host.Name),
		detail:  fmt.Sprintf("%s is 0, so nftables never sees the connections that the masquerade block is about, and real servers see the clients' addresses. Set it to 1 on %s.", name, d.host.Name),
		at:      []topology.Range{rangeOf(d.declared[name], "settings"), s.resource.Range}})
}
