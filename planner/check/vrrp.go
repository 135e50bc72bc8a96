package check

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// instance is one host's part in a group of VRRP.
type instance struct {
	*topology.VRRPInstance
	resource *topology.Resource
	machine  *machine
}

// floats notes the addresses of a VRRP instance: each of its hosts counts as one
// that holds them, whichever has them at the moment.
func (m *machine) floats(r *topology.Resource, v *topology.VRRPInstance) {
	for _, a := range v.VirtualAddresses {
		device, at := v.DeviceOf(a), rangeOf(r, "virtual_address."+a.Name+".ip")
		mine := slices.IndexFunc(m.addrs, func(h held) bool { return h.ip.Addr() == a.IP.Addr() && h.device == device && h.resource == nil })
		if mine >= 0 {
			m.addrs[mine].resource, m.addrs[mine].at, m.addrs[mine].floating = r, at, true
			continue
		}
		m.hold(held{device: device, ip: a.IP, resource: r, at: at, floating: true})
		if !m.live && a.IP.Bits() < a.IP.Addr().BitLen() {
			m.route(state.TableMain, route{to: a.IP.Masked(), device: device})
		}
	}
}

// always tells whether a host takes packets to an address for its own, also
// while another is master.
func (m *machine) always(a netip.Addr) bool {
	for _, i := range m.byAddr[a] {
		if !m.addrs[i].floating {
			return true
		}
	}
	return len(m.byAddr[a]) == 0 && m.isLocal(a)
}

// vrrp makes the checks of the VRRP instances.
func (w *world) vrrp() {
	for _, g := range w.groups() {
		for i, b := range g[1:] {
			w.agree(g[0], b)
			for _, a := range g[:i+1] {
				w.priorities(a, b)
				w.hears(a, b)
				w.hears(b, a)
			}
		}
	}
	for i, a := range w.instances {
		w.protocolLimits(a)
		w.fixedToo(a)
		w.vrrpFiltered(a)
		for _, b := range w.instances[:i] {
			w.oneID(b, a)
			w.oneMaster(b, a)
		}
	}
	w.masterToo()
	w.schedulesNothing()
}

// groups are the instances that share an address, directly or through others;
// in the order of hosts.
func (w *world) groups() [][]instance {
	var groups [][]instance
	for _, v := range w.instances {
		joined := []instance{v}
		rest := groups[:0:0]
		for _, g := range groups {
			if slices.ContainsFunc(g, func(o instance) bool { return shared(o, v).IsValid() }) {
				joined = append(slices.Clone(g), joined...)
			} else {
				rest = append(rest, g)
			}
		}
		groups = append(rest, joined)
	}
	return groups
}

// shared is an address of both; the zero Addr without one.
func shared(a, b instance) netip.Addr {
	for _, x := range a.VirtualAddresses {
		for _, y := range b.VirtualAddresses {
			if x.IP.IsValid() && x.IP.Addr() == y.IP.Addr() {
				return x.IP.Addr()
			}
		}
	}
	return netip.Addr{}
}

