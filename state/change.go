package state

import (
	"maps"
	"slices"
)

// Change takes one object from Before to After; both have the same key. A nil
// Before creates, a nil After deletes, both set update.
type Change struct {
	Before, After Object
}

// Key is the key of the object that changes.
func (c Change) Key() Key {
	if c.After != nil {
		return c.After.Key()
	}
	return c.Before.Key()
}

// Replaces tells whether the kernel cannot make the change in place, so that
// the object is deleted and created again.
func (c Change) Replaces() bool {
	if c.Before == nil || c.After == nil {
		return false
	}
	switch after := c.After.(type) {
	case Address:
		before := c.Before.(Address)
		// Only the lifetime of an address can be changed while it stands.
		before.Deprecated = after.Deprecated
		return before != after
	case Link:
		before := c.Before.(Link)
		before.Up, before.MTU = after.Up, after.MTU
		return before != after
	case Masquerade:
		before := c.Before.(Masquerade)
		before.Idle = after.Idle
		return before != after
	case FOU, Sync:
		return c.Before != c.After
	}
	return false
}

// Diff returns the changes that turn live into want, sorted by key: what only
// want has is created, what only live has is deleted, what both have is updated
// where want, its open attributes resolved, differs. Neither may hold a key twice.
func Diff(live, want Objects) []Change {
	have := live.ByKey()
	var changes []Change
	keys := want.keys()
	for i, w := range want {
		key := keys[i]
		l, ok := have[key]
		delete(have, key)
		switch {
		case !ok:
			changes = append(changes, Change{After: w})
		case w == l: // the common case, without making the resolved object
		case w.Resolve(l) != l:
			changes = append(changes, Change{Before: l, After: w.Resolve(l)})
		}
	}
	for l := range maps.Values(have) {
		changes = append(changes, Change{Before: l})
	}
	sortByKey(changes)
	return changes
}

// sortByKey orders a list in place; keys are made once, not at each comparison.
func sortByKey[T interface{ Key() Key }](list []T) {
	keys := make([]Key, len(list))
	for i, item := range list {
		keys[i] = item.Key()
	}
	sorted := make([]T, len(list))
	for i, at := range order(keys) {
		sorted[i] = list[at]
	}
	copy(list, sorted)
}

// order returns the places of the keys in their order.
func order(keys []Key) []int {
	places := make([]int, len(keys))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return keys[a].Compare(keys[b]) })
	return places
}

// Objects are the objects of one host.
type Objects []Object

// ByKey indexes the objects.
func (os Objects) ByKey() map[Key]Object {
	m := make(map[Key]Object, len(os))
	for i, key := range os.keys() {
		m[key] = os[i]
	}
	return m
}

// keys returns the key of every object. Those of IPVS, of which there may be
// many thousands, share one text, so that they cost one allocation together.
func (os Objects) keys() []Key {
	keys, ends := make([]Key, len(os)), make([]int, len(os))
	text := make([]byte, 0, 40*len(os))
	for i, o := range os {
		switch o := o.(type) {
		case Service:
			text = o.ServiceID.appendTo(text)
		case Destination:
			text = o.appendID(text)
		}
		ends[i] = len(text)
	}
	ids, start := string(text), 0
	for i, o := range os {
		switch o.(type) {
		case Service:
			keys[i] = Key{KindService, ids[start:ends[i]]}
		case Destination:
			keys[i] = Key{KindDestination, ids[start:ends[i]]}
		default:
			keys[i] = o.Key()
		}
		start = ends[i]
	}
	return keys
}

// Sort orders the objects by key, in place.
func (os Objects) Sort() {
	sorted := make(Objects, len(os))
	for i, at := range order(os.keys()) {
		sorted[i] = os[at]
	}
	copy(os, sorted)
}
