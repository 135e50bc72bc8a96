package state

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// destinations are the destinations of many services: the text form of each, by
// its service's ServiceID.String.
type destinations map[string][]string

func (ds *destinations) add(d Destination) {
	if *ds == nil {
		*ds = destinations{}
	}
	id := d.Service.String()
	(*ds)[id] = append((*ds)[id], d.text())
}

// appendTo adds the destinations to os, ordered by service.
func (ds destinations) appendTo(os *Objects) error {
	ids := make([]string, 0, len(ds))
	for id := range ds {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		service, err := ParseServiceID(id)
		if err != nil {
			return err
		}
		for _, text := range ds[id] {
			d, err := parseDestination(service, text)
			if err != nil {
				return err
			}
			*os = append(*os, d)
		}
	}
	return nil
}

// text writes a destination without its service: "192.0.2.9:80 dr 1", followed
// by what is set of upper=N, lower=N, tunnel=TYPE, tunnel_port=N and
// tunnel_checksum=KIND.
func (d Destination) text() string {
	b := make([]byte, 0, 40)
	b = netip.AddrPortFrom(d.Address, d.Port).AppendTo(b)
	b = append(b, ' ')
	b = append(b, d.Forward...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(d.Weight), 10)
	number := func(name string, n uint64) {
		if n != 0 {
			b = append(append(b, name...), strconv.FormatUint(n, 10)...)
		}
	}
	word := func(name, s string) {
		if s != "" {
			b = append(append(b, name...), s...)
		}
	}
	number(" upper=", uint64(d.Upper))
	number(" lower=", uint64(d.Lower))
	word(" tunnel=", d.TunnelType)
	number(" tunnel_port=", uint64(d.TunnelPort))
	word(" tunnel_checksum=", d.TunnelChecksum)
	return string(b)
}

// parseDestination reads what text wrote.
func parseDestination(service ServiceID, text string) (Destination, error) {
	d := Destination{Service: service}
	address, rest, _ := strings.Cut(text, " ")
	forward, rest, _ := strings.Cut(rest, " ")
	weight, rest, _ := strings.Cut(rest, " ")
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return d, fmt.Errorf("state: destination %q: %w", text, err)
	}
	d.Address, d.Port, d.Forward = ap.Addr(), ap.Port(), forward
	if d.Weight, err = strconv.Atoi(weight); err != nil {
		return d, fmt.Errorf("state: destination %q: %w", text, err)
	}
	for rest != "" {
		var option string
		option, rest, _ = strings.Cut(rest, " ")
		if err := d.option(option); err != nil {
			return d, fmt.Errorf("state: destination %q: %w", text, err)
		}
	}
	return d, nil
}

func (d *Destination) option(option string) error {
	name, value, _ := strings.Cut(option, "=")
	bits := 32
	if name == "tunnel_port" {
		bits = 16
	}
	switch name {
	case "upper", "lower", "tunnel_port":
		n, err := strconv.ParseUint(value, 10, bits)
		if err != nil {
			return err
		}
		switch name {
		case "upper":
			d.Upper = uint32(n)
		case "lower":
			d.Lower = uint32(n)
		default:
			d.TunnelPort = uint16(n)
		}
	case "tunnel":
		d.TunnelType = value
	case "tunnel_checksum":
		d.TunnelChecksum = value
	default:
		return fmt.Errorf("unknown option %q", option)
	}
	return nil
}

// ParseServiceID reads what ServiceID.String wrote.
func ParseServiceID(s string) (ServiceID, error) {
	protocol, rest, _ := strings.Cut(s, "/")
	if protocol == "fwmark" {
		mark, family, _ := strings.Cut(rest, "/")
		n, err := strconv.ParseUint(mark, 10, 32)
		if err != nil || n == 0 || family != "ipv4" && family != "ipv6" {
			return ServiceID{}, fmt.Errorf("state: %q is no virtual service", s)
		}
		return ServiceID{FWMark: uint32(n), Family: family}, nil
	}
	ap, err := netip.ParseAddrPort(rest)
	if err != nil || protocol == "" {
		return ServiceID{}, fmt.Errorf("state: %q is no virtual service", s)
	}
	id := ServiceID{Protocol: protocol, Address: ap.Addr(), Port: ap.Port(), Family: "ipv6"}
	if ap.Addr().Is4() {
		id.Family = "ipv4"
	}
	return id, nil
}
