package planner

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// kept are the services that the programs of live configurations keep, as far as
// lvsform has told them to.
func kept(live state.Objects) map[state.ServiceID]bool {
	out := map[state.ServiceID]bool{}
	for _, o := range live {
		s, _ := settingsOf(o)
		for _, v := range s.services {
			out[v.ServiceID] = true
		}
	}
	return out
}

// keptByOthers tells whether a program has the service of an object for another
// topology, or for this one in words that lvsform does not understand: the
// program brings its fallback, and takes it away, as it needs to.
func (hp *hostPlanner) keptByOthers(id state.ServiceID) bool {
	if hp.theirs == nil {
		hp.theirs = map[state.ServiceID]bool{}
		for _, e := range hp.ledger {
			for _, c := range e.Claims {
				s, _ := settingsOf(c.Value.Object)
				for _, v := range s.services {
					hp.theirs[v.ServiceID] = hp.theirs[v.ServiceID] || c.Topology != hp.b.plan.Topology
				}
			}
		}
	}
	if hp.theirs[id] {
		return true
	}
	for _, w := range hp.want.configs(hp.b.plan.Topology) {
		live := hp.live[w.object.Key()]
		if _, understood := settingsOf(live); live != nil && !understood && w.config.table[state.Service{ServiceID: id}.Key()] != nil {
			return true
		}
	}
	return false
}

// addresses are those of the services and of the instances.
func (s settings) addresses() []netip.Addr {
	var out []netip.Addr
	for _, v := range s.services {
		if v.Address.IsValid() {
			out = append(out, v.Address)
		}
	}
	return append(out, s.floating()...)
}

// floating are the addresses of the instances.
func (s settings) floating() []netip.Addr {
	var out []netip.Addr
	for _, i := range s.vrrp.Instances {
		for _, a := range slices.Concat(i.Addresses, i.Excluded) {
			out = append(out, a.IP.Addr())
		}
	}
	return out
}

// serviceID is the service that an object belongs to.
func serviceID(o state.Object) state.ServiceID {
	switch o := o.(type) {
	case state.Service:
		return o.ServiceID
	case state.Destination:
		return o.Service
	}
	return state.ServiceID{}
}

// givenBack tells whether a program has kept a declared object that the kernel's
// table is to have without it: the program takes it away, whatever is live.
func (hp *hostPlanner) givenBack(key state.Key) bool {
	w := hp.want[key]
	return w != nil && hp.kept[serviceID(w.object)]
}

// handedOver plans that a program keeps an object which the topology has claimed:
// it is made exactly as the program would make it, for what the program finds it
// takes as it is, and forgotten.
func (hp *hostPlanner) handedOver(key state.Key, e state.Entry) bool {
	w := hp.want.checked(hp.b.plan.Topology, key)
	if w == nil {
		return false
	}
	claim, _ := e.Claim(hp.b.plan.Topology)
	live := hp.live[key]
	c := Change{Addresses: w.addresses, Before: live, After: w.object, Action: Update, Sensitive: sensitive(w), handed: true,
		Claim: &state.ClaimChange{Drop: true, Claim: state.Claim{Topology: claim.Topology, Addresses: claim.Addresses, Value: state.Boxed{Object: w.object}, Sensitive: claim.Sensitive}}}
	if live == nil {
		c.Before = w.object
	}
	if live == nil || live == w.object || hp.kept[serviceID(w.object)] {
		c.Action, c.After = Forget, c.Before
		c.Claim.Claim.Value = state.Boxed{Object: c.Before}
	}
	hp.add(c)
	return true
}

// taken plans that services which nobody has claimed, and which a program is to
// keep from now on, are made as the program would make them.
func (hp *hostPlanner) taken() {
	for _, config := range hp.want.configs(hp.b.plan.Topology) {
		table := config.config.table
		for _, key := range slices.SortedFunc(maps.Keys(table), state.Key.Compare) {
			w, live := table[key], hp.live[key]
			if _, claimed := hp.ledger[key]; claimed || live == nil || live == w.object || hp.kept[serviceID(w.object)] {
				continue
			}
			hp.add(Change{Addresses: w.addresses, Before: live, After: w.object, Action: Update, Sensitive: sensitive(w), handed: true})
		}
	}
}

// contested reports services that another topology keeps in another way.
func (hp *hostPlanner) contested() {
	theirs := map[state.ServiceID]state.Claim{}
	for _, e := range hp.ledger {
		for _, c := range e.Claims {
			if c.Topology == hp.b.plan.Topology {
				continue
			}
			if s, ok := c.Value.Object.(state.Service); ok {
				theirs[s.ServiceID] = c
			}
			s, _ := settingsOf(c.Value.Object)
			for _, v := range s.services {
				theirs[v.ServiceID] = c
			}
		}
	}
	if len(theirs) == 0 {
		return
	}
	for _, w := range hp.want.services(hp.b.plan.Topology) {
		c, ok := theirs[serviceID(w.object)]
		_, theirKernel := c.Value.Object.(state.Service)
		if !ok || theirKernel && hp.want[w.object.Key()] != nil { // equal or not is told elsewhere
			continue
		}
		hp.diagnose(topology.Error, w.addresses[0], hp.rangeOf(w),
			fmt.Sprintf("%s on %s belongs to topology %q too", w.object.Key(), hp.host.Name, c.Topology),
			fmt.Sprintf("Topology %q (%s) has it kept in another way. A table has one owner: remove the service from one of the two configurations.",
				c.Topology, strings.Join(c.Addresses, ", ")))
	}
}

