package check

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// route is one route of a host.
type route struct {
	to          netip.Prefix
	via         netip.Addr
	device      string
	metric      int
	kind        string // blackhole, …; "" is unicast
	advmss, mtu int
	many        bool // several next hops
	protocol    int
	key         state.Key
	resource    *topology.Resource
	at          topology.Range
}

// rule is one policy-routing rule, and who declares it.
type rule struct {
	state.Rule
	resource *topology.Resource
}

// routes are a table's, by destination; lengths are the prefix lengths in use.
type routes struct {
	to      map[netip.Prefix][]route
	lengths map[int]bool
}

func (m *machine) route(table int, r route) {
	t, ok := m.routes[table]
	if !ok {
		t = routes{map[netip.Prefix][]route{}, map[int]bool{}}
		m.routes[table] = t
	}
	t.to[r.to] = append(t.to[r.to], r)
	t.lengths[r.to.Bits()] = true
}

// declareRoute adds a route in the place of the one that it replaces.
func (m *machine) declareRoute(table int, r route) {
	list := m.routes[table].to[r.to]
	for i, have := range list {
		if have.metric != r.metric {
			continue
		}
		if m.live {
			list[i].resource, list[i].at = r.resource, r.at
		} else {
			list[i] = r
		}
		return
	}
	if !m.live {
		m.route(table, r)
	}
}

// answer is what a route lookup finds.
type answer int

const (
	unknown answer = iota
	nowhere        // no route, or one that refuses
	local          // an address of the host itself
	found
)

// anywhere is the destination of packets to clients, wherever they are.
var anywhere = netip.Addr{}

// lookup finds the route of a packet as the kernel does: by the rules in their
// order, in each table the longest prefix, of equal ones the lowest metric. For
// the destination anywhere only default routes count. Where not all is known it
// says so rather than guess.
func (m *machine) lookup(from, to netip.Addr) (route, answer) {
	if _, mine := m.byAddr[to]; mine && to != anywhere {
		return route{}, local
	}
	family := "ipv4"
	if from.Is6() {
		family = "ipv6"
	}
	for _, r := range m.rules {
		if r.Family != family || r.FWMark != 0 || r.Table == state.TableLocal {
			continue
		}
		if r.From.IsValid() && !r.From.Contains(from) || r.To.IsValid() && (to == anywhere || !r.To.Contains(to)) {
			continue
		}
		if r.Other != "" {
			if _, hit := m.search(r.Table, from, to); hit != nowhere {
				return route{}, unknown
			}
			continue
		}
		if best, hit := m.search(r.Table, from, to); hit != nowhere {
			return m.take(best)
		}
	}
	if m.live {
		return route{}, nowhere
	}
	return route{}, unknown
}

// take is the answer that a route gives.
func (m *machine) take(r route) (route, answer) {
	if r.key.Kind != "" {
		m.used[r.key] = true
	}
	switch {
	case r.many, r.kind == "throw", r.kind == "nat":
		return r, unknown
	case r.kind == "local":
		return r, local
	case r.kind != "" && r.kind != "unicast":
		return r, nowhere
	}
	return r, found
}

// search finds the best route of a table; answer is nowhere or found.
func (m *machine) search(table int, from, to netip.Addr) (route, answer) {
	t := m.routes[table]
	longest := 0
	if to != anywhere {
		longest = to.BitLen()
	} else {
		to = everywhere(from).Addr()
	}
	for bits := longest; bits >= 0; bits-- {
		if !t.lengths[bits] {
			continue
		}
		p, err := to.Prefix(bits)
		if err != nil {
			return route{}, nowhere
		}
		if list := t.to[p]; len(list) > 0 {
			best := list[0]
			for _, r := range list[1:] {
				if r.metric < best.metric {
					best = r
				}
			}
			return best, found
		}
	}
	return route{}, nowhere
}

// hasVia tells whether any route of a host leads through one of a director's
// addresses: clients may be behind it, whatever the default route is.
func (w *world) hasVia(m, director *machine) bool {
	for _, t := range m.routes {
		for _, list := range t.to {
			for _, r := range list {
				if r.to.Bits() > 0 && r.via.IsValid() && w.holds(director, r.via) {
					return true
				}
			}
		}
	}
	return false
}

// path is where the packets of a host to clients go.
type path struct {
	hops    []hop
	through bool // the director that was looked for is on it
	known   bool // it is known to its end, or to the director
}

type hop struct {
	machine *machine
	route   route
}

// maxHops is more than a topology has routers behind each other.
const maxHops = 16

// wayBack follows the packets that a host sends from an address to clients, as
// far as hosts of the topology carry them.
func (w *world) wayBack(m *machine, from netip.Addr, director *machine) path {
	var p path
	seen := map[*machine]bool{}
	for m != nil && !seen[m] && len(p.hops) < maxHops {
		seen[m] = true
		r, answer := m.lookup(from, anywhere)
		switch answer {
		case unknown:
			return p
		case nowhere, local:
			p.known = true
			p.hops = append(p.hops, hop{m, route{at: m.host.Range}})
			return p
		}
		p.hops = append(p.hops, hop{m, r})
		if w.holds(director, r.via) {
			p.through, p.known = true, true
			return p
		}
		m = w.hostOf(r.via)
	}
	p.known = director.knowsAddresses()
	return p
}

// first says by which route the packets leave, for a reader.
func (p path) first() string {
	r := p.hops[0].route
	switch {
	case r.via.IsValid() && r.device != "":
		return fmt.Sprintf("via %s dev %s", r.via, r.device)
	case r.via.IsValid():
		return fmt.Sprintf("via %s", r.via)
	case r.device != "":
		return fmt.Sprintf("dev %s", r.device)
	}
	return "nowhere: there is no default route"
}

// at are the places of the path's routes, in its order.
func (p path) at() []topology.Range {
	var out []topology.Range
	for _, h := range p.hops {
		if h.route.resource != nil {
			out = append(out, rangeOf(h.route.resource, "via", "device"))
		} else {
			out = append(out, h.route.at)
		}
	}
	return out
}
