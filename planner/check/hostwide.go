package check

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// fwmark is a firewall mark of one family on a host.
type fwmark struct {
	host, family string
	mark         uint32
}

// marks looks for marks without a service and services without a mark.
func (w *world) marks() {
	fed, used := map[fwmark]bool{}, map[fwmark]bool{}
	for _, s := range w.services {
		if s.FWMark != 0 {
			used[fwmark{s.director.host.Name, s.Family, s.FWMark}] = true
		}
	}
	for _, name := range w.names {
		for _, r := range w.hosts[name].rules {
			if r.FWMark != 0 {
				used[fwmark{name, r.Family, r.FWMark}] = true
			}
		}
	}
	for _, name := range w.names {
		for _, r := range w.hosts[name].resources {
			b, ok := r.Body.(*topology.Mark)
			if !ok {
				continue
			}
			mark := fwmark{name, familyOf(b.Address), b.Mark}
			fed[mark] = true
			if used[mark] {
				continue
			}
			w.report(finding{id: "LVS016", host: name, object: r.Path,
				summary: fmt.Sprintf("Nothing on %s uses the mark %d", name, b.Mark),
				detail:  fmt.Sprintf("Packets to %s get it, and no %s service there has fwmark = %d. Make the two numbers equal, or take the block out.", b.Address, mark.family, b.Mark),
				at:      []topology.Range{rangeOf(r, "mark")}})
		}
	}
	for _, s := range w.services {
		mark := fwmark{s.director.host.Name, s.Family, s.FWMark}
		if s.FWMark == 0 || fed[mark] {
			continue
		}
		w.report(finding{id: "LVS016", host: mark.host, object: s.resource.Path,
			summary: fmt.Sprintf("No packet on %s gets the mark %d", mark.host, s.FWMark),
			detail:  fmt.Sprintf("The service takes %s packets with this mark, and no mark block there gives it. Declare mark { mark = %d } with the VIP and the ports.", mark.family, s.FWMark),
			at:      []topology.Range{rangeOf(s.resource, "fwmark")}})
	}
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// fromRouterAdvertisement is RTPROT_RA of linux/rtnetlink.h.
const fromRouterAdvertisement = 9

// firewalls are the services that hold a host's packet filter.
var firewalls = []string{"firewalld", "ufw", "nftables", "iptables", "ip6tables", "netfilter-persistent", "SuSEfirewall2"}

// firewallsOff looks for firewalls that are switched off as a whole, where a few
// ports would have to be opened.
func (w *world) firewallsOff() {
	for _, name := range w.names {
		for _, r := range w.hosts[name].resources {
			b, ok := r.Body.(*topology.Service)
			if !ok || !slices.Contains(firewalls, b.Name) {
				continue
			}
			for attribute, on := range map[string]*bool{"running": b.Running, "enabled": b.Enabled} {
				if on == nil || *on || attribute == "enabled" && b.Running != nil && !*b.Running {
					continue
				}
				w.report(finding{id: "LVS025", host: name, object: r.Path,
					summary: fmt.Sprintf("%s is switched off on %s as a whole", b.Name, name),
					detail:  "Then everything on the host is open to everybody. Leave it on and open what the mode needs: the service's ports, IP protocol 4 or 47 for tunnels, forwarding for NAT; `lvsform plan` tells what is missing.",
					at:      []topology.Range{rangeOf(r, attribute)}})
			}
		}
	}
}

// forwarding looks for hosts that forwarding takes the default route from.
func (w *world) forwarding() {
	const forwarding = "net.ipv6.conf.all.forwarding"
	for _, name := range w.names {
		m := w.hosts[name]
		if v, known := m.sysctl(forwarding); !known || v == 0 {
			continue
		}
		for _, r := range m.routes[state.TableMain].to[everywhere(netip.IPv6Unspecified())] {
			accept, known := m.conf("ipv6", r.device, "accept_ra")
			if r.protocol != fromRouterAdvertisement || !known || accept == 2 {
				continue
			}
			w.report(finding{id: "LVS029", host: name, object: pathOf(m.declared[forwarding]),
				summary: fmt.Sprintf("%s loses its IPv6 default route", name),
				detail: fmt.Sprintf("The route via %s on %s comes from router advertisements. %s is 1, and a host that forwards takes them only where accept_ra is 2; here it is %d, so the route ends with its lifetime. Set net.ipv6.conf.%s.accept_ra = 2, or declare the route.",
					r.via, r.device, forwarding, accept, sysctlDevice(r.device)),
				at: []topology.Range{rangeOf(m.declared[forwarding], "settings"), m.host.Range}})
		}
	}
}
