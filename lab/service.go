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
	Protocol    string // tcp or udp
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

// Services lists the TCP and UDP services with one port, sorted: the ones that
// a client can be sent to.
func Services(t *topology.Topology) []Service {
	type key struct {
		protocol string
		address  netip.Addr
		port     uint16
	}
	found := map[key]*Service{}
	for _, r := range t.Resources {
		v, ok := r.Body.(*topology.VirtualService)
		if !ok || v.FWMark != 0 || v.Port == 0 || (v.Protocol != "tcp" && v.Protocol != "udp") {
			continue
		}
		k := key{v.Protocol, v.Address, v.Port}
		if s := found[k]; s != nil {
			s.Directors = append(s.Directors, r.Host)
			continue
		}
		found[k] = &Service{Protocol: v.Protocol, Address: v.Address, Port: v.Port, Scheduler: v.Scheduler,
			Persistent: v.Persistence != nil, Directors: []string{r.Host}, RealServers: realServers(t, v)}
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

func realServers(t *topology.Topology, v *topology.VirtualService) []RealServer {
	var out []RealServer
	for _, s := range v.RealServers {
		host := s.Host
		if host == "" {
			host = ownerOf(t, s.Address)
		}
		out = append(out, RealServer{Host: host, Port: s.Port, Weight: s.Weight})
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