// agree looks for what both sides of a group have to have alike.
func (w *world) agree(a, b instance) {
	if a.machine == b.machine {
		if ip := shared(a, b); ip.IsValid() {
			w.differ(a, b, fmt.Sprintf("%s floats twice on %s", ip, a.machine.host.Name),
				"An address belongs to one instance of a host. Take it out of one of the two.", "virtual_address")
		}
		return
	}
	if a.VirtualRouterID != b.VirtualRouterID {
		w.differ(a, b, fmt.Sprintf("virtual_router_id %d and %d of one address", a.VirtualRouterID, b.VirtualRouterID),
			fmt.Sprintf("Both hosts hold %s, and hear each other only where the ids are the same: each becomes master. Write the same number in both.", orAddress(a, b)), "virtual_router_id")
		return
	}
	if a.AdvertInterval != b.AdvertInterval {
		w.differ(a, b, fmt.Sprintf("advert_interval %s and %s in one group", a.AdvertInterval, b.AdvertInterval),
			"A backup that waits for less than the master's interval becomes master beside it, and version 2 drops advertisements of another interval. Write the same time in both.", "advert_interval")
	}
	if a.Version != b.Version {
		w.differ(a, b, fmt.Sprintf("VRRP version %d and %d in one group", a.Version, b.Version),
			"Each drops the other's advertisements, and both become master. Write the same version in both.", "version")
	}
	if authOf(a) != authOf(b) {
		w.differ(a, b, "Different authentication in one group",
			"Type and password have to be the same, or each drops the other's advertisements and both become master. Best take both from one variable.", "authentication")
	}
	if x, y := toldBy(a), toldBy(b); x != y {
		w.differ(a, b, "Different addresses in one group",
			fmt.Sprintf("%s advertises %s, %s %s. A backup drops advertisements with other addresses than its own, and both become master. Write the same addresses in both, or take those that differ out of the advertisements (excluded = true).",
				a.machine.host.Name, x, b.machine.host.Name, y), "virtual_address")
	}
}

func orAddress(a, b instance) string {
	if ip := shared(a, b); ip.IsValid() {
		return ip.String()
	}
	return "addresses of one group"
}

func authOf(v instance) topology.VRRPAuthentication {
	if v.Authentication == nil {
		return topology.VRRPAuthentication{}
	}
	return *v.Authentication
}

