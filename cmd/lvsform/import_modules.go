package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
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
	live, errs, err := c.look(ctx, machines, func(live map[string]planner.Live) map[string]planner.Names { return moduleQueries(t, live) })
	if err = cmp.Or(err, errs[director.Name]); err != nil {
		return nil, err
	}
	var notes topology.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		notes = append(notes, topology.Diagnostic{Severity: topology.Warning, Summary: "host." + name + " is not managed: it could not be read", Detail: errs[name].Error()})
	}
	t, calls, misfits := withModules(t, live)
	notes = append(notes, misfits...)
	if len(calls) == 0 {
		return notes, nil
	}
	body, err := hcl.Write(t, calls...)
	im.text, im.wrong, im.modules = append(fmt.Appendf(nil, modulesHeader, director.Name), body...), nil, len(calls)
	return notes, err
}

// moduleQueries are what has to be read for every module that may fit.
func moduleQueries(t *topology.Topology, live map[string]planner.Live) map[string]planner.Names {
	out := map[string]planner.Names{}
	for _, g := range groups(t) {
		for _, call := range g.calls(t, live) {
			top, err := loadWritten(without(t, g), call)
			if err != nil {
				continue // it does not fit
			}
			for name, q := range planner.Queries(top) {
				out[name] = out[name].With(q)
			}
		}
	}
	return out
}

// group is virtual services that differ in their ports alone, as a module has
// them.
type group struct {
	name     string
	services []*topology.Resource
	first    *topology.VirtualService
}

// groups are the services that a module could declare, in the order of a
// topology: with a mode, and real servers that are other hosts.
func groups(t *topology.Topology) []*group {
	var out []*group
	for _, r := range t.Resources {
		v, ok := r.Body.(*topology.VirtualService)
		if !ok || !modular(r.Host, v) {
			continue
		}
		i := slices.IndexFunc(out, func(g *group) bool { return alike(g.first, v) })
		if i < 0 {
			out = append(out, &group{name: strings.TrimPrefix(r.Path, "virtual_service."), first: v, services: []*topology.Resource{r}})
			continue
		}
		g := out[i]
		g.services, g.name = append(g.services, r), v.Protocol+"_"+strings.NewReplacer(".", "_", ":", "_").Replace(v.Address.String())
	}
	return out
}

func modular(director string, v *topology.VirtualService) bool {
	if v.FWMark != 0 || v.Port == 0 || v.OnePacket || len(v.RealServers) == 0 {
		return false
	}
	seen := map[string]bool{}
	for _, r := range v.RealServers {
		if r.Host == "" || r.Host == director || seen[r.Host] || r.Forward != v.RealServers[0].Forward ||
			(r.Tunnel == nil) != (v.RealServers[0].Tunnel == nil) || r.Tunnel != nil && *r.Tunnel != *v.RealServers[0].Tunnel {
			return false
		}
		seen[r.Host] = true
	}
	return true
}

// alike tells whether two services differ in their ports alone, at which the real
// servers serve too.
func alike(a, b *topology.VirtualService) bool {
	server := func(v *topology.VirtualService) func(topology.RealServer) string {
		return func(r topology.RealServer) string {
			return fmt.Sprint(r.Host, r.Port == v.Port, r.Weight, r.Forward, r.Upper, r.Lower, r.Tunnel != nil)
		}
	}
	same := func(x, y *topology.Persistence) bool { return x == nil && y == nil || x != nil && y != nil && *x == *y }
	for _, v := range []*topology.VirtualService{a, b} {
		if slices.ContainsFunc(v.RealServers, func(r topology.RealServer) bool { return r.Port != v.Port }) {
			return false
		}
	}
	return a.Protocol == b.Protocol && a.Address == b.Address && a.Scheduler == b.Scheduler && slices.Equal(a.SchedulerFlags, b.SchedulerFlags) &&
		same(a.Persistence, b.Persistence) && slices.EqualFunc(a.RealServers, b.RealServers, func(x, y topology.RealServer) bool { return server(a)(x) == server(b)(y) })
}

// withModules replaces the services of an imported topology by modules, where the
// hosts are just as the modules would make them: where the first plan only
// adopts. It tells why not, of the others.
func withModules(t *topology.Topology, live map[string]planner.Live) (*topology.Topology, []hcl.Call, topology.Diagnostics) {
	var calls []hcl.Call
	var notes topology.Diagnostics
	for _, g := range groups(t) {
		why := ""
		for _, call := range g.calls(t, live) {
			next := without(t, g)
			reason := misfit(next, append(slices.Clone(calls), call), live)
			if reason == "" {
				t, calls, why = next, append(calls, call), ""
				break
			}
			why = cmp.Or(why, "The first plan with "+call.Source+" would not only adopt: "+reason)
		}
		if why != "" {
			notes = append(notes, topology.Diagnostic{Severity: topology.Info, Summary: g.name + " is not written as a module", Detail: why + "."})
		}
	}
	return t, calls, notes
}

