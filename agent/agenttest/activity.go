package agenttest

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Connections implements txn.Kernel.
func (k *Kernel) Connections(services []state.ServiceID) ([]state.Connections, error) {
	var out []state.Connections
	for _, c := range k.counters(services) {
		out = append(out, c.Connections)
	}
	return out, nil
}

// Activity implements txn.Kernel.
func (k *Kernel) Activity(services []state.ServiceID) (state.Activity, error) {
	counters := k.counters(services)
	k.mu.Lock()
	defer k.mu.Unlock()
	return state.Activity{Counters: counters, Programs: slices.Clone(k.running)}, nil
}

func (k *Kernel) counters(services []state.ServiceID) (out []state.Counters) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.destinations(func(d state.Destination) bool { return slices.Contains(services, d.Service) }) {
		id := d.Key().ID
		c := k.counted[id]
		c.Destination = id
		out = append(out, c)
	}
	return out
}

// Count sets the counters of a destination. Nothing is checked.
func (k *Kernel) Count(c state.Counters) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count(c)
}

func (k *Kernel) count(c state.Counters) {
	if k.counted == nil {
		k.counted = map[string]state.Counters{}
	}
	k.counted[c.Destination] = c
}

// Run sets which programs run.
func (k *Kernel) Run(programs ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = programs
}

// Knock is a Server's Knock: a service takes connections while it has a
// destination with a weight, and each goes where the fewest went for the weight.
func (k *Kernel) Knock(q wire.Knock) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]string, q.Count)
	servers := k.destinations(func(d state.Destination) bool {
		return d.Service.Protocol == q.Protocol && netip.AddrPortFrom(d.Service.Address, d.Service.Port) == q.Address && d.Weight > 0
	})
	for i := range out {
		if len(servers) == 0 {
			out[i] = "connection refused"
			continue
		}
		load := func(d state.Destination) float64 { return float64(k.counted[d.Key().ID].Total+1) / float64(d.Weight) }
		to := slices.MinFunc(servers, func(a, b state.Destination) int { return cmp.Compare(load(a), load(b)) })
		c := k.counted[to.Key().ID]
		c.Destination = to.Key().ID
		c.Total++
		c.Inactive++
		k.count(c)
	}
	return out, nil
}

func (k *Kernel) destinations(asked func(state.Destination) bool) (out []state.Destination) {
	for _, o := range k.objects {
		if d, ok := o.(state.Destination); ok && asked(d) {
			out = append(out, d)
		}
	}
	return out
}
