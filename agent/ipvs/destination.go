//go:build linux

package ipvs

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// destination is the record of a real server: moby/ipvs's, with the way of
// encapsulation that it lacks.
type destination struct {
	moby.Destination
	tunnelType  uint8
	tunnelPort  uint16
	tunnelFlags uint16
}

// forwards are the names of the forwarding methods, at their numbers.
//
// The kernel keeps the method that it is given, also for an address of the
// director itself: it delivers locally at each packet and still reports nat, dr
// or tun. So a declared method reads back as declared. "local" reads back only
// where another tool asked for that number, and a declared method replaces it.
var forwards = [...]string{
	moby.ConnectionFlagMasq:        "nat",
	moby.ConnectionFlagLocalNode:   "local",
	moby.ConnectionFlagTunnel:      "tun",
	moby.ConnectionFlagDirectRoute: "dr",
	moby.ConnFwdBypass:             "bypass",
	5:                              "5", 6: "6", 7: "7",
}

// tunnelTypes are the names of IP_VS_CONN_F_TUNNEL_TYPE_*, at their numbers.
var tunnelTypes = [...]string{0: "ipip", tunnelGUE: "gue", 2: "gre"}

const tunnelGUE = 1

// tunnelChecksums are the names of IP_VS_TUNNEL_ENCAP_FLAG_*, at their numbers.
var tunnelChecksums = [...]string{0: "", 1: "csum", 2: "remcsum", 3: "csum,remcsum"}

// fromDestinationID returns the record of a real server's identity within its
// service.
func fromDestinationID(d state.Destination) (destination, error) {
	if !d.Address.IsValid() {
		return destination{}, errors.New("it has no address")
	}
	family := uint16(unix.AF_INET6)
	if d.Address.Is4() {
		family = unix.AF_INET
	}
	return destination{Destination: moby.Destination{
		AddressFamily: family,
		Address:       net.IP(d.Address.AsSlice()),
		Port:          d.Port,
	}}, nil
}

// fromDestination returns the record of a real server.
func fromDestination(d state.Destination) (destination, error) {
	r, err := fromDestinationID(d)
	if err != nil {
		return r, err
	}
	if d.Weight < 0 || d.Weight > math.MaxInt32 {
		return destination{}, fmt.Errorf("weight %d is not within 0 and %d", d.Weight, math.MaxInt32)
	}
	forward := slices.Index(forwards[:], d.Forward)
	if forward < 0 {
		return destination{}, fmt.Errorf("forward %q is not one of nat, dr and tun", d.Forward)
	}
	r.Weight, r.ConnectionFlags = d.Weight, uint32(forward)
	r.UpperThreshold, r.LowerThreshold = d.Upper, d.Lower
	return r, r.setTunnel(d)
}

func (r *destination) setTunnel(d state.Destination) error {
	if d.Forward != "tun" {
		if d.TunnelType != "" || d.TunnelPort != 0 || d.TunnelChecksum != "" {
			return fmt.Errorf("a tunnel is set, but forward is %s", d.Forward)
		}
		return nil
	}
	kind := max(slices.Index(tunnelTypes[:], d.TunnelType), 0) // "" is ipip
	if d.TunnelType != "" && d.TunnelType != tunnelTypes[kind] {
		n, err := strconv.ParseUint(d.TunnelType, 10, 8)
		if err != nil {
			return fmt.Errorf("tunnel type %q is not one of ipip, gue and gre", d.TunnelType)
		}
		kind = int(n)
	}
	if kind == tunnelGUE && d.TunnelPort == 0 {
		return errors.New("a gue tunnel needs a port")
	}
	if kind != tunnelGUE && d.TunnelPort != 0 {
		return fmt.Errorf("a tunnel port is set, but the tunnel is %s", tunnelTypeName(uint8(kind)))
	}
	checksum := slices.Index(tunnelChecksums[:], d.TunnelChecksum)
	if checksum < 0 {
		return fmt.Errorf("tunnel checksum %q is neither csum nor remcsum", d.TunnelChecksum)
	}
	if kind == 0 && checksum != 0 {
		return errors.New("a tunnel checksum is set, but the tunnel is ipip")
	}
	r.tunnelType, r.tunnelPort, r.tunnelFlags = uint8(kind), d.TunnelPort, uint16(checksum)
	return nil
}

// tunnelTypeName is the number itself where a newer kernel knows more types.
func tunnelTypeName(kind uint8) string {
	if int(kind) < len(tunnelTypes) {
		return tunnelTypes[kind]
	}
	return strconv.Itoa(int(kind))
}

// toDestination is the reverse of fromDestination. Attributes of a tunnel that
// the kernel stores and does not use are left out.
func toDestination(service state.ServiceID, r *destination) (state.Destination, error) {
	address, err := addressOf(r.AddressFamily, r.Address)
	if err != nil {
		return state.Destination{}, err
	}
	d := state.Destination{
		Service: service,
		Address: address,
		Port:    r.Port,
		Weight:  r.Weight,
		Forward: forwards[r.ConnectionFlags&moby.ConnectionFlagFwdMask],
		Upper:   r.UpperThreshold,
		Lower:   r.LowerThreshold,
	}
	if d.Forward != "tun" {
		return d, nil
	}
	d.TunnelType = tunnelTypeName(r.tunnelType)
	if r.tunnelType == tunnelGUE {
		d.TunnelPort = r.tunnelPort
	}
	if r.tunnelType != 0 {
		d.TunnelChecksum = tunnelChecksums[r.tunnelFlags&3]
	}
	return d, nil
}
