package planner

import (
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// settle fills what a declaration leaves open until the live host is known.
func (hp *hostPlanner) settle(w *want, live state.Object, entry state.Entry, mine bool) state.Object {
	object := w.object
	switch o := object.(type) {
	case state.Address:
		// An address that was there with another prefix length is taken as it
		// is; one that got another length after it was claimed is drift.
		if have, ok := live.(state.Address); ok && have.IP.Bits() != o.IP.Bits() {
			before, _ := entry.Before.Object.(state.Address)
			if !mine || before.IP == have.IP {
				o.IP = have.IP
				object = o
			}
		}
	}
	if live == nil {
		return object
	}
	if d, ok := live.(state.Destination); ok && mine {
		// The weight of a drain that was cut off is no operator's.
		if claim, _ := entry.Claim(hp.b.plan.Topology); claim.Draining {
			d.Weight = object.(state.Destination).Weight
			live = d
		}
	}
	return w.ignoring(object, live)
}

// settleDevices fills in the interface of routes that name only a gateway. For
// IPv6 it is a part of the key, so it has to be known before anything is compared.
func (hp *hostPlanner) settleDevices(d desired) {
	for key, w := range d {
		o, ok := w.object.(state.Route)
		if !ok || o.Device != "" || !o.Via.IsValid() {
			continue
		}
		o.Device = hp.deviceTo(o.Via)
		if o.Key() == key {
			w.object = o
			continue
		}
		have, twice := d[o.Key()]
		if twice && have.object != o {
			continue // the kernel refuses the second of the two
		}
		w.object = o
		delete(d, key)
		d[o.Key()] = w
		if twice {
			w.merge(have)
		}
	}
}

// deviceTo is the interface whose network holds the next hop; "" leaves the
// choice to the kernel.
func (hp *hostPlanner) deviceTo(via netip.Addr) string {
	best, device := -1, ""
	consider := func(o state.Object) {
		a, ok := o.(state.Address)
		if !ok || a.Device == "lo" || !a.IP.Masked().Contains(via) {
			return
		}
		if a.IP.Bits() > best || (a.IP.Bits() == best && a.Device < device) {
			best, device = a.IP.Bits(), a.Device
		}
	}
	for _, o := range hp.live {
		consider(o)
	}
	for _, w := range hp.want {
		consider(w.object)
	}
	return device
}
