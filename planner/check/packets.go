package check

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// IP protocol numbers, of linux/in.h.
const (
	protoIPIP = 4
	protoTCP  = 6
	protoUDP  = 17
	protoIPv6 = 41
	protoGRE  = 47
	protoSCTP = 132
)

var protocols = map[string]int{"tcp": protoTCP, "udp": protoUDP, "sctp": protoSCTP}

// packet is what a filter is asked about; zero fields, and an unspecified
// address, may be anything.
type packet struct {
	to       netip.Addr
	protocol int
	port     uint16
}

// drops tells whether a host's filter certainly drops a packet, and in which
// chain.
func (m *machine) drops(hook string, p packet) (state.Filter, bool) {
	for _, f := range m.facts.Filters {
		if f.Hook == hook && (f.Family == "inet" || (f.Family == "ip") == p.to.Is4()) && chainDrops(f, p) {
			return f, true
		}
	}
	return state.Filter{}, false
}

// chainDrops follows a chain to the first rule that takes the packet. Where a
// rule may accept it, it is not certain that it drops it.
func chainDrops(f state.Filter, p packet) bool {
	for _, v := range f.Verdicts {
		matches, certain := v.Protocol == 0 || p.protocol == 0 || v.Protocol == p.protocol, !v.Partial
		certain = certain && (v.Protocol == 0 || p.protocol != 0)
		if v.To.IsValid() {
			some := p.to.IsUnspecified() && v.To.Bits() > 0
			matches = matches && (some && v.To.Addr().Is4() == p.to.Is4() || v.To.Contains(p.to))
			certain = certain && !some
		}
		if len(v.Ports) > 0 {
			matches = matches && (p.port == 0 || slices.ContainsFunc(v.Ports, func(r [2]uint16) bool { return r[0] <= p.port && p.port <= r[1] }))
			certain = certain && p.port != 0
		}
		switch {
		case !matches, v.Replies && f.Hook == "input": // what is asked about begins a connection
		case v.Accept:
			return false
		case certain:
			return true
		}
	}
	return f.Drops
}

// listens looks at the sockets of a real server to which the VIP's packets come.
func (w *world) listens(s *service, rs server) {
	m := rs.machine
	if s.Protocol == "" || s.Port == 0 || rs.Weight == 0 || len(m.facts.Listeners) == 0 {
		return
	}
	if slices.ContainsFunc(m.facts.Listeners, func(l state.Listener) bool {
		return l.Protocol == s.Protocol && l.Port == rs.Port && (l.Address == s.Address || l.Address.IsUnspecified() && (l.Address.Is6() || s.Address.Is4()))
	}) {
		return
	}
	elsewhere := ""
	for _, l := range m.facts.Listeners {
		if l.Protocol == s.Protocol && l.Port == rs.Port {
			elsewhere += " " + netip.AddrPortFrom(l.Address, l.Port).String()
		}
	}
	if elsewhere != "" {
		elsewhere = "; there is only" + elsewhere
	}
	w.report(finding{id: "LVS026", host: m.host.Name, object: s.serverPath(rs),
		summary: fmt.Sprintf("Nothing on %s listens on %s", m.host.Name, netip.AddrPortFrom(s.Address, rs.Port)),
		detail: fmt.Sprintf("With forward %q requests come to the VIP itself, so a server must listen on %s or on every address (%s)%s. Clients are refused. Start it, or correct the address on which it listens.",
			rs.Forward, netip.AddrPortFrom(s.Address, rs.Port), s.Protocol, elsewhere),
		at: []topology.Range{s.serverRange(rs, "host", "address")}})
}

// filtered looks for packet filters that drop what the service needs.
func (w *world) filtered(s *service) {
	d := s.director
	if s.Protocol != "" && s.Address.IsValid() {
		w.filter(d, "input", packet{s.Address, protocols[s.Protocol], s.Port}, s.resource.Path, "requests to the VIP", s.vipRange())
	}
	for _, rs := range s.servers {
		m, at := rs.machine, s.serverRange(rs, "host", "address")
		if m == nil || m == d || !rs.Address.IsValid() {
			continue
		}
		path, proto := s.serverPath(rs), protocols[s.Protocol]
		switch rs.Forward {
		case "nat":
			w.filter(d, "forward", packet{to: everywhere(rs.Address).Addr()}, s.resource.Path, "what is forwarded, and with it the real servers' answers", s.resource.Range)
			w.filter(m, "input", packet{rs.Address, proto, rs.Port}, path, "requests", at)
			continue
		case "tun":
			wrapped, what := wrapping(s, rs)
			w.filter(m, "input", wrapped, path, what, at)
		}
		if s.Address.IsValid() {
			w.filter(m, "input", packet{s.Address, proto, rs.Port}, path, "requests to the VIP", at)
		}
	}
}

// wrapping is the packet that carries another to a real server, and its name.
func wrapping(s *service, rs server) (packet, string) {
	switch {
	case rs.Tunnel != nil && rs.Tunnel.Type == "gue":
		return packet{rs.Address, protoUDP, rs.Tunnel.Port}, fmt.Sprintf("wrapped requests (GUE, UDP port %d)", rs.Tunnel.Port)
	case rs.Tunnel != nil && rs.Tunnel.Type == "gre":
		return packet{rs.Address, protoGRE, 0}, "wrapped requests (GRE, IP protocol 47)"
	case s.Family == "ipv6":
		return packet{rs.Address, protoIPv6, 0}, "wrapped requests (IP protocol 41)"
	}
	return packet{rs.Address, protoIPIP, 0}, "wrapped requests (IP protocol 4)"
}

// What the kernel uses where a sync daemon does not say.
const syncPort = 8848

var syncGroup = netip.AddrFrom4([4]byte{224, 0, 0, 81})

// syncFiltered looks at the packets that a backup hears of its master.
func (w *world) syncFiltered() {
	for _, name := range w.names {
		m := w.hosts[name]
		for _, r := range m.syncs {
			for _, sync := range r.Body.(*topology.IPVS).Sync {
				if sync.Role != "backup" {
					continue
				}
				p := packet{syncGroup, protoUDP, cmp.Or(sync.Port, syncPort)}
				if sync.Group.IsValid() {
					p.to = sync.Group
				}
				w.filter(m, "input", p, r.Path, fmt.Sprintf("the connections that the sync daemon's master tells it (UDP port %d)", p.port), rangeOf(r, "sync.backup"))
			}
		}
	}
}

func (w *world) filter(m *machine, hook string, p packet, object, what string, at topology.Range) {
	f, drops := m.drops(hook, p)
	if !drops {
		return
	}
	w.report(finding{id: "LVS025", host: m.host.Name, object: object,
		summary: fmt.Sprintf("The firewall of %s drops %s", m.host.Name, what),
		detail: fmt.Sprintf("The chain %s of table %s (%s, hook %s) drops %s. Open exactly that there, rather than switch the firewall off.",
			f.Chain, f.Table, f.Family, f.Hook, p),
		at: []topology.Range{at}})
}

func (p packet) String() string {
	names := map[int]string{protoTCP: "tcp", protoUDP: "udp", protoSCTP: "sctp"}
	text := "packets"
	switch name := names[p.protocol]; {
	case p.protocol == 0:
	case name == "":
		text += fmt.Sprintf(" of IP protocol %d", p.protocol)
	case p.port != 0:
		text = fmt.Sprintf("%s to port %d", name, p.port)
	default:
		text = name
	}
	if !p.to.IsUnspecified() {
		text += " of " + p.to.String()
	}
	return text
}
