package hcl

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// schedulers are those of the kernel, by the names that ipvsadm takes.
var schedulers = [...]string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"}

// schedulerFlags are the names of ipvsadm(8).
var schedulerFlags = [...]string{"sh-fallback", "sh-port", "mh-fallback", "mh-port", "flag-1", "flag-2", "flag-3"}

const (
	defaultScheduler   = "wlc" // of ipvsadm(8)
	defaultForward     = "dr"  // of ipvsadm(8), which calls it gatewaying
	defaultPersistence = 300 * time.Second
	maxPersistence     = 31 * 24 * time.Hour // of ipvsadm(8)
	maxDrain           = 24 * time.Hour
)

func (o *object) virtualService(defaults map[string]cty.Value) *topology.VirtualService {
	s := &topology.VirtualService{
		Scheduler: o.choice("scheduler", schedulers[:]...),
		OnePacket: o.isTrue("one_packet", false),
		Family:    o.choice("family", "ipv4", "ipv6"),
	}
	if s.Scheduler == "" {
		s.Scheduler = defaultScheduler
	}
	forward := o.choice("forward", "nat", "dr", "tun")
	if forward == "" {
		forward = defaultForward
	}
	o.identity(s)
	s.SchedulerFlags = o.flags()
	if b := o.block("persistence"); b != nil {
		s.Persistence = b.persistence(s.Family)
	}
	if s.Port == 0 && s.FWMark == 0 && s.Persistence == nil && !o.bad["port"] && o.vals["port"] != cty.NilVal {
		o.l.r.check("LVS015", o.rangeOf("port"), "Port 0 without persistence",
			"A service for every port must be persistent, or the parts of one session reach different servers: the kernel refuses it. Add persistence {}, or name the port.")
		o.bad["port"] = true
	}
	if s.OnePacket && s.Protocol != "udp" && s.FWMark == 0 && s.Protocol != "" {
		o.fail("one_packet", "one_packet without UDP", "Only UDP services schedule packet by packet. Take it out.")
	}
	if d, ok := o.duration("drain_timeout", 0, maxDrain); ok {
		s.DrainTimeout = &d
	}
	o.checking(s, forward, defaults)
	for _, b := range o.blocks["real_server"] {
		s.RealServers = append(s.RealServers, b.realServer(s, forward))
	}
	o.checkDuplicates(s)
	slices.SortFunc(s.RealServers, func(a, b topology.RealServer) int { return cmpString(a.Name, b.Name) })
	defaults["scheduler"] = cty.StringVal(s.Scheduler)
	defaults["forward"] = cty.StringVal(forward)
	defaults["one_packet"] = cty.BoolVal(s.OnePacket)
	defaults["family"] = cty.StringVal(s.Family)
	return s
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// identity reads what tells services apart: protocol, address and port, or a
// firewall mark and family.
func (o *object) identity(s *topology.VirtualService) {
	if o.has("fwmark") {
		mark, _ := o.whole("fwmark", 1, math.MaxUint32)
		s.FWMark = uint32(mark)
		for _, name := range []string{"protocol", "address", "port"} {
			o.refuse(name, "a service without fwmark")
		}
		if s.Family == "" {
			s.Family = "ipv4"
		}
		return
	}
	s.Protocol = o.choice("protocol", "tcp", "udp", "sctp")
	s.Address = o.address("address")
	port, _ := o.whole("port", 0, 65535)
	s.Port = uint16(port)
	for _, name := range []string{"protocol", "address", "port"} {
		if !o.has(name) {
			o.l.r.error(o.header, "Missing "+name, "A virtual service needs protocol, address and port, or else fwmark.")
			o.bad[name] = true
		}
	}
	if !s.Address.IsValid() {
		return
	}
	family := "ipv6"
	if s.Address.Is4() {
		family = "ipv4"
	}
	if s.Family != "" && s.Family != family {
		o.fail("family", "Wrong address family", "The service's address %s is %s.", s.Address, familyName(s.Address.Is4()))
	}
	s.Family = family
	if s.Address.IsUnspecified() || s.Address.IsMulticast() {
		o.fail("address", "Invalid address", "%s cannot be a virtual IP address.", s.Address)
	}
}

func (o *object) flags() []string {
	list, ok := o.vals["scheduler_flags"]
	if !ok {
		return nil
	}
	var out []string
	for it := list.ElementIterator(); it.Next(); {
		_, v := it.Element()
		flag := ""
		if !v.IsNull() {
			flag = v.AsString()
		}
		if !slices.Contains(schedulerFlags[:], flag) {
			o.fail("scheduler_flags", "Unknown scheduler flag", "%q is none. There are %s.%s", clip(flag), oneOf(schedulerFlags[:]), didYouMean(flag, schedulerFlags[:]))
			return nil
		}
		out = append(out, flag)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// persistence reads the block persistence. netmask is a prefix length, a
// dotted IPv4 netmask, or an IPv6 netmask like "ffff:ffff:ffff:ffff::".
func (o *object) persistence(family string) *topology.Persistence {
	p := &topology.Persistence{Timeout: defaultPersistence, Engine: o.choice("engine", "sip")}
	if d, ok := o.duration("timeout", time.Second, maxPersistence); ok {
		p.Timeout = d
	}
	v, ok := o.vals["netmask"]
	if !ok || family == "" {
		return p
	}
	bits := 32
	if family == "ipv6" {
		bits = 128
	}
	length, ok := maskLength(v, bits)
	if !ok {
		example := "24 or \"255.255.255.0\""
		if bits == 128 {
			example = "64 or \"ffff:ffff:ffff:ffff::\""
		}
		o.fail("netmask", "Invalid netmask", "netmask is a prefix length from 1 to %d or a netmask: %s.", bits, example)
		return p
	}
	p.Netmask = length
	return p
}

// maskLength reads a prefix length or a netmask of contiguous ones.
func maskLength(v cty.Value, bits int) (int, bool) {
	var n int64
	switch v.Type() {
	case cty.Number:
		f := v.AsBigFloat()
		if !f.IsInt() {
			return 0, false
		}
		n, _ = f.Int64()
	case cty.String:
		s := v.AsString()
		if a, err := netip.ParseAddr(s); err == nil {
			return onesOf(a, bits)
		}
		var err error
		if n, err = strconv.ParseInt(s, 10, 32); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	return int(n), n >= 1 && n <= int64(bits)
}

func onesOf(a netip.Addr, bits int) (int, bool) {
	if a.BitLen() != bits || a.Zone() != "" {
		return 0, false
	}
	ones, ended := 0, false
	for _, b := range a.AsSlice() {
		for i := 7; i >= 0; i-- {
			one := b>>i&1 == 1
			if one && ended {
				return 0, false
			}
			if one {
				ones++
			} else {
				ended = true
			}
		}
	}
	return ones, ones > 0
}

// checkDuplicates finds one destination declared under two names.
func (o *object) checkDuplicates(s *topology.VirtualService) {
	first := map[netip.AddrPort]int{}
	for i, r := range s.RealServers {
		b := o.blocks["real_server"][i]
		if !r.Address.IsValid() || b.bad["port"] {
			continue
		}
		at := netip.AddrPortFrom(r.Address, r.Port)
		if old, twice := first[at]; twice {
			o.l.r.check("LVS009", b.header, fmt.Sprintf("Real server %s twice", at),
				"real_server %q and real_server %q are the same destination, and the kernel keeps one. Remove one of them, or change its address or port.", s.RealServers[old].Name, r.Name)
			last := len(o.l.r.found) - 1
			o.l.r.found[last].Also = []topology.Range{toRange(o.blocks["real_server"][old].header)}
			b.bad["address"] = true
			continue
		}
		first[at] = i
	}
}
