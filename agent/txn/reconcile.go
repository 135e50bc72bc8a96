package txn

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// passes bounds the tries of reconcile: restoring one thing may cost another
// (an address its routes), which the next pass restores.
const passes = 6

// reconcile brings the host back to what it was before the transaction. It
// returns what is left to do, as an error.
func (r *run) reconcile() error {
	var last []state.Change
	var failures []error
	ordered := false
	for range passes {
		changes, err := r.toRestore()
		if err != nil {
			return err
		}
		if len(changes) == 0 && !ordered {
			ordered = true
			if changes, err = r.misplaced(); err != nil {
				return err
			}
			failures = r.restore(changes)
			if len(changes) > 0 {
				continue // an address has taken its routes with it
			}
		}
		if len(changes) == 0 {
			return nil
		}
		if slices.Equal(changes, last) {
			break // no progress
		}
		last, failures = changes, nil
		release := r.hold(changes)
		first, second := r.phases(changes)
		if len(first) > 0 {
			failures = r.restore(first)
			if changes, err = r.toRestore(); err != nil {
				release()
				return err
			}
			_, second = r.phases(changes)
		}
		failures = append(failures, r.restore(second)...)
		release()
	}
	changes, err := r.toRestore()
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return nil
	}
	return r.left(changes, failures)
}

// toRestore compares the host with the snapshot, in what the transaction names
// or may have disturbed.
func (r *run) toRestore() ([]state.Change, error) {
	host, err := r.Kernel.Read(r.query)
	if err != nil {
		return nil, err
	}
	wanted := make(map[state.Key]bool)
	var want, have state.Objects
	live := host.Objects.ByKey()
	back := r.configsBack(live)
	for _, o := range r.before {
		key := o.Key()
		// A program that runs has its service again with its configuration; what
		// another has left behind is as it was only when it is made.
		orphan := r.isGiven(o) && back && live[state.Service{ServiceID: serviceOf(o)}.Key()] == nil
		if r.isGiven(o) && !orphan {
			continue
		}
		if _, touched := r.final[key]; touched || orphan || r.disturbed.reaches(o) {
			want, wanted[key] = append(want, o), true
		}
	}
	for key, o := range r.learned {
		want, wanted[key] = append(want, o), true
	}
	for _, o := range host.Objects {
		key := o.Key()
		if back && r.isGiven(o) {
			continue
		}
		if _, touched := r.final[key]; touched || wanted[key] || r.disturbed.automatic(o) {
			have = append(have, o)
		}
	}
	had := have.ByKey()
	changes := slices.DeleteFunc(state.Diff(have, want), func(c state.Change) bool {
		if c.After == nil {
			return stays(c.Before, had[c.Key()])
		}
		// A learned sysctl may have gone again with its link.
		_, learned := r.learned[c.Key()]
		return learned && c.Before == nil
	})
	return changes, nil
}

// misplaced are the changes that bring the IPv4 addresses of disturbed devices
// back into their order: the first of a subnet is primary, and the source of
// what the host sends. Those after the first wrong one are made again.
func (r *run) misplaced() ([]state.Change, error) {
	if len(r.disturbed.devices) == 0 {
		return nil, nil
	}
	host, err := r.Kernel.Read(Query{Network: true})
	if err != nil {
		return nil, err
	}
	want, have := sequences(r.before), sequences(host.Objects)
	var remove, add []state.Change
	for _, device := range slices.Sorted(maps.Keys(r.disturbed.devices)) {
		wrong := false
		present := have[device]
		for i, a := range slices.DeleteFunc(want[device], func(a state.Address) bool { return !slices.Contains(present, a) }) {
			if wrong = wrong || i >= len(present) || present[i] != a; wrong {
				remove, add = append(remove, state.Change{Before: a}), append(add, state.Change{After: a})
			}
		}
	}
	slices.Reverse(remove) // secondaries first, lest they go with their primary
	return append(remove, add...), nil
}

// sequences are the IPv4 addresses of every device, in the kernel's order.
func sequences(objects state.Objects) map[string][]state.Address {
	out := map[string][]state.Address{}
	for _, o := range objects {
		if a, ok := o.(state.Address); ok && a.IP.Addr().Is4() {
			out[a.Device] = append(out[a.Device], a)
		}
	}
	return out
}

// restoreRank orders what is made; what is deleted goes in the reverse order.
func restoreRank(k state.Kind) int {
	switch k {
	case state.KindLink: // sysctls may be those of the link
		return 1
	case state.KindSysctl:
		return 2
	case state.KindFOU, state.KindAddress:
		return 3
	case state.KindRoute:
		return 4
	case state.KindRule:
		return 5
	case state.KindMark, state.KindMasquerade, state.KindTimeouts, state.KindSync, state.KindService:
		return 6
	case state.KindDestination:
		return 7
	case state.KindConfig: // what it makes a program set up must have gone before
		return 8
	case state.KindUnit:
		return 9
	}
	return 0
}

// phases splits changes into those to make first, and those that are to be
// looked at again afterwards, because the kernel makes some of them by itself.
func (r *run) phases(changes []state.Change) (first, second []state.Change) {
	for _, c := range changes {
		if c.After == nil && !goesBack(c, changes) || restoreRank(c.Key().Kind) < restoreRank(state.KindRoute) {
			first = append(first, c)
		} else {
			second = append(second, c)
		}
	}
	rank := func(c state.Change) int {
		n := restoreRank(c.Key().Kind) * 2
		if c.After == nil && !goesBack(c, changes) {
			return -n
		}
		if route, ok := c.After.(state.Route); ok && byGateway(route) {
			n++ // its gateway is reached by a direct route
		}
		return n + 1
	}
	compare := func(a, b state.Change) int {
		if n := cmp.Compare(rank(a), rank(b)); n != 0 {
			return n
		}
		// The order of addresses decides which are primary.
		return cmp.Compare(r.place[a.Key()], r.place[b.Key()])
	}
	slices.SortStableFunc(first, compare)
	slices.SortStableFunc(second, compare)
	return first, second
}

// goesBack tells whether a change takes away a part of a program's configuration
// that has taken over what was written by hand, and that is there again at once.
func goesBack(c state.Change, changes []state.Change) bool {
	part, ok := c.Before.(state.Config)
	return ok && c.After == nil && slices.ContainsFunc(changes, func(o state.Change) bool {
		file, ok := o.After.(state.Config)
		return ok && file.Program == part.Program && file.Topology == ""
	})
}

// restore makes as many of the changes as the kernel lets it.
func (r *run) restore(changes []state.Change) (failures []error) {
	for len(changes) > 0 {
		done, err := r.Kernel.Apply(changes)
		if err == nil {
			return failures
		}
		done = min(done, len(changes)-1)
		failures = append(failures, fmt.Errorf("%s: %w", verb(changes[done]), err))
		changes = changes[done+1:]
	}
	return failures
}

// left says what could not be restored.
func (r *run) left(changes []state.Change, failures []error) error {
	const most = 10
	var text []string
	for _, c := range changes[:min(len(changes), most)] {
		text = append(text, fmt.Sprintf("%s is %s and was %s", c.Key(), r.describe(c.Before), r.describe(c.After)))
	}
	if len(changes) > most {
		text = append(text, fmt.Sprintf("%d more", len(changes)-most))
	}
	err := errors.New(strings.Join(text, "; "))
	if len(failures) > 0 {
		err = fmt.Errorf("%w (%w)", err, errors.Join(failures[:min(len(failures), most)]...))
	}
	return err
}
