package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// order puts the changes into the order of apply and fills in AfterIDs, Wave and
// Stage.
func (b *builder) order() {
	roles := b.roles()
	changes := b.plan.Changes
	for i := range changes {
		changes[i].Wave = roles[changes[i].Host].wave(changes[i])
	}
	b.moveWave()
	slices.SortStableFunc(changes, func(x, y Change) int {
		return cmp.Or(cmp.Compare(x.Wave, y.Wave), cmp.Compare(x.Host, y.Host),
			cmp.Compare(number(x.last), number(y.last)), cmp.Compare(number(x.removal()), number(y.removal())),
			cmp.Compare(roles[x.Host].rank(x), roles[y.Host].rank(y)), x.Key().Compare(y.Key()))
	})
	g := graph{b: b, changes: changes, index: map[string]int{}, before: make([][]int, len(changes))}
	for i, c := range changes {
		g.index[c.ID] = i
	}
	g.safety(roles)
	g.configs()
	g.moves()
	g.declared()
	g.backupsFirst()
	b.plan.Changes = g.stages()
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// graph holds, for each change, the changes that come before it.
type graph struct {
	b       *builder
	changes []Change
	index   map[string]int
	before  [][]int
}

func (g *graph) edge(first, then int) {
	if first != then && !slices.Contains(g.before[then], first) {
		g.before[then] = append(g.before[then], first)
	}
}

// lastOf returns the last change of every host in a wave. A host's changes in a
// wave are one transaction, so waiting for one is waiting for all.
func (g *graph) lastOf(w Wave) map[string]int {
	last := map[string]int{}
	for i, c := range g.changes {
		if c.Wave == w {
			last[c.Host] = i
		}
	}
	return last
}

// safety adds what keeps traffic from hosts that are not ready for it.
func (g *graph) safety(roles map[string]*role) {
	gateways, servers := g.lastOf(WaveGateways), g.lastOf(WaveServersAdd)
	owner := owners(g.b.in.Topology)
	for _, c := range g.changes {
		if a, ok := either(c).(state.Address); ok && roles[c.Host].gateway && !c.removal() {
			owner[a.IP.Addr()] = c.Host
		}
	}
	// server → director → the last removal there of a destination on the server
	directorsOf := map[string]map[string]int{}
	for i, c := range g.changes {
		switch o := either(c).(type) {
		case state.Destination:
			if last, ok := servers[g.b.servers[c.ID]]; ok && (c.Action == Create || c.Action == Update) && !c.removal() {
				g.edge(last, i)
			}
			if c.Wave == WaveDirectorsDrop {
				server := owner[o.Address]
				if directorsOf[server] == nil {
					directorsOf[server] = map[string]int{}
				}
				directorsOf[server][c.Host] = i
			}
		case state.Route:
			if last, ok := gateways[owner[o.Via]]; ok && o.Via.IsValid() && c.Wave == WaveServersAdd {
				g.edge(last, i)
			}
		}
	}
	for i, c := range g.changes {
		if c.Wave == WaveServersDrop {
			for _, last := range directorsOf[c.Host] {
				g.edge(last, i)
			}
		}
	}
}

// declared adds what depends_on and references imply; removals go the other way
// round.
func (g *graph) declared() {
	resources := map[string]*topology.Resource{}
	for _, r := range g.b.in.Topology.Resources {
		resources[r.Path] = r
	}
	of := map[string][]int{} // resource path → its changes
	for i, c := range g.changes {
		for _, address := range c.Addresses {
			path, _, _ := strings.Cut(address, ".real_server.")
			of[path] = append(of[path], i)
		}
	}
	for i, c := range g.changes {
		for _, address := range c.Addresses {
			path, _, _ := strings.Cut(address, ".real_server.")
			r := resources[path]
			if r == nil {
				continue
			}
			for _, dep := range r.DependsOn {
				for _, j := range of[dep] {
					g.dependency(r, dep, i, j)
				}
			}
		}
	}
}

// dependency adds one pair of changes where a resource depends on another.
func (g *graph) dependency(r *topology.Resource, dep string, i, j int) {
	c, d := g.changes[i], g.changes[j]
	if c.removal() != d.removal() {
		return // one comes and the other goes: the waves decide
	}
	first, then := j, i
	if c.removal() {
		first, then = i, j
	}
	if g.changes[first].Wave <= g.changes[then].Wave {
		g.edge(first, then)
		return
	}
	if g.changes[first].Wave == WaveMove {
		return // what its directors do with it waits for it
	}
	if c.removal() {
		return // the safe order of removal needs no help
	}
	rng := r.Range
	g.b.plan.Diagnostics = append(g.b.plan.Diagnostics, topology.Diagnostic{
		Severity: topology.Error, Host: c.Host, Object: r.Path, Range: &rng,
		Summary: fmt.Sprintf("%s depends on %s, which must come later", r.Path, dep),
		Detail: fmt.Sprintf("%s (%s) → %s (%s) → %s: the order that keeps traffic away from servers that are not ready contradicts this dependency. "+
			"Remove the depends_on or the reference; a local value can serve both.", r.Path, c.Wave, dep, d.Wave, r.Path),
	})
}

// stages numbers the stages and returns the changes in their final order: within
// a wave each change comes after those that it waits for, and a change that
// waits for another host comes a stage later.
func (g *graph) stages() []Change {
	order := g.sorted()
	level := make([]int, len(g.changes))
	type hostWave struct {
		host string
		wave Wave
	}
	reached := map[hostWave]int{}
	for _, i := range order {
		c := g.changes[i]
		at := reached[hostWave{c.Host, c.Wave}]
		for _, j := range g.before[i] {
			d := g.changes[j]
			if d.Wave != c.Wave {
				continue
			}
			step := level[j]
			if d.Host != c.Host {
				step++
			}
			at = max(at, step)
		}
		level[i], reached[hostWave{c.Host, c.Wave}] = at, at
	}
	slices.SortStableFunc(order, func(i, j int) int {
		x, y := g.changes[i], g.changes[j]
		return cmp.Or(cmp.Compare(x.Wave, y.Wave), cmp.Compare(level[i], level[j]), cmp.Compare(x.Host, y.Host))
	})
	out := make([]Change, 0, len(order))
	stage := -1
	for n, i := range order {
		c := g.changes[i]
		if n == 0 || c.Wave != out[n-1].Wave || level[i] != level[order[n-1]] {
			stage++
		}
		c.Stage = stage
		for _, j := range g.before[i] {
			if g.changes[j].Host != c.Host || g.changes[j].ID == g.b.previous[c.ID] {
				c.AfterIDs = append(c.AfterIDs, g.changes[j].ID)
			}
		}
		slices.Sort(c.AfterIDs)
		out = append(out, c)
	}
	return out
}

// sorted returns the changes' indices, each after those before it, and otherwise
// in the order of waves and ranks.
func (g *graph) sorted() []int {
	const (
		unseen = iota
		open
		done
	)
	mark := make([]int, len(g.changes))
	order := make([]int, 0, len(g.changes))
	var visit func(i int)
	visit = func(i int) {
		if mark[i] != unseen {
			return
		}
		mark[i] = open
		slices.Sort(g.before[i])
		kept := g.before[i][:0]
		for _, j := range g.before[i] {
			if mark[j] == open {
				g.cycle(i, j)
				continue
			}
			visit(j)
			kept = append(kept, j)
		}
		g.before[i] = kept
		mark[i] = done
		order = append(order, i)
	}
	for i := range g.changes {
		visit(i)
	}
	return order
}

func (g *graph) cycle(i, j int) {
	c, d := g.changes[i], g.changes[j]
	g.b.plan.Diagnostics = append(g.b.plan.Diagnostics, topology.Diagnostic{
		Severity: topology.Error, Host: c.Host, Object: c.Address(),
		Summary: "the order of changes is a circle",
		Detail: fmt.Sprintf("%s on %s → %s on %s → … → %s: each waits for the other. Take one of the dependencies away.",
			c.Address(), c.Host, d.Address(), d.Host, c.Address()),
	})
}
