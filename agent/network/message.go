//go:build linux

package network

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/netlink"
)

var native = binary.NativeEndian

// dump asks for everything of a kind.
func dump(request uint16, body []byte) ([][]byte, error) {
	messages, err := netlink.Ask(unix.NETLINK_ROUTE, request, unix.NLM_F_DUMP, body)
	// A kernel without IPv6 has none of it.
	if len(body) > 0 && body[0] == unix.AF_INET6 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)) {
		return nil, nil
	}
	return messages, err
}

// send makes one request and waits for its acknowledgement.
func send(request uint16, flags int, body []byte) error {
	_, err := netlink.Ask(unix.NETLINK_ROUTE, request, flags|unix.NLM_F_ACK, body)
	return err
}

// attributes are those of one message by their numbers, nil where absent. The
// size is above the largest number of the kinds that are read here.
type attributes [96][]byte

// parse reads the attributes after a header of that size. What is cut short is
// left out.
func parse(message []byte, header int) attributes {
	var out attributes
	each(message, header, func(kind uint16, value []byte) {
		if int(kind) < len(out) {
			out[kind] = value
		}
	})
	return out
}

func each(message []byte, header int, f func(kind uint16, value []byte)) {
	if len(message) < header {
		return
	}
	for b := message[header:]; len(b) >= unix.SizeofRtAttr; {
		size := int(native.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		f(native.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:size])
		b = b[min(align(size), len(b)):]
	}
}

func align(size int) int { return (size + 3) &^ 3 }

// put appends an attribute.
func put(b []byte, kind uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = native.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func put32(b []byte, kind uint16, value uint32) []byte {
	return put(b, kind, native.AppendUint32(nil, value))
}

func putString(b []byte, kind uint16, value string) []byte {
	return put(b, kind, append([]byte(value), 0))
}

func get32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return native.Uint32(b)
}

func getString(b []byte) string { return unix.ByteSliceToString(b) }

// getAddr reads an address; the unspecified one is none.
func getAddr(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
