package check

import (
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/topology"
)

// tunnelOf names the kind of link that unwraps the packets for a real server,
// the link that the kernel makes by itself, and the bytes around a packet.
func tunnelOf(s *service, rs server) (kind, fallback string, overhead int) {
	outer, inner := rs.Address.Is4(), s.Family == "ipv4"
	header := 20
	if !outer {
		header = 40
	}
	if rs.Tunnel != nil && rs.Tunnel.Type == "gre" {
		if outer {
			return "gre", "gre0", header + 4
		}
		return "ip6gre", "ip6gre0", header + 4
	}
	if rs.Tunnel != nil && rs.Tunnel.Type == "gue" {
		header += 8 + 4 // UDP and GUE
	}
	switch {
	case outer && inner:
		return "ipip", "tunl0", header
	case outer:
		return "sit", "sit0", header
	}
	return "ip6tnl", "ip6tnl0", header
}

// tunnel looks at what unwraps the packets on a real server.
func (w *world) tunnel(s *service, rs server) {
	m := rs.machine
	if m == nil || m.host.OS != "" && m.host.OS != "linux" {
		return
	}
	kind, fallback, overhead := tunnelOf(s, rs)
	link := m.tunnelLink(s, kind, fallback)
	name := m.host.Name
	if link == "" {
		if m.live {
			w.report(finding{id: "LVS013", host: name, object: s.serverPath(rs),
				summary: fmt.Sprintf("%s has no tunnel to unwrap its packets", name),
				detail:  fmt.Sprintf("The director sends it packets inside others, and no link of kind %s is there to take them. Declare link { name = %q, kind = %q, up = true } there.", kind, fallback, kind),
				at:      []topology.Range{s.serverRange(rs, "host", "address")}})
		}
		return
	}
	declared := m.linkResource(link)
	if up := m.links[link].Up; up.Set && !up.Value {
		w.report(finding{id: "LVS013", host: name, object: s.serverPath(rs),
			summary: fmt.Sprintf("The tunnel %s of %s is down", link, name),
			detail:  fmt.Sprintf("Wrapped packets arrive and are dropped. Set up = true on the link %s.", link),
			at:      []topology.Range{rangeOf(declared, "up"), s.serverRange(rs, "host", "address")}})
	}
	if s.Family == "ipv4" {
		w.strict(s, rs, link)
	}
	w.narrow(s, rs, overhead)
}

// tunnelLink is the link that unwraps: the one with the VIP, the kernel's own,
// or the only one of the kind.
func (m *machine) tunnelLink(s *service, kind, fallback string) string {
	var of []string
	for name, l := range m.links {
		if l.Kind == kind || name == fallback {
			of = append(of, name)
		}
	}
	slices.Sort(of)
	if i := slices.Index(of, m.deviceOf(s.Address)); i >= 0 {
		return of[i]
	}
	switch {
	case len(of) == 0:
		return ""
	case slices.Contains(of, fallback):
		return fallback
	}
	return of[0]
}

func (m *machine) linkResource(name string) *topology.Resource {
	for _, r := range m.resources {
		if l, ok := r.Body.(*topology.Link); ok && l.Name == name {
			return r
		}
	}
	return nil
}

// strict looks for a reverse path filter that drops what leaves the tunnel.
func (w *world) strict(s *service, rs server, link string) {
	m := rs.machine
	all, okAll := m.conf("ipv4", "all", "rp_filter")
	own, okOwn := m.conf("ipv4", link, "rp_filter")
	if !okAll || !okOwn || max(all, own) != 1 {
		return
	}
	tunnel := "net.ipv4.conf." + sysctlDevice(link) + ".rp_filter"
	w.report(finding{id: "LVS013", host: m.host.Name, object: s.serverPath(rs),
		summary: fmt.Sprintf("%s drops what leaves its tunnel %s", m.host.Name, link),
		detail: fmt.Sprintf("rp_filter is %d for all and %d for %s; the kernel uses the larger, and 1 drops a packet whose source would not be answered through the interface on which it came: no client is reached through the tunnel. Set %s = 2; 0 does not help while all has 1.",
			all, own, link, tunnel),
		at: []topology.Range{rangeOf(m.declared[tunnel], "settings"), rangeOf(m.declared["net.ipv4.conf.all.rp_filter"], "settings"), s.serverRange(rs, "host", "address")}})
}

// tcpHeaders are the bytes of an IPv4 and a TCP header; IPv6 has 20 more.
const tcpHeaders = 40

// narrow looks for a tunnel that cannot carry what clients may send.
func (w *world) narrow(s *service, rs server, overhead int) {
	d, m := s.director, rs.machine
	towards, answer := d.lookup(rs.Address, rs.Address)
	back, known := m.lookup(s.Address, anywhere)
	if s.Protocol != "tcp" || answer != found || known != found {
		return
	}
	path, service := d.links[towards.device].MTU, m.links[back.device].MTU
	if !path.Set || !service.Set {
		return
	}
	room, headers := path.Value-overhead, tcpHeaders
	if s.Family == "ipv6" {
		headers += 20
	}
	wide := service.Value
	if back.mtu != 0 {
		wide = min(wide, back.mtu)
	}
	if back.advmss != 0 {
		wide = min(wide, back.advmss+headers)
	}
	if wide <= room {
		return
	}
	w.reportAs(finding{id: "LVS013", host: m.host.Name, object: s.serverPath(rs),
		summary: fmt.Sprintf("Clients of %s may send more than its tunnel carries", m.host.Name),
		detail: fmt.Sprintf("%s offers its clients packets of %d bytes, and between %s and it there is room for %d (%d less %d for the tunnel). Larger ones depend on ICMP messages that many networks drop: uploads hang. Set advmss = %d on the route by which it answers.",
			m.host.Name, wide, d.host.Name, room, path.Value, overhead, room-headers),
		at: []topology.Range{s.serverRange(rs, "host", "address"), rangeOf(back.resource, "advmss", "mtu")}}, topology.Warning)
}
