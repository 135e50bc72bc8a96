package main

import (
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
)

// presence is what a plan makes of a topology's place on its hosts.
type presence struct {
	// members are the hosts that hold claims once the plan is applied, sorted;
	// also the ones that could not be read, of which nobody knows.
	members []string
	// leaving are the hosts where the topology's last claim goes.
	leaving map[string]bool
	// outdated are the hosts whose ledger names other members or modules, or
	// has another mind about persistence, and that the plan does not change.
	outdated map[string]bool
}

func newPresence(p *planner.Plan, live map[string]planner.Live) presence {
	claims := map[string]int{}
	known := map[string]bool{} // the topology has been there
	held := map[string]map[state.Key]bool{}
	for host, l := range live {
		_, known[host] = l.Ledger.Members[p.Topology]
		held[host] = make(map[state.Key]bool, len(l.Ledger.Entries))
		for _, e := range l.Ledger.Entries {
			if _, ok := e.Claim(p.Topology); ok {
				claims[host]++
				held[host][e.Key()] = true
			}
		}
		known[host] = known[host] || claims[host] > 0
	}
	changed := map[string]bool{}
	for _, c := range p.Changes {
		changed[c.Host] = true
		if c.Claim == nil {
			continue
		}
		had := held[c.Host][c.Claim.Claim.Value.Key()]
		switch {
		case c.Claim.Drop && had:
			claims[c.Host]--
		case !c.Claim.Drop && !had:
			claims[c.Host]++
		}
	}
	out := presence{leaving: map[string]bool{}, outdated: map[string]bool{}}
	for _, h := range p.Hosts {
		if claims[h.Name] > 0 || h.Error != "" {
			out.members = append(out.members, h.Name)
		}
		out.leaving[h.Name] = known[h.Name] && claims[h.Name] == 0
	}
	slices.Sort(out.members)
	for host, l := range live {
		recorded, ok := l.Ledger.Members[p.Topology]
		out.outdated[host] = ok && !changed[host] && (!slices.Equal(recorded, out.members) ||
			l.Ledger.Persists(p.Topology) == p.Transient || !slices.Equal(l.Ledger.Modules[p.Topology], p.Host(host).Modules))
	}
	return out
}

// settle does the bookkeeping on the hosts whose changes are all made: where
// nothing of the topology is left it leaves, and where the ledger names other
// members, or other addresses for a claim, it records the present ones.
func (r *applyRun) settle(f *fleet, p *planner.Plan, in presence, report *apply.Report) topology.Diagnostics {
	unfinished := map[string]bool{}
	for _, change := range p.Changes {
		unfinished[change.Host] = unfinished[change.Host] || report.Changes[change.ID] != apply.Done
	}
	whole := len(r.c.flags.target)+len(r.c.flags.exclude) == 0
	hosts := slices.DeleteFunc(f.connected(), func(m machine) bool { return unfinished[m.name] })
	each(hosts, f.parallelism, func(m machine) {
		leaves := in.leaving[m.name] || p.Destroy && whole
		if report.Interrupted || !leaves && !in.outdated[m.name] && len(p.Renamed[m.name]) == 0 {
			return
		}
		err := r.hosts[m.name].reconnect(r.c.now)
		switch {
		case err != nil:
		case leaves:
			_, err = f.session(m.name).Leave(r.c.now, p.Topology)
		default:
			_, err = f.session(m.name).Begin(r.c.now, wire.Begin{Topology: p.Topology, Transient: p.Transient, Modules: p.Host(m.name).Modules, Members: in.members,
				Steps: renames(p.Renamed[m.name])}, nil)
		}
		if err != nil {
			f.lose(m.name, err)
		}
	})
	var ds topology.Diagnostics
	for _, m := range hosts {
		if err := f.errs[m.name]; err != nil {
			ds = append(ds, topology.Diagnostic{Severity: topology.Error, Host: m.name,
				Summary: fmt.Sprintf("host %s: %v", m.name, err),
				Detail:  "Every change was made there, but what lvsform remembers of it could not be brought up to date."})
		}
	}
	return ds
}

// renames are steps that change nothing but the addresses of claims.
func renames(claims []state.ClaimChange) []wire.Step {
	var steps []wire.Step
	for _, c := range claims {
		steps = append(steps, wire.Step{ID: "rename " + c.Claim.Value.Key().String(), Claim: &c})
	}
	return steps
}
