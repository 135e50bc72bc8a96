//go:build linux

package nft

import "encoding/binary"

// match understands those matches of iptables that are about ports.
func (d *decoder) match(name string, info []byte) {
	c := condition{partial: true}
	switch {
	case name == "comment":
		c = condition{}
	case name == "tcp" && len(info) >= 12: // struct xt_tcp: …, option u8, mask u8, flags u8, inverted u8
		c = portsMatch(info, info[8] != 0 || info[9] != 0 || info[11] != 0)
	case name == "udp" && len(info) >= 9: // struct xt_udp: …, inverted u8
		c = portsMatch(info, info[8] != 0)
	case name == "multiport" && len(info) >= 48:
		c = multiport(info)
	case name == "conntrack" && len(info) >= 154:
		c = conntrack(info)
	}
	d.and(c)
}

// portsMatch reads how struct xt_tcp and struct xt_udp begin: the first and
// last source port, the first and last destination port.
func portsMatch(info []byte, more bool) condition {
	at := func(i int) uint16 { return binary.NativeEndian.Uint16(info[2*i:]) }
	c := condition{partial: more || at(0) != 0 || at(1) != 0xffff}
	if !more && (at(2) != 0 || at(3) != 0xffff) {
		c.ports = [][2]uint16{{at(2), at(3)}}
	}
	return c
}

// multiport reads struct xt_multiport_v1: what is matched u8, count u8, 15
// ports u16, 15 marks of a range's first port u8, inverted u8.
func multiport(info []byte) condition {
	const destinations = 1
	count := int(info[1])
	if info[0] != destinations || info[47] != 0 || count > 15 {
		return condition{partial: true}
	}
	var c condition
	for i := 0; i < count; i++ {
		low := binary.NativeEndian.Uint16(info[2+2*i:])
		high := low
		if info[32+i] != 0 && i+1 < count {
			i++
			high = binary.NativeEndian.Uint16(info[2+2*i:])
		}
		c.ports = append(c.ports, [2]uint16{low, high})
	}
	return c
}

// conntrack reads what the three versions of struct xt_conntrack_mtinfo have in
// common: at byte 146 what is matched u16, what of it is inverted u16, and the
// states u16 (XT_CONNTRACK_STATE_BIT, as nftables has them; version 1 has u8).
func conntrack(info []byte) condition {
	const state = 1 // XT_CONNTRACK_STATE
	at := func(i int) uint16 { return binary.NativeEndian.Uint16(info[i:]) }
	if at(146)&state != 0 && at(148)&state == 0 && onlyBegun(uint32(at(150))) {
		return begun
	}
	return condition{partial: true}
}

// target understands those of iptables that end a packet's way.
func (d *decoder) target(name string) {
	switch name {
	case "REJECT", "DROP", "TARPIT":
		d.add(verdict{code: drop})
	case "SNAT", "DNAT", "MASQUERADE", "REDIRECT", "NETMAP", "ACCEPT":
		d.add(verdict{code: accept})
	case "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CHECKSUM", "NOTRACK", "CT", "TOS", "DSCP", "CLASSIFY", "SET", "TRACE", "AUDIT":
	default:
		d.add(verdict{code: drop, when: condition{partial: true}})
	}
}
