//go:build linux

// Package nft keeps lvsform's own nftables table.
//
// The table is lvsform's as a whole, by its name: nothing of another table is
// ever changed. A change writes the table anew, in one batch that the kernel
// takes as a whole or refuses. Of google/nftables the comments of rules are
// used, and by tests the rest. Its connection has every rule of a batch sent
// back, cannot say "ct original ip daddr", and leaves out what it does not know
// of a rule that it reads; it would cost a tenth of the agent's size.
package nft

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/module"
	"github.com/lvsform/lvsform/state"
)

// name is that of the table, of the family inet.
const name = "lvsform"

// Loaded tells whether the kernel has nftables. It never loads it: asking
// netlink would.
func Loaded() bool {
	there, known := module.Running("nf_tables")
	if known {
		return there
	}
	// Without a tree of modules there is none that asking could load.
	_, err := dump(unix.NFT_MSG_GETTABLE, unix.NFPROTO_INET, nil)
	return err == nil || errors.Is(err, unix.EPERM)
}

// Table is lvsform's table. It remembers how it found a table that somebody
// had damaged, so that a change that mends it can be taken back.
type Table struct {
	damaged *damage
}

// Read returns the table's marks and masquerades, sorted. One whose rules are
// not exactly those that lvsform makes is returned as broken, which is like
// none that can be declared.
func (t *Table) Read() (state.Objects, error) {
	if !Loaded() {
		return nil, nil
	}
	live, err := read()
	if err != nil {
		return nil, err
	}
	objects := live.objects()
	if slices.ContainsFunc(objects, broken) {
		t.damaged = &live.damage
	}
	return objects, nil
}

// Apply makes the changes all together or, when it returns an error, none.
// Deleting what is already gone succeeds. The table is written anew: what
// somebody else put there or changed there goes.
func (t *Table) Apply(changes []state.Change) (done int, err error) {
	creates, restores := false, false
	for i, c := range changes {
		if c.After == nil {
			continue
		}
		creates = true
		if broken(c.After) && t.damaged != nil {
			restores = true
		} else if err := check(c.After); err != nil {
			return i, err
		}
	}
	var live found
	if Loaded() {
		if live, err = read(); err != nil {
			return 0, err
		}
	} else if !creates {
		return len(changes), nil
	}
	b := newBatch()
	if restores {
		t.damaged.write(b, live.there)
	} else {
		want := live.tagged()
		if failed, err := change(want, changes); err != nil {
			return failed, err
		}
		if !live.there && len(want) == 0 {
			return len(changes), nil
		}
		write(b, live.there, sorted(want))
	}
	if err := b.send(); err != nil {
		return 0, explain(err)
	}
	return len(changes), nil
}

// change makes the changes of what is wanted.
func change(want map[state.Key]state.Object, changes []state.Change) (failed int, err error) {
	for i, c := range changes {
		key := c.Key()
		switch {
		case c.After == nil:
			delete(want, key)
		case c.Before == nil && want[key] != nil:
			return i, fmt.Errorf("it is there already: plan again: %w", unix.EEXIST)
		default:
			want[key] = c.After
		}
	}
	return len(changes), nil
}

// sorted orders objects as their rules stand in a chain: of two masquerades of
// which one is for every port, the one for a single port comes first.
func sorted(objects map[state.Key]state.Object) state.Objects {
	out := make(state.Objects, 0, len(objects))
	for _, o := range objects {
		out = append(out, o)
	}
	out.Sort()
	slices.SortStableFunc(out, func(a, b state.Object) int { return cmp.Compare(catchAll(a), catchAll(b)) })
	return out
}

func catchAll(o state.Object) int {
	if m, ok := o.(state.Masquerade); ok && m.Port == 0 {
		return 1
	}
	return 0
}

// write replaces the table by one with the objects, or removes it.
func write(b *batch, there bool, objects state.Objects) {
	remove(b, there)
	if len(objects) > 0 {
		addTable(b, 0)
	}
	made := map[string]bool{}
	for _, o := range objects {
		for _, r := range rulesOf(o) {
			if !made[r.chain] {
				made[r.chain] = true
				addChain(b, chains[r.chain].message(r.chain))
			}
			addRule(b, r.message())
		}
	}
}

func remove(b *batch, there bool) {
	if there {
		b.add(subsystem|unix.NFT_MSG_DELTABLE, 0, unix.NFPROTO_INET, putString(nil, unix.NFTA_TABLE_NAME, name))
	}
}

func addTable(b *batch, flags uint32) {
	b.add(subsystem|unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, unix.NFPROTO_INET,
		put32(putString(nil, unix.NFTA_TABLE_NAME, name), unix.NFTA_TABLE_FLAGS, flags))
}

func addChain(b *batch, attributes []byte) {
	b.add(subsystem|unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_EXCL, unix.NFPROTO_INET, attributes)
}

func addRule(b *batch, attributes []byte) {
	b.add(subsystem|unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, unix.NFPROTO_INET, attributes)
}

// explain says what the kernel's refusal means, and what to do.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("needs root (CAP_NET_ADMIN): %w", err)
	case (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL)) && !Loaded():
		return fmt.Errorf("the kernel has no nftables and cannot load it: install or allow its module nf_tables: %w", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the kernel's nftables lacks a part: the modules nft_chain_nat, nft_ct, nft_nat and nft_masq "+
			"(Linux 5.2 or later) must be there: %w", err)
	}
	return err
}
