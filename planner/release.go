package planner

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// released plans an object that the topology claims and no longer declares.
func (hp *hostPlanner) released(e state.Entry, claim state.Claim) {
	live := hp.live[e.Key()]
	secret := hp.secret(e.Key(), claim)
	c := Change{Addresses: claim.Addresses, Before: live, After: live, Action: Forget, Sensitive: secret,
		Claim: &state.ClaimChange{Drop: true, Claim: state.Claim{
			Topology: claim.Topology, Addresses: claim.Addresses, Value: claim.Value, Sensitive: secret}}}
	if live == nil { // gone already
		c.Before, c.After = claim.Value.Object, claim.Value.Object
		hp.add(c)
		return
	}
	if len(e.Claims) > 1 || hp.removedBlock(claim) {
		hp.add(c)
		return
	}
	if !hp.ours(claim, live) {
		c.Hazards = append(c.Hazards, HazardChangedByHand)
		is := ": it is " + Describe(live)
		if len(c.Sensitive) > 0 {
			is = ""
		}
		hp.diagnose(topology.Warning, claim.Addresses[0], nil,
			fmt.Sprintf("%s on %s is left as it is", live.Key(), hp.host.Name),
			fmt.Sprintf("It was changed by other hands%s. lvsform forgets it and does not touch it.", is))
		hp.add(c)
		return
	}
	if a, ok := live.(state.Address); ok && hp.floats(a) {
		// It is keepalived's from now on: nobody else may put it back meanwhile.
		hp.b.fixed[hp.host.Name+":"+a.Key().String()] = WaveDirectorsAdd
		hp.add(c)
		return
	}
	hp.undo(&c, declaredValue(claim, e.Before.Object), e.Before.Object, live)
	if (c.Action == Delete || c.Action == Replace) && live.Key().Kind == state.KindService {
		c.Hazards = append(c.Hazards, HazardConnections)
	}
	hp.add(c)
}

// declaredValue is what a claim's topology last declared, as far as a drain left
// it in the ledger: a drained destination is to go, not to get back what it had.
func declaredValue(claim state.Claim, before state.Object) state.Object {
	d, ok := claim.Value.Object.(state.Destination)
	had, same := before.(state.Destination)
	if !ok || !same || !claim.Draining {
		return claim.Value.Object
	}
	d.Weight = had.Weight
	return d
}

// secret names the attributes of an object that goes which were sensitive when
// it was claimed, or are so by now.
func (hp *hostPlanner) secret(key state.Key, claim state.Claim) []string {
	now := sensitive(&want{resources: hp.b.declaring(hp.host.Name, key, claim.Addresses), addresses: claim.Addresses})
	out := slices.Concat(claim.Sensitive, now)
	slices.Sort(out)
	return slices.Compact(out)
}

// undo sets what becomes of an object whose last claim goes: an object that
// lvsform made is deleted, one that it changed gets its earlier value back. One
// that was adopted as it stood is deleted too, but for what can only be set.
func (hp *hostPlanner) undo(c *Change, claimed, before, live state.Object) {
	link, isLink := live.(state.Link)
	_, isSysctl := live.(state.Sysctl)
	value, _ := claimed.(state.Link)
	d, isDestination := live.(state.Destination)
	switch unit := live.(type) {
	case state.Package:
		hp.diagnose(topology.Info, c.Addresses[0], nil, fmt.Sprintf("%s stays installed on %s", live.Key(), hp.host.Name),
			"Other programs may have come to need it. Remove it by hand if nothing does.")
		return
	case state.Config: // what was there before the claim was lvsform's too
		if hp.b.adopted[adoptedAt{hp.host.Name, live.Key()}] != nil {
			return // or somebody's own, who has it still
		}
		c.Action, c.After = Delete, nil
		return
	case state.Unit:
		if before == nil && hp.idle(unit) {
			hp.restore(c, live, state.Unit{Name: unit.Name, Running: state.Some(false), Enabled: state.Some(false)})
			return
		}
		if before == nil { // it came with a package
			return
		}
		hp.restore(c, live, before)
		return
	case state.Timeouts:
		if before == nil {
			before = state.DefaultTimeouts
		}
		hp.restore(c, live, before)
		return
	}
	switch {
	case before == nil && isLink && link.Fallback:
		// The kernel's own link came with its module and stays with it.
		link.Up = state.Some(false)
		hp.restore(c, live, link)
	case before == nil && isSysctl: // it came with a module or link
	case before == nil:
		c.Action, c.After = Delete, nil
	case isSysctl, isLink && (value.Kind == "" || link.Fallback):
		hp.restore(c, live, before)
	case claimed.Resolve(before) == before, isDestination && hp.deletes(d.Service):
		c.Action, c.After = Delete, nil
		c.Hazards = append(c.Hazards, HazardExistedBefore)
	default:
		hp.restore(c, live, before)
	}
}

