//go:build linux

package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The layout of messages: linux/netlink.h, linux/genetlink.h.
const (
	netlinkHeader = unix.SizeofNlMsghdr // length u32, type u16, flags u16, sequence u32, port u32
	genericHeader = unix.GENL_HDRLEN    // command u8, version u8, reserved u16
	headers       = netlinkHeader + genericHeader
	attrHeader    = unix.SizeofNlAttr // length u16, type u16
	attrTypeMask  = 0x3fff            // NLA_TYPE_MASK
)

var errMalformed = errors.New("malformed netlink message from the kernel")

func align(n int) int { return (n + 3) &^ 3 }

// beginMessage appends the headers of a request; endMessage completes it. The
// sequence number is set when the message is sent.
func beginMessage(b []byte, family, flags uint16, cmd uint8) (message []byte, start int) {
	start = len(b)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, family)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	return append(b, cmd, 1, 0, 0), start
}

func endMessage(b []byte, start int) {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
}

func setSequence(message []byte, seq uint32) {
	binary.NativeEndian.PutUint32(message[8:], seq)
}

func addFlags(message []byte, flags uint16) {
	old := binary.NativeEndian.Uint16(message[6:])
	binary.NativeEndian.PutUint16(message[6:], old|flags)
}

// appendNest appends an attribute made of attributes.
func appendNest[T any](b []byte, kind uint16, record *T, attrs func([]byte, *T) []byte) []byte {
	start := len(b)
	b = attrs(appendHeader(b, kind, 0), record)
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

func appendHeader(b []byte, kind uint16, size int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+size))
	return binary.NativeEndian.AppendUint16(b, kind)
}

func appendUint8(b []byte, kind uint16, v uint8) []byte {
	return append(appendHeader(b, kind, 1), v, 0, 0, 0)
}

func appendUint16(b []byte, kind, v uint16) []byte {
	b = binary.NativeEndian.AppendUint16(appendHeader(b, kind, 2), v)
	return append(b, 0, 0)
}

// appendPort appends a number in network byte order.
func appendPort(b []byte, kind, v uint16) []byte {
	b = binary.BigEndian.AppendUint16(appendHeader(b, kind, 2), v)
	return append(b, 0, 0)
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	return binary.NativeEndian.AppendUint32(appendHeader(b, kind, 4), v)
}

func appendBytes(b []byte, kind uint16, v []byte) []byte {
	b = append(appendHeader(b, kind, len(v)), v...)
	return append(b, make([]byte, align(len(v))-len(v))...)
}

// appendString appends a string with its terminating zero.
func appendString(b []byte, kind uint16, v string) []byte {
	b = append(append(appendHeader(b, kind, len(v)+1), v...), 0)
	return append(b, make([]byte, align(len(v)+1)-len(v)-1)...)
}

// attrReader walks over attributes. The value of the attribute in hand is read
// by the method of its type; the first one of a wrong size sets err and ends
// the walk.
type attrReader struct {
	rest  []byte
	kind  uint16
	value []byte
	err   error
}

func (r *attrReader) next() bool {
	if r.err != nil || len(r.rest) == 0 {
		return false
	}
	if len(r.rest) < attrHeader {
		r.err = errMalformed
		return false
	}
	size := int(binary.NativeEndian.Uint16(r.rest))
	if size < attrHeader || size > len(r.rest) {
		r.err = errMalformed
		return false
	}
	r.kind = binary.NativeEndian.Uint16(r.rest[2:]) & attrTypeMask
	r.value = r.rest[attrHeader:size]
	r.rest = r.rest[min(align(size), len(r.rest)):]
	return true
}

// sized returns the value, or zeros when it has another size.
func (r *attrReader) sized(n int) []byte {
	if len(r.value) != n {
		r.err = fmt.Errorf("%w: attribute %d has %d bytes, want %d", errMalformed, r.kind, len(r.value), n)
		return make([]byte, n)
	}
	return r.value
}

func (r *attrReader) uint8() uint8   { return r.sized(1)[0] }
func (r *attrReader) uint16() uint16 { return binary.NativeEndian.Uint16(r.sized(2)) }
func (r *attrReader) port() uint16   { return binary.BigEndian.Uint16(r.sized(2)) }
func (r *attrReader) uint32() uint32 { return binary.NativeEndian.Uint32(r.sized(4)) }
func (r *attrReader) string() string { return unix.ByteSliceToString(r.value) }

// message is one netlink message.
type message struct {
	kind, flags uint16
	seq         uint32
	payload     []byte
}

// nextMessage splits the first message off a datagram.
func nextMessage(b []byte) (m message, rest []byte, err error) {
	if len(b) < netlinkHeader {
		return m, nil, errMalformed
	}
	size := binary.NativeEndian.Uint32(b)
	if size < netlinkHeader || uint64(size) > uint64(len(b)) {
		return m, nil, errMalformed
	}
	m = message{
		kind:    binary.NativeEndian.Uint16(b[4:]),
		flags:   binary.NativeEndian.Uint16(b[6:]),
		seq:     binary.NativeEndian.Uint32(b[8:]),
		payload: b[netlinkHeader:size],
	}
	return m, b[min(align(int(size)), len(b)):], nil
}

// refusal is the kernel's error on one message.
type refusal struct {
	errno unix.Errno
	text  string // the kernel's own words, seldom there
}

func (r *refusal) Error() string {
	if r.text != "" {
		return r.text + " (" + r.errno.Error() + ")"
	}
	return r.errno.Error()
}

func (r *refusal) Unwrap() error { return r.errno }

// refused decodes the payload of NLMSG_ERROR (struct nlmsgerr): nil for an
// acknowledgement.
func refused(m message) error {
	if len(m.payload) < 4 {
		return errMalformed
	}
	errno := int32(binary.NativeEndian.Uint32(m.payload))
	if errno == 0 {
		return nil
	}
	r := &refusal{errno: unix.Errno(-errno)}
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.payload) < 4+netlinkHeader {
		return r
	}
	echoed := netlinkHeader
	if m.flags&unix.NLM_F_CAPPED == 0 { // the whole request comes back, not its header alone
		echoed = align(int(binary.NativeEndian.Uint32(m.payload[4:])))
	}
	if echoed < netlinkHeader || 4+echoed > len(m.payload) {
		return r
	}
	attrs := attrReader{rest: m.payload[4+echoed:]}
	for attrs.next() {
		if attrs.kind == unix.NLMSGERR_ATTR_MSG {
			r.text = attrs.string()
		}
	}
	return r
}
