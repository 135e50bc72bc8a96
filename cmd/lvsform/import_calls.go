package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// unfit is why no module can be tried.
func (g *group) unfit(t *topology.Topology, live map[string]planner.Live) string {
	director := g.services[0].Host
	names := []string{director}
	for _, r := range g.first.RealServers {
		names = append(names, r.Host)
	}
	for _, name := range names {
		l, read := live[name]
		if !read {
			return "host." + name + " could not be read."
		}
		for _, h := range t.Hosts {
			if h.Name != name && addressOf(l, h.Address, func(string) bool { return true }) != nil {
				return fmt.Sprintf("host.%s and host.%s are the same machine.", name, h.Name)
			}
		}
	}
	for _, o := range live[director].Objects {
		if c, ok := o.(state.Config); ok && strings.Contains(c.Text, "virtual_ipaddress") {
			return fmt.Sprintf("%s moves addresses of %s: import its file with --from %s, or write a module with vrrp.", c.Program, director, c.Program)
		}
	}
	if g.vip(live[director]) == nil {
		return fmt.Sprintf("%s is on no interface of %s.", g.first.Address, director)
	}
	return ""
}

// vip is the VIP on the director.
func (g *group) vip(l planner.Live) *state.Address {
	return addressOf(l, g.first.Address, func(device string) bool { return device != "lo" })
}

// calls are the modules that may fit, the likeliest first.
func (g *group) calls(t *topology.Topology, live map[string]planner.Live) []hcl.Call {
	director := g.services[0].Host
	at := g.vip(live[director])
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
		return hcl.Call{Name: g.name, Source: "lvsform://" + module, Arguments: slices.Concat(g.service(), arguments)}
	}
	either := func(module, name string, value bool, arguments ...hcl.Argument) []hcl.Call {
		return []hcl.Call{of(module, arguments...), of(module, slices.Insert(slices.Clone(arguments), 0, hcl.Argument{Name: name, Value: value})...)}
	}
	switch g.first.RealServers[0].Forward {
	case "dr":
		return either("dr", "host_route", false, append(g.answering(live), directors(), servers)...)
	case "tun":
		return either("tun", "host_route", true, append(g.answering(live), directors(), servers)...)
	}
	var out []hcl.Call
	if gateway, ok := g.gateway(live); ok {
		own := directors()
		if inside := addressOf(live[director], gateway, func(string) bool { return true }); inside != nil && inside.Device != at.Device {
			own = directors(at.Device, inside.Device)
		}
		out = either("nat", "send_redirects", true, own, hcl.Argument{Name: "gateway", Value: gateway.String()}, servers)
	}
	var source []hcl.Argument
	for _, o := range live[director].Objects {
		if m, ok := o.(state.Masquerade); ok && m.VIP == g.first.Address && m.Source.IsValid() {
			source = []hcl.Argument{{Name: "source_address", Value: m.Source.String()}}
		}
	}
	return append(out, either("fullnat", "send_redirects", true, append(source, directors(), servers)...)...)
}

// answering are the arguments about the route of their own that answers take.
func (g *group) answering(live map[string]planner.Live) (out []hcl.Argument) {
	route := g.answers(live[g.first.RealServers[0].Host])
	if route == nil {
		return nil
	}
	if route.Table != 100 {
		out = append(out, hcl.Argument{Name: "routing_table", Value: route.Table})
	}
	if route.AdvMSS != 0 {
		out = append(out, hcl.Argument{Name: "advmss", Value: route.AdvMSS})
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

// gateway is the default gateway of the real servers; ok: they agree on one.
func (g *group) gateway(live map[string]planner.Live) (via netip.Addr, ok bool) {
	for _, r := range g.first.RealServers {
		for _, o := range live[r.Host].Objects {
			route, isRoute := o.(state.Route)
			if !isRoute || route.To.Bits() != 0 || route.Table != state.TableMain || route.Via.Is4() != g.first.Address.Is4() {
				continue
			}
			if via.IsValid() && route.Via != via {
				return netip.Addr{}, false
			}
			via = route.Via
		}
	}
	return via, via.IsValid()
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
