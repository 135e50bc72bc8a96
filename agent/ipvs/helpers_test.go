//go:build linux

package ipvs

import (
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

func ipv4(protocol, address string, port uint16) state.ServiceID {
	return state.ServiceID{Protocol: protocol, Address: netip.MustParseAddr(address), Port: port, Family: "ipv4"}
}

func service(id state.ServiceID, edit ...func(*state.Service)) state.Service {
	s := state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32}
	if id.Family == "ipv6" {
		s.Netmask = 128
	}
	for _, f := range edit {
		f(&s)
	}
	return s
}

func real(id state.ServiceID, address string, edit ...func(*state.Destination)) state.Destination {
	d := state.Destination{Service: id, Address: netip.MustParseAddr(address), Port: id.Port, Weight: 1, Forward: "dr"}
	for _, f := range edit {
		f(&d)
	}
	return d
}
