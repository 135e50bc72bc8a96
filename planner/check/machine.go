package check

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// held is an address of a host.
type held struct {
	device   string // "" is not known
	ip       netip.Prefix
	resource *topology.Resource // that declares it; nil: none
	at       topology.Range
	floating bool // it is there while the host is master of a VRRP group
}

// machine is one host as it will be.
type machine struct {
	host      *topology.Host
	resources []*topology.Resource
	live      bool // it was observed; else facts and declarations are all there is
	facts     state.Facts
	addrs     []held
	byAddr    map[netip.Addr][]int // in addrs
	links     map[string]state.Link
	declared  map[string]*topology.Resource // sysctls, by name
	sysctls   map[string]string
	routes    map[int]routes       // by table
	rules     []rule               // sorted by priority
	syncs     []*topology.Resource // that declare sync daemons
	used      map[state.Key]bool
}

func newMachine(h *topology.Host, resources []*topology.Resource, observed *Host) *machine {
	m := &machine{host: h, resources: resources, live: observed != nil, byAddr: map[netip.Addr][]int{},
		links: map[string]state.Link{}, declared: map[string]*topology.Resource{}, sysctls: map[string]string{},
		routes: map[int]routes{}, used: map[state.Key]bool{}}
	if observed != nil {
		m.facts = observed.Facts
		for _, o := range observed.Objects {
			m.observe(o)
		}
		m.connect()
	} else {
		m.describe()
	}
	for _, r := range resources {
		m.overlay(r)
	}
	m.settle()
	return m
}

// describe takes the facts that the configuration states.
func (m *machine) describe() {
	for _, nic := range m.host.Interfaces {
		for _, ip := range nic.Addresses {
			m.hold(held{device: nic.Name, ip: ip, at: nic.Range})
			if ip.Bits() < ip.Addr().BitLen() {
				m.route(state.TableMain, route{to: ip.Masked(), device: nic.Name})
			}
		}
	}
	if via := m.host.Gateway; via.IsValid() {
		at := m.host.Range
		if r, ok := m.host.Attributes["gateway"]; ok {
			at = r
		}
		m.route(state.TableMain, route{to: everywhere(via), via: via, metric: defaultMetric(via), at: at})
	}
}

// defaultMetric is that of a route that does not say; for IPv6 it is
// IP6_RT_PRIO_USER of linux/ipv6_route.h.
func defaultMetric(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1024
}

func everywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func (m *machine) observe(o state.Object) {
	switch o := o.(type) {
	case state.Address:
		m.hold(held{device: o.Device, ip: o.IP})
	case state.Link:
		m.links[o.Name] = o
	case state.Sysctl:
		m.sysctls[o.Name] = o.Value
	case state.Route:
		m.route(o.Table, route{to: o.To.Masked(), via: o.Via, device: o.Device, metric: o.Metric, kind: o.Type, advmss: o.AdvMSS,
			mtu: o.MTU, many: o.NextHops != "", protocol: o.Protocol, key: o.Key()})
	case state.Rule:
		m.rules = append(m.rules, rule{o, nil})
	}
}

// byKernel is RTPROT_KERNEL of linux/rtnetlink.h.
const byKernel = 2

// connect adds the networks of a host's interfaces where an observation holds
// no route of the kernel at all, which no running host is without.
func (m *machine) connect() {
	var seen4, seen6 bool
	for _, t := range m.routes {
		for to, list := range t.to {
			if slices.ContainsFunc(list, func(r route) bool { return r.protocol == byKernel }) {
				seen4, seen6 = seen4 || to.Addr().Is4(), seen6 || to.Addr().Is6()
			}
		}
	}
	for _, a := range m.addrs {
		if seen := (a.ip.Addr().Is4() && seen4) || (a.ip.Addr().Is6() && seen6); !seen && a.device != "lo" && a.ip.Bits() < a.ip.Addr().BitLen() {
			m.route(state.TableMain, route{to: a.ip.Masked(), device: a.device})
		}
	}
}

func (m *machine) hold(a held) {
	m.byAddr[a.ip.Addr()] = append(m.byAddr[a.ip.Addr()], len(m.addrs))
	m.addrs = append(m.addrs, a)
}

// overlay adds what a resource declares; of an observed host, which has it
// already, it notes who declares it.
func (m *machine) overlay(r *topology.Resource) {
	switch b := r.Body.(type) {
	case *topology.Sysctl:
		for name, value := range b.Settings {
			if !m.live {
				m.sysctls[name] = value
			}
			m.declared[name] = r
		}
	case *topology.Link:
		m.overlayLink(b)
	case *topology.Address:
		m.overlayAddress(r, b)
	case *topology.VRRPInstance:
		m.floats(r, b)
	case *topology.Route:
		n := route{to: b.To.Masked(), via: b.Via, device: b.Device, advmss: b.AdvMSS, mtu: b.MTU, resource: r,
			at: rangeOf(r, "via", "device")}
		n.metric = defaultMetric(b.To.Addr())
		if b.Metric != nil {
			n.metric = *b.Metric
		}
		m.declareRoute(cmp.Or(b.Table, state.TableMain), n)
	case *topology.Rule:
		o := state.Rule{Family: b.Family, Priority: b.Priority, From: b.From, To: b.To, FWMark: b.FWMark, Table: cmp.Or(b.Table, state.TableMain)}
		if i := slices.IndexFunc(m.rules, func(have rule) bool { return have.Rule == o }); i >= 0 {
			m.rules[i].resource = r
		} else if !m.live {
			m.rules = append(m.rules, rule{o, r})
		}
	}
}

