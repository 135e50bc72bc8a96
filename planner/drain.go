package planner

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
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
		d, ok := c.Before.(state.Destination)
		if !ok || going[c.Host+" "+d.Service.String()] {
			continue
		}
		timeout, moves := b.drainTimeout(c.Host, d.Service), b.moves(*c) != ""
		after, stays := c.After.(state.Destination)
		switch {
		case moves || c.Action == Delete && timeout > 0:
			drained := d
			drained.Weight = 0
			drains = append(drains, Change{ID: c.Host + ":drain " + d.Key().String(), Addresses: c.Addresses, Host: c.Host,
				Action: Update, Before: d, After: drained, Drain: max(timeout, momentary)})
			c.Before = drained
		case stays && c.Action == Update && d.Weight > 0 && after.Weight == 0:
			c.Drain = timeout
		}
	}
	b.plan.Changes = append(b.plan.Changes, drains...)
	b.fallbacks()
}

// fallbacks lets services that choose a server by hashing choose another one
// while one of theirs is drained; without that flag they refuse the clients that
// hash to it. dh has no such flag.
func (b *builder) fallbacks() {
	b.fixed = map[string]Wave{}
	services := b.drainedServices()
	for i := range b.plan.Changes {
		c := &b.plan.Changes[i]
		d, ok := c.After.(state.Destination)
		if !ok || c.Drain == 0 {
			continue
		}
		s := services[c.Host+" "+d.Service.String()]
		if s.Scheduler == "dh" {
			c.Hazards = append(c.Hazards, HazardRefusesClients)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(services)) {
		s := services[at]
		flag := s.Scheduler + "-fallback"
		if s.Scheduler != "sh" && s.Scheduler != "mh" || slices.Contains(strings.Split(s.SchedulerFlags, ","), flag) {
			continue
		}
		with := s.Service
		with.SchedulerFlags = strings.Trim(flag+","+s.SchedulerFlags, ",") // it sorts first
		set := Change{ID: s.host + ":drain " + s.Key().String(), Addresses: s.addresses, Host: s.host, Action: Update,
			Before: s.Service, After: with}
		unset := set
		unset.ID, unset.Before, unset.After, unset.last = s.host+":drained "+s.Key().String(), with, s.Service, true
		b.fixed[set.ID], b.fixed[unset.ID] = s.wave, WaveDirectorsDrop
		b.plan.Changes = append(b.plan.Changes, set, unset)
	}
}

// drainedService is a service with a destination that is drained.
type drainedService struct {
	state.Service
	host      string
	addresses []string
	wave      Wave
}

// drainedServices are they as they will be when the drain begins, by host and
// identity.
func (b *builder) drainedServices() map[string]drainedService {
	out := map[string]drainedService{}
	for _, c := range b.plan.Changes {
		d, ok := c.After.(state.Destination)
		if !ok || c.Drain == 0 {
			continue
		}
		at := c.Host + " " + d.Service.String()
		x := drainedService{host: c.Host, wave: WaveDrain}
		if w := b.hosts[c.Host][state.Key{Kind: state.KindService, ID: d.Service.String()}]; w != nil {
			x.addresses = w.addresses
		}
		if b.moving[b.serverOf(c)] || out[at].wave == WaveMove {
			x.wave = WaveMove
		}
		out[at] = x
	}
	note := func(host string, o state.Object) {
		s, ok := o.(state.Service)
		if x, drained := out[host+" "+s.ServiceID.String()]; ok && drained {
			x.Service = s
			out[host+" "+s.ServiceID.String()] = x
		}
	}
	if len(out) > 0 {
		for host, live := range b.in.Live {
			for _, o := range live.Objects {
				note(host, o)
			}
		}
	}
	for _, c := range b.plan.Changes {
		note(c.Host, c.After)
	}
	maps.DeleteFunc(out, func(_ string, x drainedService) bool { return x.addresses == nil })
	return out
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
	if server == "" || !ok || !b.changing[server] || b.in.Destroy {
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
