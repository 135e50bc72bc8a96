package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// atBoot looks for what else makes at boot what is declared: the two meet at the
// next one.
func (w *world) atBoot() {
	for _, name := range w.names {
		m := w.hosts[name]
		for _, o := range m.facts.Boot {
			switch {
			case o.Sysctl != "":
				w.sysctlAtBoot(m, o)
			case o.Address.IsValid():
				w.addressAtBoot(m, o)
			default:
				w.tableAtBoot(m, o)
			}
		}
	}
}

func (w *world) sysctlAtBoot(m *machine, o state.BootOwner) {
	for parameter, r := range m.declared {
		value := r.Body.(*topology.Sysctl).Settings[parameter]
		if !sameParameter(o.Sysctl, parameter) || strings.Join(strings.Fields(value), " ") == o.Value {
			continue
		}
		values := fmt.Sprintf("the value %q at boot, and whenever somebody loads it; %q is declared", o.Value, value)
		if slices.Contains(r.Sensitive, "settings") {
			values = "another value than the declared one, which is sensitive, at boot, and whenever somebody loads it"
		}
		w.report(finding{id: "LVS030", host: m.host.Name, object: r.Path,
			summary: fmt.Sprintf("%s sets %s on %s too", o.File, parameter, m.host.Name),
			detail:  fmt.Sprintf("It sets %s. Take the line out of the file, or give it the same value.", values),
			at:      []topology.Range{rangeOf(r, "settings")}})
	}
}

// sameParameter tells whether a name of a file, in which a * stands for one
// part, means a parameter.
func sameParameter(pattern, name string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(name, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}

func (w *world) addressAtBoot(m *machine, o state.BootOwner) {
	for _, r := range m.resources {
		if v, ok := r.Body.(*topology.VRRPInstance); ok {
			w.floatsAtBoot(m, o, r, v)
		}
		b, ok := r.Body.(*topology.Address)
		if !ok || b.IP.Addr() != o.Address {
			continue
		}
		where := "on " + o.Device
		if o.Device != b.Device {
			where = fmt.Sprintf("on %s, not on %s as declared", o.Device, b.Device)
		}
		w.report(finding{id: "LVS030", host: m.host.Name, object: r.Path,
			summary: fmt.Sprintf("%s gives %s the address %s too", o.File, m.host.Name, o.Address),
			detail:  fmt.Sprintf("The host's own network tool makes it at boot, %s, before anything keeps the host from answering ARP for it, and again after lvsform has removed it. Take it out of the file.", where),
			at:      []topology.Range{rangeOf(r, "ip")}})
	}
}

func (w *world) floatsAtBoot(m *machine, o state.BootOwner, r *topology.Resource, v *topology.VRRPInstance) {
	for _, a := range v.VirtualAddresses {
		if a.IP.Addr() != o.Address {
			continue
		}
		w.report(finding{id: "LVS030", host: m.host.Name, object: r.Path,
			summary: fmt.Sprintf("%s gives %s the address %s too", o.File, m.host.Name, o.Address),
			detail:  fmt.Sprintf("The host's own network tool puts it on %s at boot, whoever is master of the VRRP group then. Take it out of the file.", o.Device),
			at:      []topology.Range{rangeOf(r, "virtual_address."+a.Name+".ip")}})
	}
}

func (w *world) tableAtBoot(m *machine, o state.BootOwner) {
	for _, s := range w.services {
		if s.director != m {
			continue
		}
		at, what := rangeOf(s.resource, "address", "fwmark"), s.Address.String()
		if s.Address == (netip.Addr{}) {
			what = fmt.Sprintf("mark %d", s.FWMark)
		}
		w.report(finding{id: "LVS030", host: m.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("ipvsadm restores an IPVS table on %s at boot too", m.host.Name),
			detail:  fmt.Sprintf("%s has it made as it was when it was saved, with servers that may be gone; the service of %s here is declared. Switch it off: systemctl disable ipvsadm.", o.File, what),
			at:      []topology.Range{at}})
		return
	}
}

// otherKeepers looks for programs that write the IPVS table of a director.
func (w *world) otherKeepers() {
	told, ours := map[*machine]bool{}, map[*machine]map[string]bool{}
	for _, s := range w.services {
		if ours[s.director] == nil {
			ours[s.director] = map[string]bool{}
		}
		ours[s.director][s.Checker] = true
	}
	for _, s := range w.services {
		m := s.director
		if m == nil || told[m] {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(m.facts.Programs), func(p string) bool { return ours[m][p] })
		if told[m] = true; len(others) == 0 {
			continue
		}
		programs := strings.Join(others, " and ")
		w.report(finding{id: "LVS031", host: m.host.Name, object: s.resource.Path,
			summary: fmt.Sprintf("%s keeps IPVS services on %s, too", programs, m.host.Name),
			detail:  "It writes the same table of the kernel, and may change or delete what is declared here. Leave each virtual service to one of them.",
			at:      []topology.Range{rangeOf(s.resource, "address", "fwmark")}})
	}
}
