package txn

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// group is a set of kinds whose changes are handed to the kernel together.
type group int

const (
	groupModule group = iota
	groupSysctl
	groupNetwork
	groupNFT
	groupIPVS
	groupPackage
	groupConfig
	groupUnit
)

func groupOf(k state.Kind) group {
	switch k {
	case state.KindModule:
		return groupModule
	case state.KindSysctl:
		return groupSysctl
	case state.KindTimeouts, state.KindSync, state.KindService, state.KindDestination:
		return groupIPVS
	case state.KindMark, state.KindMasquerade:
		return groupNFT
	case state.KindPackage:
		return groupPackage
	case state.KindConfig:
		return groupConfig
	case state.KindUnit:
		return groupUnit
	}
	return groupNetwork
}

// apply makes the changes of all steps. On an error it returns the index of the
// step that failed.
func (r *run) apply() (failed int, err error) {
	for from := 0; from < len(r.steps); {
		to := r.batchEnd(from)
		if failed, err := r.applyBatch(from, to); err != nil {
			return failed, err
		}
		ids := make([]string, 0, to-from)
		for _, s := range r.steps[from:to] {
			ids = append(ids, s.ID)
		}
		r.Done(ids)
		from = to
	}
	return -1, nil
}

// batchEnd extends a batch over the steps of one group; claims alone belong to
// any.
func (r *run) batchEnd(from int) int {
	first, found := group(0), false
	for i := from; i < len(r.steps); i++ {
		if r.steps[i].Change == nil {
			continue
		}
		g := groupOf(r.keys[i].Kind)
		if found && g != first {
			return i
		}
		first, found = g, true
	}
	return len(r.steps)
}

func (r *run) applyBatch(from, to int) (failed int, err error) {
	if r.Stands != nil && !r.Stands() {
		return from, errOvertaken
	}
	if err := r.learn(from, to); err != nil {
		return from, err
	}
	changes, index := make([]state.Change, 0, to-from), make([]int, 0, to-from)
	here, lastDisturbing := newDisturbance(), -1
	for i := from; i < to; i++ {
		c := r.steps[i].Change
		if c == nil || r.gone(c) {
			continue
		}
		if here.add(*c) {
			lastDisturbing = i
		}
		r.disturbed.add(*c)
		changes, index = append(changes, *c), append(index, i)
	}
	if len(changes) == 0 {
		return -1, nil
	}
	if err := errors.Join(r.takeUp(changes), r.takeAddresses(changes)); err != nil {
		return index[0], err
	}
	done, err := r.Kernel.Apply(changes)
	if err != nil {
		done = min(done, len(changes)-1)
		return index[done], fmt.Errorf("%s: %w", verb(changes[done]), err)
	}
	for n, c := range changes {
		r.expect(r.keys[index[n]], c)
	}
	if lastDisturbing < 0 {
		return -1, nil
	}
	if err := r.mend(here); err != nil {
		return lastDisturbing, fmt.Errorf("%s: %w", verb(*r.steps[lastDisturbing].Change), err)
	}
	return -1, nil
}

func (r *run) expect(key state.Key, c state.Change) {
	if c.After == nil {
		delete(r.expected, key)
		return
	}
	r.forget(key, c)
	r.expected[key] = c.After.Resolve(r.expected[key])
}

// forget drops from what is expected the sysctls that another sets by its
// meaning: forwarding sets that of every interface.
func (r *run) forget(key state.Key, c state.Change) {
	if key.Kind != state.KindSysctl {
		return
	}
	for _, pattern := range sysctlsBeside(c) {
		for other := range r.expected {
			if other.Kind == state.KindSysctl && other != key && matches(pattern, other.ID) {
				delete(r.expected, other)
			}
		}
	}
}

// matches tells whether a pattern of Query.Sysctls stands for a name.
func matches(pattern, name string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(name, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}

// learn reads the sysctls, links, services and timeouts that the batch sets and
// that were not there before the transaction: an earlier step's module or package
// may have brought them.
func (r *run) learn(from, to int) error {
	var q Query
	wanted := map[state.Key]bool{}
	for i := from; i < to; i++ {
		c, key := r.steps[i].Change, r.keys[i]
		if c == nil || c.Before != nil || r.expected[key] != nil {
			continue
		}
		switch key.Kind {
		case state.KindSysctl:
			q.Sysctls = append(q.Sysctls, key.ID)
		case state.KindLink:
			q.Network = true
		case state.KindUnit:
			q.Units = append(q.Units, key.ID)
		case state.KindTimeouts: // those of a module that has just been loaded
			q.IPVS = true
		default:
			continue
		}
		wanted[key] = true
	}
	if len(wanted) == 0 {
		return nil
	}
	host, err := r.Kernel.Read(q)
	if err != nil {
		return err
	}
	for _, o := range host.Objects {
		if key := o.Key(); wanted[key] {
			r.learned[key] = o
		}
	}
	return nil
}

// gone tells whether a change concerns a sysctl that went with the link that an
// earlier step deleted.
func (r *run) gone(c *state.Change) bool {
	if c.Key().Kind != state.KindSysctl {
		return false
	}
	device, ok := deviceOf(c.Key().ID)
	if !ok {
		return false
	}
	link := state.Link{Name: device}.Key()
	i, touched := r.final[link]
	if !touched || r.steps[i].Change.After != nil || r.expected[link] != nil {
		return false
	}
	before, _ := r.steps[i].Change.Before.(state.Link)
	return !before.Fallback
}
