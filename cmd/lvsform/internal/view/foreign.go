package view

import (
	"fmt"
	"io"
	"slices"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// Foreign are the live objects of one host that no topology claims and the plan
// does not declare.
type Foreign struct {
	Host    string        `json:"host"`
	Objects state.Objects `json:"objects"`
}

// ForeignObjects finds addresses, routes, rules, services and their
// destinations that are neither declared nor claimed, host by host. What the
// kernel made by itself (its own routes and rules) is left out.
func ForeignObjects(p *planner.Plan, live map[string]planner.Live) []Foreign {
	var out []Foreign
	for _, h := range p.Hosts {
		known := map[state.Key]bool{}
		for _, o := range h.Observed {
			known[o.Key()] = true
		}
		for _, e := range live[h.Name].Ledger.Entries {
			known[e.Key()] = true
		}
		f := Foreign{Host: h.Name}
		for _, o := range live[h.Name].Objects {
			if !known[o.Key()] && shownAsForeign(o) {
				f.Objects = append(f.Objects, o)
			}
		}
		if len(f.Objects) > 0 {
			f.Objects.Sort()
			out = append(out, f)
		}
	}
	return out
}

// kernelRoute is RTPROT_KERNEL of linux/rtnetlink.h.
const kernelRoute = 2

func shownAsForeign(o state.Object) bool {
	switch o := o.(type) {
	case state.Route:
		return o.Protocol != kernelRoute
	case state.Rule:
		// The rules that every network namespace begins with.
		return !slices.Contains([]int{0, 32766, 32767}, o.Priority)
	case state.Address, state.Service, state.Destination:
		return true
	}
	return false
}

// Foreign writes what is on the hosts beside the topology.
func (s Style) Foreign(w io.Writer, list []Foreign) {
	if len(list) == 0 {
		fmt.Fprintln(w, "Nothing foreign: every address, route, rule and service is declared or claimed.")
		return
	}
	fmt.Fprintln(w, s.paint(bold, "Beside this topology, and left alone:"))
	for _, f := range list {
		fmt.Fprintf(w, "  # on %s\n", line(f.Host))
		for _, o := range f.Objects {
			fmt.Fprintf(w, "    %s\n", line(block(o, nil)))
		}
	}
	fmt.Fprintln(w)
}
