//go:build linux

package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Attributes of a synchronisation daemon, of linux/ip_vs.h. All numbers are in
// the host's byte order.
const (
	daemonState  = 1 // u32
	daemonDevice = 2 // string
	daemonID     = 3 // u32
	daemonMaxLen = 4 // u16
	daemonGroup  = 5 // 4 bytes
	daemonGroup6 = 6 // 16 bytes
	daemonPort   = 7 // u16
	daemonTTL    = 8 // u8

	master = 1
	backup = 2
)

// What a kernel older than 4.3 has and does not tell.
const (
	syncPort = 8848
	syncTTL  = 1
)

func (t *Table) readSync() (out []state.Object, err error) {
	b, start := beginMessage(nil, t.family, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, cmdGetDaemon)
	endMessage(b, start)
	_, err = t.exchange(b, func(attrs []byte) error {
		r := attrReader{rest: attrs}
		for r.next() {
			if r.kind != attrDaemon {
				continue
			}
			s, err := decodeSync(r.value)
			if err != nil {
				return err
			}
			out = append(out, s)
		}
		return r.err
	})
	return out, err
}

func decodeSync(attrs []byte) (s state.Sync, err error) {
	s = state.Sync{Port: syncPort, TTL: syncTTL, Group: netip.AddrFrom4([4]byte{224, 0, 0, 81})}
	r := attrReader{rest: attrs}
	for r.next() {
		switch r.kind {
		case daemonState:
			s.Role = "backup"
			if r.uint32() == master {
				s.Role = "master"
			}
		case daemonDevice:
			s.Interface = r.string()
		case daemonID:
			s.ID = int(r.uint32())
		case daemonMaxLen:
			s.MaxLength = int(r.uint16())
		case daemonGroup:
			s.Group = netip.AddrFrom4([4]byte(r.sized(4)))
		case daemonGroup6:
			s.Group = netip.AddrFrom16([16]byte(r.sized(16)))
		case daemonPort:
			s.Port = r.uint16()
		case daemonTTL:
			s.TTL = int(r.uint8())
		}
	}
	if r.err == nil && s.Role == "" {
		return s, errMalformed
	}
	return s, r.err
}

// changeSync stops and starts a daemon: a running one takes no other settings.
func (t *Table) changeSync(c state.Change) error {
	if c.Before != nil {
		if err := t.stopSync(c.Before.(state.Sync)); err != nil {
			return err
		}
	}
	if c.After == nil {
		return nil
	}
	want := c.After.(state.Sync)
	if c.Before != nil {
		want = want.Resolve(c.Before).(state.Sync)
	}
	b, err := requestSync(t.family, cmdNewDaemon, want)
	if err != nil {
		return err
	}
	_, err = t.exchange(b, nothing)
	return explainSync(want, err)
}

// stopSync asks twice: the kernel stops a daemon that has not yet run at all and
// answers nothing to that (kthread_stop gives EINTR, which netlink keeps to
// itself), but always answers that there is none to stop.
func (t *Table) stopSync(s state.Sync) error {
	b, err := requestSync(t.family, cmdDelDaemon, s)
	if err != nil {
		return err
	}
	refusals, err := t.transact(batch{messages: slices.Concat(b, b), starts: []int{0, len(b)}})
	if err != nil {
		return err
	}
	for _, r := range refusals {
		if !errors.Is(r.err, unix.ESRCH) { // that it does not run
			return r.err
		}
	}
	return nil
}

func requestSync(family uint16, command uint8, s state.Sync) ([]byte, error) {
	switch {
	case s.Role != "master" && s.Role != "backup":
		return nil, fmt.Errorf("role %q is neither master nor backup", s.Role)
	case s.Interface == "" || len(s.Interface) >= unix.IFNAMSIZ:
		return nil, fmt.Errorf("interface %q is no name of an interface", s.Interface)
	case s.ID < 0 || s.ID > 255 || s.TTL < 1 || s.TTL > 255 || s.MaxLength < 0 || s.MaxLength > 65535:
		return nil, fmt.Errorf("id %d (0 to 255), ttl %d (1 to 255) or max_length %d (0 to 65535) is out of its range", s.ID, s.TTL, s.MaxLength)
	case !s.Group.IsMulticast():
		return nil, fmt.Errorf("group %s is no multicast address", s.Group)
	}
	b, start := beginMessage(nil, family, unix.NLM_F_REQUEST|unix.NLM_F_ACK, command)
	b = appendNest(b, attrDaemon, &s, appendSync)
	endMessage(b, start)
	return b, nil
}

func appendSync(b []byte, s *state.Sync) []byte {
	role := uint32(backup)
	if s.Role == "master" {
		role = master
	}
	b = appendUint32(b, daemonState, role)
	b = appendString(b, daemonDevice, s.Interface)
	b = appendUint32(b, daemonID, uint32(s.ID))
	if s.MaxLength != 0 {
		b = appendUint16(b, daemonMaxLen, uint16(s.MaxLength))
	}
	group := uint16(daemonGroup)
	if s.Group.Is6() {
		group = daemonGroup6
	}
	b = appendBytes(b, group, s.Group.AsSlice())
	b = appendUint16(b, daemonPort, s.Port)
	return appendUint8(b, daemonTTL, uint8(s.TTL))
}

func explainSync(s state.Sync, err error) error {
	meaning := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EEXIST):
		meaning = fmt.Sprintf("a %s daemon runs already, started by another program since the host was read: plan again", s.Role)
	case errors.Is(err, unix.ENODEV):
		meaning = fmt.Sprintf("there is no interface %s, or it has no address", s.Interface)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EADDRNOTAVAIL):
		meaning = fmt.Sprintf("%s cannot be reached from %s: the interface must be up and have an address", s.Group, s.Interface)
	case errors.Is(err, unix.EADDRINUSE):
		meaning = fmt.Sprintf("UDP port %d is taken by another program", s.Port)
	case errors.Is(err, unix.EAFNOSUPPORT):
		meaning = fmt.Sprintf("the kernel has no support for the address family of %s", s.Group)
	case errors.Is(err, unix.EINVAL):
		meaning = "the kernel allows no sync daemon beside destinations of another address family than their service"
	case errors.Is(err, unix.EPERM):
		meaning = "needs root (CAP_NET_ADMIN)"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", meaning, err)
}
