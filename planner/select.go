package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// selectChanges leaves the changes that Target and Exclude ask for. What a
// target waits for comes along; what waits for something excluded goes too.
func (b *builder) selectChanges() {
	in := b.in
	if len(in.Target) == 0 && len(in.Exclude) == 0 {
		return
	}
	keep := map[string]bool{}
	for _, c := range b.plan.Changes {
		keep[c.ID] = (len(in.Target) == 0 || c.named(in.Target)) && !c.named(in.Exclude)
	}
	if len(in.Target) > 0 {
		b.withPrerequisites(keep)
	}
	var out []Change
	for _, c := range b.plan.Changes {
		if !keep[c.ID] {
			continue
		}
		if i := slices.IndexFunc(c.AfterIDs, func(id string) bool { return !keep[id] }); i >= 0 {
			keep[c.ID] = false
			b.plan.Diagnostics = append(b.plan.Diagnostics, topology.Diagnostic{
				Severity: topology.Warning, Host: c.Host, Object: c.Address(),
				Summary: fmt.Sprintf("%s on %s is left out", c.Key(), c.Host),
				Detail:  fmt.Sprintf("It waits for %s, which is excluded.", c.AfterIDs[i]),
			})
			continue
		}
		out = append(out, c)
	}
	b.plan.Changes = out
	b.unknownSelectors()
}

// named tells whether a selector stands for one of the change's addresses or for
// its host.
func (c Change) named(selectors []string) bool {
	return slices.ContainsFunc(selectors, func(s string) bool {
		return s == "host."+c.Host || slices.ContainsFunc(c.Addresses, func(a string) bool { return within(a, s) }) || c.hasServer(s)
	})
}

// hasServer tells whether a selector names a real server of a service that a
// program keeps: its configuration changes as a whole.
func (c Change) hasServer(selector string) bool {
	path, _, ok := strings.Cut(selector, ".real_server.")
	return ok && c.Key().Kind == state.KindConfig && slices.Contains(c.Addresses, path)
}

// withPrerequisites adds to keep what its changes wait for, and what must exist
// on their host first: the service of a destination, the module of a service.
func (b *builder) withPrerequisites(keep map[string]bool) {
	for i := len(b.plan.Changes) - 1; i >= 0; i-- {
		c := b.plan.Changes[i]
		if !keep[c.ID] {
			continue
		}
		for _, id := range c.AfterIDs {
			keep[id] = true
			b.keepBeside(keep, id)
		}
		for _, d := range b.plan.Changes[:i] {
			if d.Host == c.Host && d.Action == Create && slices.ContainsFunc(c.Addresses, func(a string) bool {
				return a != d.Address() && within(a, d.Address())
			}) {
				keep[d.ID] = true
			}
		}
	}
}

// keepBeside adds to keep what a change stands for that others wait for: it is
// the last of all that makes its host ready, or of the destinations that go.
func (b *builder) keepBeside(keep map[string]bool, id string) {
	i := slices.IndexFunc(b.plan.Changes, func(c Change) bool { return c.ID == id })
	if i < 0 {
		return
	}
	last := b.plan.Changes[i]
	server, drops := either(last).(state.Destination)
	for _, d := range b.plan.Changes {
		if d.Host != last.Host || d.Stage != last.Stage {
			continue
		}
		other, destination := either(d).(state.Destination)
		if !last.removal() || drops && destination && other.Address == server.Address {
			keep[d.ID] = true
		}
	}
}

// unknownSelectors reports a target or exclusion that names nothing at all.
func (b *builder) unknownSelectors() {
	for _, s := range slices.Concat(b.in.Target, b.in.Exclude) {
		if b.known(s) {
			continue
		}
		b.plan.Diagnostics = append(b.plan.Diagnostics, topology.Diagnostic{
			Severity: topology.Error, Object: s, Summary: fmt.Sprintf("nothing is called %q", s),
			Detail: "--target and --exclude take the address of a resource, module or real server as plans print it, or host.NAME.",
		})
	}
}

func (b *builder) known(selector string) bool {
	for _, h := range b.in.Topology.Hosts {
		if selector == "host."+h.Name {
			return true
		}
	}
	for _, d := range b.hosts {
		for _, w := range d {
			if slices.ContainsFunc(w.addresses, func(a string) bool { return within(a, selector) }) {
				return true
			}
			if w.config == nil {
				continue
			}
			for _, in := range w.config.table {
				if slices.Contains(in.addresses, selector) {
					return true
				}
			}
		}
	}
	for _, live := range b.in.Live {
		for _, e := range live.Ledger.Entries {
			c, _ := e.Claim(b.plan.Topology)
			if slices.ContainsFunc(c.Addresses, func(a string) bool { return within(a, selector) }) {
				return true
			}
		}
	}
	return false
}
