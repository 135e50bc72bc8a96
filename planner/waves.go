package planner

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// role is what a host does in the topology, as far as order depends on it.
type role struct {
	director bool // has a virtual service
	gateway  bool // a director that forwards by NAT
	server   bool // is the destination of a service on another host
	vips     map[netip.Addr]bool
}

// roles come from what is declared and from what is still claimed.
func (b *builder) roles() map[string]*role {
	owner := owners(b.in.Topology)
	out := map[string]*role{}
	for _, h := range b.in.Topology.Hosts {
		out[h.Name] = &role{vips: map[netip.Addr]bool{}}
	}
	note := func(host string, o state.Object) {
		r := out[host]
		switch o := o.(type) {
		case state.Service:
			r.director = true
			r.vips[o.Address] = true
		case state.Destination:
			r.gateway = r.gateway || o.Forward == "nat"
			if s := out[owner[o.Address]]; s != nil && s != r {
				s.server = true
			}
		case state.Config:
			r.director = true
			kept, _ := settingsOf(o)
			for _, d := range kept.destinations() {
				r.gateway = r.gateway || d.Forward == "nat"
				if s := out[owner[d.Address]]; s != nil && s != r {
					s.server = true
				}
			}
			for _, a := range kept.addresses() {
				r.vips[a] = true
			}
		}
	}
	for host, d := range b.hosts {
		for _, w := range d {
			note(host, w.object)
		}
	}
	for host, live := range b.in.Live {
		for _, e := range live.Ledger.Entries {
			if c, ok := e.Claim(b.plan.Topology); ok && out[host] != nil {
				note(host, c.Value.Object)
			}
		}
	}
	return out
}

// removal tells whether a change takes something away.
func (c Change) removal() bool {
	return !c.handed && (c.Action == Delete || c.Claim != nil && c.Claim.Drop)
}

// wave is the stage of docs/safety.md that a change belongs to.
func (r *role) wave(c Change) Wave {
	vip := r.serves(c)
	switch {
	case c.Drain > 0:
		return WaveDrain
	case r.gateway && c.stopsForwarding():
		return WaveGatewaysDrop
	case !r.director && c.removal():
		return WaveServersDrop
	case !r.director, r.server && !vip && ownPlumbing(c):
		if c.removal() {
			return WaveServersDrop
		}
		return WaveServersAdd
	case c.removal() && r.gateway && !vip:
		return WaveGatewaysDrop
	case c.removal():
		return WaveDirectorsDrop
	case r.gateway && !vip:
		return WaveGateways
	}
	return WaveDirectorsAdd
}

// stopsForwarding tells whether a change switches forwarding off, which servers
// behind a gateway need to the end.
func (c Change) stopsForwarding() bool {
	s, ok := c.After.(state.Sysctl)
	return ok && s.Value == "0" && (s.Name == "net.ipv4.ip_forward" || s.Name == "net.ipv6.conf.all.forwarding")
}

// serves tells whether a change concerns the service itself: the IPVS table, its
// modules and sysctls, or the VIP.
func (r *role) serves(c Change) bool {
	switch o := either(c).(type) {
	case state.Service, state.Destination, state.Timeouts, state.Sync, state.Mark, state.Masquerade, state.Config:
		return true
	case state.Unit:
		return slices.Contains(programs(), o.Name)
	case state.Module:
		return strings.HasPrefix(o.Name, "ip_vs")
	case state.Sysctl:
		return strings.HasPrefix(o.Name, "net.ipv4.vs.")
	case state.Address:
		return o.Device != "lo" && r.vips[o.IP.Addr()]
	case state.Route:
		return o.Device != "lo" && r.vips[o.To.Addr()]
	}
	return false
}

// ownPlumbing tells whether a change prepares a host to serve a VIP itself.
func ownPlumbing(c Change) bool {
	switch o := either(c).(type) {
	case state.Sysctl:
		return strings.Contains(o.Name, ".arp_") || strings.Contains(o.Name, ".rp_filter")
	case state.Address:
		return o.Device == "lo"
	case state.Route:
		return o.Device == "lo"
	}
	return false
}

func either(c Change) state.Object {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// rank orders the changes of one host within a wave.
func (r *role) rank(c Change) int {
	o := either(c)
	if c.removal() {
		// VIP first, so that no more requests come; sysctls last, so that no
		// ARP question about the VIP is answered.
		if u, ok := o.(state.Unit); ok && slices.Contains(programs(), u.Name) {
			return 99 // it has nothing left to do
		}
		return slices.Index([]state.Kind{state.KindUnit, state.KindAddress, state.KindRoute, state.KindConfig, state.KindDestination, state.KindService,
			state.KindMasquerade, state.KindMark, state.KindSync, state.KindTimeouts, state.KindRule, state.KindFOU,
			state.KindLink, state.KindModule, state.KindSysctl, state.KindPackage}, o.Key().Kind)
	}
	vip := r.serves(c)
	switch o := o.(type) {
	case state.Package:
		return 0
	case state.Unit:
		if !o.Running.Or(state.Some(true)).Value { // what is in the way goes first
			return 1
		}
		return 17
	case state.Module:
		return 2
	case state.Link, state.FOU:
		return 3
	case state.Sysctl:
		// Writing ip_forward resets other sysctls, so they follow it.
		if o.Name == "net.ipv4.ip_forward" || o.Name == "net.ipv6.conf.all.forwarding" {
			return 4
		}
		return 5
	case state.Address:
		if c.given {
			return 15
		}
		if vip {
			return 12
		}
		return 6
	case state.Route:
		if vip {
			return 13
		}
		return 7
	case state.Rule:
		return 8
	case state.Config:
		return 14
	case state.Service:
		if c.given {
			return 15
		}
		return 10
	case state.Destination:
		if c.given {
			return 16
		}
		return 11
	}
	return 9 // marks, source NAT, timeouts, sync daemons
}
