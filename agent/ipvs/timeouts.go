//go:build linux

package ipvs

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Commands and attributes of linux/ip_vs.h that are about the whole host.
const (
	cmdNewDaemon = 9
	cmdDelDaemon = 10
	cmdGetDaemon = 11
	cmdSetConfig = 12
	cmdGetConfig = 13

	attrDaemon        = 3
	attrTimeoutTCP    = 4
	attrTimeoutTCPFin = 5
	attrTimeoutUDP    = 6
)

// ReadSettings returns the timeouts and the synchronisation daemons.
func (t *Table) ReadSettings() ([]state.Object, error) {
	timeouts, err := t.readTimeouts()
	if err != nil {
		return nil, fmt.Errorf("ipvs: read the timeouts: %w", explainRead(err))
	}
	daemons, err := t.readSync()
	if err != nil {
		return nil, fmt.Errorf("ipvs: read the sync daemons: %w", explainRead(err))
	}
	return append(daemons, timeouts), nil
}

// ApplySettings makes changes of timeouts and synchronisation daemons, in order,
// and returns how many were made. Timeouts are never deleted.
func (t *Table) ApplySettings(changes []state.Change) (done int, err error) {
	for i, c := range changes {
		if err := t.applySetting(c); err != nil {
			return i, err
		}
	}
	return len(changes), nil
}

func (t *Table) applySetting(c state.Change) error {
	object := c.After
	if object == nil {
		object = c.Before
	}
	switch o := object.(type) {
	case state.Timeouts:
		if c.After == nil {
			return nil
		}
		return t.setTimeouts(o)
	case state.Sync:
		return t.changeSync(c)
	}
	return fmt.Errorf("%s is no setting of IPVS", object.Key())
}

func (t *Table) readTimeouts() (state.Object, error) {
	var out state.Timeouts
	b, start := beginMessage(nil, t.family, unix.NLM_F_REQUEST, cmdGetConfig)
	endMessage(b, start)
	_, err := t.exchange(b, func(attrs []byte) error {
		r := attrReader{rest: attrs}
		for r.next() {
			switch r.kind {
			case attrTimeoutTCP:
				out.TCP = time.Duration(r.uint32()) * time.Second
			case attrTimeoutTCPFin:
				out.TCPFin = time.Duration(r.uint32()) * time.Second
			case attrTimeoutUDP:
				out.UDP = time.Duration(r.uint32()) * time.Second
			}
		}
		return r.err
	})
	return out, err
}

// setTimeouts sets those that are not zero; the kernel leaves the others.
func (t *Table) setTimeouts(o state.Timeouts) error {
	b, start := beginMessage(nil, t.family, unix.NLM_F_REQUEST|unix.NLM_F_ACK, cmdSetConfig)
	for _, v := range []struct {
		kind  uint16
		name  string
		value time.Duration
	}{{attrTimeoutTCP, "tcp", o.TCP}, {attrTimeoutTCPFin, "tcp_fin", o.TCPFin}, {attrTimeoutUDP, "udp", o.UDP}} {
		switch seconds := v.value / time.Second; {
		case v.value == 0:
		case v.value < 0 || v.value%time.Second != 0 || seconds > math.MaxInt32:
			return fmt.Errorf("timeout %s: %s is no number of whole seconds", v.name, v.value)
		default:
			b = appendUint32(b, v.kind, uint32(seconds))
		}
	}
	endMessage(b, start)
	_, err := t.exchange(b, nothing)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("the kernel takes no timeout that is so long: %w", err)
	}
	return err
}

// nothing is expected beside an acknowledgement.
func nothing([]byte) error { return nil }
