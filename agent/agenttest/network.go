package agenttest

import (
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/state"
)

func (k *Kernel) changeAddress(c state.Change, a state.Address) error {
	if exists, _ := k.up(a.Device); !exists && c.After != nil {
		return ErrNoDevice
	}
	if c.After != nil && !a.IP.IsValid() {
		return ErrInvalid
	}
	if c.Before != nil && c.After != nil && !c.Replaces() {
		k.put(a)
		return nil
	}
	if live, ok := k.get(c.Key()).(state.Address); ok {
		k.deleteAddress(live)
	}
	if c.After != nil {
		k.put(a)
		k.connect(a)
	}
	return nil
}

// deleteAddress takes secondaries, the subnet's route and the routes that use
// the address along; with a device's last IPv4 address all its IPv4 routes go.
func (k *Kernel) deleteAddress(a state.Address) {
	primary := true
	for _, other := range k.addresses(a.Device) {
		if other == a {
			break
		}
		if sameSubnet(other.IP, a.IP) {
			primary = false
		}
	}
	k.drop(a.Key())
	gone := []state.Address{a}
	if primary {
		for _, other := range k.addresses(a.Device) {
			if sameSubnet(a.IP, other.IP) {
				k.drop(other.Key())
				gone = append(gone, other)
			}
		}
		if r, ok := connected(a); ok {
			k.drop(r.Key())
		}
	}
	last := !slices.ContainsFunc(k.addresses(a.Device), func(o state.Address) bool { return o.IP.Addr().Is4() })
	k.dropIf(func(o state.Object) bool {
		r, ok := o.(state.Route)
		if !ok {
			return false
		}
		if last && a.IP.Addr().Is4() && r.Device == a.Device && r.To.Addr().Is4() {
			return true
		}
		return slices.ContainsFunc(gone, func(g state.Address) bool { return r.Source == g.IP.Addr() })
	})
}

func (k *Kernel) changeRoute(c state.Change, r state.Route) error {
	if c.After == nil {
		k.drop(c.Key())
		return nil
	}
	r, err := k.resolveRoute(r)
	if err != nil {
		return err
	}
	if r.Protocol == 0 {
		r.Protocol = 4 // static
	}
	k.put(r)
	return nil
}

// resolveRoute finds the device of a route and refuses one that leads nowhere.
func (k *Kernel) resolveRoute(r state.Route) (state.Route, error) {
	if !r.To.IsValid() || r.To != r.To.Masked() {
		return r, ErrInvalid
	}
	if r.Type != "" || r.NextHops != "" {
		return r, nil
	}
	if r.Via.IsValid() && !r.OnLink {
		device := k.deviceTo(r)
		if device == "" {
			return r, ErrUnreachable
		}
		r.Device = device
	}
	exists, up := k.up(r.Device)
	if !exists {
		return r, ErrNoDevice
	}
	if !up {
		return r, ErrNetworkDown
	}
	if r.Source.IsValid() && !k.holds(r) {
		return r, fmt.Errorf("%w: source %s is no address of this host", ErrInvalid, r.Source)
	}
	return r, nil
}

// deviceTo is the device by which a route's gateway is reached directly.
func (k *Kernel) deviceTo(r state.Route) string {
	for _, o := range k.objects {
		direct, ok := o.(state.Route)
		if !ok || direct.Via.IsValid() || direct.Type != "" || !direct.To.Contains(r.Via) {
			continue
		}
		if r.Device == "" || r.Device == direct.Device {
			return direct.Device
		}
	}
	return ""
}

func (k *Kernel) holds(r state.Route) bool {
	return slices.ContainsFunc(k.objects, func(o state.Object) bool {
		a, ok := o.(state.Address)
		return ok && a.IP.Addr() == r.Source
	})
}

func (k *Kernel) changeService(c state.Change, s state.Service) error {
	if c.After == nil {
		k.dropIf(func(o state.Object) bool {
			d, ok := o.(state.Destination)
			return ok && d.Service == s.ServiceID
		})
		k.drop(c.Key())
		return nil
	}
	if err := k.load("ip_vs"); err != nil {
		return err
	}
	if err := k.load("ip_vs_" + s.Scheduler); err != nil {
		return fmt.Errorf("scheduler %q: %w", s.Scheduler, ErrNotFound)
	}
	return k.putOrDrop(c)
}

func (k *Kernel) changeDestination(c state.Change, d state.Destination) error {
	if c.After == nil {
		return k.putOrDrop(c)
	}
	if k.get(state.Service{ServiceID: d.Service}.Key()) == nil {
		return fmt.Errorf("service %s: %w", d.Service, ErrNotFound)
	}
	if d.Weight < 0 || d.Weight > 1<<31-1 || d.Lower > d.Upper || mixed(d) && (d.Forward != "tun" || k.syncs()) {
		return ErrInvalid
	}
	return k.putOrDrop(c)
}