func toldBy(v instance) string {
	var out []string
	for _, a := range v.Advertised() {
		out = append(out, a.IP.Addr().String())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// differ reports what is wrong between two instances, at the second.
func (w *world) differ(a, b instance, summary, detail string, names ...string) {
	w.differAs(a, b, severityOf("LVS010"), summary, detail, names...)
}

func (w *world) differAs(a, b instance, severity topology.Severity, summary, detail string, names ...string) {
	w.reportAs(finding{id: "LVS010", host: b.machine.host.Name, object: b.resource.Path, summary: summary, detail: detail,
		at: []topology.Range{partOf(b, names...), partOf(a, names...)}}, severity)
}

// partOf is the place of an attribute, or of the first of the blocks of a name.
func partOf(v instance, names ...string) topology.Range {
	for _, name := range names {
		if name == "virtual_address" && len(v.VirtualAddresses) > 0 {
			name += "." + v.VirtualAddresses[0].Name
		}
		if at, ok := v.resource.Attributes[name]; ok {
			return at
		}
	}
	return v.resource.Range
}

// priorities looks at who is to be master.
func (w *world) priorities(a, b instance) {
	if a.machine == b.machine || a.VirtualRouterID != b.VirtualRouterID {
		return
	}
	low, high := a, b
	if a.Priority > b.Priority || a.Priority == b.Priority && b.State == "MASTER" {
		low, high = b, a
	}
	lowName, highName := low.machine.host.Name, high.machine.host.Name
	switch {
	case low.Priority == high.Priority && low.State == "MASTER":
		w.differ(high, low, fmt.Sprintf("%s and %s have the same priority, and one is the declared master", lowName, highName),
			fmt.Sprintf("With priority %d on both the one with the higher address becomes master. Give the master the higher number.", low.Priority), "priority")
	case low.Priority == high.Priority:
		w.differAs(high, low, topology.Warning, fmt.Sprintf("%s and %s have the same priority", lowName, highName),
			fmt.Sprintf("With priority %d on both the one with the higher address becomes master where both begin at the same time. Give them different numbers; preempt = false keeps a master that is there.", low.Priority), "priority")
	case low.State == "MASTER":
		w.differ(high, low, fmt.Sprintf("The declared master %s has a lower priority than %s", lowName, highName),
			fmt.Sprintf("%s has priority %d and %s %d: %s takes the addresses over whatever state says, at every start twice. Give the master the higher number.", lowName, low.Priority, highName, high.Priority, highName), "priority")
	}
}

// hears looks for a unicast instance that does not speak to another of its group.
func (w *world) hears(a, b instance) {
	if a.machine == b.machine || a.VirtualRouterID != b.VirtualRouterID || a.Unicast == nil {
		return
	}
	if b.Unicast == nil {
		w.differ(a, b, fmt.Sprintf("%s speaks unicast and %s multicast in one group", a.machine.host.Name, b.machine.host.Name),
			"Neither hears the other, and both become master. Give both a block unicast with the other as a peer, or none.", "unicast")
		return
	}
	own := b.Unicast.Source
	if slices.ContainsFunc(a.Unicast.Peers, func(p netip.Addr) bool { return p == own || p == b.machine.host.Address || w.holds(b.machine, p) }) {
		return
	}
	w.differ(b, a, fmt.Sprintf("%s has no peer on %s", a.machine.host.Name, b.machine.host.Name),
		fmt.Sprintf("%s does not hear it, and becomes master beside it. Add %s to the peers.", b.machine.host.Name, cmp.Or(own, b.machine.host.Address)), "unicast.peers", "unicast")
}

// oneID looks for two groups of one id on one network.
func (w *world) oneID(a, b instance) {
	if a.VirtualRouterID != b.VirtualRouterID || a.Family() != b.Family() || shared(a, b).IsValid() {
		return
	}
	if a.Unicast != nil && b.Unicast != nil && !slices.ContainsFunc(a.Unicast.Peers, func(p netip.Addr) bool { return slices.Contains(b.Unicast.Peers, p) || w.holds(b.machine, p) }) {
		return
	}
	network, together := meet(a, b)
	if !together {
		return
	}
	w.differ(a, b, fmt.Sprintf("virtual_router_id %d stands for %s and for %s", a.VirtualRouterID, toldBy(a), toldBy(b)),
		fmt.Sprintf("On %s one id is one group: the hosts take each other's advertisements for their own group's. Give this group an id of its own, or, if the two are one group, the same addresses.", network), "virtual_router_id")
}

// meet tells whether two instances hear each other's multicast, as far as that
// is known.
func meet(a, b instance) (string, bool) {
	if a.machine == b.machine {
		return a.Interface + " of " + a.machine.host.Name, a.Interface == b.Interface
	}
	for _, x := range a.machine.networksOn(a.Interface) {
		if slices.Contains(b.machine.networksOn(b.Interface), x) {
			return x.String(), true
		}
	}
	return "", false
}

// networksOn are the networks of an interface, but those of floating addresses.
func (m *machine) networksOn(device string) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range m.addrs {
		if a.device == device && !a.floating && a.ip.Bits() < a.ip.Addr().BitLen() && !a.ip.Addr().IsLinkLocalUnicast() {
			out = append(out, a.ip.Masked())
		}
	}
	return out
}

// oneMaster looks for instances that are master on one host, and by their
// priorities belong on two.
func (w *world) oneMaster(a, b instance) {
	if a.machine != b.machine || a.SyncGroup == "" || a.SyncGroup != b.SyncGroup {
		return
	}
	if x, y := w.highest(a), w.highest(b); x != y && a.machine.host.Name == min(x, y) {
		w.differ(a, b, fmt.Sprintf("Sync group %s has two masters", a.SyncGroup),
			fmt.Sprintf("Instances of one sync group are master on the same host, and by their priorities one belongs on %s and the other on %s: they pull each other to and fro. Give one host the higher priority in both.", x, y), "priority")
	}
}

// highest is the host of the highest priority in an instance's group.
func (w *world) highest(v instance) string {
	best := v
	for _, o := range w.instances {
		if o.VirtualRouterID == v.VirtualRouterID && shared(o, v).IsValid() && o.Priority > best.Priority {
			best = o
		}
	}
	return best.machine.host.Name
}

// protocolLimits looks at what the advertisements of a version can say.
func (w *world) protocolLimits(v instance) {
	report := func(name, summary, detail string) {
		w.report(finding{id: "LVS023", host: v.machine.host.Name, object: v.resource.Path, summary: summary, detail: detail,
			at: []topology.Range{partOf(v, name)}})
	}
	if v.Version == 2 && v.AdvertInterval%time.Second != 0 {
		report("advert_interval", fmt.Sprintf("VRRP version 2 with an interval of %s", v.AdvertInterval),
			"Version 2 counts in whole seconds. Write one like \"1s\", or set version = 3, which takes hundredths.")
	}
	if v.Authentication == nil {
		return
	}
	switch {
	case v.Family() == "ipv6":
		report("authentication", "VRRP authentication with IPv6", "IPv6 has VRRP version 3 only, and that has no authentication. Take the block out; unicast and a packet filter keep strangers away.")
	case v.Version == 3:
		report("authentication", "VRRP authentication with version 3", "RFC 5798 has taken it out of the protocol. Take the block out, or set version = 2.")
	case len(v.Authentication.Password) > maxVRRPPassword:
		report("authentication", "VRRP password of more than 8 characters",
			fmt.Sprintf("An advertisement has room for %d, and keepalived cuts the rest off without a word: whoever knows the beginning knows it all. Write at most %d.", maxVRRPPassword, maxVRRPPassword))
	}
}

// maxVRRPPassword is the size of the field of RFC 2338.
const maxVRRPPassword = 8

// fixedToo looks for an address that floats, and that its host is to have always.
func (w *world) fixedToo(v instance) {
	m := v.machine
	for _, a := range v.VirtualAddresses {
		if a.IP.Addr() == m.host.Address {
			w.report(finding{id: "LVS020", host: m.host.Name, object: v.resource.Path,
				summary: fmt.Sprintf("%s floats, and is the address of %s", a.IP.Addr(), m.host.Name),
				detail:  fmt.Sprintf("%s is reached under it, and it goes when another host becomes master. Take an address of its own for what floats.", m.host.Name),
				at:      []topology.Range{partOf(v, "virtual_address."+a.Name+".ip"), hostRange(m.host, "address")}})
		}
		for _, i := range m.byAddr[a.IP.Addr()] {
			h := m.addrs[i]
			if h.floating || h.resource == nil || !m.answers(h.device) {
				continue
			}
			w.report(finding{id: "LVS020", host: m.host.Name, object: h.resource.Path,
				summary: fmt.Sprintf("%s floats, and %s has it always", a.IP.Addr(), m.host.Name),
				detail:  fmt.Sprintf("%s gives it to %s whoever is master, so that two hosts answer for it. keepalived adds it itself: take the address block out.", h.resource.Path, h.device),
				at:      []topology.Range{h.at, partOf(v, "virtual_address."+a.Name+".ip")}})
		}
	}
}

// IP protocol numbers of VRRP and of IPsec's authentication header, and where
// advertisements go (RFC 5798).
const (
	protoVRRP = 112
	protoAH   = 51
)

var (
	vrrpGroup4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	vrrpGroup6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
)

// vrrpFiltered looks at the packets that an instance hears of its peers.
func (w *world) vrrpFiltered(v instance) {
	p := packet{to: vrrpGroup4, protocol: protoVRRP}
	if v.Family() == "ipv6" {
		p.to = vrrpGroup6
	}
	if v.Unicast != nil {
		if p.to = cmp.Or(v.Unicast.Source, v.machine.host.Address); p.to.Is4() != (v.Family() == "ipv4") {
			return
		}
	}
	what := "the advertisements of its VRRP peers (IP protocol 112)"
	if v.Authentication != nil && v.Authentication.Type == "AH" {
		p.protocol, what = protoAH, "the advertisements of its VRRP peers (AH, IP protocol 51)"
	}
	w.filter(v.machine, "input", p, v.resource.Path, what, partOf(v, "interface"))
}
