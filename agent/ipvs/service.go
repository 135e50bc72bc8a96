//go:build linux

package ipvs

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Bits of a service's flags: IP_VS_SVC_F_* of linux/ip_vs.h. The kernel sets
// hashed (0x2) by itself.
const (
	flagPersistent = 0x1
	flagOnePacket  = 0x4
	flagSched1     = 0x8
	flagSched2     = 0x10
	flagSched3     = 0x20
	flagsKnown     = flagPersistent | flagOnePacket | flagSched1 | flagSched2 | flagSched3
)

// schedulerFlags returns the names of flag 1 to 3 under a scheduler.
func schedulerFlags(scheduler string) [3]string {
	switch scheduler {
	case "sh":
		return [3]string{"sh-fallback", "sh-port", "flag-3"}
	case "mh":
		return [3]string{"mh-fallback", "mh-port", "flag-3"}
	}
	return [3]string{"flag-1", "flag-2", "flag-3"}
}

func formatSchedulerFlags(scheduler string, flags uint32) string {
	var names []string
	for i, name := range schedulerFlags(scheduler) {
		if flags&(flagSched1<<i) != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// parseSchedulerFlags also takes flag-1 to flag-3 under sh and mh.
func parseSchedulerFlags(scheduler, text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	names, plain := schedulerFlags(scheduler), schedulerFlags("")
	var flags uint32
	for name := range strings.SplitSeq(text, ",") {
		i := max(slices.Index(names[:], name), slices.Index(plain[:], name))
		if i < 0 {
			return 0, fmt.Errorf("scheduler %s has no flag %q", scheduler, name)
		}
		flags |= flagSched1 << i
	}
	return flags, nil
}

// protocols are those that IPVS balances. The kernel stores any other number
// too; it is written as the number.
var protocols = [...]struct {
	number uint16
	name   string
}{{unix.IPPROTO_TCP, "tcp"}, {unix.IPPROTO_UDP, "udp"}, {unix.IPPROTO_SCTP, "sctp"}}

func protocolName(number uint16) string {
	for _, p := range protocols {
		if p.number == number {
			return p.name
		}
	}
	return strconv.Itoa(int(number))
}

func protocolNumber(name string) (uint16, error) {
	for _, p := range protocols {
		if p.name == name {
			return p.number, nil
		}
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("protocol %q is not one of tcp, udp and sctp", name)
	}
	return uint16(n), nil
}

func familyName(number uint16) (string, error) {
	switch number {
	case unix.AF_INET:
		return "ipv4", nil
	case unix.AF_INET6:
		return "ipv6", nil
	}
	return "", fmt.Errorf("%w: address family %d", errMalformed, number)
}

func familyNumber(name string) (uint16, error) {
	switch name {
	case "ipv4":
		return unix.AF_INET, nil
	case "ipv6":
		return unix.AF_INET6, nil
	}
	return 0, fmt.Errorf("address family %q is neither ipv4 nor ipv6", name)
}

// addressOf returns the address in the kernel's 16 bytes, of which an IPv4
// address takes the first four.
func addressOf(family uint16, b []byte) (netip.Addr, error) {
	switch {
	case family == unix.AF_INET && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)), nil
	case family == unix.AF_INET6 && len(b) >= 16:
		return netip.AddrFrom16([16]byte(b)), nil
	}
	return netip.Addr{}, fmt.Errorf("%w: address of %d bytes, family %d", errMalformed, len(b), family)
}

// fromID returns the record of an identity.
func fromID(id state.ServiceID) (moby.Service, error) {
	family, err := familyNumber(id.Family)
	if err != nil {
		return moby.Service{}, err
	}
	s := moby.Service{AddressFamily: family, FWMark: id.FWMark}
	if id.FWMark != 0 {
		return s, nil
	}
	if !id.Address.IsValid() || id.Address.Is4() != (family == unix.AF_INET) {
		return moby.Service{}, fmt.Errorf("address %s is not of family %s", id.Address, id.Family)
	}
	s.Address, s.Port = net.IP(id.Address.AsSlice()), id.Port
	s.Protocol, err = protocolNumber(id.Protocol)
	return s, err
}

