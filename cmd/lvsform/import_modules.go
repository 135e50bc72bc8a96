package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/topology"
)

// modulesHeader explains the file to who opens it first.
const modulesHeader = `# The IPVS table of %s. A module stands where the hosts are just as it would make them; hosts
# with managed = false are in none, and lvsform never connects to them.

`

// addModules reads the director and its real servers, and writes modules where
// they fit. It tells where none does, and which hosts cannot be read.
func (c *cli) addModules(ctx context.Context, director *topology.Host, im *imported) (topology.Diagnostics, error) {
	t := planner.Imported(director, im.carried)
	var machines []machine
	for _, h := range t.Hosts {
		machines = append(machines, machine{name: h.Name, address: h.Address.String(), ssh: h.SSH})
	}
	found, notes := groups(t)
	live, errs, err := c.look(ctx, machines, func(live map[string]planner.Live) map[string]planner.Names {
		return moduleQueries(t, candidates(t, found, live))
	})
	if err = cmp.Or(err, errs[director.Name]); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		notes = append(notes, topology.Diagnostic{Severity: topology.Warning, Summary: "host." + name + " is not managed: it could not be read", Detail: errs[name].Error()})
	}
	tried := candidates(t, found, live)
	if err := fit(ctx, t, tried, live); err != nil {
		return nil, err
	}
	t, calls := withModules(t, tried)
	for _, m := range tried {
		if m.call() == nil {
			var paths []string
			for _, r := range m.services {
				paths = append(paths, r.Path)
			}
			notes = append(notes, noModule(strings.Join(paths, " and "), strings.Join(m.reasons, "\n")))
		}
	}
	if len(calls) == 0 {
		return notes, nil
	}
	body, err := hcl.Write(t, calls...)
	if err != nil {
		return nil, err
	}
	top, err := loadWritten(t, calls...)
	if err != nil {
		return nil, err
	}
	im.text, im.wrong, im.modules = append(fmt.Appendf(nil, modulesHeader, director.Name), body...), errorsIn(top), len(calls)
	return notes, nil
}

func noModule(service, why string) topology.Diagnostic {
	return topology.Diagnostic{Severity: topology.Info, Summary: "no module for " + service, Detail: why}
}

// group is virtual services that differ in their ports alone, as a module has
// them.
type group struct {
	name     string // of the first, without its kind; with further ones their ports
	services []*topology.Resource
	first    *topology.VirtualService
}

// groups are the services that a module could declare, in the order of a
// topology, and why not, of the others.
func groups(t *topology.Topology) (out []*group, notes topology.Diagnostics) {
	for _, r := range t.Resources {
		v, ok := r.Body.(*topology.VirtualService)
		if !ok {
			continue
		}
		if why := unmodular(r.Host, v); why != "" {
			notes = append(notes, noModule(r.Path, why))
			continue
		}
		if i := slices.IndexFunc(out, func(g *group) bool { return alike(g.first, v) }); i >= 0 {
			out[i].services, out[i].name = append(out[i].services, r), fmt.Sprintf("%s_%d", out[i].name, v.Port)
			continue
		}
		out = append(out, &group{name: strings.TrimPrefix(r.Path, "virtual_service."), first: v, services: []*topology.Resource{r}})
	}
	return out, notes
}

// unmodular is why no module can have a service, whatever the hosts are like.
func unmodular(director string, v *topology.VirtualService) string {
	switch {
	case v.FWMark != 0:
		return "The modules have no firewall marks."
	case v.Port == 0:
		return "The modules have no service of every port."
	case v.OnePacket:
		return "The modules have no one_packet."
	case len(v.RealServers) == 0:
		return "It has no real server, whose mode would tell the module."
	}
	seen := map[string]bool{}
	for _, r := range v.RealServers {
		switch first := v.RealServers[0]; {
		case r.Host == "" || r.Host == director:
			return "The director is a real server of its own, which the modules do not have."
		case seen[r.Host]:
			return r.Host + " serves it at several ports, and the modules have one for each real server."
		case r.Forward != first.Forward || !same(r.Tunnel, first.Tunnel):
			return "Its real servers are reached in different ways, and a module has one."
		}
		seen[r.Host] = true
	}
	return ""
}

// alike tells whether two services differ in their ports alone, at which the real
// servers serve too.
func alike(a, b *topology.VirtualService) bool {
	samePort := func(v *topology.VirtualService) bool {
		return !slices.ContainsFunc(v.RealServers, func(r topology.RealServer) bool { return r.Port != v.Port })
	}
	server := func(x, y topology.RealServer) bool {
		return x.Host == y.Host && x.Weight == y.Weight && x.Forward == y.Forward && x.Upper == y.Upper && x.Lower == y.Lower && same(x.Tunnel, y.Tunnel)
	}
	return samePort(a) && samePort(b) && a.Protocol == b.Protocol && a.Address == b.Address && a.Scheduler == b.Scheduler &&
		slices.Equal(a.SchedulerFlags, b.SchedulerFlags) && same(a.Persistence, b.Persistence) && slices.EqualFunc(a.RealServers, b.RealServers, server)
}

func same[T comparable](x, y *T) bool { return x == y || x != nil && y != nil && *x == *y }

// candidate is the modules that may fit a group, the likeliest first, of which
// those before next do not.
type candidate struct {
	*group
	calls   []hcl.Call
	next    int
	reasons []string // why not, one for each module
}

func candidates(t *topology.Topology, found []*group, live map[string]planner.Live) []*candidate {
	var out []*candidate
	for _, g := range found {
		m := &candidate{group: g}
		if why := g.unfit(t, live); why != "" {
			m.reasons = []string{why}
		} else {
			m.calls = g.calls(t, live)
		}
		out = append(out, m)
	}
	return out
}

