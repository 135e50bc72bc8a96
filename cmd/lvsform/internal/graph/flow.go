package graph

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/topology"
)

// most is how many real servers a flow shows one by one.
const most = 20

const hidden = "(sensitive)"

type builder struct {
	t      *topology.Topology
	hosts  map[string]*topology.Host
	owners map[netip.Addr]string // host by address
	drawn  map[string]bool
	// By host.
	masquerades map[string][]*topology.Masquerade
	marked      map[string][]*topology.Mark
	gateways    map[string]netip.Addr // declared default routes
}

func newBuilder(t *topology.Topology) *builder {
	b := &builder{t: t, hosts: map[string]*topology.Host{}, owners: map[netip.Addr]string{}, drawn: map[string]bool{},
		masquerades: map[string][]*topology.Masquerade{}, marked: map[string][]*topology.Mark{}, gateways: map[string]netip.Addr{}}
	for _, r := range t.Resources {
		switch body := r.Body.(type) {
		case *topology.Masquerade:
			b.masquerades[r.Host] = append(b.masquerades[r.Host], body)
		case *topology.Mark:
			b.marked[r.Host] = append(b.marked[r.Host], body)
		case *topology.Route:
			if body.To.Bits() == 0 && body.Via.IsValid() && !b.gateways[r.Host].IsValid() {
				b.gateways[r.Host] = body.Via
			}
		}
	}
	for _, h := range t.Hosts {
		b.hosts[h.Name] = h
		for _, nic := range h.Interfaces {
			for _, p := range nic.Addresses {
				b.owners[p.Addr()] = h.Name
			}
		}
	}
	for _, h := range t.Hosts {
		b.owners[h.Address] = h.Name
	}
	return b
}

// flows are those of all services; equal ways are drawn once.
func (b *builder) flows() []Flow {
	var out []Flow
	for _, r := range b.t.Resources {
		if v, ok := r.Body.(*topology.VirtualService); ok {
			out = append(out, b.service(r, v)...)
		}
	}
	out = merge(out, func(f Flow) string { return fmt.Sprintln(f.Mode, f.Directors, f.Outside, f.Servers) },
		func(into *Flow, f Flow) { into.Services = append(into.Services, f.Services...) })
	out = merge(out, func(f Flow) string { return fmt.Sprintln(f.Mode, f.Services, f.Outside, f.Servers) },
		func(into *Flow, f Flow) { into.Directors = append(into.Directors, f.Directors...) })
	for i := range out {
		out[i].Legs = legs(out[i])
		out[i].shorten()
	}
	return out
}

// merge joins the flows that have one key, in the order of their first one.
func merge(flows []Flow, key func(Flow) string, join func(*Flow, Flow)) []Flow {
	var out []Flow
	at := map[string]int{}
	for _, f := range flows {
		k := key(f)
		if i, ok := at[k]; ok {
			join(&out[i], f)
			continue
		}
		at[k] = len(out)
		out = append(out, f)
	}
	return out
}

// service is the flows of one service: one for each mode of its real servers.
func (b *builder) service(r *topology.Resource, v *topology.VirtualService) []Flow {
	b.drawn[r.Host] = true
	director := Director{Name: clean(r.Host)}
	if h := b.hosts[r.Host]; h != nil {
		director.Address = h.Address.String()
	}
	base := Flow{Mode: None, Directors: []Director{director}, Services: b.front(r, v, nil), Outside: b.outside(r, v)}
	byMode := map[Mode][]topology.RealServer{}
	for _, s := range v.RealServers {
		m := b.mode(r.Host, v, s)
		byMode[m] = append(byMode[m], s)
	}
	if len(byMode) == 0 {
		return []Flow{base}
	}
	var out []Flow
	for _, m := range modes() {
		servers := byMode[m]
		if len(servers) == 0 {
			continue
		}
		f := base
		f.Mode, f.Services = m, b.front(r, v, servers)
		for _, s := range servers {
			f.Servers = append(f.Servers, b.server(r, s, onePort(servers)))
		}
		slices.SortStableFunc(f.Servers, func(x, y Server) int { return strings.Compare(x.Network, y.Network) })
		out = append(out, f)
	}
	return out
}

// mode tells FullNAT from NAT by the source NAT that the director does.
func (b *builder) mode(host string, v *topology.VirtualService, s topology.RealServer) Mode {
	switch s.Forward {
	case "dr":
		return DR
	case "tun":
		return TUN
	}
	vips := []vip{{v.Protocol, v.Address, v.Port}}
	if v.FWMark != 0 {
		vips = b.vipsOf(host, v.FWMark)
	}
	for _, m := range b.masquerades[host] {
		if !slices.Contains(m.To, s.Address) {
			continue
		}
		for _, p := range vips {
			if p.address == m.VIP && p.protocol == m.Protocol && (m.Port == 0 || p.port == 0 || p.port == m.Port) {
				return FullNAT
			}
		}
	}
	return NAT
}

// vip is what clients connect to; port 0 stands for several.
type vip struct {
	protocol string
	address  netip.Addr
	port     uint16
}

// vipsOf are the addresses whose packets get a firewall mark on a host.
func (b *builder) vipsOf(host string, mark uint32) []vip {
	var out []vip
	for _, m := range b.marks(host, mark) {
		v := vip{m.Protocol, m.Address, 0}
		if len(m.Ports) == 1 && m.Ports[0].First == m.Ports[0].Last {
			v.port = m.Ports[0].First
		}
		out = append(out, v)
	}
	return out
}

func (b *builder) marks(host string, mark uint32) []*topology.Mark {
	var out []*topology.Mark
	for _, m := range b.marked[host] {
		if m.Mark == mark {
			out = append(out, m)
		}
	}
	return out
}

