package lab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/topology"
)

// Config is what a lab consists of: hosts, and the networks between them.
type Config struct {
	Name     string
	Hosts    []Host
	Networks []Network
}

// Role says why a host is there.
type Role string

const (
	Declared Role = "declared" // a host of the topology
	Client   Role = "client"   // one a network, so that requests have a source
	Router   Role = "router"   // owns the gateways and next hops that no declared host has
)

// Host is one machine of the lab.
type Host struct {
	Name       string
	Role       Role
	Interfaces []Interface
	Gateways   []netip.Addr // default routes, at most one a family
	Forward    bool         // routes between its networks
	Aliases    []string     // further names in the lab's ssh_config
}

// Interface is one NIC of a host.
type Interface struct {
	Name      string
	Network   int // index into Config.Networks
	Addresses []netip.Prefix
}

// Network is one Ethernet. It has several prefixes where an interface has
// addresses of several.
type Network struct {
	Prefixes []netip.Prefix // masked and sorted, IPv4 first
	Client   string         // the name of its client host
}

// Name is the network's first prefix as a word: 192.0.2.0, 2001-db8--.
func (n Network) Name() string {
	return strings.ReplaceAll(n.Prefixes[0].Addr().String(), ":", "-")
}

// Host returns the host of that name, or nil.
func (c Config) Host(name string) *Host {
	for i := range c.Hosts {
		if c.Hosts[i].Name == name {
			return &c.Hosts[i]
		}
	}
	return nil
}

// ClientFor is the client host from which requests to an address come: the one
// on its network, or else the first that has a gateway, or else the first.
func (c Config) ClientFor(target netip.Addr) string {
	best := ""
	for _, n := range c.Networks {
		for _, p := range n.Prefixes {
			if p.Contains(target) {
				return n.Client
			}
		}
		h := c.Host(n.Client)
		if best == "" || (h != nil && len(h.Gateways) > 0 && len(c.Host(best).Gateways) == 0) {
			best = n.Client
		}
	}
	return best
}

// New derives a lab from a topology: every host with its declared interfaces
// and gateway, a client a network, and one router for the gateways and for the
// next hops of declared routes that belong to no host. A host without interfaces gets eth0 with its address in a /24, or
// a /64 for IPv6.
func New(t *topology.Topology) (Config, error) {
	b := builder{taken: takenAddresses(t)}
	for _, h := range t.Hosts {
		if err := b.addHost(h); err != nil {
			return Config{}, err
		}
	}
	config := Config{Name: t.Name, Hosts: b.hosts, Networks: b.networks()}
	for i := range config.Hosts {
		attach(config.Networks, &config.Hosts[i])
	}
	if err := addRouter(&config, nextHops(t)); err != nil {
		return Config{}, err
	}
	return config, b.addClients(&config)
}

// Local is a topology with what it says of SSH left out, except the address,
// which is a name in the lab's ssh_config: ports, users, keys and jump hosts are
// those of the real machines.
func Local(t *topology.Topology) *topology.Topology {
	out := *t
	out.Hosts = make([]*topology.Host, len(t.Hosts))
	for i, h := range t.Hosts {
		local := *h
		local.SSH = topology.SSH{Address: h.SSH.Address}
		out.Hosts[i] = &local
	}
	return &out
}

type builder struct {
	hosts []Host
	taken map[netip.Addr]bool
}

func (b *builder) addHost(h *topology.Host) error {
	host := Host{Name: h.Name, Role: Declared, Aliases: aliases(h)}
	if h.Gateway.IsValid() {
		host.Gateways = []netip.Addr{h.Gateway}
	}
	for _, i := range h.Interfaces {
		if len(i.Name) == 0 || len(i.Name) > 15 || i.Name == "lo" {
			return fmt.Errorf("host %s: interface %q: the lab needs a name of 1 to 15 characters other than lo", h.Name, i.Name)
		}
		host.Interfaces = append(host.Interfaces, Interface{Name: i.Name, Addresses: i.Addresses})
	}
	if len(host.Interfaces) == 0 {
		p := netip.PrefixFrom(h.Address, 24)
		if h.Address.Is6() {
			p = netip.PrefixFrom(h.Address, 64)
		}
		host.Interfaces = []Interface{{Name: "eth0", Addresses: []netip.Prefix{p}}}
	}
	b.hosts = append(b.hosts, host)
	return nil
}

