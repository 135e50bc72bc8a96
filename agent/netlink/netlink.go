//go:build linux

// Package netlink asks the kernel over netlink.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// answerTimeout is how long to wait for the kernel, in seconds. It works off
	// a request before it has taken it, so that this is never reached.
	answerTimeout = 60
	// datagramRoom is more than the kernel puts into a datagram of the kinds
	// that are asked for here, in bytes.
	datagramRoom = 64 << 10
	// tries is how often a dump is asked for that a change has torn.
	tries = 20
)

var (
	native       = binary.NativeEndian
	errTorn      = errors.New("it keeps changing while it is read")
	errMalformed = errors.New("the kernel's answer is malformed")
)

// Ask makes one request and returns the messages of the answer, without their
// headers. The flags are beside NLM_F_REQUEST; what has no answer of its own
// needs NLM_F_ACK. The kernel's refusal is a unix.Errno with what it says of it.
//
// The request is package nl's, which would also make it: with a poller, a socket
// with four options and 64 KiB of fresh memory for each part of an answer, which
// together was an eighth of what a session costs the host.
func Ask(protocol int, kind uint16, flags int, body []byte) (messages [][]byte, err error) {
	request := nl.NewNetlinkRequest(int(kind), flags)
	request.AddRawData(body)
	for range tries {
		if messages, err = ask(protocol, request.Serialize()); err != errTorn {
			break
		}
	}
	return messages, err
}

// ask has a socket of its own: what an earlier request has left behind cannot be
// taken for the answer. That costs less than to find out.
func ask(protocol int, request []byte) ([][]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTimeout}); err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1) // since Linux 4.12
	// What is sent without an address goes to the kernel, which gives the socket its own.
	for {
		if _, err := unix.Write(fd, request); err == nil {
			break
		} else if err != unix.EINTR {
			return nil, err
		}
	}
	var a answer
	for buffer := make([]byte, datagramRoom); !a.ended; {
		n, err := unix.Read(fd, buffer)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return nil, fmt.Errorf("no answer from the kernel within %d seconds", answerTimeout)
		case err != nil:
			return nil, err
		default:
			a.take(append([]byte(nil), buffer[:n]...))
		}
	}
	if a.err == nil && a.torn {
		a.err = errTorn
	}
	if a.err != nil {
		return nil, a.err
	}
	return a.messages, nil
}

// answer is what has come of it.
type answer struct {
	messages    [][]byte
	ended, torn bool
	err         error
}

// take reads a datagram.
func (a *answer) take(datagram []byte) {
	for len(datagram) > 0 && !a.ended {
		size := 0
		if len(datagram) >= unix.SizeofNlMsghdr {
			size = int(native.Uint32(datagram))
		}
		if size < unix.SizeofNlMsghdr || size > len(datagram) {
			a.ended, a.err = true, errMalformed
			return
		}
		kind, flags, body := native.Uint16(datagram[4:]), native.Uint16(datagram[6:]), datagram[unix.SizeofNlMsghdr:size]
		datagram = datagram[min(align(size), len(datagram)):]
		a.torn = a.torn || flags&unix.NLM_F_DUMP_INTR != 0
		if kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR {
			a.ended, a.err = true, refusal(flags, body)
			return
		}
		a.messages = append(a.messages, body)
		a.ended = flags&unix.NLM_F_MULTI == 0
	}
}

// refusal is what the kernel has against a request; nil: nothing.
func refusal(flags uint16, body []byte) error {
	if len(body) < 4 || native.Uint32(body) == 0 {
		return nil
	}
	errno := unix.Errno(-int32(native.Uint32(body)))
	if flags&unix.NLM_F_ACK_TLVS == 0 || len(body) < 4+unix.SizeofNlMsghdr {
		return errno
	}
	// The request comes back, then attributes.
	for b := body[min(4+align(int(native.Uint32(body[4:]))), len(body)):]; len(b) >= unix.SizeofNlAttr; {
		size := int(native.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			break
		}
		if native.Uint16(b[2:]) == unix.NLMSGERR_ATTR_MSG {
			return fmt.Errorf("%w: %s", errno, unix.ByteSliceToString(b[unix.SizeofNlAttr:size]))
		}
		b = b[min(align(size), len(b)):]
	}
	return errno
}

func align(size int) int { return (size + 3) &^ 3 }
