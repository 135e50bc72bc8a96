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

// momentary is the drain of a service that wants none, where there must be one.
const momentary = time.Millisecond

// drains puts before each destination that goes, or that changes between NAT and
// another way of forwarding, a change that takes new connections from it. One
// that is given the weight 0 is drained by that. A service that goes as a whole
// has lost its VIP before and is not drained.
func (b *builder) drains() {
	b.moving, b.changing = map[string]bool{}, map[string]bool{}
	b.indexForwards()
	for _, c := range b.plan.Changes {
		if c.Key().Kind != state.KindDestination {
			b.changing[c.Host] = true
		}
	}
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
		if idle, ok := b.masqueradeDrain(*c); ok {
			drains = append(drains, idle)
			c.Before = idle.After
			continue
		}
		d, ok := c.Before.(state.Destination)
		if !ok || c.handed || going[c.Host+" "+d.Service.String()] {
			continue
		}
		timeout, moves := b.drainTimeout(c.Host, d.Service), b.moves(*c) != ""
		after, stays := c.After.(state.Destination)
		switch {
		case moves || c.Action == Delete && timeout > 0:
			drained := d
			drained.Weight = 0
			drains = append(drains, Change{ID: c.Host + ":drain " + d.Key().String(), Addresses: c.Addresses, Host: c.Host,
				Action: Update, Before: d, After: drained, Claim: b.drainClaim(c.Host, drained), Sensitive: c.Sensitive,
				Drain: max(timeout, momentary), partly: true})
			c.Before = drained
		case stays && c.Action == Update && d.Weight > 0 && after.Weight == 0:
			c.Drain = timeout
		}
	}
	b.plan.Changes = append(b.plan.Changes, drains...)
	b.fallbacks()
	b.countConnections()
}

// drainClaim records that an object is being drained, so that neither a reboot
// nor the end of the run gives a destination its weight back; nil: it is not the
// topology's.
func (b *builder) drainClaim(host string, drained state.Object) *state.ClaimChange {
	entry, ok := b.entries(host)[drained.Key()]
	if !ok {
		return nil
	}
	claim, ok := entry.Claim(b.plan.Topology)
	if !ok {
		return nil
	}
	claim.Value, claim.Draining = state.Boxed{Object: drained}, true
	return &state.ClaimChange{Claim: claim, Before: entry.Before}
}

// entries are the entries of a host's ledger, by key.
func (b *builder) entries(host string) map[state.Key]state.Entry {
	if b.ledgers == nil {
		b.ledgers = map[string]map[state.Key]state.Entry{}
	}
	if b.ledgers[host] == nil {
		b.ledgers[host] = b.in.Live[host].Ledger.ByKey()
	}
	return b.ledgers[host]
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
// where they must not: both cannot work at once. A server that is not changed
// itself does not move: only its destination is wrong.
func (b *builder) moves(c Change) string {
	server := b.serverOf(c)
	before, ok := c.Before.(state.Destination)
	if server == "" || !ok || c.handed || !b.changing[server] || b.in.Destroy {
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
			if w.config == nil {
				continue
			}
			for _, o := range w.config.destinations() {
				b.forwards[use{host, o.Service, o.Address}] = o.Forward
			}
		}
	}
}

func (b *builder) drainTimeout(host string, service state.ServiceID) time.Duration {
	w := b.hosts[host].table(b.plan.Topology, state.Key{Kind: state.KindService, ID: service.String()})
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
		if w, ok := b.fixed[c.ID]; ok {
			c.Wave = w
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
