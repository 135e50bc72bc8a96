//go:build linux

package nft

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// found is lvsform's table as the kernel has it.
type found struct {
	there bool
	// foreign says that something is in the way of every rule: a rule that is
	// none of ours may take packets first, a chain may hang elsewhere.
	foreign bool
	rules   map[string]*tagged
	damage
}

// tagged are the rules of one tag.
type tagged struct {
	object state.Object
	have   []string // their chains and expressions
}

// damage is a table as it was found, to be written again.
type damage struct {
	flags         uint32 // of the table
	chains, rules [][]byte
}

func (d *damage) write(b *batch, there bool) {
	remove(b, there)
	addTable(b, d.flags)
	for _, m := range d.chains {
		addChain(b, m)
	}
	for _, m := range d.rules {
		addRule(b, m)
	}
}

// only are those attributes of a message that a request may have.
func only(m []byte, numbers ...uint16) (out []byte) {
	each(m[generation:], func(kind uint16, value []byte) {
		if slices.Contains(numbers, kind) {
			out = put(out, kind, value)
		}
	})
	return out
}

func read() (t found, err error) {
	tables, err := dump(unix.NFT_MSG_GETTABLE, unix.NFPROTO_INET, nil)
	for _, m := range tables {
		a := parse(m[generation:])
		if m[0] == unix.NFPROTO_INET && getString(a[unix.NFTA_TABLE_NAME]) == name {
			const dormant = 1
			t.there, t.flags = true, get32(a[unix.NFTA_TABLE_FLAGS])
			t.foreign = t.flags&dormant != 0
		}
	}
	if err == nil && t.there {
		if err = t.readChains(); err == nil {
			err = t.readRules()
		}
	}
	if err != nil {
		return t, fmt.Errorf("read the nftables table %s: %w", name, explain(err))
	}
	return t, nil
}

func (t *found) readChains() error {
	messages, err := dump(unix.NFT_MSG_GETCHAIN, unix.NFPROTO_INET, nil)
	if err != nil {
		return err
	}
	for _, m := range messages {
		a := parse(m[generation:])
		if m[0] != unix.NFPROTO_INET || getString(a[unix.NFTA_CHAIN_TABLE]) != name {
			continue
		}
		t.damage.chains = append(t.damage.chains, only(m, unix.NFTA_CHAIN_TABLE, unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_HOOK,
			unix.NFTA_CHAIN_POLICY, unix.NFTA_CHAIN_TYPE))
		hook := parse(a[unix.NFTA_CHAIN_HOOK])
		have := chain{getString(a[unix.NFTA_CHAIN_TYPE]), get32(hook[unix.NFTA_HOOK_HOOKNUM]), int32(get32(hook[unix.NFTA_HOOK_PRIORITY]))}
		if want, ours := chains[getString(a[unix.NFTA_CHAIN_NAME])]; !ours || have != want || get32(a[unix.NFTA_CHAIN_POLICY]) != accept {
			t.foreign = true
		}
	}
	return nil
}

func (t *found) readRules() error {
	messages, err := dump(unix.NFT_MSG_GETRULE, unix.NFPROTO_INET, putString(nil, unix.NFTA_RULE_TABLE, name))
	if err != nil {
		return err
	}
	t.rules = map[string]*tagged{}
	for _, m := range messages {
		a := parse(m[generation:])
		if m[0] != unix.NFPROTO_INET || getString(a[unix.NFTA_RULE_TABLE]) != name {
			continue
		}
		t.damage.rules = append(t.damage.rules, only(m, unix.NFTA_RULE_TABLE, unix.NFTA_RULE_CHAIN, unix.NFTA_RULE_EXPRESSIONS,
			unix.NFTA_RULE_USERDATA))
		tag := comment(a[unix.NFTA_RULE_USERDATA])
		rules := t.rules[tag]
		if rules == nil {
			rules = &tagged{object: objectOf(tag)}
			if rules.object == nil {
				t.foreign = true
				continue
			}
			t.rules[tag] = rules
		}
		rules.have = append(rules.have, getString(a[unix.NFTA_RULE_CHAIN])+canonical(a[unix.NFTA_RULE_EXPRESSIONS]))
	}
	return nil
}

