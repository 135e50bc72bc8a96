package planner

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// want is one object that a host shall have, and who says so.
type want struct {
	object state.Object
	// resources declare it, sorted by Path; several when equal declarations
	// merged. Empty for a module, which follows from other objects.
	resources []*topology.Resource
	addresses []string // of the resources, with .real_server.NAME for a destination
	server    string   // for a destination: the host that serves; "" outside the topology
	announce  bool
	config    *configured // for a Config alone
}

// desired is the declared state of one host, by key.
type desired map[state.Key]*want

// declare works out what every host shall have. Unmanaged and retired hosts get
// nothing. The diagnostics are declarations that contradict each other.
func declare(t *topology.Topology) (map[string]desired, topology.Diagnostics) {
	d := declarer{hosts: map[string]desired{}, retired: map[string]bool{}, owners: owners(t),
		vips: map[netip.Addr]bool{}, directors: map[vip]bool{}, topology: t.Name, configs: map[part]*configured{}}
	for _, h := range t.Hosts {
		d.retired[h.Name] = h.Retired
		if h.Managed {
			d.hosts[h.Name] = desired{}
		}
	}
	for _, r := range t.Resources {
		if s, ok := r.Body.(*topology.VirtualService); ok && s.Address.IsValid() {
			d.vips[s.Address] = true
			d.directors[vip{r.Host, s.Address}] = true
		}
	}
	for _, r := range t.Resources {
		if d.hosts[r.Host] != nil && !d.retired[r.Host] {
			d.resource(r)
		}
	}
	d.configurations()
	if more := d.contradictions - maxContradictions; more > 0 {
		d.diags = append(d.diags, topology.Diagnostic{Severity: topology.Error,
			Summary: fmt.Sprintf("%d more objects are declared with two values", more),
			Detail:  "They are like those that are shown."})
	}
	return d.hosts, d.diags
}

type declarer struct {
	topology  string
	hosts     map[string]desired
	retired   map[string]bool
	owners    map[netip.Addr]string // host name by declared address
	vips      map[netip.Addr]bool   // addresses of virtual services
	directors map[vip]bool
	diags     topology.Diagnostics
	configs   map[part]*configured
	// contradictions are the objects declared with two values, so far.
	contradictions int
}

// maxContradictions is how many objects with two values are told one by one.
const maxContradictions = 50

// vip is a virtual service's address on the director that serves it.
type vip struct {
	host    string
	address netip.Addr
}

// owners tells which host has an address, by its declared address or its
// interface facts.
func owners(t *topology.Topology) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, h := range t.Hosts {
		for _, nic := range h.Interfaces {
			for _, p := range nic.Addresses {
				out[p.Addr()] = h.Name
			}
		}
	}
	for _, h := range t.Hosts {
		out[h.Address] = h.Name
	}
	return out
}

func (d *declarer) resource(r *topology.Resource) {
	switch b := r.Body.(type) {
	case *topology.Sysctl:
		for _, name := range slices.Sorted(maps.Keys(b.Settings)) {
			d.add(r, r.Path, want{object: state.Sysctl{Name: name, Value: b.Settings[name]}})
		}
	case *topology.Link:
		d.link(r, b)
	case *topology.Address:
		d.add(r, r.Path, want{object: d.address(b), announce: d.announced(r, b)})
	case *topology.Route:
		d.add(r, r.Path, want{object: route(b)})
	case *topology.Rule:
		d.add(r, r.Path, want{object: state.Rule{Family: b.Family, Priority: b.Priority, From: b.From, To: b.To,
			FWMark: b.FWMark, Table: tableOrMain(b.Table)}})
	case *topology.VirtualService:
		d.service(r, b)
	case *topology.VRRPInstance:
		d.instance(r, b)
	case *topology.Mark:
		d.add(r, r.Path, want{object: state.Mark{Protocol: b.Protocol, Address: b.Address, Ports: ports(b.Ports), Mark: b.Mark}})
	case *topology.Masquerade:
		for _, to := range b.To {
			d.add(r, r.Path, want{object: state.Masquerade{VIP: b.VIP, Protocol: b.Protocol, Port: b.Port, To: to, Source: b.Source}})
		}
	case *topology.IPVS:
		d.ipvs(r, b)
	case *topology.Package:
		for _, name := range b.Names {
			d.add(r, r.Path, want{object: state.Package{Name: name}})
		}
	case *topology.Service:
		d.add(r, r.Path, want{object: state.Unit{Name: b.Name, Running: optional(b.Running), Enabled: optional(b.Enabled)}})
	}
}

// ports writes ports as ipvsadm and nft take them: 80,443,8000-8100.
func ports(ranges []topology.PortRange) string {
	text := make([]string, len(ranges))
	for i, r := range ranges {
		text[i] = strconv.Itoa(int(r.First))
		if r.Last != r.First {
			text[i] += "-" + strconv.Itoa(int(r.Last))
		}
	}
	return strings.Join(text, ",")
}

