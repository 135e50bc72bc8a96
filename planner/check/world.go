package check

import (
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// world is the whole topology, indexed: every check costs what it looks at,
// whatever the number of hosts.
type world struct {
	feeding   map[fwmark][]*topology.Resource // the mark resources of each mark
	hosts     map[string]*machine
	names     []string // of hosts, sorted
	services  []*service
	instances []instance          // of VRRP, in the order of hosts
	vips      map[netip.Addr]bool // addresses of virtual services
	// holders are the interfaces that answer for an address: those of NICs, not
	// of lo, tunnels and dummies. In the order of hosts.
	holders map[netip.Addr][]holder
	// masqueraded are the real servers that see a director's address instead
	// of the clients'.
	masqueraded map[connection]map[netip.Addr]bool
	changes     map[string][]Change       // by host
	management  map[netip.Addr][]*machine // by address; see managed
	drained     map[identity][]state.Destination
	calls       map[string]topology.Range // of modules, by the path of a resource
	found       topology.Diagnostics
}

// identity is a virtual service of a host.
type identity struct {
	host string
	id   state.ServiceID
}

// service is a virtual service of a director.
type service struct {
	mark *topology.Resource // whose address is the VIP of a service without one
	*topology.VirtualService
	resource *topology.Resource
	director *machine
	servers  []server
}

// server is a real server with its machine, nil outside the topology.
type server struct {
	*topology.RealServer
	machine *machine
}

// connection is what a masquerade rule matches.
type connection struct {
	host     string
	vip      netip.Addr
	protocol string
	port     uint16
}

// holder is an address on an interface of a host.
type holder struct {
	machine *machine
	held
}

func newWorld(in Input) *world {
	w := &world{hosts: map[string]*machine{}, vips: map[netip.Addr]bool{}, holders: map[netip.Addr][]holder{},
		masqueraded: map[connection]map[netip.Addr]bool{}, changes: map[string][]Change{}, drained: map[identity][]state.Destination{},
		calls: map[string]topology.Range{}, feeding: map[fwmark][]*topology.Resource{}}
	declared := map[string][]*topology.Resource{}
	retired := map[string]bool{}
	for _, h := range in.Topology.Hosts {
		retired[h.Name] = h.Retired
	}
	for _, r := range in.Topology.Resources {
		if !r.Call.IsZero() {
			w.calls[r.Path] = r.Call
		}
		if !retired[r.Host] {
			declared[r.Host] = append(declared[r.Host], r)
		}
	}
	for _, c := range in.Changes {
		w.changes[c.Host] = append(w.changes[c.Host], c)
		before, ok := c.Before.(state.Destination)
		if after, still := c.After.(state.Destination); ok && still && before.Weight > 0 && after.Weight == 0 {
			id := identity{c.Host, before.Service}
			w.drained[id] = append(w.drained[id], before)
		}
	}
	for _, h := range in.Topology.Hosts {
		var observed *Host
		if o, ok := in.Hosts[h.Name]; ok {
			observed = &o
		}
		w.hosts[h.Name] = newMachine(h, declared[h.Name], observed)
		w.names = append(w.names, h.Name)
	}
	slices.Sort(w.names)
	w.holdAll()
	for _, name := range w.names {
		w.declare(w.hosts[name], retired)
	}
	return w
}

// holdAll notes which interfaces answer for which addresses.
func (w *world) holdAll() {
	for _, name := range w.names {
		m := w.hosts[name]
		own := false
		for _, a := range m.addrs {
			own = own || a.ip.Addr() == m.host.Address
			if m.answers(a.device) {
				w.holders[a.ip.Addr()] = append(w.holders[a.ip.Addr()], holder{m, a})
			}
		}
		if !own && m.host.Address.IsValid() {
			a := held{ip: netip.PrefixFrom(m.host.Address, m.host.Address.BitLen()), at: m.host.Range}
			w.holders[m.host.Address] = append(w.holders[m.host.Address], holder{m, a})
		}
	}
}

// declare indexes the services and source NAT of a director.
func (w *world) declare(m *machine, retired map[string]bool) {
	for _, r := range m.resources {
		switch b := r.Body.(type) {
		case *topology.Mark:
			mark := fwmark{m.host.Name, familyOf(b.Address), b.Mark}
			w.feeding[mark] = append(w.feeding[mark], r)
			w.vips[b.Address] = true
		case *topology.Masquerade:
			c := connection{m.host.Name, b.VIP, b.Protocol, b.Port}
			if w.masqueraded[c] == nil {
				w.masqueraded[c] = map[netip.Addr]bool{}
			}
			for _, to := range b.To {
				w.masqueraded[c][to] = true
			}
		case *topology.IPVS:
			if len(b.Sync) > 0 {
				m.syncs = append(m.syncs, r)
			}
		case *topology.VRRPInstance:
			w.instances = append(w.instances, instance{b, r, m})
		case *topology.VirtualService:
			s := &service{VirtualService: b, resource: r, director: m}
			for i := range b.RealServers {
				rs := &b.RealServers[i]
				machine := w.hosts[rs.Host]
				if rs.Host == "" {
					machine = w.hostOf(rs.Address)
				}
				if machine == nil || !retired[machine.host.Name] {
					s.servers = append(s.servers, server{rs, machine})
				}
			}
			if b.Address.IsValid() {
				w.vips[b.Address] = true
			}
			w.services = append(w.services, s)
		}
	}
}

// hostOf is the host that holds an address, or nil.
func (w *world) hostOf(a netip.Addr) *machine {
	if held := w.holders[a]; len(held) > 0 {
		return held[0].machine
	}
	return nil
}

// holds tells whether a host answers for an address.
func (w *world) holds(m *machine, a netip.Addr) bool {
	return slices.ContainsFunc(w.holders[a], func(h holder) bool { return h.machine == m })
}

// keeps tells whether a host answers for an address whether it is master or not.
func (w *world) keeps(m *machine, a netip.Addr) bool {
	return slices.ContainsFunc(w.holders[a], func(h holder) bool { return h.machine == m && !h.floating })
}

// masquerades tells whether a service has source NAT at all, and whether it has
// it for a real server.
func (w *world) masquerades(s *service, to netip.Addr) (some, this bool) {
	for _, port := range [...]uint16{s.Port, 0} {
		servers, ok := w.masqueraded[connection{s.director.host.Name, s.Address, s.Protocol, port}]
		some, this = some || ok, this || servers[to]
	}
	return some, this
}
