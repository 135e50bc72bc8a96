package planner

import (
	"maps"
	"slices"

	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Queries names, for every managed host, what a plan must ask for by name.
func Queries(t *topology.Topology) map[string]Names {
	hosts, _ := declare(t)
	checked := check.Sysctls(t)
	traffic := check.Traffic(t)
	out := make(map[string]Names, len(hosts))
	for name, d := range hosts {
		names := d.query(checked[name])
		names.Traffic = traffic
		out[name] = names
	}
	return out
}

// Names are what a plan must ask a host for by name; each is sorted.
type Names struct {
	Sysctls  []string `json:"sysctls,omitempty"`
	Modules  []string `json:"modules,omitempty"`
	Packages []string `json:"packages,omitempty"`
	Units    []string `json:"services,omitempty"`
	// Checked are sysctls that only the checks look at; a * stands for every
	// interface.
	Checked []string `json:"checked,omitempty"`
	// Traffic: the checks ask what becomes of packets there.
	Traffic bool `json:"traffic,omitempty"`
}

// With is what either names.
func (n Names) With(o Names) Names {
	both := func(a, b []string) []string { return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b)))) }
	return Names{Sysctls: both(n.Sysctls, o.Sysctls), Modules: both(n.Modules, o.Modules), Packages: both(n.Packages, o.Packages),
		Units: both(n.Units, o.Units), Checked: both(n.Checked, o.Checked), Traffic: n.Traffic || o.Traffic}
}

func (d desired) query(checked []string) Names {
	n := Names{Checked: checked}
	for _, key := range slices.SortedFunc(maps.Keys(d), state.Key.Compare) {
		switch key.Kind {
		case state.KindSysctl:
			n.Sysctls = append(n.Sysctls, key.ID)
		case state.KindModule:
			n.Modules = append(n.Modules, key.ID)
		case state.KindPackage:
			n.Packages = append(n.Packages, key.ID)
		case state.KindUnit:
			n.Units = append(n.Units, key.ID)
		}
	}
	return n
}