// aliases are the names by which a CLI may look a host up in ssh_config.
func aliases(h *topology.Host) []string {
	var names []string
	for _, n := range []string{h.SSH.Address, h.Address.String()} {
		if n != "" && n != h.Name && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// networks joins the prefixes that share an interface, of whichever host.
func (b *builder) networks() []Network {
	groups := map[netip.Prefix]*[]netip.Prefix{}
	for _, h := range b.hosts {
		for _, i := range h.Interfaces {
			joined := &[]netip.Prefix{}
			for _, a := range i.Addresses {
				p := a.Masked()
				if groups[p] == nil {
					groups[p] = &[]netip.Prefix{p}
				}
				if group := groups[p]; group != joined {
					*joined = append(*joined, *group...)
				}
				for _, member := range *joined {
					groups[member] = joined
				}
			}
		}
	}
	var out []Network
	seen := map[*[]netip.Prefix]bool{}
	for _, group := range groups {
		if !seen[group] {
			seen[group] = true
			slices.SortFunc(*group, comparePrefix)
			out = append(out, Network{Prefixes: *group})
		}
	}
	slices.SortFunc(out, func(a, b Network) int { return comparePrefix(a.Prefixes[0], b.Prefixes[0]) })
	for i := range out {
		out[i].Client = "client"
		if len(out) > 1 {
			out[i].Client = "client-" + out[i].Name()
		}
	}
	return out
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// attach finds the network of each interface. An interface without addresses
// joins the first network.
func attach(networks []Network, h *Host) {
	for i := range h.Interfaces {
		if len(h.Interfaces[i].Addresses) == 0 {
			continue
		}
		p := h.Interfaces[i].Addresses[0].Masked()
		h.Interfaces[i].Network = slices.IndexFunc(networks, func(n Network) bool { return slices.Contains(n.Prefixes, p) })
	}
}

// nextHops are those of declared routes, but for the addresses that the topology
// puts somewhere itself.
func nextHops(t *topology.Topology) []netip.Addr {
	ours := map[netip.Addr]bool{}
	for _, r := range t.Resources {
		if a, ok := r.Body.(*topology.Address); ok {
			ours[a.IP.Addr()] = true
		}
	}
	var out []netip.Addr
	for _, r := range t.Resources {
		if route, ok := r.Body.(*topology.Route); ok && route.Via.IsValid() && !ours[route.Via] {
			out = append(out, route.Via)
		}
	}
	return out
}

// addRouter adds the host "router" when there are gateways or next hops that no
// host owns. A next hop outside the declared networks is left out: the route to
// it is the apply's to judge.
func addRouter(c *Config, hops []netip.Addr) error {
	owned := map[netip.Addr]bool{}
	for _, h := range c.Hosts {
		for _, i := range h.Interfaces {
			for _, a := range i.Addresses {
				owned[a.Addr()] = true
			}
		}
	}
	addresses := make([][]netip.Prefix, len(c.Networks))
	for _, h := range c.Hosts {
		for _, g := range h.Gateways {
			n, p := networkOf(c.Networks, g)
			if n < 0 {
				return fmt.Errorf("host %s: gateway %s is on none of the declared networks: give an interface an address beside it", h.Name, g)
			}
			if !owned[g] {
				owned[g] = true
				addresses[n] = append(addresses[n], netip.PrefixFrom(g, p.Bits()))
			}
		}
	}
	for _, hop := range hops {
		if n, p := networkOf(c.Networks, hop); n >= 0 && !owned[hop] {
			owned[hop] = true
			addresses[n] = append(addresses[n], netip.PrefixFrom(hop, p.Bits()))
		}
	}
	router := Host{Name: freeName(*c, "router"), Role: Router, Forward: true}
	for n, list := range addresses {
		if len(list) > 0 {
			router.Interfaces = append(router.Interfaces, Interface{Name: fmt.Sprintf("eth%d", len(router.Interfaces)), Network: n, Addresses: list})
		}
	}
	if len(router.Interfaces) > 0 {
		c.Hosts = append(c.Hosts, router)
	}
	return nil
}

// networkOf finds the network and the prefix that an address lies in.
func networkOf(networks []Network, a netip.Addr) (int, netip.Prefix) {
	for i, n := range networks {
		for _, p := range n.Prefixes {
			if p.Contains(a) {
				return i, p
			}
		}
	}
	return -1, netip.Prefix{}
}

func freeName(c Config, name string) string {
	for c.Host(name) != nil {
		name = "lab-" + name
	}
	return name
}

// addClients adds one client a network, with the highest free address of each
// prefix and the gateway that its neighbours use.
func (b *builder) addClients(c *Config) error {
	for _, h := range c.Hosts {
		for _, i := range h.Interfaces {
			for _, a := range i.Addresses {
				b.taken[a.Addr()] = true
			}
		}
	}
	for n := range c.Networks {
		client := Host{Name: freeName(*c, c.Networks[n].Client), Role: Client}
		c.Networks[n].Client = client.Name
		nic := Interface{Name: "eth0", Network: n}
		for _, p := range c.Networks[n].Prefixes {
			a, ok := b.free(p)
			if !ok {
				return fmt.Errorf("network %s has no free address for the lab's client", p)
			}
			nic.Addresses = append(nic.Addresses, netip.PrefixFrom(a, p.Bits()))
		}
		client.Interfaces = []Interface{nic}
		client.Gateways = gatewaysOn(*c, c.Networks[n])
		c.Hosts = append(c.Hosts, client)
	}
	return nil
}

// free takes an address near the end of a prefix, never the last one, which is
// the IPv4 broadcast address.
func (b *builder) free(p netip.Prefix) (netip.Addr, bool) {
	for a := lastAddr(p).Prev(); p.Contains(a) && a != p.Addr(); a = a.Prev() {
		if !b.taken[a] {
			b.taken[a] = true
			return a, true
		}
	}
	return netip.Addr{}, false
}

func lastAddr(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// gatewaysOn picks, for each family, the gateway on a network that its hosts
// name first.
func gatewaysOn(c Config, n Network) []netip.Addr {
	var out []netip.Addr
	for _, h := range c.Hosts {
		for _, g := range h.Gateways {
			on := slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Contains(g) })
			have := slices.ContainsFunc(out, func(o netip.Addr) bool { return o.Is4() == g.Is4() })
			if on && !have {
				out = append(out, g)
			}
		}
	}
	return out
}

// takenAddresses are those that a client must not have.
func takenAddresses(t *topology.Topology) map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	for _, r := range t.Resources {
		switch body := r.Body.(type) {
		case *topology.Address:
			taken[body.IP.Addr()] = true
		case *topology.Route:
			taken[body.To.Addr()], taken[body.Via] = true, true
		case *topology.VirtualService:
			taken[body.Address] = true
			for _, s := range body.RealServers {
				taken[s.Address] = true
			}
		}
	}
	return taken
}
