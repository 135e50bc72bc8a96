package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// service makes the checks of one virtual service and its real servers.
func (w *world) service(s *service) {
	w.scheduler(s)
	w.onDirector(s)
	w.management020(s)
	w.quiescence(s)
	w.families(s)
	w.filtered(s)
	nat := 0
	for _, rs := range s.servers {
		if rs.machine == s.director {
			continue // served by the director itself: nothing leaves it
		}
		switch rs.Forward {
		case "nat":
			nat++
			w.nat(s, rs)
		case "dr":
			w.attached(s, rs)
			w.direct(s, rs)
		case "tun":
			w.direct(s, rs)
			w.tunnel(s, rs)
		}
	}
	if nat > 0 {
		w.forwards(s)
	}
	w.marked(s)
	if nat > manyServers {
		w.report(finding{id: "LVS019", host: s.director.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("%d real servers behind NAT", nat),
			detail:  fmt.Sprintf("Requests and answers of all of them pass %s. Where the answers are large, dr or tun take them past it.", s.director.host.Name),
			at:      []topology.Range{rangeOf(s.resource, "forward")}})
	}
}

// marked makes the checks of VIPs for the addresses that feed a firewall mark to
// the service.
func (w *world) marked(s *service) {
	if s.FWMark == 0 {
		return
	}
	seen := map[netip.Addr]bool{}
	for _, r := range w.feeding[fwmark{s.director.host.Name, s.Family, s.FWMark}] {
		body := *s.VirtualService
		if body.Address = r.Body.(*topology.Mark).Address; seen[body.Address] {
			continue
		}
		seen[body.Address] = true
		fed := *s
		fed.VirtualService, fed.mark = &body, r
		w.onDirector(&fed)
		for _, rs := range s.servers {
			switch {
			case rs.machine == s.director:
			case rs.Forward == "dr", rs.Forward == "tun":
				w.direct(&fed, rs)
			case rs.machine != nil:
				if some, _ := w.masquerades(&fed, rs.Address); !some {
					w.oneNetwork(&fed, rs)
				}
			}
		}
	}
}

// vipRange is where the VIP stands.
func (s *service) vipRange() topology.Range {
	if s.mark != nil {
		return rangeOf(s.mark, "address")
	}
	return rangeOf(s.resource, "address")
}

// manyServers is where the director of a NAT cluster tends to be its narrowest
// part, says the LVS documentation.
const manyServers = 20

// id is the service's identity in the kernel.
func (s *service) id() state.ServiceID {
	if s.FWMark != 0 {
		return state.ServiceID{FWMark: s.FWMark, Family: s.Family}
	}
	return state.ServiceID{Protocol: s.Protocol, Address: s.Address, Port: s.Port, Family: s.Family}
}

// serverRange is the place of a real server's attribute, of its block, or of
// the service.
func (s *service) serverRange(rs server, names ...string) topology.Range {
	for _, name := range names {
		if at, ok := s.resource.Attributes["real_server."+rs.Name+"."+name]; ok {
			return at
		}
	}
	if !rs.Range.IsZero() {
		return rs.Range
	}
	return rangeOf(s.resource, "real_server."+rs.Name)
}

func (s *service) serverPath(rs server) string { return s.resource.Path + ".real_server." + rs.Name }

// scheduler looks for flags of another scheduler.
func (w *world) scheduler(s *service) {
	for _, flag := range s.SchedulerFlags {
		owner, _, named := strings.Cut(flag, "-")
		if !named || owner == "flag" || owner == s.Scheduler {
			continue
		}
		w.report(finding{id: "LVS015", host: s.director.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("Scheduler %s has no flag %s", s.Scheduler, flag),
			detail:  fmt.Sprintf("%s belongs to the scheduler %s; %s ignores it, or takes it for one of its own. Take it out, or set scheduler = %q.", flag, owner, s.Scheduler, owner),
			at:      []topology.Range{rangeOf(s.resource, "scheduler_flags"), rangeOf(s.resource, "scheduler")}})
	}
}

