//go:build linux

package nft

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Bounds of what Filters looks at and answers. A ruleset beyond them is told
// as far as it goes; its last verdict says that more may follow.
const (
	mostRules    = 20000 // that are read
	mostVerdicts = 1000  // of one base chain
	mostFilters  = 100
	mostDepth    = 16 // of jumps, as nftables itself has it
)

var hooks = map[uint32]string{
	unix.NF_INET_PRE_ROUTING: "prerouting", unix.NF_INET_LOCAL_IN: "input", unix.NF_INET_FORWARD: "forward",
	unix.NF_INET_LOCAL_OUT: "output", unix.NF_INET_POST_ROUTING: "postrouting",
}

var families = map[uint8]string{unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_INET: "inet"}

// Filters are the base chains of the network namespace that can drop packets,
// but lvsform's own, in the order of family, hook and priority.
func Filters() ([]state.Filter, error) {
	if !Loaded() {
		return nil, nil
	}
	r := ruleset{asleep: map[place]bool{}, rules: map[place][]filterRule{}}
	bases, err := r.bases()
	if err != nil {
		return nil, fmt.Errorf("read the packet filter: %w", explain(err))
	}
	var out []state.Filter
	for _, b := range bases {
		f := state.Filter{Family: families[b.family], Table: b.table, Chain: b.chain, Hook: hooks[b.hook], Drops: b.drops}
		w := walk{ruleset: &r}
		if _, err := w.chain(b.place, condition{}, 0); err != nil {
			return nil, fmt.Errorf("read the packet filter: %w", explain(err))
		}
		f.Verdicts = w.verdicts
		drops := func(v state.Verdict) bool { return !v.Accept }
		if (f.Drops || slices.ContainsFunc(f.Verdicts, drops)) && len(out) < mostFilters {
			out = append(out, f)
		}
	}
	return out, nil
}

// place is a chain, or with an empty chain a table.
type place struct {
	family       uint8
	table, chain string
}

type base struct {
	place
	hook     uint32
	priority int32
	drops    bool
}

// ruleset reads chains when they are walked.
type ruleset struct {
	asleep map[place]bool // dormant tables
	rules  map[place][]filterRule
	read   int // rules so far
}

// bases are the base chains of tables that are awake.
func (r *ruleset) bases() (out []base, err error) {
	tables, err := dump(unix.NFT_MSG_GETTABLE, unix.NFPROTO_UNSPEC, nil)
	if err != nil || len(tables) == 0 {
		return nil, err
	}
	for _, m := range tables {
		a := parse(m[generation:])
		const dormant = 1
		r.asleep[place{m[0], getString(a[unix.NFTA_TABLE_NAME]), ""}] = get32(a[unix.NFTA_TABLE_FLAGS])&dormant != 0
	}
	chains, err := dump(unix.NFT_MSG_GETCHAIN, unix.NFPROTO_UNSPEC, nil)
	if err != nil {
		return nil, err
	}
	for _, m := range chains {
		a := parse(m[generation:])
		p := place{m[0], getString(a[unix.NFTA_CHAIN_TABLE]), getString(a[unix.NFTA_CHAIN_NAME])}
		hook := parse(a[unix.NFTA_CHAIN_HOOK])
		number := get32(hook[unix.NFTA_HOOK_HOOKNUM])
		if a[unix.NFTA_CHAIN_HOOK] == nil || hooks[number] == "" || families[p.family] == "" ||
			p.family == unix.NFPROTO_INET && p.table == name || r.asleep[place{p.family, p.table, ""}] {
			continue
		}
		policy := a[unix.NFTA_CHAIN_POLICY]
		out = append(out, base{p, number, int32(get32(hook[unix.NFTA_HOOK_PRIORITY])), len(policy) == 4 && get32(policy) != accept})
	}
	slices.SortStableFunc(out, func(a, b base) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.hook, b.hook), cmp.Compare(a.priority, b.priority),
			cmp.Compare(a.table, b.table), cmp.Compare(a.chain, b.chain))
	})
	return out, nil
}

// chain reads the rules of a chain, once. It tells whether all were read.
func (r *ruleset) chain(p place) (rules []filterRule, all bool, err error) {
	if known, ok := r.rules[p]; ok {
		return known, true, nil
	}
	if r.read > mostRules {
		return nil, false, nil
	}
	messages, err := dump(unix.NFT_MSG_GETRULE, p.family,
		putString(putString(nil, unix.NFTA_RULE_TABLE, p.table), unix.NFTA_RULE_CHAIN, p.chain))
	if err != nil {
		return nil, false, err
	}
	for _, m := range messages {
		a := parse(m[generation:])
		// Old kernels answer with all rules that they have.
		if m[0] == p.family && getString(a[unix.NFTA_RULE_TABLE]) == p.table && getString(a[unix.NFTA_RULE_CHAIN]) == p.chain {
			rule, err := decodeRule(p, a[unix.NFTA_RULE_EXPRESSIONS])
			if err != nil {
				return nil, false, err
			}
			rules = append(rules, rule)
		}
	}
	r.read += len(messages)
	r.rules[p] = rules
	return rules, true, nil
}

// walk goes through a base chain as a packet does.
type walk struct {
	*ruleset
	verdicts []state.Verdict
}

// flow is where every packet goes after a rule.
type flow int

const (
	on      flow = iota // some may go on to the next rule
	leaves              // none goes on, some may go back to the calling chain
	decided             // none goes on
)

// chain adds the verdicts of a chain that packets of a condition come to. It
// tells whether packets may come out at its end.
func (w *walk) chain(p place, c condition, depth int) (through bool, err error) {
	rules, all, err := w.ruleset.chain(p)
	if err != nil {
		return false, err
	}
	if !all || depth > mostDepth {
		w.add(condition{partial: true}, false)
		return true, nil
	}
	for _, rule := range rules {
		goes, err := w.rule(p, rule, &c, depth)
		if err != nil || goes != on {
			return goes == leaves, err
		}
	}
	return true, nil
}

// rule adds the verdicts of one rule. What c is for the rules after it becomes
// partial where some packets have left the chain.
func (w *walk) rule(p place, rule filterRule, c *condition, depth int) (flow, error) {
	for _, v := range rule.verdicts {
		when := c.and(rule.when).and(v.when)
		every := rule.when.any() && v.when.any()
		goes := decided
		switch v.code {
		case accept, drop:
			w.add(when, v.code == accept)
		case unix.NFT_RETURN:
			goes = leaves
		case unix.NFT_JUMP, unix.NFT_GOTO:
			through, err := w.jump(place{p.family, p.table, v.chain}, when, depth+1)
			if err != nil {
				return on, err
			}
			switch {
			case through && v.code == unix.NFT_JUMP:
				goes = on
			case through:
				goes = leaves
			}
		default:
			goes = on
		}
		switch {
		case every && goes != on:
			return goes, nil
		case goes == leaves:
			c.partial = true
		}
	}
	return on, nil
}

func (w *walk) jump(p place, when condition, depth int) (through bool, err error) {
	if when.never || len(w.verdicts) > mostVerdicts {
		return true, nil
	}
	return w.chain(p, when, depth)
}

func (w *walk) add(c condition, accepts bool) {
	switch {
	case c.never || len(w.verdicts) > mostVerdicts:
	case len(w.verdicts) == mostVerdicts:
		w.verdicts = append(w.verdicts, state.Verdict{Partial: true})
	default:
		w.verdicts = append(w.verdicts, state.Verdict{Accept: accepts, Protocol: c.protocol, Ports: c.ports, To: c.to, Partial: c.partial, Replies: c.replies})
	}
}