func (hp *hostPlanner) restore(c *Change, live, before state.Object) {
	if live == before {
		return
	}
	c.Action, c.After = Update, before
	if (state.Change{Before: live, After: before}).Replaces() {
		c.Action = Replace
	}
}

// deletes tells whether the plan so far deletes a service of this host.
func (hp *hostPlanner) deletes(id state.ServiceID) bool {
	return hp.deleted[state.Key{Kind: state.KindService, ID: id.String()}] != nil
}

// ours tells whether a live object still is what the topology made of it. What
// belongs to a virtual service always is, whatever became of it.
func (hp *hostPlanner) ours(claim state.Claim, live state.Object) bool {
	switch live.(type) {
	case state.Service, state.Destination, state.Config:
		return true
	}
	return claim.Value.Resolve(live) == live
}

// removedBlock tells whether a removed block names all that declared the object.
func (hp *hostPlanner) removedBlock(claim state.Claim) bool {
	for _, address := range claim.Addresses {
		if !slices.ContainsFunc(hp.b.in.Topology.Removed, func(r topology.Removed) bool {
			return within(address, r.From)
		}) {
			return false
		}
	}
	return true
}

// within tells whether address is parent or below it.
func within(address, parent string) bool {
	rest, ok := strings.CutPrefix(address, parent)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// extraServices plans the removal of services that nobody declared from tables
// that are declared exclusive.
func (hp *hostPlanner) extraServices() {
	exclusive := hp.b.exclusive[hp.host.Name]
	if len(exclusive) == 0 {
		return
	}
	for _, key := range slices.SortedFunc(maps.Keys(hp.live), state.Key.Compare) {
		s, ok := hp.live[key].(state.Service)
		if _, claimed := hp.ledger[key]; !ok || claimed || hp.want.table(hp.b.plan.Topology, key) != nil ||
			hp.kept[s.ServiceID] || hp.keptByOthers(s.ServiceID) {
			continue
		}
		hp.add(Change{Addresses: exclusive, Before: s, Action: Delete,
			Hazards: []Hazard{HazardExistedBefore, HazardConnections}})
	}
}

// exclusive are, by host, the addresses of the ipvs blocks that claim its whole
// table.
func exclusive(in Input) map[string][]string {
	out := map[string][]string{}
	for _, r := range in.Topology.Resources {
		if b, ok := r.Body.(*topology.IPVS); ok && b.Exclusive && !in.Destroy {
			out[r.Host] = append(out[r.Host], r.Path)
		}
	}
	for _, h := range in.Topology.Hosts {
		if h.Retired {
			delete(out, h.Name)
		}
	}
	return out
}

// extraDestinations plans the removal of destinations that nobody declared from
// services that are declared, or that go.
func (hp *hostPlanner) extraDestinations() {
	var extras []state.Destination
	for key, o := range hp.live {
		d, ok := o.(state.Destination)
		if _, claimed := hp.ledger[key]; !ok || claimed || hp.want.table(hp.b.plan.Topology, key) != nil ||
			hp.kept[d.Service] || hp.keptByOthers(d.Service) {
			continue
		}
		extras = append(extras, d)
	}
	slices.SortFunc(extras, func(a, b state.Destination) int { return cmp.Compare(a.Key().ID, b.Key().ID) })
	for _, d := range extras {
		service := state.Key{Kind: state.KindService, ID: d.Service.String()}
		var addresses []string
		if w := hp.want.table(hp.b.plan.Topology, service); w != nil {
			addresses = w.addresses
		} else if gone := hp.deleted[service]; gone != nil {
			addresses = gone
		} else {
			continue
		}
		hp.add(Change{Addresses: addresses, Before: d, Action: Delete, Hazards: []Hazard{HazardExistedBefore}})
	}
}

// creatable reports a declared object that can never exist on the host.
func (hp *hostPlanner) creatable(key state.Key, w *want) bool {
	s, ok := w.object.(state.Sysctl)
	if !ok || hp.appears(s.Name) {
		return true
	}
	hp.diagnose(topology.Error, w.addresses[0], hp.rangeOf(w),
		fmt.Sprintf("%s has no sysctl %s", hp.host.Name, s.Name),
		"The running kernel does not know it, and nothing that is declared would bring it. Check the spelling and the name of the interface in it.")
	return false
}

// leftOut reports a destination whose host could not be read: nothing says that
// it is ready for traffic.
func (hp *hostPlanner) leftOut(key state.Key, w *want) bool {
	if key.Kind != state.KindDestination || hp.b.in.Errors[w.server] == nil {
		return false
	}
	hp.diagnose(topology.Warning, w.addresses[0], hp.rangeOf(w),
		fmt.Sprintf("%s is not added on %s", Title(w.object), hp.host.Name),
		fmt.Sprintf("Its host %s could not be read, so nothing says that it is ready for traffic. It is added when %s answers again.", w.server, w.server))
	return true
}

// appears tells whether a sysctl comes with a module or link that the plan
// brings.
func (hp *hostPlanner) appears(name string) bool {
	parts := strings.Split(name, ".")
	if strings.HasPrefix(name, "net.ipv4.vs.") {
		return hp.want[state.Key{Kind: state.KindModule, ID: "ip_vs"}] != nil
	}
	if len(parts) == 5 && (parts[2] == "conf" || parts[2] == "neigh") {
		link := strings.ReplaceAll(parts[3], "/", ".")
		return hp.want[state.Key{Kind: state.KindLink, ID: link}] != nil
	}
	return false
}

// missingModules reports modules that are needed and cannot be loaded.
func (hp *hostPlanner) missingModules(missing []string) {
	for _, name := range missing {
		w := hp.want[state.Key{Kind: state.KindModule, ID: name}]
		if w == nil {
			continue
		}
		hp.diagnose(topology.Error, w.addresses[0], hp.rangeOf(w),
			fmt.Sprintf("%s has no kernel module %s", hp.host.Name, name),
			"It is neither built into the running kernel nor under its /lib/modules. Install the kernel's package of modules, or boot a kernel that has it.")
	}
}

// vanishedMembers warns of hosts that were members of the topology at its last
// apply and are no longer declared.
func (hp *hostPlanner) vanishedMembers(l state.Ledger) {
	for _, name := range l.Members[hp.b.plan.Topology] {
		if hp.b.managed[name] {
			continue
		}
		object := "host." + name
		if slices.ContainsFunc(hp.b.plan.Diagnostics, func(d topology.Diagnostic) bool { return d.Object == object }) {
			continue
		}
		hp.diagnose(topology.Warning, object, nil,
			fmt.Sprintf("host %s belonged to topology %q and is not declared any more", name, hp.b.plan.Topology),
			fmt.Sprintf("The ledger of %s names it, so what lvsform did there may still be in force. Declare it with retired = true and apply, then remove its block. "+
				"If another configuration also calls itself %q, rename one of the two.", hp.host.Name, hp.b.plan.Topology))
	}
}

// stateAttributes are the attributes of kernel objects that an attribute of the
// language stands for.
func stateAttributes(name string) []string {
	switch name {
	case "settings":
		return []string{"value"}
	case "persistence.timeout", "persistence.netmask", "persistence.engine":
		return []string{strings.TrimPrefix(name, "persistence.")}
	case "tunnel.type", "tunnel.port", "tunnel.checksum":
		return []string{"tunnel_" + strings.TrimPrefix(name, "tunnel.")}
	case "persistence":
		return []string{"timeout", "netmask", "engine"}
	case "tunnel":
		return []string{"tunnel_type", "tunnel_port", "tunnel_checksum"}
	case "preferred_lifetime":
		return []string{"deprecated"}
	}
	return []string{name}
}

// loose tells whether any attribute is left to others.
func (w *want) loose() bool {
	return slices.ContainsFunc(w.resources, func(r *topology.Resource) bool { return len(r.IgnoreChanges) > 0 })
}

// ignoring returns the object with the attributes that its resources ignore taken
// from another.
func (w *want) ignoring(object, from state.Object) state.Object {
	for _, r := range w.resources {
		object = ignore(object, from, r.IgnoreChanges)
	}
	return object
}

// ignore returns the object with the attributes that ignore_changes names taken
// from the live one.
func ignore(o, live state.Object, names []string) state.Object {
	if len(names) == 0 || reflect.TypeOf(o) != reflect.TypeOf(live) {
		return o
	}
	if _, ok := o.(state.Config); ok { // of several resources, each of which ignores its own
		return o
	}
	out := reflect.New(reflect.TypeOf(o)).Elem()
	out.Set(reflect.ValueOf(o))
	from := reflect.ValueOf(live)
	for i := range out.NumField() {
		tag, _, _ := strings.Cut(out.Type().Field(i).Tag.Get("json"), ",")
		for _, name := range names {
			if name == "all" || (tag != "" && contains(stateAttributes(name), tag)) {
				out.Field(i).Set(from.Field(i))
			}
		}
	}
	if changed := out.Interface().(state.Object); changed.Key() == o.Key() {
		return changed
	}
	return o
}
