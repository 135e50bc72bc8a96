package txn

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// disturbance is where changes may take objects with them that they do not
// name.
type disturbance struct {
	devices  map[string]bool
	remade   map[string]bool // links that are deleted, to be made anew or not
	sources  map[netip.Addr]bool
	services map[state.ServiceID]bool
	ipv6     bool // all of IPv6
}

func newDisturbance() disturbance {
	return disturbance{
		devices:  map[string]bool{},
		remade:   map[string]bool{},
		sources:  map[netip.Addr]bool{},
		services: map[state.ServiceID]bool{},
	}
}

// add takes up what one change may disturb and tells whether the network may
// have lost something.
func (d *disturbance) add(c state.Change) bool {
	switch before := c.Before.(type) {
	case state.Address:
		if c.After == nil || c.Replaces() {
			// The kernel removes secondaries and the subnet's route with a
			// primary, and every route that uses the address as its source.
			d.devices[before.Device] = true
			d.sources[before.IP.Addr()] = true
			return true
		}
	case state.Link:
		// A link that goes down loses routes and IPv6 addresses; so does one
		// whose MTU becomes less than IPv6 needs.
		d.devices[before.Name] = true
		if c.After == nil || c.Replaces() {
			d.remade[before.Name] = true
		}
		return true
	case state.Service:
		if c.After == nil {
			d.services[before.ServiceID] = true
		}
	}
	if s, ok := c.After.(state.Sysctl); ok {
		// Forwarding drops the routes learnt from router advertisements.
		if s.Name == "net.ipv6.conf.all.forwarding" || strings.HasSuffix(s.Name, ".disable_ipv6") {
			d.ipv6 = true
		}
	}
	return false
}

// reaches tells whether an object may have gone, or changed, with the changes.
func (d *disturbance) reaches(o state.Object) bool {
	switch o := o.(type) {
	case state.Address:
		return d.devices[o.Device] || d.ipv6 && o.IP.Addr().Is6()
	case state.Route:
		return d.devices[o.Device] || d.sources[o.Source] || d.ipv6 && o.To.Addr().Is6() || d.inNextHops(o)
	case state.Destination:
		return d.services[o.Service]
	case state.Sysctl:
		return true // only those were read that the changes can reach
	}
	return false
}

func (d *disturbance) inNextHops(r state.Route) bool {
	return slices.ContainsFunc(strings.Fields(r.NextHops), func(word string) bool { return d.devices[word] })
}

// automatic tells whether the kernel gives such an address to a new link by
// itself, another one each time.
func (d *disturbance) automatic(o state.Object) bool {
	a, ok := o.(state.Address)
	return ok && d.remade[a.Device] && a.IP.Addr().Is6() && a.IP.Addr().IsLinkLocalUnicast()
}

// sysctlsBeside are the patterns of the sysctls that a change may reset.
func sysctlsBeside(c state.Change) []string {
	switch o := c.Before.(type) {
	case state.Link:
		if c.After == nil || c.Replaces() {
			device := strings.ReplaceAll(o.Name, ".", "/")
			return []string{"net.ipv4.conf." + device + ".*", "net.ipv6.conf." + device + ".*"}
		}
	}
	if s, ok := c.After.(state.Sysctl); ok {
		switch s.Name {
		case "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding":
			return []string{"net.ipv4.conf.*.forwarding", "net.ipv4.conf.*.accept_redirects"}
		case "net.ipv6.conf.all.forwarding":
			return []string{"net.ipv6.conf.*.forwarding"}
		case "net.ipv6.conf.all.disable_ipv6":
			return []string{"net.ipv6.conf.*.disable_ipv6"}
		}
	}
	return nil
}

// deviceOf is the interface that a per-interface sysctl belongs to.
func deviceOf(name string) (string, bool) {
	parts := strings.Split(name, ".")
	if len(parts) < 5 || parts[0] != "net" || parts[2] != "conf" && parts[2] != "neigh" {
		return "", false
	}
	device := strings.ReplaceAll(parts[3], "/", ".")
	return device, device != "all" && device != "default"
}