func optional[T comparable](v *T) state.Opt[T] {
	if v == nil {
		return state.Opt[T]{}
	}
	return state.Some(*v)
}

// What ipvsadm(8) and the kernel take for a sync daemon that does not say.
const (
	defaultSyncPort = 8848
	defaultSyncTTL  = 1
)

func (d *declarer) ipvs(r *topology.Resource, b *topology.IPVS) {
	ipvs := state.Module{Name: "ip_vs"}
	if b.ConnectionTableBits != 0 {
		ipvs.Parameters = "conn_tab_bits=" + strconv.Itoa(b.ConnectionTableBits)
	}
	d.add(r, r.Path, want{object: ipvs})
	for _, name := range b.Modules {
		d.module(r, name)
	}
	if t := b.Timeouts; t != nil {
		d.add(r, r.Path, want{object: state.Timeouts{TCP: t.TCP, TCPFin: t.TCPFin, UDP: t.UDP}})
	}
	for _, s := range b.Sync {
		o := state.Sync{Role: s.Role, Interface: s.Interface, ID: s.ID, Group: s.Group, Port: s.Port, TTL: s.TTL, MaxLength: s.MaxLength}
		if !o.Group.IsValid() {
			o.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
		}
		o.Port, o.TTL = cmp.Or(o.Port, defaultSyncPort), cmp.Or(o.TTL, defaultSyncTTL)
		d.add(r, r.Path, want{object: o})
	}
}

// linkModules are the kernel modules behind the link kinds.
var linkModules = map[string]string{"dummy": "dummy", "ipip": "ipip", "ip6tnl": "ip6_tunnel", "sit": "sit", "gre": "ip_gre"}

func (d *declarer) link(r *topology.Resource, b *topology.Link) {
	l := state.Link{Name: b.Name, Kind: b.Kind, Mode: b.Mode, Local: b.Local, Remote: b.Remote}
	if b.Kind == "existing" {
		l.Kind = ""
	}
	l.Up, l.MTU = optional(b.Up), optional(b.MTU)
	if m, ok := linkModules[b.Kind]; ok {
		d.module(r, m)
	}
	if b.FOU != nil {
		d.module(r, "fou")
		family := "ipv4"
		if b.Kind == "ip6tnl" { // what it unwraps comes in IPv6
			family = "ipv6"
		}
		d.add(r, r.Path, want{object: state.FOU{Family: family, Port: b.FOU.Port, Protocol: b.FOU.Protocol}})
	}
	d.add(r, r.Path, want{object: l})
}

func (d *declarer) address(b *topology.Address) state.Address {
	a := state.Address{Device: b.Device, IP: b.IP, Label: b.Label, Broadcast: b.Broadcast, Scope: b.Scope}
	if a.Scope == "" {
		a.Scope = "global"
	}
	if b.IP.Addr().Is4() {
		if a.Label == b.Device { // as it is without one
			a.Label = ""
		}
		return a
	}
	// A VIP must serve at once, and never be the source of the host's own
	// connections.
	vip := d.vips[b.IP.Addr()]
	a.NoDAD, a.Deprecated = vip, vip
	if b.NoDAD != nil {
		a.NoDAD = *b.NoDAD
	}
	if b.PreferredLifetime != nil {
		a.Deprecated = *b.PreferredLifetime == 0
	}
	return a
}

// announced tells whether neighbours are told of a new address: by default they
// are of a director's, and never of a real server's, where the director owns it.
func (d *declarer) announced(r *topology.Resource, b *topology.Address) bool {
	if b.Announce != nil {
		return *b.Announce
	}
	return d.directors[vip{r.Host, b.IP.Addr()}] && b.Device != "lo"
}

func tableOrMain(table int) int {
	if table == 0 {
		return state.TableMain
	}
	return table
}

func route(b *topology.Route) state.Route {
	r := state.Route{To: b.To.Masked(), Table: tableOrMain(b.Table), Via: b.Via, Device: b.Device, Source: b.Source,
		Scope: b.Scope, OnLink: b.OnLink, MTU: b.MTU, AdvMSS: b.AdvMSS}
	v4 := b.To.Addr().Is4()
	switch {
	case b.Metric != nil:
		r.Metric = *b.Metric
	case !v4:
		r.Metric = 1024 // IP6_RT_PRIO_USER of linux/ipv6_route.h
	}
	if v4 && r.Scope == "" {
		r.Scope = "link"
		if b.Via.IsValid() {
			r.Scope = "global"
		}
	}
	return r
}

func (d *declarer) module(r *topology.Resource, name string) {
	d.add(r, r.Path, want{object: state.Module{Name: name}})
}

