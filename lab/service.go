package lab

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/lvsform/lvsform/topology"
)

// Service is one virtual service as its clients see it.
type Service struct {
	Protocol    string // tcp, udp or sctp
	Address     netip.Addr
	Port        uint16
	Scheduler   string
	Persistent  bool
	Directors   []string // the hosts that declare it, sorted
	RealServers []RealServer
}

// RealServer is one that may answer.
type RealServer struct {
	Host   string // the host that has the address, or the address where none has
	Port   uint16
	Weight int
}

// Target is what a client dials.
func (s Service) Target() string {
	return net.JoinHostPort(s.Address.String(), strconv.Itoa(int(s.Port)))
}

// front is what a client of a service dials.
type front struct {
	protocol string
	address  netip.Addr
	port     uint16
}

// Services lists the services with a port, sorted: the ones that a client can
// be sent to. A service of a firewall mark stands there once for each port that
// is marked on its director, a range of ports once.
func Services(t *topology.Topology) []Service {
	found := map[front]*Service{}
	for _, r := range t.Resources {
		v, ok := r.Body.(*topology.VirtualService)
		if !ok {
			continue
		}
		for _, f := range fronts(t, r.Host, v) {
			if s := found[f]; s != nil {
				s.Directors = append(s.Directors, r.Host)
				continue
			}
			found[f] = &Service{Protocol: f.protocol, Address: f.address, Port: f.port, Scheduler: v.Scheduler,
				Persistent: v.Persistence != nil, Directors: []string{r.Host}, RealServers: realServers(t, v, f.port)}
		}
	}
	out := make([]Service, 0, len(found))
	for _, s := range found {
		slices.Sort(s.Directors)
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Service) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
	return out
}

// fronts are what clients dial to reach a service on a director.
func fronts(t *topology.Topology, director string, v *topology.VirtualService) []front {
	var out []front
	if v.FWMark == 0 && v.Port != 0 {
		out = append(out, front{v.Protocol, v.Address, v.Port})
	}
	for _, r := range t.Resources {
		m, ok := r.Body.(*topology.Mark)
		if !ok || r.Host != director || m.Mark != v.FWMark {
			continue
		}
		for _, p := range m.Ports {
			out = append(out, front{m.Protocol, m.Address, p.First})
		}
	}
	return out
}

// realServers are those of a service; one without a port of its own, as a
// firewall mark has it, serves the port that the client dials.
func realServers(t *topology.Topology, v *topology.VirtualService, port uint16) []RealServer {
	var out []RealServer
	for _, s := range v.RealServers {
		host := s.Host
		if host == "" {
			host = ownerOf(t, s.Address)
		}
		out = append(out, RealServer{Host: host, Port: cmp.Or(s.Port, port), Weight: s.Weight})
	}
	return out
}

// ownerOf is the host that has an address, or the address itself.
func ownerOf(t *topology.Topology, a netip.Addr) string {
	for _, h := range t.Hosts {
		if h.Address == a {
			return h.Name
		}
		for _, i := range h.Interfaces {
			if slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
				return h.Name
			}
		}
	}
	return a.String()
}
