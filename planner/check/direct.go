package check

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/topology"
)

// attached looks for a DR real server that the director cannot reach in one
// hop.
func (w *world) attached(s *service, rs server) {
	d := s.director
	_, mine := d.has(d.host.Address)
	if !rs.Address.IsValid() || rs.Address.IsLoopback() || !d.live && !mine || d.isLocal(rs.Address) {
		return
	}
	r, answer := d.lookup(rs.Address, rs.Address)
	how := "is on none of its networks"
	switch {
	case answer == found && r.via.IsValid():
		how = fmt.Sprintf("is behind the router %s", r.via)
	case answer == found, answer == local, answer == unknown && d.live:
		return
	}
	at := []topology.Range{s.serverRange(rs, "address", "host")}
	if rs.machine != nil {
		at = append(at, rs.machine.host.Range)
	}
	w.report(finding{id: "LVS002", host: d.host.Name, object: s.serverPath(rs),
		summary: fmt.Sprintf("%s reaches real server %s only through others", d.host.Name, rs.Address),
		detail: fmt.Sprintf("Direct routing only puts another MAC address on the packet, so it gets as far as the next hop, and %s %s (%s). Put the two on one network, or use forward = \"tun\".",
			rs.Address, how, networks(d, rs.Address.Is4())),
		at: append(at, r.at)})
}

// networks lists the networks of a host's interfaces, of one family.
func networks(m *machine, four bool) string {
	var out []string
	for _, a := range m.addrs {
		if a.device != "lo" && a.ip.Bits() < a.ip.Addr().BitLen() && a.ip.Addr().Is4() == four {
			out = append(out, a.ip.Masked().String()+" on "+a.device)
		}
	}
	if len(out) == 0 {
		return "it has no network"
	}
	slices.Sort(out)
	return "it has " + join(slices.Compact(out))
}

// direct makes the checks of a real server that answers clients by itself.
func (w *world) direct(s *service, rs server) {
	m := rs.machine
	if m == nil || !s.Address.IsValid() || !m.knowsAddresses() {
		return
	}
	if !m.always(s.Address) {
		w.vipMissing(s, rs)
		return
	}
	w.listens(s, rs)
	if !s.Address.Is4() {
		return // IPv6 knows no martian sources, and answers for no other interface
	}
	w.martian(s, rs)
	w.arp(s, rs)
}

func (w *world) vipMissing(s *service, rs server) {
	name := rs.machine.host.Name
	f := finding{id: "LVS005", host: name, object: s.serverPath(rs),
		summary: fmt.Sprintf("VIP %s is missing on real server %s", s.Address, name),
		at:      []topology.Range{s.serverRange(rs, "host", "address"), s.vipRange()}}
	f.detail = fmt.Sprintf("With forward %q a packet arrives with the VIP as its destination, and %s drops it, for the address is not its own. Declare an address %s on its lo",
		rs.Forward, name, netip.PrefixFrom(s.Address, s.Address.BitLen()))
	if rs.Forward == "tun" {
		f.detail += " or tunnel"
	}
	for _, a := range rs.machine.addrs {
		if a.resource != nil && !w.vips[a.ip.Addr()] && a.ip.Addr().Is4() == s.Address.Is4() {
			f.detail += fmt.Sprintf("; what is declared there is %s (%s), which no service has", a.ip, a.resource.Path)
			f.at = append(f.at, a.at)
		}
	}
	f.detail += "."
	w.report(f)
}

// martian looks for answers that come to the director with its own address as
// their source.
func (w *world) martian(s *service, rs server) {
	d := s.director
	p := w.wayBack(rs.machine, s.Address, d)
	if !p.through {
		return
	}
	via := p.hops[len(p.hops)-1].route.via
	for _, device := range []string{"all", d.deviceOf(via)} {
		if v, known := d.conf("ipv4", device, "accept_local"); known && v != 0 {
			return
		}
	}
	name := rs.machine.host.Name
	w.report(finding{id: "LVS004", host: name, object: s.serverPath(rs),
		summary: fmt.Sprintf("Answers of %s lead through %s, which drops them", name, d.host.Name),
		detail: fmt.Sprintf("What %s sends from the VIP %s leaves %s, and %s is an address of %s. It holds the VIP itself, takes the packets for forged ones and drops them. Give %s another gateway, at least for what comes from the VIP (a rule and a table), or set accept_local on %s.",
			name, s.Address, p.first(), via, d.host.Name, name, d.host.Name),
		at: append(p.at(), s.serverRange(rs, "host", "address"))})
}

// arp looks at what a real server says when somebody asks for the VIP.
func (w *world) arp(s *service, rs server) {
	m := rs.machine
	if m.host.OS != "" && m.host.OS != "linux" || w.keeps(m, s.Address) {
		return // another system, or an address that LVS020 is about
	}
	if r, answer := s.director.lookup(rs.Address, rs.Address); rs.Forward == "tun" && (answer != found || r.via.IsValid()) {
		return // nobody on its network asks
	}
	device := m.deviceOf(rs.Address)
	w.arpValue(s, rs, device, "arp_ignore", "1", func(v int) bool { return v == 1 || v == 2 || v == 8 })
	w.arpValue(s, rs, device, "arp_announce", "2", func(v int) bool { return v >= 2 })
}

func (w *world) arpValue(s *service, rs server, device, parameter, want string, good func(int) bool) {
	m := rs.machine
	v, text, known := m.effective(device, parameter)
	if !known || good(v) {
		return
	}
	name := "net.ipv4.conf.all." + parameter
	at := []topology.Range{}
	for _, dev := range []string{"all", device, "lo"} {
		at = append(at, rangeOf(m.declared["net.ipv4.conf."+sysctlDevice(dev)+"."+parameter], "settings"))
	}
	what := "answers ARP requests for the VIP"
	if parameter == "arp_announce" {
		what = "names the VIP as the sender of its own ARP requests"
	}
	w.report(finding{id: "LVS005", host: m.host.Name, object: s.serverPath(rs),
		summary: fmt.Sprintf("%s %s", m.host.Name, what),
		detail: fmt.Sprintf("%s, and the kernel uses the larger of all's and the interface's; the value of lo has no effect on another interface. Clients and routers then send to %s what is meant for %s. Set %s = %s.",
			text, m.host.Name, s.director.host.Name, name, want),
		at: append(at, s.serverRange(rs, "host", "address"))})
}

// effective is a parameter of which the kernel uses the larger of all's and the
// interface's. Where the configuration sets it anywhere, what it leaves open is
// taken to be the kernel's default, 0.
func (m *machine) effective(device, parameter string) (v int, text string, known bool) {
	all, okAll := m.conf("ipv4", "all", parameter)
	nic, okNIC := 0, false
	if device != "" {
		nic, okNIC = m.conf("ipv4", device, parameter)
	}
	text = fmt.Sprintf("%s is %d for all", parameter, all)
	if device != "" {
		text += fmt.Sprintf(" and %d for %s", nic, device)
	}
	if okAll && okNIC {
		return max(all, nic), text, true
	}
	if m.live && device != "" {
		return 0, "", false
	}
	for _, dev := range []string{"all", "lo", device} {
		if dev != "" && m.declared["net.ipv4.conf."+sysctlDevice(dev)+"."+parameter] != nil {
			return max(all, nic), text, true
		}
	}
	return 0, "", false
}