// serviceOf is the IPVS service that a resource declares, whoever keeps it.
func serviceOf(b *topology.VirtualService) state.Service {
	s := state.Service{
		ServiceID: state.ServiceID{Protocol: b.Protocol, Address: b.Address, Port: b.Port, FWMark: b.FWMark, Family: b.Family},
		Scheduler: b.Scheduler, OnePacket: b.OnePacket, Netmask: 32,
	}
	if b.FWMark != 0 {
		s.ServiceID = state.ServiceID{FWMark: b.FWMark, Family: b.Family}
	}
	if b.Family == "ipv6" {
		s.Netmask = 128
	}
	flags := slices.Clone(b.SchedulerFlags)
	slices.Sort(flags)
	s.SchedulerFlags = strings.Join(slices.Compact(flags), ",")
	if p := b.Persistence; p != nil {
		s.Timeout, s.Engine = p.Timeout, p.Engine
		if p.Netmask != 0 {
			s.Netmask = p.Netmask
		}
	}
	return s
}

func (d *declarer) service(r *topology.Resource, b *topology.VirtualService) {
	s := serviceOf(b)
	d.module(r, "ip_vs")
	d.module(r, "ip_vs_"+b.Scheduler)
	if s.Engine != "" {
		d.module(r, "ip_vs_pe_"+s.Engine)
	}
	var servers []want
	for _, rs := range b.RealServers {
		server := cmp.Or(rs.Host, d.owners[rs.Address])
		if !d.retired[server] {
			servers = append(servers, want{object: destinationOf(s.ServiceID, rs), server: server, resources: []*topology.Resource{r},
				addresses: []string{r.Path + ".real_server." + rs.Name}})
		}
	}
	if b.Checker != "" {
		d.checked(r, b, s, servers)
		return
	}
	d.add(r, r.Path, want{object: s})
	for _, w := range servers {
		d.add(r, w.addresses[0], w)
	}
}

func destinationOf(id state.ServiceID, rs topology.RealServer) state.Destination {
	o := state.Destination{Service: id, Address: rs.Address, Port: rs.Port, Weight: rs.Weight, Forward: rs.Forward,
		Upper: rs.Upper, Lower: rs.Lower}
	if rs.Forward == "tun" {
		o.TunnelType = "ipip"
	}
	if rs.Tunnel != nil {
		o.TunnelType, o.TunnelPort = rs.Tunnel.Type, rs.Tunnel.Port
		if rs.Tunnel.Checksum != "none" {
			o.TunnelChecksum = rs.Tunnel.Checksum
		}
	}
	return o
}

// add merges a declaration into its host; one that differs from an earlier one
// of the same object is a diagnostic that names both.
func (d *declarer) add(r *topology.Resource, address string, w want) {
	host := d.hosts[r.Host]
	key := w.object.Key()
	have, ok := host[key]
	if !ok {
		w.resources, w.addresses = []*topology.Resource{r}, []string{address}
		host[key] = &w
		return
	}
	if m, ok := have.object.(state.Module); ok && m.Parameters == "" {
		have.object = w.object // equal names; one may say how it is loaded
	}
	if have.object.Key().Kind == state.KindModule {
		w.object = w.object.Resolve(have.object)
	}
	if have.object != w.object && have.resources[0] != r && (key.Kind == state.KindService || key.Kind == state.KindDestination) {
		return // a service in two blocks, which LVS009 is about
	}
	if have.object != w.object {
		if d.contradictions++; d.contradictions > maxContradictions {
			return
		}
		rng := r.Range
		values := fmt.Sprintf("%s wants %s, but %s (%s) wants %s", address, Describe(w.object),
			have.addresses[0], have.resources[0].Range, Describe(have.object))
		if len(r.Sensitive)+len(have.resources[0].Sensitive) > 0 {
			values = fmt.Sprintf("%s and %s (%s) want different values, which are sensitive", address,
				have.addresses[0], have.resources[0].Range)
		}
		d.diags = append(d.diags, topology.Diagnostic{
			Severity: topology.Error, Host: r.Host, Object: address, Range: &rng,
			Summary: fmt.Sprintf("%s on %s is declared with two values", key, r.Host),
			Detail:  values + ". Only one value can be live: make them equal, or remove one.",
		})
		return
	}
	w.resources, w.addresses = []*topology.Resource{r}, []string{address}
	have.merge(&w)
}

// merge adds what an equal declaration says.
func (w *want) merge(o *want) {
	w.announce = w.announce || o.announce
	for _, address := range o.addresses {
		if !slices.Contains(w.addresses, address) {
			w.addresses = append(w.addresses, address)
		}
	}
	slices.Sort(w.addresses)
	for _, r := range o.resources {
		if !slices.Contains(w.resources, r) {
			w.resources = append(w.resources, r)
		}
	}
}
