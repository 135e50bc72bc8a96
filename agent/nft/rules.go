//go:build linux

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// accept is NF_ACCEPT of linux/netfilter.h.
const accept = 1

// chain is a base chain.
type chain struct {
	kind     string // filter, route or nat
	hook     uint32
	priority int32
}

// chains are those of the table; each is there while it has a rule. Marks are
// set before IPVS looks at a packet, on its way in and on its way out of the
// director's own programs. The names are no words of nft(8).
var chains = map[string]chain{
	"mark-prerouting":        {"filter", unix.NF_INET_PRE_ROUTING, -150},
	"mark-output":            {"route", unix.NF_INET_LOCAL_OUT, -150},
	"masquerade-postrouting": {"nat", unix.NF_INET_POST_ROUTING, 100},
}

// message are the attributes that create the chain.
func (c chain) message(chainName string) []byte { return c.messageOf(name, chainName) }

func (c chain) messageOf(table, chainName string) []byte {
	b := putString(nil, unix.NFTA_CHAIN_TABLE, table)
	b = putString(b, unix.NFTA_CHAIN_NAME, chainName)
	hook := put32(nil, unix.NFTA_HOOK_HOOKNUM, c.hook)
	hook = put32(hook, unix.NFTA_HOOK_PRIORITY, uint32(c.priority))
	b = put(b, unix.NFTA_CHAIN_HOOK|unix.NLA_F_NESTED, hook)
	b = put32(b, unix.NFTA_CHAIN_POLICY, accept)
	return putString(b, unix.NFTA_CHAIN_TYPE, c.kind)
}

// rule is one rule of the table.
type rule struct {
	chain       string
	tag         string // of the object that it belongs to; a comment for nft(8)
	expressions []byte // NFTA_LIST_ELEMs
}

func (r rule) message() []byte {
	b := putString(nil, unix.NFTA_RULE_TABLE, name)
	b = putString(b, unix.NFTA_RULE_CHAIN, r.chain)
	b = put(b, unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, r.expressions)
	return put(b, unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.tag))
}

// maxTag is the longest comment that nft(8) shows.
const maxTag = 127

// tagOf is an object as the one line of text that marks its rules.
func tagOf(o state.Object) string {
	switch o := o.(type) {
	case state.Mark:
		return fmt.Sprintf("mark %s %s %s %d", o.Protocol, o.Address, o.Ports, o.Mark)
	case state.Masquerade:
		source := "interface"
		if o.Source.IsValid() {
			source = o.Source.String()
		}
		tag := fmt.Sprintf("masquerade %s %s %d %s %s", o.Protocol, o.VIP, o.Port, o.To, source)
		if o.Idle {
			tag += idleTag
		}
		return tag
	}
	return ""
}

// idleTag marks the rule of a masquerade that is idle.
const idleTag = " idle"

// objectOf is the object of a tag, nil where it is none of ours.
func objectOf(tag string) state.Object {
	var o state.Object
	line, idle := strings.CutSuffix(tag, idleTag)
	switch f := strings.Fields(line); {
	case len(f) == 5 && f[0] == "mark":
		o = state.Mark{Protocol: f[1], Address: addr(f[2]), Ports: f[3], Mark: uint32(number(f[4], 32))}
	case len(f) == 6 && f[0] == "masquerade":
		o = state.Masquerade{Protocol: f[1], VIP: addr(f[2]), Port: uint16(number(f[3], 16)), To: addr(f[4]), Source: addr(f[5]), Idle: idle}
	}
	if o == nil || check(o) != nil || tagOf(o) != tag {
		return nil
	}
	return o
}

func addr(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}

func number(text string, bits int) uint64 {
	n, _ := strconv.ParseUint(text, 10, bits)
	return n
}

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// check refuses what no rule can be made of.
func check(o state.Object) error {
	switch o := o.(type) {
	case state.Mark:
		ranges, err := portRanges(o.Ports)
		switch {
		case err != nil:
			return err
		case len(ranges) == 0 || protocols[o.Protocol] == 0 || !plain(o.Address):
			return errors.New("a mark needs a protocol (tcp, udp or sctp), an address and ports")
		case o.Mark == 0:
			return errors.New("mark 0 is no mark")
		case len(tagOf(o)) > maxTag:
			return fmt.Errorf("%d ports are too many for one mark: make two of the same number", len(ranges))
		}
	case state.Masquerade:
		same := func(a netip.Addr) bool { return plain(a) && a.Is4() == o.VIP.Is4() }
		switch {
		case protocols[o.Protocol] == 0 || !same(o.VIP) || !same(o.To):
			return errors.New("a masquerade needs a protocol (tcp, udp or sctp), and a VIP and a real server of one address family")
		case o.Source.IsValid() && (!same(o.Source) || o.Source.IsUnspecified()):
			return fmt.Errorf("source %s is no address of the family of %s", o.Source, o.To)
		}
	default:
		return fmt.Errorf("%s is no object of nftables", o.Key())
	}
	return nil
}

func plain(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }

// portRanges parses "80,443,8000-8100".
func portRanges(text string) (out [][2]uint16, err error) {
	for item := range strings.SplitSeq(text, ",") {
		low, high, ranged := strings.Cut(item, "-")
		if !ranged {
			high = low
		}
		from, err := strconv.ParseUint(low, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("ports %q: %q is no port", text, item)
		}
		to, err := strconv.ParseUint(high, 10, 16)
		if err != nil || to < from {
			return nil, fmt.Errorf("ports %q: %q is no range of ports", text, item)
		}
		out = append(out, [2]uint16{uint16(from), uint16(to)})
	}
	return out, nil
}