// call is the module that is tried; nil: none is left.
func (m *candidate) call() *hcl.Call {
	if m.next >= len(m.calls) {
		return nil
	}
	return &m.calls[m.next]
}

// refuse goes on to the next module. What is said of one source is its first
// reason.
func (m *candidate) refuse(why string) {
	call := m.call()
	m.next++
	if m.next == 1 || m.calls[m.next-2].Source != call.Source {
		m.reasons = append(m.reasons, call.Source+": "+why)
	}
}

// withModules replaces services of a topology by the modules that are tried, and
// their hosts are managed.
func withModules(t *topology.Topology, tried []*candidate) (*topology.Topology, []hcl.Call) {
	out := *t
	out.Hosts, out.Resources = slices.Clone(t.Hosts), slices.Clone(t.Resources)
	var calls []hcl.Call
	for _, m := range tried {
		call := m.call()
		if call == nil {
			continue
		}
		calls = append(calls, *call)
		out.Resources = slices.DeleteFunc(out.Resources, func(r *topology.Resource) bool { return slices.Contains(m.services, r) })
		for i, h := range out.Hosts {
			if m.has(h.Name) {
				managed := *h
				managed.Managed = true
				out.Hosts[i] = &managed
			}
		}
	}
	return &out, calls
}

func (g *group) has(host string) bool {
	return slices.ContainsFunc(g.first.RealServers, func(r topology.RealServer) bool { return r.Host == host })
}

// moduleQueries are what has to be read for every module that may fit.
func moduleQueries(t *topology.Topology, tried []*candidate) map[string]planner.Names {
	out := map[string]planner.Names{}
	add := func(tried ...*candidate) error {
		next, calls := withModules(t, tried)
		top, err := loadWritten(next, calls...)
		if err != nil {
			return err
		}
		for name, q := range planner.Queries(top) {
			out[name] = out[name].With(q)
		}
		return nil
	}
	for {
		if err := add(tried...); err != nil {
			for _, m := range tried {
				_ = add(m) // what cannot be loaded does not fit
			}
		}
		left := false
		for _, m := range tried {
			if m.call() != nil {
				m.next++
				left = left || m.call() != nil
			}
		}
		if !left {
			return out
		}
	}
}

// problem is what keeps a plan from only adopting.
type problem struct {
	text      string
	addresses []string // of the configuration
}

func (p problem) key() string { return fmt.Sprintln(p.text, p.addresses) }

// problems are what a first plan would do but adopt, and the mistakes that it
// would find.
func problems(t *topology.Topology, calls []hcl.Call, live map[string]planner.Live) ([]problem, error) {
	top, err := loadWritten(t, calls...)
	if err != nil {
		return nil, err
	}
	var out []problem
	p := planner.Build(planner.Input{Topology: top, Live: live, Version: buildVersion()})
	for _, c := range p.Changes {
		text := ""
		switch {
		case c.Action == planner.Adopt:
			continue
		case c.Before == nil:
			text = fmt.Sprintf("it would make %s on %s.", planner.Describe(c.After), c.Host)
		case c.After == nil:
			text = fmt.Sprintf("it would take %s from %s.", planner.Describe(c.Before), c.Host)
		default:
			text = fmt.Sprintf("%s has %s, and it would make that %s.", c.Host, planner.Describe(c.Before), planner.Describe(c.After))
		}
		out = append(out, problem{text, c.Addresses})
	}
	for _, d := range slices.Concat(findings(p), errorsIn(top)) {
		if d.Severity == topology.Error {
			out = append(out, problem{d.Summary + ".", []string{d.Object}})
		}
	}
	return out, nil
}

// fit goes through the modules until the first plan with those that are left only
// adopts. What is wrong without any of them is not held against them.
func fit(ctx context.Context, t *topology.Topology, tried []*candidate, live map[string]planner.Live) error {
	before, err := problems(t, nil, live)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, p := range before {
		known[p.key()] = true
	}
	for {
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was changed")
		}
		next, calls := withModules(t, tried)
		if len(calls) == 0 {
			return nil
		}
		found, err := problems(next, calls, live)
		if err != nil {
			found = []problem{{text: err.Error()}}
		}
		found = slices.DeleteFunc(found, func(p problem) bool { return known[p.key()] })
		if len(found) == 0 {
			return nil
		}
		blame(t, tried, found)
	}
}

// blame refuses the modules that problems are about; for one of a service that
// is none, those that manage its real servers; or else all.
func blame(t *topology.Topology, tried []*candidate, found []problem) {
	reasons := map[*candidate]string{}
	of := func(about func(m *candidate, address string) bool) {
		for _, p := range found {
			for _, m := range tried {
				if m.call() != nil && reasons[m] == "" && slices.ContainsFunc(p.addresses, func(a string) bool { return about(m, a) }) {
					reasons[m] = p.text
				}
			}
		}
	}
	of(func(m *candidate, address string) bool { return strings.HasPrefix(address, "module."+m.name+".") })
	if len(reasons) == 0 {
		of(func(m *candidate, address string) bool {
			return slices.ContainsFunc(t.Resources, func(r *topology.Resource) bool {
				v, ok := r.Body.(*topology.VirtualService)
				return ok && (address == r.Path || strings.HasPrefix(address, r.Path+".")) &&
					slices.ContainsFunc(v.RealServers, func(server topology.RealServer) bool { return m.has(server.Host) })
			})
		})
	}
	for _, m := range tried {
		if why := reasons[m]; m.call() != nil && (why != "" || len(reasons) == 0) {
			m.refuse(cmp.Or(why, found[0].text))
		}
	}
}
