package txn

import (
	"fmt"

	"github.com/lvsform/lvsform/state"
)

// group is a set of kinds whose changes are handed to the kernel together.
type group int

const (
	groupModule group = iota
	groupSysctl
	groupNetwork
	groupIPVS
)

func groupOf(k state.Kind) group {
	switch k {
	case state.KindModule:
		return groupModule
	case state.KindSysctl:
		return groupSysctl
	case state.KindService, state.KindDestination:
		return groupIPVS
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
	r.expected[key] = c.After.Resolve(r.expected[key])
}

// learn reads the sysctls that the batch sets and that were not there before
// the transaction.
func (r *run) learn(from, to int) error {
	var names []string
	for i := from; i < to; i++ {
		c := r.steps[i].Change
		if c == nil || r.keys[i].Kind != state.KindSysctl || c.Before != nil {
			continue
		}
		if r.expected[r.keys[i]] == nil {
			names = append(names, r.keys[i].ID)
		}
	}
	if len(names) == 0 {
		return nil
	}
	host, err := r.Kernel.Read(Query{Sysctls: names})
	if err != nil {
		return err
	}
	for _, o := range host.Objects {
		r.learned[o.Key()] = o
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
