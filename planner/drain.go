package planner

import (
	"net/netip"
	"slices"
	"time"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// DefaultDrainTimeout is how long a destination's connections get to end where
// its service does not say.
const DefaultDrainTimeout = 30 * time.Second

// drains puts before each destination that goes, or that changes between NAT and
// another way of forwarding, a change that takes new connections from it. A
// service that goes as a whole has lost its VIP before and is not drained.
func (b *builder) drains() {
	b.moving = map[string]bool{}
	b.indexForwards()
	for _, c := range b.plan.Changes {
		if server := b.moves(c); server != "" {
			b.moving[server] = true
		}
	}
	going := map[string]bool{}
	for _, c := range b.plan.Changes {
		if c.Action == Delete && c.Key().Kind == state.KindService {
			going[c.Host+" "+c.Key().ID] = true
		}
	}
	var drains []Change
	for i := range b.plan.Changes {
		c := &b.plan.Changes[i]
		d, ok := c.Before.(state.Destination)
		if !ok || going[c.Host+" "+d.Service.String()] || c.Action != Delete && b.moves(*c) == "" {
			continue
		}
		timeout := b.drainTimeout(c.Host, d.Service)
		if timeout == 0 && b.moves(*c) == "" {
			continue
		}
		timeout = max(timeout, time.Millisecond) // a server that moves gets no requests even so
		drained := d
		drained.Weight = 0
		drains = append(drains, Change{ID: c.Host + ":drain " + d.Key().String(), Addresses: c.Addresses, Host: c.Host,
			Action: Update, Before: d, After: drained, Drain: timeout})
		c.Before = drained
	}
	b.plan.Changes = append(b.plan.Changes, drains...)
}

// serverOf is the managed host behind a destination's change; "" is none.
func (b *builder) serverOf(c Change) string {
	d, ok := either(c).(state.Destination)
	if !ok {
		return ""
	}
	server := b.servers[c.ID]
	if server == "" {
		server = b.owner[d.Address]
	}
	if !b.managed[server] || server == c.Host {
		return ""
	}
	return server
}

// moves is the server of a destination that changes between NAT, where the
// server's answers must come back through the director, and a way of forwarding
// where they must not: both cannot work at once.
func (b *builder) moves(c Change) string {
	server := b.serverOf(c)
	before, ok := c.Before.(state.Destination)
	if server == "" || !ok || b.in.Destroy {
		return ""
	}
	after, ok := b.forwards[use{c.Host, before.Service, before.Address}]
	if !ok || (after == "nat") == (before.Forward == "nat") {
		return ""
	}
	return server
}

// use is a service's use of a server, whatever the port.
type use struct {
	director string
	service  state.ServiceID
	server   netip.Addr
}

// indexForwards notes how declared destinations are reached.
func (b *builder) indexForwards() {
	b.forwards = map[use]string{}
	for host, d := range b.hosts {
		for _, w := range d {
			if o, ok := w.object.(state.Destination); ok {
				b.forwards[use{host, o.Service, o.Address}] = o.Forward
			}
		}
	}
}

func (b *builder) drainTimeout(host string, service state.ServiceID) time.Duration {
	w := b.hosts[host][state.Key{Kind: state.KindService, ID: service.String()}]
	if w == nil {
		return DefaultDrainTimeout
	}
	for _, r := range w.resources {
		if s, ok := r.Body.(*topology.VirtualService); ok && s.DrainTimeout != nil {
			return *s.DrainTimeout
		}
	}
	return DefaultDrainTimeout
}

// moveWave puts what belongs to the move of real servers between ways of
// forwarding into its own wave: what happens to them on their directors, and all
// changes on the servers.
func (b *builder) moveWave() {
	for i := range b.plan.Changes {
		c := &b.plan.Changes[i]
		if server := b.serverOf(*c); server != "" && b.moving[server] || b.moving[c.Host] {
			c.Wave = WaveMove
		}
	}
}

// moves makes the servers that move do so one after the other: the directors
// send no more to a server, it is made ready for the new way, the directors use
// it again.
func (g *graph) moves() {
	var before []int // what the next server waits for
	for _, server := range g.movingServers() {
		var drains, own, after []int
		for i, c := range g.changes {
			switch {
			case c.Host == server:
				own = append(own, i)
			case c.Wave != WaveMove || g.b.serverOf(c) != server:
			case c.Drain > 0:
				drains = append(drains, i)
			default:
				after = append(after, i)
			}
		}
		for _, list := range [][]int{drains, own, after} {
			if len(list) == 0 {
				continue
			}
			for _, then := range list {
				for _, first := range before {
					g.edge(first, then)
				}
			}
			before = list
		}
	}
}

func (g *graph) movingServers() []string {
	var out []string
	for server := range g.b.moving {
		out = append(out, server)
	}
	slices.Sort(out)
	return out
}