// services are those that a host shall have, whoever keeps them, by key.
func (d desired) services(topology string) []*want {
	all := maps.Clone(d)
	for _, c := range d.configs(topology) {
		maps.Copy(all, c.config.table)
	}
	var out []*want
	for _, key := range slices.SortedFunc(maps.Keys(all), state.Key.Compare) {
		if key.Kind == state.KindService {
			out = append(out, all[key])
		}
	}
	return out
}

// floats tells whether keepalived is to move an address between hosts.
func (hp *hostPlanner) floats(a state.Address) bool {
	for _, w := range hp.want.configs(hp.b.plan.Topology) {
		for _, i := range w.config.vrrp.Instances {
			for _, v := range slices.Concat(i.Addresses, i.Excluded) {
				if v.IP.Addr() == a.IP.Addr() && a.Device != "lo" {
					return true
				}
			}
		}
	}
	return false
}

// sinks tells whether keepalived has a live address as a master, and is to have it
// no more.
func (hp *hostPlanner) sinks(o state.Object) bool {
	a, ok := o.(state.Address)
	if !ok {
		return false
	}
	live, _ := settingsOf(hp.live[state.Config{Program: programKeepalived, Topology: hp.b.plan.Topology}.Key()])
	return !hp.floats(a) && live.floats(a)
}

// floats tells whether an instance has an address.
func (s settings) floats(a state.Address) bool {
	for ip, at := range places(s.vrrp.Instances) {
		if ip.Addr() == a.IP.Addr() && at.device == a.Device {
			return true
		}
	}
	return false
}

// fixedAddresses lets an address that floats no more be made when every host has
// given it up: keepalived takes away what it had as a master, whoever made it.
func (b *builder) fixedAddresses() {
	for i := range b.plan.Changes {
		c := &b.plan.Changes[i]
		a, ok := c.After.(state.Address)
		if !ok || c.Action != Create || a.Device == "lo" {
			continue
		}
		for _, d := range b.plan.Changes {
			before, _ := settingsOf(d.Before)
			after, _ := settingsOf(d.After)
			if !slices.Contains(before.floating(), a.IP.Addr()) || slices.Contains(after.floating(), a.IP.Addr()) {
				continue
			}
			b.wait(c.ID, d.ID)
			if !c.given {
				c.given, c.Hazards = true, append(c.Hazards, HazardAddressGap)
			}
			if w, fixed := b.fixed[c.ID]; !fixed || w < b.waveOf(d) {
				b.fixed[c.ID] = b.waveOf(d)
			}
		}
	}
}

// idle tells whether a program came with the topology and has nothing left to do
// when its configuration goes.
func (hp *hostPlanner) idle(u state.Unit) bool {
	if !slices.Contains(programs(), u.Name) {
		return false
	}
	for key := range hp.want {
		if key.Kind == state.KindConfig && strings.HasPrefix(key.ID, u.Name+"/") {
			return false
		}
	}
	for key, e := range hp.ledger {
		if key.Kind != state.KindConfig || !strings.HasPrefix(key.ID, u.Name+"/") {
			continue
		}
		if _, mine := e.Claim(hp.b.plan.Topology); !mine {
			return false
		}
	}
	return true
}

// settleConfigs leaves out of configurations the real servers whose hosts could
// not be read and that are not in use yet, and the weights that are left to
// others.
func (hp *hostPlanner) settleConfigs() {
	for _, w := range hp.want.configs(hp.b.plan.Topology) {
		key := w.object.Key()
		live, _ := settingsOf(hp.live[key])
		now := w.config.clone().named(live.vrrp.Instances)
		for _, d := range now.destinations() {
			in := w.config.table[d.Key()]
			was, _ := live.service(d.Service)
			have, used := was.destination(d)
			switch {
			case !used && hp.leftOut(d.Key(), in):
				now.leaveOut(d)
			case used && in.ignores("weight") && have.Weight != d.Weight:
				v, _ := now.service(d.Service)
				r, _ := v.destination(d)
				r.Weight = have.Weight
				now.putServer(r)
			}
		}
		text, err := now.render()
		if err != nil {
			continue // the whole of it could be rendered
		}
		w.config.settings = now
		w.object = state.Config{Program: now.program, Topology: hp.b.plan.Topology, Text: text}
		if now.empty() {
			delete(hp.want, key)
		}
	}
}

// ignores tells whether ignore_changes names an attribute.
func (w *want) ignores(name string) bool {
	return slices.ContainsFunc(w.resources, func(r *topology.Resource) bool {
		return slices.Contains(r.IgnoreChanges, name) || slices.Contains(r.IgnoreChanges, "all")
	})
}

// takes tells whether values of a resource go into the object: a program's
// package and service only follow from it.
func (w *want) takes(r *topology.Resource) bool {
	switch w.object.(type) {
	case state.Package:
		return r.Body.Type() == "package"
	case state.Unit:
		return r.Body.Type() == "service"
	}
	return true
}
