package planner

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Imported is a topology that declares the IPVS table of a director: what
// Desired makes of it are the objects again. Real servers become hosts that are
// not managed, named rs1, rs2, … by address; resources are named after what
// they serve. Objects that are no part of the table are left out.
func Imported(director *topology.Host, objects state.Objects) *topology.Topology {
	im := newImporter(director, objects)
	im.hostWide(objects)
	return im.sorted()
}

// newImporter declares the services with their destinations.
func newImporter(director *topology.Host, objects state.Objects) importer {
	im := importer{director: director, t: &topology.Topology{Name: director.Name, Hosts: []*topology.Host{director}},
		services: map[state.ServiceID]*topology.VirtualService{}, servers: map[netip.Addr]string{director.Address: director.Name}}
	im.hosts(objects)
	im.virtualServices(objects)
	for _, o := range objects {
		if d, ok := o.(state.Destination); ok {
			im.destination(d)
		}
	}
	for _, s := range im.services {
		nameServers(s.RealServers)
	}
	return im
}

func (im *importer) sorted() *topology.Topology {
	slices.SortFunc(im.t.Hosts, func(a, b *topology.Host) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(im.t.Resources, func(a, b *topology.Resource) int { return cmp.Compare(a.Path, b.Path) })
	return im.t
}

type importer struct {
	t        *topology.Topology
	director *topology.Host
	services map[state.ServiceID]*topology.VirtualService
	servers  map[netip.Addr]string // the hosts' names
}

// hosts declares the real servers, by address.
func (im *importer) hosts(objects state.Objects) {
	var addresses []netip.Addr
	for _, o := range objects {
		if d, ok := o.(state.Destination); ok && !d.Address.IsLoopback() {
			addresses = append(addresses, d.Address)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	n := 0
	for _, a := range slices.Compact(addresses) {
		if im.servers[a] != "" {
			continue
		}
		n++
		if "rs"+strconv.Itoa(n) == im.director.Name {
			n++
		}
		name := "rs" + strconv.Itoa(n)
		im.servers[a] = name
		im.t.Hosts = append(im.t.Hosts, &topology.Host{Name: name, Path: "host." + name, Address: a})
	}
}

func (im *importer) add(path string, b topology.Body) {
	im.t.Resources = append(im.t.Resources, &topology.Resource{Path: path, Host: im.director.Name, Body: b})
}

// virtualServices declares the services, named by protocol and port where that
// tells them apart.
func (im *importer) virtualServices(objects state.Objects) {
	count := map[string]int{}
	for _, o := range objects {
		if s, ok := o.(state.Service); ok {
			count[shortName(s.ServiceID)]++
		}
	}
	for _, o := range objects {
		s, ok := o.(state.Service)
		if !ok {
			continue
		}
		b := &topology.VirtualService{Protocol: s.Protocol, Address: s.Address, Port: s.Port, FWMark: s.FWMark, Family: s.Family,
			Scheduler: s.Scheduler, OnePacket: s.OnePacket}
		if s.SchedulerFlags != "" {
			b.SchedulerFlags = strings.Split(s.SchedulerFlags, ",")
		}
		if s.Timeout != 0 {
			b.Persistence = &topology.Persistence{Timeout: s.Timeout, Engine: s.Engine}
			if s.Netmask != 32 && s.Netmask != 128 || s.Netmask == 32 && s.Family == "ipv6" {
				b.Persistence.Netmask = s.Netmask
			}
		}
		name := shortName(s.ServiceID)
		if count[name] > 1 {
			name = longName(s.ServiceID)
		}
		im.services[s.ServiceID] = b
		im.add("virtual_service."+name, b)
	}
}

func shortName(s state.ServiceID) string {
	switch {
	case s.FWMark != 0:
		return fmt.Sprintf("mark_%d", s.FWMark)
	case s.Port == 0:
		return s.Protocol + "_every"
	}
	return fmt.Sprintf("%s_%d", s.Protocol, s.Port)
}

func longName(s state.ServiceID) string {
	if s.FWMark != 0 {
		return shortName(s) + "_" + s.Family
	}
	return shortName(s) + "_" + strings.NewReplacer(".", "_", ":", "_").Replace(s.Address.StringExpanded())
}

func (im *importer) destination(d state.Destination) {
	s := im.services[d.Service]
	if s == nil {
		return
	}
	r := topology.RealServer{Host: im.servers[d.Address], Address: d.Address, Port: d.Port, Weight: d.Weight, Forward: d.Forward, Upper: d.Upper, Lower: d.Lower}
	if d.Forward == "tun" && d.TunnelType != "" && d.TunnelType != "ipip" {
		r.Tunnel = &topology.Tunnel{Type: d.TunnelType, Port: d.TunnelPort, Checksum: cmp.Or(d.TunnelChecksum, "none")}
	}
	s.RealServers = append(s.RealServers, r)
}

// nameServers names the real servers of a service after their hosts, with the
// port where a host serves at several.
func nameServers(servers []topology.RealServer) {
	base := func(r topology.RealServer) string {
		return cmp.Or(r.Host, "local_"+strings.NewReplacer(".", "_", ":", "_").Replace(r.Address.String()))
	}
	count := map[string]int{}
	for _, r := range servers {
		count[base(r)]++
	}
	slices.SortFunc(servers, func(a, b topology.RealServer) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
	})
	for i, r := range servers {
		servers[i].Name = base(r)
		if count[base(r)] > 1 {
			servers[i].Name += fmt.Sprintf("_%d", r.Port)
		}
	}
}

// hostWide declares what belongs to the whole table.
func (im *importer) hostWide(objects state.Objects) {
	b, found := &topology.IPVS{}, false
	for _, o := range objects {
		switch o := o.(type) {
		case state.Timeouts:
			b.Timeouts, found = &topology.Timeouts{TCP: o.TCP, TCPFin: o.TCPFin, UDP: o.UDP}, true
		case state.Sync:
			b.Sync = append(b.Sync, topology.Sync{Role: o.Role, Interface: o.Interface, ID: o.ID, Group: o.Group, Port: o.Port, TTL: o.TTL, MaxLength: o.MaxLength})
			found = true
		}
	}
	if found {
		slices.SortFunc(b.Sync, func(a, b topology.Sync) int { return cmp.Compare(a.Role, b.Role) })
		im.add("ipvs."+im.director.Name, b)
	}
}
