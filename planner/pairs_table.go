package planner

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
)

// backupsFirst lets the director that holds addresses wait with its table until
// those who hold fewer have changed theirs: what is wrong with a change shows
// where nobody notices.
func (g *graph) backupsFirst() {
	for _, p := range g.b.groups {
		order := p.byRank()
		for n, later := range order {
			if p.members[later].holds == 0 {
				continue
			}
			for _, w := range []Wave{WaveDirectorsAdd, WaveDirectorsDrop} {
				for _, earlier := range order[:n] {
					g.afterTable(earlier, later, w)
				}
			}
		}
	}
}

// afterTable lets what a director changes in a wave, but for its programs, wait
// for another one, where the other one does not wait for it.
func (g *graph) afterTable(earlier, later string, w Wave) {
	first := -1
	for i, c := range g.changes {
		if c.Host == earlier && c.Wave == w && c.ofTable() {
			first = i
		}
	}
	if first < 0 {
		return
	}
	waits := map[int]bool{}
	g.waitsFor(first, waits)
	for i, c := range g.changes {
		if c.Host == later && c.Wave == w && c.ofTable() && !waits[i] {
			g.edge(first, i)
		}
	}
}

// waitsFor notes all changes that come before one.
func (g *graph) waitsFor(i int, in map[int]bool) {
	for _, j := range g.before[i] {
		if !in[j] {
			in[j] = true
			g.waitsFor(j, in)
		}
	}
}

// ofTable tells whether a change is done to the kernel, and not by a program or
// for one.
func (c Change) ofTable() bool {
	switch either(c).(type) {
	case state.Config, state.Unit, state.Package:
		return false
	}
	return c.Action != Adopt && c.Action != Forget && !c.given && !c.handed
}

// gaps says of the changes of directors that hold addresses when keepalived gives
// these up for a moment: by its reload they belong to another instance.
func (b *builder) gaps(p peers) {
	for _, h := range p.hosts {
		m := p.members[h]
		if m.holds == 0 || !m.moves() {
			continue
		}
		main := b.main(h)
		for i := range b.plan.Changes {
			if c := &b.plan.Changes[i]; main != "" && c.ID == main {
				c.Hazards = append(c.Hazards, HazardAddressGap)
			}
		}
	}
}

// moves tells whether an address is to be in another instance, or on another
// interface, than it is.
func (m *member) moves() bool {
	want := places(m.want)
	for ip, at := range places(m.live) {
		if to, stays := want[ip]; stays && to != at {
			return true
		}
	}
	return false
}

// place is where keepalived has an address.
type place struct{ instance, device string }

func places(list []instance) map[netip.Prefix]place {
	out := map[netip.Prefix]place{}
	for _, i := range list {
		for _, a := range slices.Concat(i.Addresses, i.Excluded) {
			out[a.IP] = place{i.Name, cmp.Or(a.Device, i.Interface)}
		}
	}
	return out
}