// without is a topology without the services of a group, whose hosts are managed.
func without(t *topology.Topology, g *group) *topology.Topology {
	out := *t
	out.Resources = slices.DeleteFunc(slices.Clone(t.Resources), func(r *topology.Resource) bool { return slices.Contains(g.services, r) })
	out.Hosts = slices.Clone(t.Hosts)
	for i, h := range t.Hosts {
		if slices.ContainsFunc(g.first.RealServers, func(r topology.RealServer) bool { return r.Host == h.Name }) {
			managed := *h
			managed.Managed = true
			out.Hosts[i] = &managed
		}
	}
	return &out
}

// misfit is why the first plan would not only adopt; "": it would.
func misfit(t *topology.Topology, calls []hcl.Call, live map[string]planner.Live) string {
	top, err := loadWritten(t, calls...)
	if err != nil {
		return err.Error()
	}
	p := planner.Build(planner.Input{Topology: top, Live: live, Version: buildVersion()})
	for _, c := range p.Changes {
		if c.Action != planner.Adopt {
			return fmt.Sprintf("%s %s", c.Action, c.ID)
		}
	}
	for _, d := range slices.Concat(findings(p), errorsIn(top)) {
		if d.Severity == topology.Error {
			return d.Summary
		}
	}
	return ""
}

// calls are the modules that may fit a group, the likeliest first.
func (g *group) calls(t *topology.Topology, live map[string]planner.Live) []hcl.Call {
	director := g.services[0].Host
	if slices.ContainsFunc(g.first.RealServers, func(r topology.RealServer) bool { _, read := live[r.Host]; return !read }) {
		return nil
	}
	at := addressOf(live[director], g.first.Address, func(device string) bool { return device != "lo" })
	if at == nil {
		return nil
	}
	call := hcl.Call{Name: g.name, Arguments: g.service()}
	if route := g.answers(live[g.first.RealServers[0].Host]); route != nil {
		if route.Table != 100 {
			call.Arguments = append(call.Arguments, hcl.Argument{Name: "routing_table", Value: route.Table})
		}
		if route.AdvMSS != 0 {
			call.Arguments = append(call.Arguments, hcl.Argument{Name: "advmss", Value: route.AdvMSS})
		}
	}
	servers := hcl.Argument{Name: "real_servers", Value: g.servers(t, live)}
	directors := func(interfaces ...string) hcl.Argument {
		entry := []hcl.Argument{{Name: "host", Value: reference(t, director)}, {Name: "device", Value: at.Device}}
		// As the modules name it, as far as the kernel takes it.
		if label := cmp.Or(at.Label, at.Device); at.IP.Addr().Is4() && label != at.Device+":0" && len(at.Device) < 14 {
			entry = append(entry, hcl.Argument{Name: "label", Value: label})
		}
		if len(interfaces) > 0 {
			entry = append(entry, hcl.Argument{Name: "interfaces", Value: interfaces})
		}
		return hcl.Argument{Name: "directors", Value: []hcl.Argument{{Name: director, Value: entry}}}
	}
	of := func(module string, arguments ...hcl.Argument) hcl.Call {
		out := call
		out.Source, out.Arguments = "lvsform://"+module, slices.Concat(call.Arguments, arguments)
		return out
	}
	redirects := hcl.Argument{Name: "send_redirects", Value: true}
	switch g.first.RealServers[0].Forward {
	case "dr":
		return []hcl.Call{of("dr", directors(), servers), of("dr", hcl.Argument{Name: "host_route", Value: false}, directors(), servers)}
	case "tun":
		return []hcl.Call{of("tun", directors(), servers), of("tun", hcl.Argument{Name: "host_route", Value: true}, directors(), servers)}
	}
	out := []hcl.Call{of("fullnat", directors(), servers), of("fullnat", redirects, directors(), servers)}
	if gateway, ok := g.gateway(live); ok {
		own := directors()
		if inside := addressOf(live[director], gateway, func(string) bool { return true }); inside != nil && inside.Device != at.Device {
			own = directors(at.Device, inside.Device)
		}
		through := hcl.Argument{Name: "gateway", Value: gateway.String()}
		out = slices.Insert(out, 0, of("nat", own, through, servers), of("nat", redirects, own, through, servers))
	}
	return out
}

