//go:build linux

package nft

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// filterRule is a rule of a packet filter.
type filterRule struct {
	when     condition
	verdicts []verdict
}

// drop is NF_DROP of linux/netfilter.h; a rejection is one too.
const drop = 0

// verdict is what becomes of packets: accept, drop, or an NFT_ code.
type verdict struct {
	code  int32
	chain string    // of NFT_JUMP and NFT_GOTO
	when  condition // beside that of the rule
}

// field is what of a packet a register holds.
type field int

const (
	unknown field = iota
	family
	protocol
	port
	destination
	connection // the state of connection tracking
	inputName  // of the interface on which it came
	inputIndex
)

// States of connection tracking, NF_CT_STATE_BIT of
// linux/netfilter/nf_conntrack_common.h.
const (
	established = 1 << 1
	related     = 1 << 2
)

// loopback is the index that lo has in every network namespace.
const loopback = 1

// begun is a condition of packets of connections that are known already.
var begun = condition{partial: true, replies: true}

// operand is the content of a register; of an address bits may be masked.
type operand struct {
	field  field
	bits   int
	states uint32 // that are looked at; of connection
}

// decoder reads a rule's expressions one after the other.
type decoder struct {
	place     place
	rule      filterRule
	version   int // of IP, 4 or 6; 0 is not known
	registers map[uint32]operand
}

func decodeRule(p place, expressions []byte) (filterRule, error) {
	d := decoder{place: p, registers: map[uint32]operand{}}
	switch p.family {
	case unix.NFPROTO_IPV4:
		d.version = 4
	case unix.NFPROTO_IPV6:
		d.version = 6
	}
	var failure error
	each(expressions, func(_ uint16, element []byte) {
		e := parse(element)
		if err := d.expression(getString(e[unix.NFTA_EXPR_NAME]), e[unix.NFTA_EXPR_DATA]); failure == nil {
			failure = err
		}
	})
	return d.rule, failure
}

func (d *decoder) expression(kind string, data []byte) error {
	a := parse(data)
	switch kind {
	case "meta":
		d.meta(a)
	case "payload":
		d.payload(a)
	case "bitwise":
		d.bitwise(a)
	case "cmp":
		d.compare(get32(a[unix.NFTA_CMP_OP]), d.registers[get32(a[unix.NFTA_CMP_SREG])], valueOf(a[unix.NFTA_CMP_DATA]))
	case "range":
		d.within(a)
	case "lookup":
		return d.lookup(a)
	case "immediate":
		if get32(a[unix.NFTA_IMMEDIATE_DREG]) == unix.NFT_REG_VERDICT {
			d.add(verdictOf(a[unix.NFTA_IMMEDIATE_DATA]))
		}
	case "ct":
		if a[unix.NFTA_CT_SREG] == nil {
			o := operand{}
			if get32(a[unix.NFTA_CT_KEY]) == unix.NFT_CT_STATE {
				o.field = connection
			}
			d.registers[get32(a[unix.NFTA_CT_DREG])] = o
		}
	case "reject":
		d.add(verdict{code: drop})
	case "nat", "masq", "redir":
		d.add(verdict{code: accept})
	case "match":
		d.match(getString(a[unix.NFTA_MATCH_NAME]), a[unix.NFTA_MATCH_INFO])
	case "target":
		d.target(getString(a[unix.NFTA_TARGET_NAME]))
	case "queue", "synproxy":
		d.add(verdict{code: drop, when: condition{partial: true}})
	case "counter", "log", "last", "notrack", "dup", "secmark", "flow_offload":
	default: // it may match anything, and leave anything in a register
		d.and(condition{partial: true})
		clear(d.registers)
	}
	return nil
}

func (d *decoder) and(c condition) { d.rule.when = d.rule.when.and(c) }
func (d *decoder) add(v verdict)   { d.rule.verdicts = append(d.rule.verdicts, v) }

func (d *decoder) meta(a attributes) {
	if a[unix.NFTA_META_SREG] != nil {
		return // it sets something
	}
	o := operand{}
	switch get32(a[unix.NFTA_META_KEY]) {
	case unix.NFT_META_NFPROTO:
		o.field = family
	case unix.NFT_META_L4PROTO:
		o.field = protocol
	case unix.NFT_META_IIFNAME:
		o.field = inputName
	case unix.NFT_META_IIF:
		o.field = inputIndex
	}
	d.registers[get32(a[unix.NFTA_META_DREG])] = o
}

func (d *decoder) payload(a attributes) {
	if a[unix.NFTA_PAYLOAD_SREG] != nil {
		return // it writes to the packet
	}
	offset, size := get32(a[unix.NFTA_PAYLOAD_OFFSET]), get32(a[unix.NFTA_PAYLOAD_LEN])
	o := operand{bits: int(size) * 8}
	switch base := get32(a[unix.NFTA_PAYLOAD_BASE]); {
	case base == unix.NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && size == 2:
		o.field = port
	case base != unix.NFT_PAYLOAD_NETWORK_HEADER:
	case d.version == 4 && offset == 9 && size == 1, d.version == 6 && offset == 6 && size == 1:
		o.field = protocol
	case d.version == 4 && offset == 16 && size <= 4, d.version == 6 && offset == 24 && size <= 16:
		o.field = destination
	}
	d.registers[get32(a[unix.NFTA_PAYLOAD_DREG])] = o
}

