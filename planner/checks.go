package planner

import (
	"slices"

	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// check makes the LVS checks on the hosts as they will be after all changes.
// What is selected of them matters only to what the run does to itself.
func (b *builder) check(all []Change) {
	ofHost := map[string][]Change{}
	for _, c := range all {
		ofHost[c.Host] = append(ofHost[c.Host], c)
	}
	in := check.Input{Topology: b.in.Topology, Destroy: b.in.Destroy, Hosts: make(map[string]check.Host, len(b.in.Live))}
	for name, live := range b.in.Live {
		in.Hosts[name] = check.Host{Objects: after(live.Objects, ofHost[name]), Facts: live.Facts}
	}
	for _, c := range b.plan.Changes {
		if o, ok := c.Object(); ok {
			in.Changes = append(in.Changes, check.Change{Host: c.Host, Address: c.Address(), Before: o.Before, After: o.After})
		}
	}
	r := check.Run(in)
	b.plan.Checks = append(b.plan.Checks, r.Findings...)
	b.toldOnce()
	for i := range b.plan.Hosts {
		h := &b.plan.Hosts[i]
		live, ok := b.in.Live[h.Name]
		if !ok {
			continue
		}
		h.Facts = facts(live, r.Used[h.Name], h.Observed)
		h.Digest = digest(append(h.Observed[:len(h.Observed):len(h.Observed)], h.Facts...), live.Ledger, b.plan.Topology)
	}
}

// toldOnce takes out what a check tells with its reason and a way out: that an
// instance of VRRP cannot be configured.
func (b *builder) toldOnce() {
	b.plan.Diagnostics = slices.DeleteFunc(b.plan.Diagnostics, func(d topology.Diagnostic) bool {
		return d.Summary == unconfigurable(d.Object, d.Host) && slices.ContainsFunc(b.plan.Checks, func(f topology.Diagnostic) bool {
			return f.Check == "LVS023" && f.Severity == topology.Error && f.Object == d.Object && f.Host == d.Host
		})
	})
}

// facts returns the live objects that checks rest on and that the plan does not
// rest on otherwise; sorted. They are of few kinds: a table of ten thousand
// destinations is not looked at.
func facts(live Live, used map[state.Key]bool, observed state.Objects) state.Objects {
	if len(used) == 0 {
		return nil
	}
	seen := map[state.Key]bool{}
	for _, o := range observed {
		if checkable(o) {
			seen[o.Key()] = true
		}
	}
	var out state.Objects
	for _, o := range live.Objects {
		if !checkable(o) {
			continue
		}
		if key := o.Key(); used[key] && !seen[key] {
			out = append(out, o)
		}
	}
	out.Sort()
	return out
}

func checkable(o state.Object) bool {
	switch o.(type) {
	case state.Sysctl, state.Route:
		return true
	}
	return false
}

// after is what a host will have when changes are made, with what the kernel
// does by itself to the routes of addresses that come and go.
func after(live state.Objects, changes []Change) state.Objects {
	if len(changes) == 0 {
		return live
	}
	now := map[state.Key]state.Object{}
	var order []state.Key
	for _, o := range live {
		now[o.Key()] = o
		order = append(order, o.Key())
	}
	set := func(o state.Object) {
		if _, ok := now[o.Key()]; !ok {
			order = append(order, o.Key())
		}
		now[o.Key()] = o
	}
	for _, c := range changes {
		change, ok := c.Object()
		switch {
		case !ok:
		case change.After != nil:
			set(change.After)
		default:
			delete(now, change.Key())
		}
		if !ok {
			continue
		}
		created, _ := change.After.(state.Address)
		deleted, _ := change.Before.(state.Address)
		if r, ok := connected(deleted); ok && change.After == nil {
			delete(now, r.Key())
		}
		if r, ok := connected(created); ok && change.Before == nil && now[r.Key()] == nil {
			set(r)
		}
	}
	out := make(state.Objects, 0, len(order))
	for _, key := range order {
		if o := now[key]; o != nil {
			out = append(out, o)
			delete(now, key) // deleted and created again, it stands twice in order
		}
	}
	return out
}

// connected is the route that the kernel makes for an address.
func connected(a state.Address) (state.Route, bool) {
	if !a.IP.IsValid() || a.Device == "lo" || a.IP.Bits() == a.IP.Addr().BitLen() {
		return state.Route{}, false
	}
	r := state.Route{To: a.IP.Masked(), Table: state.TableMain, Device: a.Device, Protocol: 2} // RTPROT_KERNEL
	if a.IP.Addr().Is4() {
		r.Scope, r.Source = "link", a.IP.Addr()
	} else {
		r.Metric = 256 // IP6_RT_PRIO_ADDRCONF of linux/ipv6_route.h
	}
	return r, true
}
