//go:build linux

package ipvs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// options is IPVS's older interface, getsockopt(2) on a raw socket. It knows
// IPv4 alone and less of each object, but gives all destinations of a service at
// once, at a twentieth of the cost of a generic netlink dump. Records are those
// of linux/ip_vs.h on 64-bit machines, where a counter is aligned to 8 bytes.
type options struct {
	fd int
	// room holds the destinations of a service.
	room []byte
}

// Options: IP_VS_BASE_CTL is 64+1024+64.
const (
	optInfo         = 1153 // IP_VS_SO_GET_INFO
	optServices     = 1154 // IP_VS_SO_GET_SERVICES
	optDestinations = 1156 // IP_VS_SO_GET_DESTS
)

// Sizes and places within records.
const (
	infoSize     = 12 // struct ip_vs_getinfo
	infoServices = 8

	listHeader    = 8   // struct ip_vs_get_services: their number
	serviceEntry  = 104 // struct ip_vs_service_entry
	entryAddress  = 4
	entryPort     = 8
	entryFWMark   = 12
	entryNumDests = 44

	destHeader     = 24 // struct ip_vs_get_dests: the service, their number
	headerAddress  = 4
	headerPort     = 8
	headerFWMark   = 12
	headerNumDests = 16
	destEntry      = 96 // struct ip_vs_dest_entry
	destPort       = 4
	destFlags      = 8
	destWeight     = 12
	destUpper      = 16
	destLower      = 20
)

func openOptions() (*options, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	return &options{fd: fd}, nil
}

func (o *options) Close() error { return unix.Close(o.fd) }

// get fills b, whose size the kernel checks against what b itself says.
func (o *options) get(option uintptr, b []byte) error {
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(o.fd), unix.IPPROTO_IP, option,
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	if int(size) != len(b) {
		return fmt.Errorf("%w: %d bytes instead of %d", errMalformed, size, len(b))
	}
	return nil
}

// counts returns the number of destinations of every IPv4 service.
func (o *options) counts() (map[state.ServiceID]int, error) {
	info := make([]byte, infoSize)
	if err := o.get(optInfo, info); err != nil {
		return nil, err
	}
	n := binary.NativeEndian.Uint32(info[infoServices:])
	list := make([]byte, listHeader+int(n)*serviceEntry)
	binary.NativeEndian.PutUint32(list, n)
	if err := o.get(optServices, list); err != nil {
		return nil, err
	}
	counts := make(map[state.ServiceID]int, n)
	for e := list[listHeader:]; len(e) > 0; e = e[serviceEntry:] {
		id := state.ServiceID{FWMark: binary.NativeEndian.Uint32(e[entryFWMark:]), Family: "ipv4"}
		if id.FWMark == 0 {
			id.Protocol = protocolName(binary.NativeEndian.Uint16(e))
			id.Address = netip.AddrFrom4([4]byte(e[entryAddress:]))
			id.Port = binary.BigEndian.Uint16(e[entryPort:])
		}
		counts[id] = int(binary.NativeEndian.Uint32(e[entryNumDests:]))
	}
	return counts, nil
}

// appendDestinations adds the n destinations of a service to objects. It tells
// whether it could: not for tunnels, whose kind this interface does not tell, nor
// where destinations are IPv6 or came and went meanwhile.
func (o *options) appendDestinations(objects []state.Object, service state.ServiceID, n int) ([]state.Object, bool) {
	// Room for one more shows whether one was added since they were counted.
	size := destHeader + (n+1)*destEntry
	if cap(o.room) < size {
		o.room = make([]byte, 2*size)
	}
	b := o.room[:size]
	clear(b)
	protocol, err := protocolNumber(service.Protocol)
	switch {
	case service.FWMark != 0:
		binary.NativeEndian.PutUint32(b[headerFWMark:], service.FWMark)
	case err != nil:
		return objects, false
	default:
		binary.NativeEndian.PutUint16(b, protocol)
		address := service.Address.As4()
		copy(b[headerAddress:], address[:])
		binary.BigEndian.PutUint16(b[headerPort:], service.Port)
	}
	binary.NativeEndian.PutUint32(b[headerNumDests:], uint32(n+1))
	if o.get(optDestinations, b) != nil {
		return objects, false
	}
	if !unused(b[size-destEntry:]) {
		return objects, false
	}
	start := len(objects)
	for e := b[destHeader : size-destEntry]; len(e) > 0; e = e[destEntry:] {
		forward := binary.NativeEndian.Uint32(e[destFlags:]) & moby.ConnectionFlagFwdMask
		if unused(e) || forward == moby.ConnectionFlagTunnel {
			return objects[:start], false
		}
		objects = append(objects, state.Destination{
			Service: service,
			Address: netip.AddrFrom4([4]byte(e)),
			Port:    binary.BigEndian.Uint16(e[destPort:]),
			Weight:  int(int32(binary.NativeEndian.Uint32(e[destWeight:]))),
			Forward: forwards[forward],
			Upper:   binary.NativeEndian.Uint32(e[destUpper:]),
			Lower:   binary.NativeEndian.Uint32(e[destLower:]),
		})
	}
	return objects, true
}

// unused tells whether the kernel left an entry as it was: no destination has
// the address 0.0.0.0.
func unused(e []byte) bool { return bytes.Equal(e[:4], []byte{0, 0, 0, 0}) }