// comment reads a rule's comment. It is looked for by hand because whoever
// wrote the rule may have written anything.
func comment(data []byte) string {
	if len(data) < 2 || userdata.Type(data[0]) != userdata.TypeComment || len(data) != 2+int(data[1]) {
		return ""
	}
	return getString(data[2:])
}

// tagged are the objects that the rules' tags speak of.
func (t found) tagged() map[state.Key]state.Object {
	out := map[state.Key]state.Object{}
	for _, tag := range slices.Sorted(maps.Keys(t.rules)) {
		o := t.rules[tag].object
		out[o.Key()] = o
	}
	return out
}

// objects are the same as their rules have them: a tag alone is not trusted.
func (t found) objects() state.Objects {
	out := t.tagged()
	seen := map[state.Key]bool{}
	for _, rules := range t.rules {
		key := rules.object.Key()
		slices.Sort(rules.have)
		if seen[key] || t.foreign || !slices.Equal(expected(rules.object), rules.have) {
			out[key] = breakUp(rules.object)
		}
		seen[key] = true
	}
	list := state.Objects(slices.Collect(maps.Values(out)))
	list.Sort()
	return list
}

func expected(o state.Object) (out []string) {
	for _, r := range rulesOf(o) {
		out = append(out, r.chain+canonical(r.expressions))
	}
	slices.Sort(out)
	return out
}

// breakUp gives an object a value that none can be declared with.
func breakUp(o state.Object) state.Object {
	switch o := o.(type) {
	case state.Mark:
		o.Mark = 0
		return o
	case state.Masquerade:
		o.Source = netip.IPv6Unspecified()
		if o.VIP.Is4() {
			o.Source = netip.IPv4Unspecified()
		}
		return o
	}
	return o
}

func broken(o state.Object) bool { return breakUp(o) == o }

// understood is the largest number of an attribute that each kind of expression
// has. What a newer kernel adds to its answers beyond is left out.
var understood = map[string]uint16{
	"meta": unix.NFTA_META_SREG, "cmp": unix.NFTA_CMP_DATA, "payload": unix.NFTA_PAYLOAD_CSUM_FLAGS,
	"ct": unix.NFTA_CT_SREG, "immediate": unix.NFTA_IMMEDIATE_DATA,
	"nat": unix.NFTA_NAT_FLAGS, "masq": unix.NFTA_MASQ_REG_PROTO_MAX,
}

// canonical is a rule's expressions in a form that is the same for what is sent
// to the kernel and for its answer.
func canonical(expressions []byte) string {
	text := make([]byte, 0, len(expressions))
	each(expressions, func(_ uint16, element []byte) {
		a := parse(element)
		kind := getString(a[unix.NFTA_EXPR_NAME])
		most, known := understood[kind]
		data := parse(a[unix.NFTA_EXPR_DATA])
		text = append(append(text, kind...), 0)
		for number, value := range data {
			if value != nil && (!known || uint16(number) <= most) && !implied(kind, number, value) {
				value = plainValue(kind, number, value)
				text = append(append(text, byte(number), byte(len(value))), value...)
			}
		}
		text = append(text, 0)
	})
	return string(text)
}

// implied tells whether an attribute is a flag that newer kernels say beside
// the address that source NAT has.
func implied(kind string, number int, value []byte) bool {
	const mapAddresses = 1 // NF_NAT_RANGE_MAP_IPS of linux/netfilter/nf_nat.h
	return kind == "nat" && number == unix.NFTA_NAT_FLAGS && get32(value)&^mapAddresses == 0
}

// plainValue is an attribute's value without the flags of a nest, which differ
// between what is sent and what is answered.
func plainValue(kind string, number int, value []byte) []byte {
	if nested := kind == "cmp" && number == unix.NFTA_CMP_DATA || kind == "immediate" && number == unix.NFTA_IMMEDIATE_DATA; !nested {
		return value
	}
	var out []byte
	each(value, func(kind uint16, value []byte) { out = append(append(out, byte(kind)), value...) })
	return out
}
