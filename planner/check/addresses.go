package check

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// addresses makes the checks about who has which address, and of what is
// declared twice.
func (w *world) addresses() {
	for _, name := range w.names {
		m := w.hosts[name]
		w.wideOnLo(m)
		w.routesOnLo(m)
	}
	w.heldTwice()
	w.servicesTwice()
}

// wideOnLo looks for addresses on lo that make a whole network local.
func (w *world) wideOnLo(m *machine) {
	for _, a := range m.addrs {
		ip := a.ip.Addr()
		if a.device != "lo" || a.ip.Bits() == ip.BitLen() || ip.IsLoopback() {
			continue
		}
		hides := slices.ContainsFunc(m.addrs, func(o held) bool { return o.device != "lo" && a.ip.Contains(o.ip.Addr()) })
		if !w.vips[ip] && !hides {
			continue
		}
		single := netip.PrefixFrom(ip, ip.BitLen())
		f := finding{id: "LVS006", host: m.host.Name, object: pathOf(a.resource), at: []topology.Range{a.at},
			summary: fmt.Sprintf("%s on lo of %s makes all of %s local", a.ip, m.host.Name, a.ip.Masked()),
			detail: fmt.Sprintf("For an address on lo the kernel takes the whole prefix for its own: %s then reaches no other host of %s, clients there included. Write %s.",
				m.host.Name, a.ip.Masked(), single)}
		if a.resource == nil {
			f.detail = fmt.Sprintf("For an address on lo the kernel takes the whole prefix for its own: %s then reaches no other host of %s, clients there included. It is there already, and an address that is there keeps its prefix length: take it away on the host, and %s is made anew.",
				m.host.Name, a.ip.Masked(), single)
		}
		w.report(f)
	}
}

// routesOnLo looks for declared host routes to lo that are for no VIP.
func (w *world) routesOnLo(m *machine) {
	for _, r := range m.resources {
		b, ok := r.Body.(*topology.Route)
		if !ok || b.Device != "lo" || b.To.Bits() != b.To.Addr().BitLen() {
			continue
		}
		to := b.To.Addr()
		if _, own := m.has(to); own || w.vips[to] || to.IsLoopback() {
			continue
		}
		what, at := "is no VIP", []topology.Range{rangeOf(r, "to")}
		for _, list := range m.routes[state.TableMain].to {
			for _, o := range list {
				if o.via == to {
					what = "is its gateway"
					at = append(at, o.at)
				}
			}
		}
		if other := w.hostOf(to); other != nil && what == "is no VIP" {
			what = "is " + other.host.Name
			at = append(at, other.host.Range)
		}
		w.report(finding{id: "LVS008", host: m.host.Name, object: r.Path, at: at,
			summary: fmt.Sprintf("The host route on lo of %s is for %s, which %s", m.host.Name, to, what),
			detail:  fmt.Sprintf("What %s sends to %s then goes to its own lo and nowhere else. A host route on lo is for the VIP: write the VIP's address in `to`.", m.host.Name, to)})
	}
}

// heldTwice looks for addresses for which two hosts answer.
func (w *world) heldTwice() {
	for _, a := range slices.SortedFunc(maps.Keys(w.holders), netip.Addr.Compare) {
		list := w.holders[a]
		if len(list) < 2 || a.IsLinkLocalUnicast() || a.IsLoopback() {
			continue
		}
		first := list[0]
		for _, h := range list[1:] {
			if h.machine == first.machine || h.floating && first.floating {
				continue // what floats is LVS010's
			}
			x, y := first, h
			if y.resource == nil {
				x, y = h, first // y is the one to change
			}
			if y.resource == nil && !(x.machine.host.Address == a && y.machine.host.Address == a) {
				continue // what hosts brought with them may stand on networks apart
			}
			w.twice(a, x, y)
		}
	}
}

func (w *world) twice(a netip.Addr, x, y holder) {
	fix := "Give one of them another address"
	switch {
	case x.floating || y.floating:
		fix = "It floats by VRRP, and keepalived gives it to one host at a time. Take it away from the other one"
	case w.vips[a]:
		fix = "A VIP stands on one director at a time, and on a real server on lo only"
	}
	w.report(finding{id: "LVS020", host: y.machine.host.Name, object: cmp.Or(pathOf(y.resource), y.machine.host.Path),
		summary: fmt.Sprintf("%s holds %s too", x.machine.host.Name, a),
		detail: fmt.Sprintf("%s on %s of %s and on %s of %s: both answer ARP requests for it, and which one a client reaches is chance. %s.",
			a, orSome(y.device), y.machine.host.Name, orSome(x.device), x.machine.host.Name, fix),
		at: []topology.Range{y.at, x.at}})
}

func orSome(device string) string { return cmp.Or(device, "an interface") }

// management020 looks for a VIP under which a host is managed.
func (w *world) management020(s *service) {
	if !s.Address.IsValid() {
		return
	}
	for _, m := range w.managed(s.Address) {
		w.report(finding{id: "LVS020", host: s.director.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("VIP %s is the address of %s", s.Address, m.host.Name),
			detail: fmt.Sprintf("%s is managed, and answers its cluster, under this address. It cannot move with the service, and port %d of it would no longer reach %s itself. Take an address of its own for the VIP.",
				m.host.Name, s.Port, m.host.Name),
			at: []topology.Range{s.vipRange(), hostRange(m.host, "address")}})
	}
}

func hostRange(h *topology.Host, attribute string) topology.Range {
	if at, ok := h.Attributes[attribute]; ok {
		return at
	}
	return h.Range
}

// servicesTwice looks for one service in two blocks of a director.
func (w *world) servicesTwice() {
	first := map[identity]*service{}
	for _, s := range w.services {
		k := identity{s.director.host.Name, s.id()}
		old, ok := first[k]
		if !ok {
			first[k] = s
			continue
		}
		w.report(finding{id: "LVS009", host: k.host, object: s.resource.Path,
			summary: fmt.Sprintf("Service %s twice on %s", k.id, k.host),
			detail: fmt.Sprintf("%s and %s declare it, and the kernel has one: it would take scheduler, flags and real servers from both. Put the real servers into one block.",
				old.resource.Path, s.resource.Path),
			at: []topology.Range{rangeOf(s.resource, "address", "fwmark"), rangeOf(old.resource, "address", "fwmark")}})
	}
}