// toID is the reverse of fromID.
func toID(s *moby.Service) (state.ServiceID, error) {
	family, err := familyName(s.AddressFamily)
	if err != nil {
		return state.ServiceID{}, err
	}
	if s.FWMark != 0 {
		return state.ServiceID{FWMark: s.FWMark, Family: family}, nil
	}
	address, err := addressOf(s.AddressFamily, s.Address)
	return state.ServiceID{Protocol: protocolName(s.Protocol), Address: address, Port: s.Port, Family: family}, err
}

// fromService returns the record of a service.
func fromService(s state.Service) (moby.Service, error) {
	r, err := fromID(s.ServiceID)
	if err != nil {
		return r, err
	}
	if err := checkName("scheduler", s.Scheduler); err != nil {
		return r, err
	}
	if s.Engine != "" {
		if err := checkName("persistence engine", s.Engine); err != nil {
			return r, err
		}
	}
	if s.Timeout < 0 || s.Timeout%time.Second != 0 || s.Timeout/time.Second > math.MaxUint32 {
		return r, fmt.Errorf("persistence of %s is not a number of whole seconds", s.Timeout)
	}
	r.SchedName, r.PEName = s.Scheduler, s.Engine
	if r.Flags, err = parseSchedulerFlags(s.Scheduler, s.SchedulerFlags); err != nil {
		return r, err
	}
	if s.OnePacket {
		r.Flags |= flagOnePacket
	}
	if s.Timeout > 0 {
		r.Flags |= flagPersistent
		r.Timeout = uint32(s.Timeout / time.Second)
	}
	r.Netmask, err = fromNetmask(r.AddressFamily, s.Netmask)
	return r, err
}

// checkName keeps a module's name within what the kernel takes
// (IP_VS_SCHEDNAME_MAXLEN, IP_VS_PENAME_MAXLEN, with the terminating zero).
func checkName(what, name string) error {
	if name == "" || len(name) > 15 || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%s %q: a name has 1 to 15 characters", what, name)
	}
	return nil
}

// toService is the reverse of fromService. Without persistence timeout and
// netmask mean nothing to the kernel; the service then has none and the default.
// Persistence for zero seconds, which ipvsadm does not write, is none.
func toService(r *moby.Service) (state.Service, error) {
	id, err := toID(r)
	if err != nil {
		return state.Service{}, err
	}
	s := state.Service{
		ServiceID:      id,
		Scheduler:      r.SchedName,
		SchedulerFlags: formatSchedulerFlags(r.SchedName, r.Flags),
		OnePacket:      r.Flags&flagOnePacket != 0,
		Engine:         r.PEName,
		Netmask:        addressBits(r.AddressFamily),
	}
	if r.Flags&flagPersistent != 0 && r.Timeout > 0 {
		s.Timeout = time.Duration(r.Timeout) * time.Second
		s.Netmask = toNetmask(r.AddressFamily, r.Netmask)
	}
	return s, nil
}

func addressBits(family uint16) int {
	if family == unix.AF_INET6 {
		return 128
	}
	return 32
}

// fromNetmask returns what the kernel wants: for IPv4 a mask in network byte
// order, for IPv6 the prefix length.
func fromNetmask(family uint16, length int) (uint32, error) {
	switch {
	case family == unix.AF_INET6 && 1 <= length && length <= 128:
		return uint32(length), nil
	case family == unix.AF_INET && 0 <= length && length <= 32:
		mask := net.CIDRMask(length, 32)
		return binary.NativeEndian.Uint32(mask), nil
	}
	return 0, fmt.Errorf("persistence netmask %d is not a prefix length of the service's family", length)
}

// toNetmask is the reverse of fromNetmask. A mask with gaps, which only other
// tools write, has no prefix length: it is -1.
func toNetmask(family uint16, mask uint32) int {
	if family == unix.AF_INET6 {
		return int(mask)
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], mask)
	v := binary.BigEndian.Uint32(b[:])
	length := bits.LeadingZeros32(^v)
	if v<<length != 0 {
		return -1
	}
	return length
}