// service are the arguments about what clients connect to.
func (g *group) service() []hcl.Argument {
	v := g.first
	out := []hcl.Argument{{Name: "vip", Value: v.Address.String()}}
	if len(g.services) == 1 {
		out = append(out, hcl.Argument{Name: "port", Value: int(v.Port)})
	} else {
		var ports []int
		for _, r := range g.services {
			ports = append(ports, int(r.Body.(*topology.VirtualService).Port))
		}
		slices.Sort(ports)
		out = append(out, hcl.Argument{Name: "ports", Value: ports})
	}
	if v.Protocol != "tcp" {
		out = append(out, hcl.Argument{Name: "protocol", Value: v.Protocol})
	}
	out = append(out, hcl.Argument{Name: "scheduler", Value: v.Scheduler})
	if len(v.SchedulerFlags) > 0 {
		out = append(out, hcl.Argument{Name: "scheduler_flags", Value: v.SchedulerFlags})
	}
	if p := v.Persistence; p != nil {
		persistence := []hcl.Argument{{Name: "timeout", Value: fmt.Sprintf("%.0fs", p.Timeout.Seconds())}}
		if p.Netmask != 0 {
			persistence = append(persistence, hcl.Argument{Name: "netmask", Value: p.Netmask})
		}
		if p.Engine != "" {
			persistence = append(persistence, hcl.Argument{Name: "engine", Value: p.Engine})
		}
		out = append(out, hcl.Argument{Name: "persistence", Value: persistence})
	}
	if tunnel := v.RealServers[0].Tunnel; tunnel != nil {
		value := []hcl.Argument{{Name: "type", Value: tunnel.Type}}
		if tunnel.Port != 0 {
			value = append(value, hcl.Argument{Name: "port", Value: int(tunnel.Port)})
		}
		out = append(out, hcl.Argument{Name: "tunnel", Value: append(value, hcl.Argument{Name: "checksum", Value: tunnel.Checksum})})
	}
	return out
}

// servers are the real servers, and how the VIP is called there.
func (g *group) servers(t *topology.Topology, live map[string]planner.Live) []hcl.Argument {
	var out []hcl.Argument
	for _, r := range g.first.RealServers {
		entry := []hcl.Argument{{Name: "host", Value: reference(t, r.Host)}}
		if r.Weight != 1 {
			entry = append(entry, hcl.Argument{Name: "weight", Value: r.Weight})
		}
		if r.Port != g.first.Port {
			entry = append(entry, hcl.Argument{Name: "port", Value: int(r.Port)})
		}
		if vip := addressOf(live[r.Host], g.first.Address, func(string) bool { return true }); vip != nil && vip.IP.Addr().Is4() {
			if label := strings.Replace(cmp.Or(vip.Label, vip.Device), vip.Device, "lo", 1); label != "lo:0" {
				entry = append(entry, hcl.Argument{Name: "label", Value: label})
			}
		}
		if r.Upper != 0 || r.Lower != 0 {
			entry = append(entry, hcl.Argument{Name: "thresholds",
				Value: []hcl.Argument{{Name: "upper", Value: int(r.Upper)}, {Name: "lower", Value: int(r.Lower)}}})
		}
		if route := g.answers(live[r.Host]); route != nil {
			entry = append(entry, hcl.Argument{Name: "gateway", Value: route.Via.String()})
		}
		out = append(out, hcl.Argument{Name: r.Host, Value: entry})
	}
	return out
}

// answers is the route of its own that what comes from the VIP takes on a real
// server; nil: there is none.
func (g *group) answers(l planner.Live) *state.Route {
	table := 0
	for _, o := range l.Objects {
		if rule, ok := o.(state.Rule); ok && rule.From.IsSingleIP() && rule.From.Addr() == g.first.Address {
			table = rule.Table
		}
	}
	for _, o := range l.Objects {
		if route, ok := o.(state.Route); ok && table != 0 && route.Table == table && route.To.Bits() == 0 && route.Via.IsValid() {
			return &route
		}
	}
	return nil
}

// gateway is the default gateway that all real servers have.
func (g *group) gateway(live map[string]planner.Live) (netip.Addr, bool) {
	found := map[netip.Addr]bool{}
	for _, r := range g.first.RealServers {
		for _, o := range live[r.Host].Objects {
			if route, ok := o.(state.Route); ok && route.To.Bits() == 0 && route.Table == state.TableMain && route.Via.Is4() == g.first.Address.Is4() {
				found[route.Via] = true
			}
		}
	}
	for via := range maps.Keys(found) {
		return via, len(found) == 1 && via.IsValid()
	}
	return netip.Addr{}, false
}

// addressOf is where a host has an address, on a device that will do.
func addressOf(l planner.Live, ip netip.Addr, device func(string) bool) *state.Address {
	for _, o := range l.Objects {
		if a, ok := o.(state.Address); ok && a.IP.Addr() == ip && device(a.Device) {
			return &a
		}
	}
	return nil
}

func reference(t *topology.Topology, host string) hcl.Reference {
	return hcl.Reference(t.Host(host).Path)
}