// onDirector looks for the VIP on the director.
func (w *world) onDirector(s *service) {
	d := s.director
	if !s.Address.IsValid() || s.Address.IsLoopback() || !d.knowsAddresses() || d.isLocal(s.Address) {
		return
	}
	f := finding{id: "LVS007", host: d.host.Name, object: s.resource.Path,
		summary: fmt.Sprintf("VIP %s is on no interface of %s", s.Address, d.host.Name),
		at:      []topology.Range{s.vipRange()}}
	f.detail = fmt.Sprintf("Packets to it never reach the service. Declare an address %s on %s",
		netip.PrefixFrom(s.Address, s.Address.BitLen()), d.host.Name)
	var others []string
	for _, a := range d.addrs {
		if a.resource != nil && !w.vips[a.ip.Addr()] && a.ip.Addr().Is4() == s.Address.Is4() {
			others = append(others, fmt.Sprintf("%s on %s (%s)", a.ip, a.device, a.resource.Path))
			f.at = append(f.at, a.at)
		}
	}
	if len(others) > 0 {
		f.detail += "; what is declared there is " + strings.Join(others, ", ") + ", which no service has: one of the two may be a slip"
	}
	f.detail += "."
	w.report(f)
}

// isLocal tells whether the host takes packets to an address for its own.
func (m *machine) isLocal(a netip.Addr) bool {
	if _, ok := m.has(a); ok {
		return true
	}
	t := m.routes[state.TableLocal]
	for bits := range t.lengths {
		if p, err := a.Prefix(bits); err == nil && len(t.to[p]) > 0 {
			return true
		}
	}
	return false
}

// quiescence looks at servers of weight 0 in persistent services.
func (w *world) quiescence(s *service) {
	if s.Persistence == nil || w.isOn(s.director, "net.ipv4.vs.expire_quiescent_template") {
		return
	}
	drained := func(name string, at topology.Range) {
		w.report(finding{id: "LVS017", host: s.director.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("Clients stick to the drained real server %s", name),
			detail: fmt.Sprintf("The service is persistent (%s) and net.ipv4.vs.expire_quiescent_template is 0 on %s: whoever had %s before comes back to it although its weight is 0, and each visit starts the time anew. Set the sysctl to 1 on the director.",
				s.Persistence.Timeout, s.director.host.Name, name),
			at: []topology.Range{at, rangeOf(s.resource, "persistence"), rangeOf(s.director.declared["net.ipv4.vs.expire_quiescent_template"], "settings")}})
	}
	for _, rs := range s.servers {
		if rs.Weight == 0 {
			drained(rs.Name, s.serverRange(rs, "weight"))
		}
	}
	if s.deadStays() && len(s.servers) > 0 {
		w.report(finding{id: "LVS017", host: s.director.host.Name, object: s.resource.Path,
			summary: "Clients stick to a dead real server",
			detail: fmt.Sprintf("The service is persistent (%s), and %s gives a dead real server the weight 0 instead of taking it out (quiescent). While net.ipv4.vs.expire_quiescent_template is 0 on %s, whoever had it before comes back to it. Set the sysctl to 1 on the director, or quiescent = false.",
				s.Persistence.Timeout, s.Checker, s.director.host.Name),
			at: []topology.Range{rangeOf(s.resource, "quiescent", "persistence"), rangeOf(s.director.declared["net.ipv4.vs.expire_quiescent_template"], "settings")}})
	}
	for _, d := range w.drained[identity{s.director.host.Name, s.id()}] {
		if !slices.ContainsFunc(s.servers, func(rs server) bool { return rs.Address == d.Address && rs.Port == d.Port }) {
			drained(netip.AddrPortFrom(d.Address, d.Port).String(), s.resource.Range)
		}
	}
}

// isOn tells whether a sysctl of IPVS is on or not known. They are off in a
// kernel that has just loaded it.
func (w *world) isOn(m *machine, name string) bool {
	v, known := m.sysctl(name)
	return v != 0 || !known && !m.live
}

// families looks for real servers of another family beside a sync daemon.
func (w *world) families(s *service) {
	i := slices.IndexFunc(s.servers, func(rs server) bool { return rs.Address.IsValid() && rs.Address.Is4() != (s.Family == "ipv4") })
	if i < 0 {
		return
	}
	for _, r := range s.director.syncs {
		rs := s.servers[i]
		w.report(finding{id: "LVS021", host: s.director.host.Name, object: s.serverPath(rs),
			summary: "Mixed address families beside a sync daemon",
			detail: fmt.Sprintf("Real server %s is not %s as its service is, and the protocol of the sync daemon cannot say so: the kernel refuses the two together. Take the sync daemon off %s, or give the real server an address of the service's family.",
				rs.Address, s.Family, s.director.host.Name),
			at: []topology.Range{s.serverRange(rs, "address", "host"), rangeOf(r, "sync."+r.Body.(*topology.IPVS).Sync[0].Role)}})
		return
	}
}
