//go:build linux

package ipvs

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/lvsform/lvsform/state"
)

// schedulers are those of the kernel; the last one is often not built.
var schedulers = []string{
	"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos",
}

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// randomTable makes a table of all forms that the kernel takes. Few identities
// are possible, so that two tables share many objects.
func randomTable(r *rand.Rand) state.Objects {
	seen := map[state.Key]bool{}
	var table state.Objects
	add := func(o state.Object) bool {
		fresh := !seen[o.Key()]
		if fresh {
			seen[o.Key()] = true
			table = append(table, o)
		}
		return fresh
	}
	for range r.IntN(12) {
		s := randomService(r)
		if !add(s) {
			continue
		}
		for range r.IntN(8) {
			add(randomDestination(r, s.ServiceID))
		}
	}
	return table
}

func randomService(r *rand.Rand) state.Service {
	s := state.Service{
		ServiceID: randomServiceID(r),
		Scheduler: pick(r, schedulers[:len(schedulers)-1]...),
		OnePacket: r.IntN(6) == 0,
		Netmask:   32,
	}
	s.SchedulerFlags = formatSchedulerFlags(s.Scheduler, pick[uint32](r, 0, 0, 0x8, 0x10, 0x18, 0x38))
	if s.Family == "ipv6" {
		s.Netmask = 128
	}
	if r.IntN(2) == 0 {
		s.Timeout = time.Duration(1+r.IntN(2678400)) * time.Second
		s.Netmask = 1 + r.IntN(s.Netmask)
		s.Engine = pick(r, "", "sip")
	}
	return s
}

func randomServiceID(r *rand.Rand) state.ServiceID {
	family := pick(r, "ipv4", "ipv6")
	if r.IntN(4) == 0 {
		return state.ServiceID{FWMark: 1 + r.Uint32N(4), Family: family}
	}
	address := netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + r.IntN(3))})
	if family == "ipv6" {
		address = netip.MustParsePrefix("2001:db8::/64").Addr().Next()
	}
	return state.ServiceID{
		Protocol: pick(r, "tcp", "udp", "sctp"), Address: address,
		Port: pick[uint16](r, 0, 21, 80, 65535), Family: family,
	}
}

func randomDestination(r *rand.Rand, service state.ServiceID) state.Destination {
	d := state.Destination{
		Service: service, Address: randomReal(r), Port: pick[uint16](r, 0, 80, 8080),
		Weight:  pick(r, 0, 1, 2, 100, 65535, 65536, 1<<31-1),
		Forward: pick(r, "nat", "dr", "tun"),
	}
	if mixed(d) {
		d.Forward = "tun"
	}
	if r.IntN(3) == 0 {
		d.Lower = r.Uint32N(1 << 31)
		d.Upper = d.Lower + r.Uint32N(1<<31-d.Lower)
	}
	if d.Forward == "tun" {
		d.TunnelType = pick(r, "ipip", "gue", "gre")
		if d.TunnelType == "gue" {
			d.TunnelPort = uint16(1 + r.IntN(65535))
		}
		if d.TunnelType != "ipip" {
			d.TunnelChecksum = pick(r, "", "csum", "remcsum")
		}
	}
	return d
}

func randomReal(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + r.IntN(6))})
	}
	b := netip.MustParseAddr("fd00::").As16()
	binary.BigEndian.PutUint16(b[14:], uint16(1+r.IntN(6)))
	return netip.AddrFrom16(b)
}
