package planner

import (
	"cmp"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Drains tells which services' connections a plan shows.
type Drains struct {
	topology string
	hosts    map[string]desired
}

// NewDrains works out what the topology's virtual services shall have.
func NewDrains(t *topology.Topology) *Drains {
	services := *t
	services.Resources = slices.DeleteFunc(slices.Clone(t.Resources), func(r *topology.Resource) bool {
		_, ok := r.Body.(*topology.VirtualService)
		return !ok
	})
	hosts, _ := declare(&services)
	return &Drains{t.Name, hosts}
}

// Services are those of a host, sorted, of whose destinations a plan may drain
// some: they go, get the weight 0 or change between NAT and another way of
// forwarding.
func (d *Drains) Services(host string, live state.Objects) []state.ServiceID {
	if d == nil {
		return nil
	}
	var out []state.ServiceID
	for _, o := range live {
		have, ok := o.(state.Destination)
		if !ok || d.hosts[host].table(d.topology, state.Key{Kind: state.KindService, ID: have.Service.String()}) == nil {
			continue
		}
		if w := d.hosts[host].table(d.topology, have.Key()); w != nil {
			want := w.object.(state.Destination)
			if (want.Weight > 0 || have.Weight == 0) && (want.Forward == "nat") == (have.Forward == "nat") {
				continue
			}
		}
		out = append(out, have.Service)
	}
	slices.SortFunc(out, func(a, b state.ServiceID) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// countConnections notes with every drain how many connections it waits for.
func (b *builder) countConnections() {
	counts := map[string]state.Connections{}
	for host, live := range b.in.Live {
		for _, c := range live.Connections {
			counts[host+" "+c.Destination] = c
		}
	}
	for i := range b.plan.Changes {
		c := &b.plan.Changes[i]
		if c.Drain == 0 {
			continue
		}
		open, known := 0, len(c.Waiting()) > 0
		for _, d := range c.Waiting() {
			n, ok := counts[c.Host+" "+d.Key().ID]
			open, known = open+n.Open(d.Service.Protocol), known && ok
		}
		if known {
			c.Connections = &open
		}
	}
}
