package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// persist notes the hosts where nothing can put back after a reboot what the
// plan makes there. Where the configuration insists on it that is an error.
func (b *builder) persist() {
	t := b.in.Topology
	b.plan.Transient = !t.Persists()
	if b.plan.Transient || b.in.Destroy {
		return
	}
	makes := map[string]bool{}
	for _, c := range b.plan.Changes {
		if c.Action != Delete && c.Action != Forget {
			makes[c.Host] = true
		}
	}
	var without []string
	for name, live := range b.in.Live {
		if live.Facts.NoSystemd && (makes[name] || t.Persist != nil && len(b.hosts[name]) > 0) {
			without = append(without, name)
		}
	}
	slices.Sort(without)
	switch {
	case len(without) == 0:
	case t.Persist == nil:
		b.plan.Fleeting = without
	default:
		rng := t.PersistRange
		b.plan.Diagnostics = append(b.plan.Diagnostics, topology.Diagnostic{
			Severity: topology.Error, Range: &rng,
			Summary: fmt.Sprintf("persist = true, and %s %s", strings.Join(without, ", "), plural(len(without), "runs no systemd", "run no systemd")),
			Detail: "Only systemd can put back there after a reboot what is applied. Take the line out to apply all the same, " +
				"or write persist = false to say that it may go.",
		})
	}
}

// modules are the kernel modules that a host needs, sorted by name.
func (d desired) modules() (out []state.Module) {
	for _, w := range d {
		if m, ok := w.object.(state.Module); ok {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b state.Module) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