// outside is the network on which clients' packets reach the director.
func (b *builder) outside(r *topology.Resource, v *topology.VirtualService) string {
	h := b.hosts[r.Host]
	if h == nil {
		return ""
	}
	addresses := []netip.Addr{v.Address}
	if v.FWMark != 0 {
		addresses = nil
		for _, p := range b.vipsOf(r.Host, v.FWMark) {
			addresses = append(addresses, p.address)
		}
	}
	for _, a := range append(addresses, h.Gateway) {
		if n := networkOf(h, a); n != "" {
			return n
		}
	}
	return ""
}

// front describes a service to its clients. A port that all its servers map to
// another one is shown here, not on each of them.
func (b *builder) front(r *topology.Resource, v *topology.VirtualService, servers []topology.RealServer) []Service {
	var extra []string
	if len(servers) > 0 && onePort(servers) && servers[0].Port != v.Port {
		extra = append(extra, "→ :"+strconv.Itoa(int(servers[0].Port)))
	}
	extra = append(extra, spread(r, v)...)
	if v.FWMark == 0 {
		return []Service{{v.Address.String(), strings.Join(append([]string{v.Protocol + " " + portText(v.Port)}, extra...), " ")}}
	}
	mark := fmt.Sprintf("mark %d", v.FWMark)
	marks := b.marks(r.Host, v.FWMark)
	if len(marks) == 0 {
		return []Service{{mark + " (" + v.Family + ")", strings.Join(append([]string{"whatever has it"}, extra...), " ")}}
	}
	var out []Service
	for _, m := range marks {
		out = append(out, Service{m.Address.String(), strings.Join(append([]string{m.Protocol + " " + portsText(m.Ports), mark}, extra...), " ")})
	}
	return out
}

func onePort(servers []topology.RealServer) bool {
	for _, s := range servers {
		if s.Port != servers[0].Port {
			return false
		}
	}
	return true
}

func portText(p uint16) string {
	if p == 0 {
		return "every port"
	}
	return ":" + strconv.Itoa(int(p))
}

func portsText(ranges []topology.PortRange) string {
	var out []string
	for _, r := range ranges {
		text := strconv.Itoa(int(r.First))
		if r.Last != r.First {
			text += "-" + strconv.Itoa(int(r.Last))
		}
		out = append(out, text)
	}
	return ":" + strings.Join(out, ",")
}

// spread says how a service chooses among its servers.
func spread(r *topology.Resource, v *topology.VirtualService) []string {
	secret := func(name string) bool {
		return slices.ContainsFunc(r.Sensitive, func(s string) bool { return s == name || strings.HasPrefix(s, name+".") })
	}
	out := []string{clean(v.Scheduler)}
	if secret("scheduler") {
		out[0] = hidden
	}
	for _, f := range v.SchedulerFlags {
		if !secret("scheduler_flags") {
			out = append(out, clean(f))
		}
	}
	if v.OnePacket && !secret("one_packet") {
		out = append(out, "one-packet")
	}
	if p := v.Persistence; p != nil {
		text := fmt.Sprintf("persistent %ds", int(p.Timeout.Seconds()))
		if secret("persistence") {
			text = "persistent"
		} else if p.Engine != "" {
			text += " by " + clean(p.Engine)
		}
		out = append(out, text)
	}
	return out
}

// server describes one real server.
func (b *builder) server(r *topology.Resource, s topology.RealServer, commonPort bool) Server {
	name := s.Host
	if name == "" {
		name = b.owners[s.Address]
	}
	b.drawn[name] = true
	h := b.hosts[name]
	if h == nil {
		name, h = s.Name, nil
	}
	out := Server{Name: clean(name), Address: s.Address.String(), Weight: "weight " + strconv.Itoa(s.Weight)}
	if !commonPort {
		out.Address = netip.AddrPortFrom(s.Address, s.Port).String()
	}
	secret := func(attribute string) bool { return slices.Contains(r.Sensitive, "real_server."+s.Name+"."+attribute) }
	if secret("weight") {
		out.Weight = "weight " + hidden
	} else if s.Weight == 0 {
		out.Weight = "weight 0, drained"
	}
	if s.Upper != 0 && !secret("upper_threshold") && !secret("lower_threshold") {
		out.Notes = append(out.Notes, fmt.Sprintf("%d..%d connections", s.Lower, s.Upper))
	}
	if t := s.Tunnel; t != nil && t.Type != "ipip" {
		text := clean(t.Type)
		if t.Port != 0 {
			text += " :" + strconv.Itoa(int(t.Port))
		}
		out.Notes = append(out.Notes, text)
	}
	out.Network = networkOf(h, s.Address)
	switch {
	case h == nil:
		out.Network = networkOf(b.hosts[r.Host], s.Address)
		out.Notes = append(out.Notes, "outside the topology")
	case h.Name == r.Host:
		out.Notes = append(out.Notes, "the director itself")
	case !h.Managed:
		out.Notes = append(out.Notes, "not managed")
	}
	out.gateway = b.gateway(h)
	return out
}

// gateway is where a host's default route leads: as declared, else as it was.
func (b *builder) gateway(h *topology.Host) string {
	if h == nil {
		return ""
	}
	gateway := b.gateways[h.Name]
	if !gateway.IsValid() {
		gateway = h.Gateway
	}
	if !gateway.IsValid() {
		return ""
	}
	return gateway.String()
}

// shorten leaves out what no reader could tell apart any more.
func (f *Flow) shorten() {
	if len(f.Servers) <= most {
		return
	}
	f.more = len(f.Servers) - (most - 1)
	f.Servers = f.Servers[:most-1]
	f.More = fmt.Sprintf("… and %d more real servers", f.more)
}
