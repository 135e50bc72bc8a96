//go:build linux

// Package ipvs reads and changes the IPVS table of a network namespace.
//
// The records on their way to and from the kernel are moby/ipvs's Service and
// Destination, together with the attributes that those lack. Its Handle is not
// used here: New runs modprobe and logs, a request is one message and one
// answer, and an edit resets what its messages leave out (a destination's
// tunnel and address family, for one). The kernel tests read the table through
// it to check this package.
package ipvs

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// procTable is the table of the calling thread's network namespace as text. It
// exists when ip_vs is loaded or built in. Looking at it loads nothing, whereas
// asking generic netlink for the family "IPVS" makes the kernel load the module.
const procTable = "/proc/thread-self/net/ip_vs"

// ErrNotLoaded is the error of Open when the kernel has no IPVS at the moment.
var ErrNotLoaded = errors.New("ipvs: the kernel module ip_vs is not loaded")

// Table is the IPVS table of one network namespace. It is not safe for
// concurrent use.
type Table struct {
	conn    conn
	options *options // nil where it cannot be had
	family  uint16   // number of the generic netlink family IPVS
	seq     uint32
	pause   func(d time.Duration) // waits before a torn read is repeated
	close   func() error
}

// conn carries netlink datagrams.
type conn interface {
	Send(b []byte) error
	// Receive returns the next datagram; it is valid until the next call.
	Receive() ([]byte, error)
}

// Loaded tells whether the kernel has IPVS in the current network namespace. It
// never loads it.
func Loaded() bool {
	_, err := os.Stat(procTable)
	return err == nil
}

// Open opens the table of the current thread's network namespace. The table
// stays with that namespace. Without the module the error is ErrNotLoaded.
func Open() (*Table, error) {
	if !Loaded() {
		return nil, ErrNotLoaded
	}
	s, err := newSocket()
	if err != nil {
		return nil, fmt.Errorf("ipvs: open netlink socket: %w", err)
	}
	t := &Table{conn: s, pause: time.Sleep, close: s.Close}
	if o, err := openOptions(); err == nil {
		t.options = o
		t.close = func() error { return errors.Join(s.Close(), o.Close()) }
	}
	if err := t.findFamily(); err != nil {
		t.Close()
		return nil, fmt.Errorf("ipvs: find the kernel's IPVS interface: %w", err)
	}
	return t, nil
}

// Close releases the socket.
func (t *Table) Close() error { return t.close() }

// findFamily asks for the number that the kernel gave to the family IPVS.
func (t *Table) findFamily() error {
	b, start := beginMessage(nil, unix.GENL_ID_CTRL, unix.NLM_F_REQUEST, unix.CTRL_CMD_GETFAMILY)
	b = appendString(b, unix.CTRL_ATTR_FAMILY_NAME, "IPVS")
	endMessage(b, start)
	_, err := t.exchange(b, func(attrs []byte) error {
		r := attrReader{rest: attrs}
		for r.next() {
			if r.kind == unix.CTRL_ATTR_FAMILY_ID {
				t.family = r.uint16()
			}
		}
		if r.err == nil && t.family == 0 {
			return errors.New("the kernel's answer has no family number")
		}
		return r.err
	})
	return err
}
