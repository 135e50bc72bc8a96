//go:build linux

package nft

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// mostElements bounds how much of a set is looked at.
const mostElements = 1000

// element is one of a set or of a verdict map. In a set of intervals the end of
// one stands beside its start.
type element struct {
	key     []byte
	verdict verdict
	end     bool // the first key that is not in the interval
	until   []byte
}

// lookup is a match with a set, or a verdict by a map.
func (d *decoder) lookup(a attributes) error {
	o := d.registers[get32(a[unix.NFTA_LOOKUP_SREG])]
	decides := a[unix.NFTA_LOOKUP_DREG] != nil && get32(a[unix.NFTA_LOOKUP_DREG]) == unix.NFT_REG_VERDICT
	inverted := get32(a[unix.NFTA_LOOKUP_FLAGS])&unix.NFT_LOOKUP_F_INV != 0
	if !decides && (o.field != port && o.field != connection || inverted) {
		d.and(condition{partial: true})
		return nil
	}
	elements, all, err := elementsOf(d.place, getString(a[unix.NFTA_LOOKUP_SET]))
	if err != nil {
		return err
	}
	if decides {
		d.decide(elements, all, o)
		return nil
	}
	if o.field == connection {
		d.and(condition{partial: true, replies: all && statesBegun(elements)})
		return nil
	}
	ports, understood := portsOf(elements)
	d.and(condition{ports: ports, never: understood && all && ports == nil, partial: !understood || !all})
	return nil
}

// decide adds the verdicts of a map.
func (d *decoder) decide(elements []element, all bool, o operand) {
	for i, e := range elements {
		if e.end {
			continue
		}
		v := e.verdict
		v.when.partial = true
		v.when.replies = o.field == connection && statesBegun(elements[i:i+1])
		if ports, ok := portsOf(elements[i:min(i+2, len(elements))]); ok && o.field == port && len(ports) > 0 {
			v.when = condition{ports: ports[:1]}
		}
		d.add(v)
	}
	if !all {
		d.add(verdict{code: drop, when: condition{partial: true}})
	}
}

// portsOf are the ports of a set's elements; it does not understand sets of
// anything else.
func portsOf(elements []element) (out [][2]uint16, ok bool) {
	for i, e := range elements {
		if len(e.key) != 2 {
			return nil, false
		}
		if e.end {
			continue
		}
		low := binary.BigEndian.Uint16(e.key)
		high := low
		switch {
		case len(e.until) == 2:
			high = binary.BigEndian.Uint16(e.until)
		case i+1 < len(elements) && elements[i+1].end && len(elements[i+1].key) == 2:
			high = binary.BigEndian.Uint16(elements[i+1].key) - 1
		}
		out = append(out, [2]uint16{low, high})
	}
	return out, true
}

// statesBegun tells whether a set's elements are states of known connections.
func statesBegun(elements []element) bool {
	return len(elements) > 0 && !slices.ContainsFunc(elements, func(e element) bool {
		return len(e.key) != 4 || e.end || !onlyBegun(binary.NativeEndian.Uint32(e.key))
	})
}

// elementsOf reads a set, sorted by key. It tells whether that is all of it.
func elementsOf(p place, set string) (out []element, all bool, err error) {
	messages, err := dump(unix.NFT_MSG_GETSETELEM, p.family,
		putString(putString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, p.table), unix.NFTA_SET_ELEM_LIST_SET, set))
	if err != nil {
		return nil, false, err
	}
	for _, m := range messages {
		each(parse(m[generation:])[unix.NFTA_SET_ELEM_LIST_ELEMENTS], func(_ uint16, b []byte) {
			a := parse(b)
			const keyEnd = 10 // NFTA_SET_ELEM_KEY_END of linux/netfilter/nf_tables.h
			e := element{key: valueOf(a[unix.NFTA_SET_ELEM_KEY]), until: valueOf(a[keyEnd])}
			e.end = get32(a[unix.NFTA_SET_ELEM_FLAGS])&unix.NFT_SET_ELEM_INTERVAL_END != 0
			if a[unix.NFTA_SET_ELEM_DATA] != nil {
				e.verdict = verdictOf(a[unix.NFTA_SET_ELEM_DATA])
			}
			if len(out) <= mostElements {
				out = append(out, e)
			}
		})
	}
	all = len(out) <= mostElements
	slices.SortStableFunc(out, func(a, b element) int { return bytes.Compare(a.key, b.key) })
	return out, all, nil
}
