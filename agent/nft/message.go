//go:build linux

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/netlink"
)

const (
	// generation is struct nfgenmsg of linux/netfilter/nfnetlink.h: family u8,
	// version u8, resource u16.
	generation = 4
	subsystem  = unix.NFNL_SUBSYS_NFTABLES << 8
	// answers is the room for the kernel's refusals; in bytes as it counts them.
	answers = 1 << 20
)

// dump asks for everything of a kind and returns the messages without their
// headers.
func dump(request uint16, family uint8, attributes []byte) ([][]byte, error) {
	messages, err := netlink.Ask(unix.NETLINK_NETFILTER, subsystem|request, unix.NLM_F_DUMP, append([]byte{family, 0, 0, 0}, attributes...))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(messages, func(m []byte) bool { return len(m) < generation }), nil
}

// attributes are those of one message or nest by their numbers, nil where
// absent. The size is above the largest number that is read here.
type attributes [32][]byte

// parse reads attributes. What is cut short is left out.
func parse(b []byte) (out attributes) {
	each(b, func(kind uint16, value []byte) {
		if int(kind) < len(out) {
			out[kind] = value
		}
	})
	return out
}

func each(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

// put appends an attribute.
func put(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func putString(b []byte, kind uint16, value string) []byte {
	return put(b, kind, append([]byte(value), 0))
}

// put32 appends a number in network byte order, as all of nftables are.
func put32(b []byte, kind uint16, value uint32) []byte {
	return put(b, kind, binary.BigEndian.AppendUint32(nil, value))
}

func get32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func getString(b []byte) string { return unix.ByteSliceToString(b) }

// batch is messages that the kernel carries out all together or not at all.
type batch struct {
	data  []byte
	count uint32 // of messages so far, which number them
	last  int    // where the last one starts
}

func newBatch() *batch {
	b := &batch{}
	b.add(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, nil)
	binary.BigEndian.PutUint16(b.data[unix.SizeofNlMsghdr+2:], unix.NFNL_SUBSYS_NFTABLES)
	return b
}

func (b *batch) add(kind uint16, flags uint16, family uint8, attributes []byte) {
	b.count++
	b.last = len(b.data)
	size := unix.SizeofNlMsghdr + generation + len(attributes)
	b.data = binary.NativeEndian.AppendUint32(b.data, uint32(size))
	b.data = binary.NativeEndian.AppendUint16(b.data, kind)
	b.data = binary.NativeEndian.AppendUint16(b.data, unix.NLM_F_REQUEST|flags)
	b.data = binary.NativeEndian.AppendUint32(b.data, b.count)
	b.data = append(b.data, 0, 0, 0, 0, family, unix.NFNETLINK_V0, 0, 0)
	b.data = append(b.data, attributes...)
}

// send hands the batch to the kernel.
func (b *batch) send() error {
	fd, err := openSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost
	return b.sendBy(fd)
}

func openSocket() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd) //nolint:errcheck // nothing is lost
		return 0, err
	}
	return fd, nil
}

// sendBy sends by a socket. Only the last message asks for an answer: refusals
// come in any case, so that many messages need no room for answers.
func (b *batch) sendBy(fd int) error {
	flags := binary.NativeEndian.Uint16(b.data[b.last+6:])
	binary.NativeEndian.PutUint16(b.data[b.last+6:], flags|unix.NLM_F_ACK)
	answered := b.count
	b.add(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, nil)
	binary.BigEndian.PutUint16(b.data[b.last+unix.SizeofNlMsghdr+2:], unix.NFNL_SUBSYS_NFTABLES)

	// The kernel takes a batch only in one piece, and not more than this.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, len(b.data)+1<<10)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, answers)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	for {
		err := unix.Sendto(fd, b.data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err == nil {
			return receive(fd, answered)
		}
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive reads the answers to a batch, which are all there when it was sent.
func receive(fd int, answered uint32) (failure error) {
	buffer := make([]byte, 64<<10)
	done, lost := false, false
	for {
		n, _, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS): // refusals beyond the room for them
			lost = true
			continue
		case errors.Is(err, unix.EAGAIN):
			if failure == nil && (!done || lost) {
				failure = errors.New("the kernel's answer is lost")
			}
			return failure
		case err != nil:
			return err
		}
		for b := buffer[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr+4 || size > len(b) {
				break
			}
			if err := refusal(b[:size]); err != nil && failure == nil {
				failure = err
			}
			done = done || binary.NativeEndian.Uint32(b[8:]) == answered
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// refusal is the error of an NLMSG_ERROR message, nil where it says success.
func refusal(m []byte) error {
	if binary.NativeEndian.Uint16(m[4:]) != unix.NLMSG_ERROR {
		return nil
	}
	errno := -int32(binary.NativeEndian.Uint32(m[unix.SizeofNlMsghdr:]))
	if errno == 0 {
		return nil
	}
	err := error(unix.Errno(errno))
	const echoed = unix.SizeofNlMsghdr + 4 + unix.SizeofNlMsghdr
	flags := binary.NativeEndian.Uint16(m[6:])
	if flags&unix.NLM_F_ACK_TLVS != 0 && flags&unix.NLM_F_CAPPED != 0 && len(m) > echoed {
		if text := getString(parse(m[echoed:])[unix.NLMSGERR_ATTR_MSG]); text != "" {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return err
}
