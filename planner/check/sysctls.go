package check

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/topology"
)

// Sysctls names, for every host that plays a part, the parameters that the
// checks want to know of it; a * stands for every interface.
func Sysctls(t *topology.Topology) map[string][]string {
	q := query{names: map[string]map[string]bool{}, byAddress: map[netip.Addr]string{}, pairs: map[string]bool{}}
	for _, h := range t.Hosts {
		for _, nic := range h.Interfaces {
			for _, a := range nic.Addresses {
				q.byAddress[a.Addr()] = h.Name
			}
		}
	}
	for _, h := range t.Hosts {
		q.byAddress[h.Address] = h.Name
	}
	for _, r := range t.Resources {
		if _, ok := r.Body.(*topology.VRRPInstance); ok {
			q.pairs[r.Host] = true
		}
	}
	for _, r := range t.Resources {
		switch b := r.Body.(type) {
		case *topology.VirtualService:
			q.service(r.Host, b)
		case *topology.Masquerade:
			q.add(r.Host, "net.ipv4.vs.conntrack")
		case *topology.IPVS:
			if len(b.Sync) > 1 {
				q.add(r.Host, "net.ipv4.vs.backup_only")
			}
		case *topology.Sysctl:
			if _, ok := b.Settings["net.ipv6.conf.all.forwarding"]; ok {
				q.add(r.Host, "net.ipv6.conf.*.accept_ra")
			}
		}
	}
	out := map[string][]string{}
	for host, names := range q.names {
		out[host] = slices.Sorted(maps.Keys(names))
	}
	return out
}

// Traffic tells whether a check asks what becomes of packets on the hosts: there
// are services, sync daemons, or VRRP instances that want them.
func Traffic(t *topology.Topology) bool {
	return slices.ContainsFunc(t.Resources, func(r *topology.Resource) bool {
		switch b := r.Body.(type) {
		case *topology.VirtualService, *topology.VRRPInstance:
			return true
		case *topology.IPVS:
			return len(b.Sync) > 0
		}
		return false
	})
}

type query struct {
	names     map[string]map[string]bool // by host
	byAddress map[netip.Addr]string
	pairs     map[string]bool // hosts with a VRRP instance
}

func (q *query) add(host string, names ...string) {
	if host == "" {
		return
	}
	if q.names[host] == nil {
		q.names[host] = map[string]bool{}
	}
	for _, name := range names {
		q.names[host][name] = true
	}
}

func (q *query) service(director string, s *topology.VirtualService) {
	if s.Persistence != nil {
		q.add(director, "net.ipv4.vs.expire_quiescent_template")
	}
	for _, rs := range s.RealServers {
		server := rs.Host
		if server == "" {
			server = q.byAddress[rs.Address]
		}
		if rs.Forward != "nat" && q.pairs[server] && server != director {
			q.add(server, "net.ipv4.vs.backup_only")
		}
		switch {
		case rs.Forward == "nat" && s.Family == "ipv6":
			q.add(director, "net.ipv6.conf.all.forwarding", "net.ipv6.conf.*.accept_ra")
		case rs.Forward == "nat":
			q.add(director, "net.ipv4.ip_forward", "net.ipv4.conf.*.send_redirects")
		case s.Family == "ipv4":
			q.add(director, "net.ipv4.conf.*.accept_local")
			q.add(server, "net.ipv4.conf.*.arp_ignore", "net.ipv4.conf.*.arp_announce")
			if rs.Forward == "tun" {
				q.add(server, "net.ipv4.conf.*.rp_filter")
			}
		}
	}
}