func (m *machine) overlayLink(b *topology.Link) {
	l, ok := m.links[b.Name]
	if m.live && ok {
		return
	}
	l.Name = b.Name
	if b.Kind != "existing" {
		l.Kind = b.Kind
	}
	if b.Mode != "" {
		l.Mode = b.Mode
	}
	if b.Up != nil {
		l.Up = state.Some(*b.Up)
	}
	if b.MTU != nil {
		l.MTU = state.Some(*b.MTU)
	}
	l.Local, l.Remote = b.Local, b.Remote
	m.links[b.Name] = l
}

func (m *machine) overlayAddress(r *topology.Resource, b *topology.Address) {
	for _, i := range m.byAddr[b.IP.Addr()] {
		if m.addrs[i].device == b.Device {
			m.addrs[i].resource, m.addrs[i].at = r, rangeOf(r, "ip")
			return
		}
	}
	if m.live {
		return // it is not made, for a reason that the plan tells
	}
	m.hold(held{device: b.Device, ip: b.IP, resource: r, at: rangeOf(r, "ip")})
	if b.Device != "lo" && b.IP.Bits() < b.IP.Addr().BitLen() {
		m.route(state.TableMain, route{to: b.IP.Masked(), device: b.Device})
	}
}

// settle sorts the rules, and adds those that every host has where they are not
// known.
func (m *machine) settle() {
	for _, family := range []string{"ipv4", "ipv6"} {
		if !slices.ContainsFunc(m.rules, func(r rule) bool {
			return r.Family == family && r.Table == state.TableMain && !r.From.IsValid() && !r.To.IsValid()
		}) {
			m.rules = append(m.rules, rule{state.Rule{Family: family, Priority: 32766, Table: state.TableMain}, nil})
		}
	}
	slices.SortStableFunc(m.rules, func(a, b rule) int { return cmp.Compare(a.Priority, b.Priority) })
}

// knowsAddresses tells whether the addresses that are known of the host are all
// that matter: it was observed, or its facts are stated, or it is told what to add.
func (m *machine) knowsAddresses() bool { return m.live || len(m.addrs) > 0 }

// deviceOf is the interface that has an address; "" is not known.
func (m *machine) deviceOf(a netip.Addr) string {
	for _, i := range m.byAddr[a] {
		return m.addrs[i].device
	}
	return ""
}

// has returns an address, on whatever interface it is.
func (m *machine) has(a netip.Addr) (held, bool) {
	for _, i := range m.byAddr[a] {
		return m.addrs[i], true
	}
	return held{}, false
}

// networkOf is the widest known prefix of an address's interface; false where
// it is not known.
func (m *machine) networkOf(a netip.Addr) (netip.Prefix, bool) {
	for _, i := range m.byAddr[a] {
		if p := m.addrs[i].ip; p.Bits() < a.BitLen() {
			return p.Masked(), true
		}
	}
	return netip.Prefix{}, false
}

// answers tells whether an interface takes part in ARP or neighbour discovery
// for the addresses on it.
func (m *machine) answers(device string) bool {
	switch device {
	case "lo", "tunl0", "sit0", "ip6tnl0", "gre0", "ip6gre0", "dummy0":
		return false
	}
	switch m.links[device].Kind {
	case "dummy", "ipip", "ip6tnl", "sit", "gre", "ip6gre":
		return false
	}
	return true
}

// sysctl returns a parameter's value; false where it is not known.
func (m *machine) sysctl(name string) (int, bool) {
	if m.live {
		m.used[state.Sysctl{Name: name}.Key()] = true
	}
	n, err := strconv.Atoi(m.sysctls[name])
	return n, err == nil
}

// conf returns a parameter of an interface, or of all. An interface that is not
// there yet begins with the default's.
func (m *machine) conf(family, device, name string) (int, bool) {
	prefix := "net." + family + ".conf."
	n, ok := m.sysctl(prefix + sysctlDevice(device) + "." + name)
	if _, exists := m.links[device]; !ok && m.live && len(m.links) > 0 && !exists && device != "all" {
		return m.sysctl(prefix + "default." + name)
	}
	return n, ok
}

// sysctlDevice writes an interface name as a part of a parameter's name.
func sysctlDevice(device string) string {
	b := []byte(device)
	for i := range b {
		if b[i] == '.' {
			b[i] = '/'
		}
	}
	return string(b)
}