// rulesOf are the rules that make an object, which check has let pass.
func rulesOf(o state.Object) (rules []rule) {
	tag := tagOf(o)
	switch o := o.(type) {
	case state.Mark:
		ranges, _ := portRanges(o.Ports)
		for _, ports := range ranges {
			e := markRule(o, ports)
			rules = append(rules, rule{"mark-prerouting", tag, e}, rule{"mark-output", tag, e})
		}
	case state.Masquerade:
		rules = append(rules, rule{"masquerade-postrouting", tag, masqueradeRule(o)})
	}
	return rules
}

// register is the one that every rule uses.
const register = unix.NFT_REG_1

// expressions of a rule, as they are put together.
type expressions struct{ data []byte }

// add appends an expression with these attributes.
func (e *expressions) add(kind string, data []byte) {
	b := putString(make([]byte, 0, 128), unix.NFTA_EXPR_NAME, kind)
	e.data = put(e.data, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, put(b, unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, data))
}

func (e *expressions) compare(operator uint32, value []byte) {
	b := put32(make([]byte, 0, 64), unix.NFTA_CMP_SREG, register)
	b = put32(b, unix.NFTA_CMP_OP, operator)
	e.add("cmp", put(b, unix.NFTA_CMP_DATA|unix.NLA_F_NESTED, put(nil, unix.NFTA_DATA_VALUE, value)))
}

func (e *expressions) equals(value []byte) { e.compare(unix.NFT_CMP_EQ, value) }

func (e *expressions) load(value []byte) {
	b := put32(make([]byte, 0, 64), unix.NFTA_IMMEDIATE_DREG, register)
	e.add("immediate", put(b, unix.NFTA_IMMEDIATE_DATA|unix.NLA_F_NESTED, put(nil, unix.NFTA_DATA_VALUE, value)))
}

// meta loads a packet's property into the register, or sets it from there.
func (e *expressions) meta(key uint32, direction uint16) {
	e.add("meta", put32(put32(nil, unix.NFTA_META_KEY, key), direction, register))
}

func (e *expressions) payload(base, offset, size uint32) {
	b := put32(make([]byte, 0, 64), unix.NFTA_PAYLOAD_DREG, register)
	b = put32(b, unix.NFTA_PAYLOAD_BASE, base)
	e.add("payload", put32(put32(b, unix.NFTA_PAYLOAD_OFFSET, offset), unix.NFTA_PAYLOAD_LEN, size))
}

func (e *expressions) family(a netip.Addr) {
	e.meta(unix.NFT_META_NFPROTO, unix.NFTA_META_DREG)
	e.equals([]byte{familyOf(a)})
}

func (e *expressions) protocol(name string) {
	e.meta(unix.NFT_META_L4PROTO, unix.NFTA_META_DREG)
	e.equals([]byte{protocols[name]})
}

// destination compares the packet's own destination, after its family.
func (e *expressions) destination(a netip.Addr) {
	if a.Is4() {
		e.payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4)
	} else {
		e.payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16)
	}
	e.equals(a.AsSlice())
}

// original compares what the first packet of the connection had.
func (e *expressions) original(key uint32, value []byte) {
	b := put32(make([]byte, 0, 64), unix.NFTA_CT_KEY, key)
	b = put32(b, unix.NFTA_CT_DREG, register)
	e.add("ct", put(b, unix.NFTA_CT_DIRECTION, []byte{0}))
	e.equals(value)
}

// Keys of linux/netfilter/nf_tables.h: what rules of the family inet ask for.
const (
	originalIP4  = unix.NFT_CT_DST_IP
	originalIP6  = unix.NFT_CT_DST_IP6
	originalPort = unix.NFT_CT_PROTO_DST
)

// The order of expressions is that in which nft(8) puts what it lists: a saved
// table that is loaded again is the same.

func markRule(m state.Mark, ports [2]uint16) []byte {
	e := expressions{make([]byte, 0, 512)}
	e.family(m.Address)
	e.destination(m.Address)
	e.protocol(m.Protocol)
	e.payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
	from, to := binary.BigEndian.AppendUint16(nil, ports[0]), binary.BigEndian.AppendUint16(nil, ports[1])
	if ports[0] == ports[1] {
		e.equals(from)
	} else {
		e.compare(unix.NFT_CMP_GTE, from)
		e.compare(unix.NFT_CMP_LTE, to)
	}
	e.load(binary.NativeEndian.AppendUint32(nil, m.Mark))
	e.meta(unix.NFT_META_MARK, unix.NFTA_META_SREG)
	return e.data
}

// masqueradeRule has no effect for an idle masquerade. It stands all the same:
// while there is a rule the chain is there, and with it the kernel goes on
// translating the connections that it has translated before.
func masqueradeRule(m state.Masquerade) []byte {
	e := expressions{make([]byte, 0, 640)}
	e.family(m.VIP)
	e.destination(m.To)
	if m.VIP.Is4() {
		e.original(originalIP4, m.VIP.AsSlice())
	} else {
		e.original(originalIP6, m.VIP.AsSlice())
	}
	e.protocol(m.Protocol)
	if m.Port != 0 {
		e.original(originalPort, binary.BigEndian.AppendUint16(nil, m.Port))
	}
	if m.Idle {
		return e.data
	}
	if !m.Source.IsValid() {
		e.add("masq", nil)
		return e.data
	}
	e.load(m.Source.AsSlice())
	b := put32(make([]byte, 0, 64), unix.NFTA_NAT_TYPE, unix.NFT_NAT_SNAT)
	b = put32(b, unix.NFTA_NAT_FAMILY, uint32(familyOf(m.To)))
	e.add("nat", put32(put32(b, unix.NFTA_NAT_REG_ADDR_MIN, register), unix.NFTA_NAT_REG_ADDR_MAX, register))
	return e.data
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}
