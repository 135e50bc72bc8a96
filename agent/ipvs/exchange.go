//go:build linux

package ipvs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// spareRoom is more than any message of a dump needs: a datagram with so much
// room left was not ended for want of room.
const spareRoom = 1 << 10

// exchange sends one request and calls each with the attributes of every
// message of the answer, until the answer ends. It tells whether the answer came
// at once, so that the kernel made it without letting go of the table. It reads
// the answer to its end also after a failure, because the kernel refuses a
// second dump before.
func (t *Table) exchange(request []byte, each func(attrs []byte) error) (atOnce bool, err error) {
	t.seq++
	setSequence(request, t.seq)
	if err := t.conn.Send(request); err != nil {
		return false, err
	}
	atOnce = true
	var failure error
	for parts := 0; ; parts++ {
		datagram, err := t.conn.Receive()
		if err != nil {
			return false, err
		}
		size := len(datagram)
		for len(datagram) > 0 {
			var m message
			if m, datagram, err = nextMessage(datagram); err != nil {
				return false, err
			}
			if m.seq != t.seq {
				continue // left over from a request that was given up
			}
			last, err := answer(m, each)
			if failure == nil {
				failure = err
			}
			if last {
				return atOnce, failure
			}
			if parts > 0 || size > datagramRoom-spareRoom || m.flags&unix.NLM_F_DUMP_INTR != 0 {
				atOnce = false
			}
		}
	}
}

// answer handles one message of an answer and tells whether it is the last.
func answer(m message, each func(attrs []byte) error) (last bool, err error) {
	switch m.kind {
	case unix.NLMSG_ERROR:
		return true, refused(m)
	case unix.NLMSG_DONE:
		if len(m.payload) < 4 {
			return true, nil
		}
		return true, refused(m)
	}
	if len(m.payload) < genericHeader {
		return true, errMalformed
	}
	return m.flags&unix.NLM_F_MULTI == 0, each(m.payload[genericHeader:])
}

// batch is a number of requests that go to the kernel together. It works them
// off in order and does not stop at one that fails.
type batch struct {
	messages []byte
	starts   []int // where each message starts
}

// part is the batch of the messages i to j.
func (b batch) part(i, j int) batch {
	from, to := b.starts[i], len(b.messages)
	if j < len(b.starts) {
		to = b.starts[j]
	}
	p := batch{messages: b.messages[from:to]}
	for _, start := range b.starts[i:j] {
		p.starts = append(p.starts, start-from)
	}
	return p
}

// failed is the refusal of the message at a place in its batch.
type failed struct {
	place int
	err   error
}

// transact sends a batch and returns what the kernel refused, in order. Only
// the last message asks for an acknowledgement: the kernel answers every failed
// message in any case, and answers in order, so that after the answer to the
// last one every message that was not named has succeeded. An error means that
// answers were lost: what became of the batch is not known then.
func (t *Table) transact(b batch) ([]failed, error) {
	first := t.seq + 1
	for _, start := range b.starts {
		t.seq++
		setSequence(b.messages[start:], t.seq)
	}
	addFlags(b.messages[b.starts[len(b.starts)-1]:], unix.NLM_F_ACK)
	if err := t.conn.Send(b.messages); err != nil {
		return nil, err
	}
	var refusals []failed
	for {
		datagram, err := t.conn.Receive()
		if err != nil {
			return nil, err
		}
		for len(datagram) > 0 {
			var m message
			if m, datagram, err = nextMessage(datagram); err != nil {
				return nil, err
			}
			if m.seq-first >= uint32(len(b.starts)) { // older ones wrap around
				continue
			}
			place := int(m.seq - first)
			if m.kind != unix.NLMSG_ERROR {
				return nil, fmt.Errorf("%w: type %d", errMalformed, m.kind)
			}
			if err := refused(m); err != nil {
				refusals = append(refusals, failed{place, err})
			}
			if place == len(b.starts)-1 {
				return refusals, nil
			}
		}
	}
}