// bitwise understands the mask of a prefix.
func (d *decoder) bitwise(a attributes) {
	o := d.registers[get32(a[unix.NFTA_BITWISE_SREG])]
	ones, prefix := leadingOnes(valueOf(a[unix.NFTA_BITWISE_MASK]))
	for _, b := range valueOf(a[unix.NFTA_BITWISE_XOR]) {
		prefix = prefix && b == 0
	}
	switch mask := valueOf(a[unix.NFTA_BITWISE_MASK]); {
	case o.field == connection && len(mask) == 4:
		o.states = binary.NativeEndian.Uint32(mask)
	case o.field != destination || !prefix:
		o.field = unknown
	}
	o.bits = min(o.bits, ones)
	d.registers[get32(a[unix.NFTA_BITWISE_DREG])] = o
}

func leadingOnes(mask []byte) (ones int, only bool) {
	total := 0
	for _, b := range mask {
		if ones == total {
			ones += bits.LeadingZeros8(^b)
		} else if b != 0 {
			return ones, false
		}
		total += 8
	}
	return ones, len(mask) > 0 && (ones%8 == 0 || mask[ones/8]<<(ones%8) == 0)
}

func (d *decoder) compare(operator uint32, o operand, value []byte) {
	c := condition{partial: true}
	equal := operator == unix.NFT_CMP_EQ
	switch {
	case o.field == family && equal && len(value) == 1:
		c = d.familyIs(value[0])
	case o.field == protocol && equal && len(value) == 1:
		c = condition{protocol: int(value[0])}
	case o.field == destination && equal:
		if prefix, ok := d.prefix(value, o.bits); ok {
			c = condition{to: prefix}
		}
	case o.field == port && len(value) == 2:
		c = portCondition(operator, binary.BigEndian.Uint16(value))
	case o.field == connection && operator == unix.NFT_CMP_NEQ && isZero(value) && onlyBegun(o.states):
		c = begun
	case o.field == inputName && equal && string(bytes.TrimRight(value, "\x00")) == "lo" && len(value) > len("lo"):
		c = begun
	case o.field == inputIndex && equal && len(value) == 4 && binary.NativeEndian.Uint32(value) == loopback:
		c = begun
	}
	d.and(c)
}

// onlyBegun tells whether states are those of known connections alone.
func onlyBegun(states uint32) bool { return states != 0 && states&^(established|related) == 0 }

func isZero(value []byte) bool {
	return len(value) > 0 && !slices.ContainsFunc(value, func(b byte) bool { return b != 0 })
}

func (d *decoder) familyIs(number byte) condition {
	switch number {
	case unix.NFPROTO_IPV4:
		d.version = 4
		return condition{to: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	case unix.NFPROTO_IPV6:
		d.version = 6
		return condition{to: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return condition{partial: true}
}

// prefix is the network of the first bits of an address.
func (d *decoder) prefix(value []byte, bits int) (netip.Prefix, bool) {
	whole := make([]byte, map[int]int{4: 4, 6: 16}[d.version])
	copy(whole, value)
	a, ok := netip.AddrFromSlice(whole)
	if !ok || bits > a.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, bits).Masked(), true
}

func portCondition(operator uint32, n uint16) condition {
	between := func(low, high int) (out [][2]uint16) {
		if low = max(low, 0); low <= min(high, math.MaxUint16) {
			out = append(out, [2]uint16{uint16(low), uint16(min(high, math.MaxUint16))})
		}
		return out
	}
	var ports [][2]uint16
	switch p := int(n); operator {
	case unix.NFT_CMP_EQ:
		ports = between(p, p)
	case unix.NFT_CMP_NEQ:
		ports = append(between(0, p-1), between(p+1, math.MaxUint16)...)
	case unix.NFT_CMP_LT:
		ports = between(0, p-1)
	case unix.NFT_CMP_LTE:
		ports = between(0, p)
	case unix.NFT_CMP_GT:
		ports = between(p+1, math.MaxUint16)
	case unix.NFT_CMP_GTE:
		ports = between(p, math.MaxUint16)
	default:
		return condition{partial: true}
	}
	return condition{ports: ports, never: ports == nil}
}

func (d *decoder) within(a attributes) {
	from, to := valueOf(a[unix.NFTA_RANGE_FROM_DATA]), valueOf(a[unix.NFTA_RANGE_TO_DATA])
	o := d.registers[get32(a[unix.NFTA_RANGE_SREG])]
	if o.field != port || len(from) != 2 || len(to) != 2 {
		d.and(condition{partial: true})
		return
	}
	low, high := binary.BigEndian.Uint16(from), binary.BigEndian.Uint16(to)
	if get32(a[unix.NFTA_RANGE_OP]) == unix.NFT_RANGE_EQ {
		d.and(portCondition(unix.NFT_CMP_GTE, low).and(portCondition(unix.NFT_CMP_LTE, high)))
		return
	}
	below, above := portCondition(unix.NFT_CMP_LT, low), portCondition(unix.NFT_CMP_GT, high)
	ports := append(below.ports, above.ports...)
	d.and(condition{ports: ports, never: ports == nil})
}

// valueOf is the value of an attribute that nests data.
func valueOf(data []byte) []byte { return parse(data)[unix.NFTA_DATA_VALUE] }

func verdictOf(data []byte) verdict {
	a := parse(parse(data)[unix.NFTA_DATA_VERDICT])
	return verdict{code: int32(get32(a[unix.NFTA_VERDICT_CODE])), chain: getString(a[unix.NFTA_VERDICT_CHAIN])}
}
