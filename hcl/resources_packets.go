package hcl

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// maxPorts bounds the ports and ranges of one mark, and maxPortsText what they
// are when written out: the mark's rules carry it as their comment, which has
// 127 characters for all of it.
const (
	maxPorts     = 32
	maxPortsText = 64
)

func markSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"protocol": need(cty.String),
		"address":  need(cty.String),
		"ports":    need(cty.DynamicPseudoType),
		"mark":     need(cty.Number),
	}}
}

func masqueradeSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"vip":      need(cty.String),
		"protocol": need(cty.String),
		"port":     allow(cty.Number),
		"to":       need(cty.DynamicPseudoType),
		"source":   allow(cty.String),
	}}
}

func (o *object) mark() *topology.Mark {
	mark, _ := o.whole("mark", 1, math.MaxUint32)
	return &topology.Mark{
		Protocol: o.choice("protocol", "tcp", "udp", "sctp"),
		Address:  o.unicast("address"),
		Ports:    o.ports("ports"),
		Mark:     uint32(mark),
	}
}

// unicast returns an address that packets to one host can have.
func (o *object) unicast(name string) netip.Addr {
	a := o.address(name)
	if a.IsValid() && (a.IsUnspecified() || a.IsMulticast()) {
		o.fail(name, "Invalid "+name, "%s is no address of one host.", a)
		return netip.Addr{}
	}
	return a
}

// elements returns the parts of a list, a set or a tuple; ok is false when
// absent or unusable.
func (o *object) elements(name, example string) ([]cty.Value, bool) {
	v, ok := o.vals[name]
	if !ok {
		return nil, false
	}
	if ty := v.Type(); !ty.IsTupleType() && !ty.IsListType() && !ty.IsSetType() {
		o.fail(name, "Invalid "+name, "%s is a list: %s.", name, example)
		return nil, false
	}
	return v.AsValueSlice(), true
}

const portsExample = `[80, 443, "8000-8100"]`

// ports reads port numbers and ranges like "8000-8100", and sorts them.
func (o *object) ports(name string) []topology.PortRange {
	list, ok := o.elements(name, portsExample)
	if !ok {
		return nil
	}
	if len(list) == 0 || len(list) > maxPorts {
		o.fail(name, "Invalid "+name, "%s holds from 1 to %d ports and ranges: %s.", name, maxPorts, portsExample)
		return nil
	}
	var out []topology.PortRange
	for _, v := range list {
		p, why := portRange(v)
		if why != "" {
			o.fail(name, "Invalid "+name, "%s. Write numbers from 1 to 65535 and ranges: %s.", upperFirst(why), portsExample)
			return nil
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b topology.PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	text := 0
	for i, p := range out {
		if text += len(showPorts(p)) + 1; text > maxPortsText {
			o.fail(name, "Too many ports", "Written out the ports of one mark may have %d characters, and %s is over that. Put the rest into a second mark with the same number.", maxPortsText, showPorts(p))
			return nil
		}
		if i == 0 {
			continue
		}
		if a, b := out[i-1], out[i]; b.First <= a.Last {
			o.fail(name, "Overlapping ports", "%s and %s hold the same port. Take it out of one of the two.", showPorts(a), showPorts(b))
			return nil
		}
	}
	return out
}

func showPorts(p topology.PortRange) string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// portRange reads one port, as a number or a text, or a range of them.
func portRange(v cty.Value) (p topology.PortRange, why string) {
	switch {
	case v.IsNull():
		return p, "a port is null"
	case v.Type() == cty.Number:
		n, accuracy := v.AsBigFloat().Int64()
		if accuracy != big.Exact || n < 1 || n > math.MaxUint16 {
			return p, shortNumber(v) + " is no port"
		}
		return topology.PortRange{First: uint16(n), Last: uint16(n)}, ""
	case v.Type() != cty.String:
		return p, "a port is a number or a text, not " + v.Type().FriendlyName()
	}
	s := v.AsString()
	from, to, isRange := strings.Cut(s, "-")
	first, firstOK := portNumber(from)
	last, lastOK := first, true
	if isRange {
		last, lastOK = portNumber(to)
	}
	switch {
	case !firstOK || !lastOK:
		return p, fmt.Sprintf("%q is no port and no range", clip(s))
	case last < first:
		return p, fmt.Sprintf("the range %q ends before it begins", s)
	}
	return topology.PortRange{First: first, Last: last}, ""
}

func portNumber(s string) (uint16, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	return uint16(n), err == nil && n > 0
}

func (o *object) masquerade() *topology.Masquerade {
	port, _ := o.whole("port", 0, math.MaxUint16)
	m := &topology.Masquerade{
		VIP:      o.unicast("vip"),
		Protocol: o.choice("protocol", "tcp", "udp", "sctp"),
		Port:     uint16(port),
		To:       o.servers("to"),
		Source:   o.unicast("source"),
	}
	if !m.VIP.IsValid() {
		return m
	}
	four := m.VIP.Is4()
	if m.Source.IsValid() && m.Source.Is4() != four {
		o.fail("source", "Wrong address family", "The VIP is %s and the source %s is not.", familyName(four), m.Source)
	}
	for _, a := range m.To {
		if a.Is4() != four {
			o.fail("to", "Wrong address family", "The VIP is %s and the real server %s is not: one source NAT rule has one family.", familyName(four), a)
			break
		}
	}
	return m
}

// servers reads addresses and host values, and sorts the addresses. Several
// real servers may share an address.
func (o *object) servers(name string) []netip.Addr {
	list, ok := o.elements(name, `[host.rs1, "192.0.2.7"], or values(host.rs) for all instances of a host block`)
	if !ok {
		return nil
	}
	var out []netip.Addr
	for _, v := range list {
		a, ok := o.server(name, v)
		if !ok {
			return nil
		}
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// server reads the address of one real server.
func (o *object) server(name string, v cty.Value) (netip.Addr, bool) {
	if v.IsNull() {
		o.fail(name, "Invalid "+name, "An element is null. Leave it out.")
		return netip.Addr{}, false
	}
	if v.Type() == cty.String {
		a, err := netip.ParseAddr(v.AsString())
		if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			o.fail(name, "Invalid "+name, "%q is no address of a host. Write one like \"192.0.2.1\" or \"2001:db8::1\", or host.NAME.", clip(v.AsString()))
			return netip.Addr{}, false
		}
		return a.Unmap(), true
	}
	_, a, ok := o.hostValue(name, v)
	if ok && !a.IsValid() {
		o.fail(name, "Invalid "+name, "The host has no address. Use object({ name = string, address = string }) for host values.")
		return a, false
	}
	return a, ok
}
