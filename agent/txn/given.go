package txn

import (
	"slices"

	"github.com/lvsform/lvsform/state"
)

// serviceOf is the virtual service that an object belongs to.
func serviceOf(o state.Object) state.ServiceID {
	switch o := o.(type) {
	case state.Service:
		return o.ServiceID
	case state.Destination:
		return o.Service
	}
	return state.ServiceID{}
}

// isGiven tells whether an object is of a service that a program gives up. What
// is live of it before that is the program's.
func (r *run) isGiven(o state.Object) bool { return slices.Contains(r.given, serviceOf(o)) }

// takeUp prepares the making of services that a program has given up and not
// taken away, for it does not run: what is live of them is changed into what is
// made, which costs no connection, and what nobody makes goes.
func (r *run) takeUp(changes []state.Change) error {
	taken, made := map[state.ServiceID]bool{}, map[state.Key]bool{}
	for _, c := range changes {
		if c.Before != nil || !r.isGiven(c.After) {
			continue
		}
		made[c.Key()] = true
		if s, ok := c.After.(state.Service); ok {
			taken[s.ServiceID] = true
		}
	}
	if len(taken) == 0 {
		return nil
	}
	host, err := r.Kernel.Read(Query{IPVS: true})
	if err != nil {
		return err
	}
	live := host.Objects.ByKey()
	for i, c := range changes {
		if made[c.Key()] && c.Before == nil {
			changes[i].Before = live[c.Key()]
		}
	}
	var left []state.Change
	for _, o := range host.Objects {
		if d, ok := o.(state.Destination); ok && taken[d.Service] && !made[d.Key()] {
			left = append(left, state.Change{Before: d})
		}
	}
	if len(left) > 0 {
		_, err = r.Kernel.Apply(left)
	}
	return err
}

// takeAddresses prepares the making of addresses that keepalived had and has not
// taken away, for it does not run: what is live is changed into what is made.
func (r *run) takeAddresses(changes []state.Change) error {
	freed := func(c state.Change) bool { return c.Before == nil && r.freed[c.Key()] }
	if !slices.ContainsFunc(changes, freed) {
		return nil
	}
	host, err := r.Kernel.Read(Query{Network: true})
	if err != nil {
		return err
	}
	live := host.Objects.ByKey()
	for i, c := range changes {
		if freed(c) {
			changes[i].Before = live[c.Key()]
		}
	}
	return nil
}

// mayFree tells whether an object is a text by which keepalived has addresses.
func mayFree(o state.Object) bool {
	c, ok := o.(state.Config)
	return ok && c.Program == "keepalived"
}

// configsBack tells whether all configurations are as they were: the services
// that they have given are their programs' again, which nobody else may touch.
// Before that what this transaction has made of them goes, for a program keeps
// what it finds in a service.
func (r *run) configsBack(live map[state.Key]state.Object) bool {
	return !slices.ContainsFunc(r.before, func(o state.Object) bool {
		_, config := o.(state.Config)
		_, touched := r.final[o.Key()]
		return config && touched && live[o.Key()] != o
	})
}

// hold has the clients of services wait that a program gives up and that the
// changes make again: one owner follows the other. The program has let go of a
// service before it is made, and for that moment nobody serves it. So it is with
// those that are given to another program, and when all of that is taken back.
func (r *run) hold(changes []state.Change) (release func()) {
	gives := slices.ContainsFunc(changes, func(c state.Change) bool {
		_, config := c.Before.(state.Config)
		return config
	})
	services := slices.Clone(r.given)
	for _, c := range changes {
		if s, ok := c.After.(state.Service); ok && c.Before == nil && !slices.Contains(r.given, s.ServiceID) {
			services = append(services, s.ServiceID)
		}
	}
	if !gives || len(services) == 0 {
		return func() {}
	}
	return r.Kernel.Hold(services)
}
