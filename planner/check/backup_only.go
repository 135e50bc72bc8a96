package check

import (
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/topology"
)

// masterToo looks for directors of a pair that are real servers too: the backup
// gets packets of the master for its VIP, and has a table of its own for it.
func (w *world) masterToo() {
	for _, s := range w.services {
		for _, rs := range s.servers {
			m := rs.machine
			if m == nil || m == s.director || rs.Forward == "nat" || !s.Address.IsValid() || !w.backs(m, s) || w.backupOnly(m) {
				continue
			}
			w.report(finding{id: "LVS028", host: m.host.Name, object: s.serverPath(rs),
				summary: fmt.Sprintf("%s is director and real server of %s", m.host.Name, s.Address),
				detail: fmt.Sprintf("While it is the backup, it gets requests from %s as a real server, finds the service in its own table, and may send them on, back to %s even: a loop. Use other hosts as real servers. net.ipv4.vs.backup_only = 1 keeps it from scheduling while its sync daemon is a backup, which helps only where that daemon follows the VRRP state.",
					s.director.host.Name, s.director.host.Name),
				at: []topology.Range{s.serverRange(rs, "host", "address"), rangeOf(m.declared["net.ipv4.vs.backup_only"], "settings")}})
		}
	}
}

// backs tells whether a host may become the director of another's service.
func (w *world) backs(m *machine, s *service) bool {
	return slices.ContainsFunc(w.services, func(o *service) bool { return o.director == m && o.id() == s.id() }) &&
		slices.ContainsFunc(w.instances, func(v instance) bool {
			return v.machine == m && slices.ContainsFunc(v.VirtualAddresses, func(a topology.VirtualAddress) bool { return a.IP.Addr() == s.Address })
		})
}

// backupOnly tells whether a host schedules nothing while its sync daemon is a
// backup. It is off in a kernel that has just loaded IPVS.
func (w *world) backupOnly(m *machine) bool {
	v, known := m.sysctl("net.ipv4.vs.backup_only")
	return known && v != 0
}

// schedulesNothing looks for directors that tell of connections and hear of them,
// so that they may take a VIP at any moment, and schedule nothing while they hear.
func (w *world) schedulesNothing() {
	seen := map[*machine]bool{}
	for _, s := range w.services {
		m := s.director
		if seen[m] || !m.hears() || !w.backupOnly(m) {
			continue
		}
		seen[m] = true
		r := m.syncs[0]
		w.report(finding{id: "LVS028", host: m.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("%s schedules nothing", m.host.Name),
			detail:  "net.ipv4.vs.backup_only = 1 takes its services out of use while a backup sync daemon runs, and here one runs always, beside that of the master. Set it to 0.",
			at:      []topology.Range{rangeOf(m.declared["net.ipv4.vs.backup_only"], "settings"), rangeOf(r, "sync.backup"), s.resource.Range}})
	}
}

// hears tells whether a host runs both sync daemons.
func (m *machine) hears() bool {
	roles := map[string]bool{}
	for _, r := range m.syncs {
		for _, s := range r.Body.(*topology.IPVS).Sync {
			roles[s.Role] = true
		}
	}
	return roles["master"] && roles["backup"]
}
