package txn

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// mend puts back what a disturbance took and what no step takes.
func (r *run) mend(d disturbance) error {
	var failure error
	// The kernel may put things back by itself at the same moment.
	for range 3 {
		host, err := r.Kernel.Read(Query{Network: true, Sysctls: r.sysctlsOf(d)})
		if err != nil {
			return err
		}
		lost := r.lost(d, host.Objects)
		if len(lost) == 0 {
			return nil
		}
		n, err := r.Kernel.Apply(lost)
		if err == nil {
			continue
		}
		failure = fmt.Errorf("it takes %s with it, which cannot be put back: %w",
			lost[min(n, len(lost)-1)].Key(), err)
	}
	if failure == nil {
		failure = fmt.Errorf("what it takes with it does not stay when it is put back")
	}
	return failure
}

// sysctlsOf are the known sysctls of the links that were deleted: one that was
// created again has come with other values.
func (r *run) sysctlsOf(d disturbance) []string {
	var names []string
	for key := range r.expected {
		if device, ok := deviceOf(key.ID); ok && key.Kind == state.KindSysctl && d.remade[device] {
			names = append(names, key.ID)
		}
	}
	slices.Sort(names)
	return names
}

// lost lists what was there, or has been made, and is not live any more:
// sysctls, addresses in the kernel's order, direct routes, those by gateways.
func (r *run) lost(d disturbance, live state.Objects) []state.Change {
	have := live.ByKey()
	var sysctls, addresses, direct, routed []state.Change
	consider := func(o state.Object) {
		key := o.Key()
		if s, ok := o.(state.Sysctl); ok {
			// The MTU of IPv6 follows that of the link.
			if now := have[key]; now != nil && now != o && !strings.HasSuffix(s.Name, ".mtu") {
				sysctls = append(sysctls, state.Change{Before: now, After: o})
			}
			return
		}
		if have[key] != nil || !d.reaches(o) || d.automatic(o) || r.deletes(key) || !usable(o, have) {
			return
		}
		change := state.Change{After: o}
		switch o := o.(type) {
		case state.Address:
			addresses = append(addresses, change)
		case state.Route:
			if byGateway(o) {
				routed = append(routed, change)
			} else {
				direct = append(direct, change)
			}
		}
	}
	for _, o := range r.standing() {
		consider(o)
	}
	slices.SortStableFunc(addresses, func(a, b state.Change) int {
		return cmp.Compare(r.place[a.Key()], r.place[b.Key()])
	})
	return slices.Concat(sysctls, addresses, direct, routed)
}

// standing lists what ought to be live by now and may be disturbed: what was
// there, in its order, then what was made, in the order of the steps.
func (r *run) standing() state.Objects {
	var out state.Objects
	seen := map[state.Key]bool{}
	add := func(key state.Key) {
		if now := r.expected[key]; now != nil && !seen[key] && groupOf(key.Kind) != groupIPVS {
			seen[key] = true
			out = append(out, now)
		}
	}
	for _, o := range r.before {
		if groupOf(o.Key().Kind) != groupIPVS {
			add(o.Key())
		}
	}
	for _, key := range r.keys {
		add(key)
	}
	return out
}

// byGateway tells whether a route needs another one to reach its gateway.
func byGateway(r state.Route) bool { return r.Via.IsValid() || r.NextHops != "" }

// deletes tells whether the object does not outlive the transaction.
func (r *run) deletes(key state.Key) bool {
	i, ok := r.final[key]
	return ok && r.steps[i].Change.After == nil
}

// routeKernel is RTPROT_KERNEL of linux/rtnetlink.h: such a route comes and
// goes with its address.
const routeKernel = 2

// usable tells whether an object can be put back: its device is there and up.
func usable(o state.Object, have map[state.Key]state.Object) bool {
	device := ""
	switch o := o.(type) {
	case state.Address:
		device = o.Device
	case state.Route:
		if o.Protocol == routeKernel {
			return false
		}
		if device = o.Device; device == "" {
			return true
		}
	}
	link, ok := have[state.Link{Name: device}.Key()].(state.Link)
	return ok && link.Up.Value
}
