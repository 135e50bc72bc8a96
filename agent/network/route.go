//go:build linux

package network

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Attributes of linux/rtnetlink.h that the unix package has no names for.
const (
	rtaNewDst   = 19
	rtaExpires  = 23
	rtaNextHop  = 30 // RTA_NH_ID
	rtaxMTU     = 2
	rtaxAdvMSS  = 8
	userHertz   = 100 // of rta_cacheinfo's times
	clonedRoute = 0x200
)

// routePlace is what IPv6 replaces by: every route of a table with the same
// destination and metric, whatever its device.
type routePlace struct {
	to            netip.Prefix
	table, metric int
}

func placeOf(r state.Route) routePlace { return routePlace{r.To, r.Table, r.Metric} }

func (n *Network) readRoutes(family uint8, names map[int]string, add func(state.Object, []byte)) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = family
	messages, err := dump(unix.RTM_GETROUTE, body)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if len(m) < unix.SizeofRtMsg || m[0] != family || native.Uint32(m[8:])&clonedRoute != 0 {
			continue
		}
		r, err := parseRoute(m, names)
		if err != nil {
			return err
		}
		if r.Table == state.TableLocal {
			continue
		}
		if family == unix.AF_INET6 {
			n.siblings[placeOf(r)]++
		}
		add(r, m)
	}
	return nil
}

func parseRoute(m []byte, names map[int]string) (state.Route, error) {
	a := parse(m, unix.SizeofRtMsg)
	r := state.Route{
		To: prefixOf(m[0], a[unix.RTA_DST], m[1]), Table: int(m[4]), Protocol: int(m[5]),
		Type: routeTypeName(m[7]), Metric: int(get32(a[unix.RTA_PRIORITY])),
		Via: gateway(a), Source: getAddr(a[unix.RTA_PREFSRC]),
		OnLink: native.Uint32(m[8:])&unix.RTNH_F_ONLINK != 0,
	}
	if t := a[unix.RTA_TABLE]; len(t) >= 4 {
		r.Table = int(get32(t))
	}
	if m[0] == unix.AF_INET {
		r.Scope = scopeName(m[6])
	}
	if oif := a[unix.RTA_OIF]; len(oif) >= 4 && !rejects(m[7]) {
		device, ok := names[int(get32(oif))]
		if !ok {
			return r, errMoved
		}
		r.Device = device
	}
	metrics := parse(a[unix.RTA_METRICS], 0)
	r.MTU, r.AdvMSS = int(get32(metrics[rtaxMTU])), int(get32(metrics[rtaxAdvMSS]))
	hops, err := nextHops(a, names)
	r.NextHops = hops
	return r, err
}

// rejects tells whether a type of routes leads nowhere; the device that IPv6
// gives such a route (lo) means nothing.
func rejects(kind uint8) bool {
	switch kind {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return true
	}
	return false
}

func prefixOf(family uint8, address []byte, bits uint8) netip.Prefix {
	a, ok := netip.AddrFromSlice(address)
	if !ok {
		if a = netip.IPv4Unspecified(); family == unix.AF_INET6 {
			a = netip.IPv6Unspecified()
		}
	}
	return netip.PrefixFrom(a, int(bits))
}

func gateway(a attributes) netip.Addr {
	if via := a[unix.RTA_VIA]; len(via) > 2 { // a family, then an address of it
		return getAddr(via[2:])
	}
	return getAddr(a[unix.RTA_GATEWAY])
}

// nextHops describes a route of several gateways, or of a nexthop object.
func nextHops(a attributes, names map[int]string) (string, error) {
	var words []string
	if id := a[rtaNextHop]; len(id) >= 4 {
		words = append(words, "nhid", strconv.Itoa(int(get32(id))))
	}
	for b := a[unix.RTA_MULTIPATH]; len(b) >= unix.SizeofRtNexthop; {
		size := int(native.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		hop := parse(b[:size], unix.SizeofRtNexthop)
		device, ok := names[int(native.Uint32(b[4:]))]
		if !ok {
			return "", errMoved
		}
		words = append(words, "nexthop")
		if via := gateway(hop); via.IsValid() {
			words = append(words, "via", via.String())
		}
		words = append(words, "dev", device, "weight", strconv.Itoa(int(b[3])+1))
		if b[2]&unix.RTNH_F_ONLINK != 0 {
			words = append(words, "onlink")
		}
		b = b[min(align(size), len(b)):]
	}
	return strings.Join(words, " "), nil
}

func (n *Network) changeRoute(c state.Change) error {
	after, ok := c.After.(state.Route)
	if !ok {
		return deleteRoute(c.Before.(state.Route))
	}
	body, err := n.describeRoute(after)
	if err != nil {
		return err
	}
	flags := unix.NLM_F_CREATE | unix.NLM_F_EXCL
	shared := after.To.Addr().Is6() && n.siblings[placeOf(after)] > 0
	switch {
	case c.Before != nil && after.To.Addr().Is6() && (n.siblings[placeOf(after)] > 1 || reshapes(c)):
		// IPv6 would replace another device's route, or add beside this one.
		if err := deleteRoute(c.Before.(state.Route)); err != nil {
			return err
		}
		flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
	case c.Before != nil:
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	case shared:
		flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
	}
	return send(unix.RTM_NEWROUTE, flags, body)
}

// reshapes tells whether a route gets or loses its gateway: IPv6 replaces only
// like by like.
func reshapes(c state.Change) bool {
	before, after := c.Before.(state.Route), c.After.(state.Route)
	return before.Via.IsValid() != after.Via.IsValid() || before.NextHops != after.NextHops || before.Type != after.Type
}

func deleteRoute(r state.Route) error {
	body, err := routeHeader(r)
	if err != nil {
		return err
	}
	body[5], body[6] = unix.RTPROT_UNSPEC, unix.RT_SCOPE_NOWHERE // any
	if r.Metric != 0 {
		body = put32(body, unix.RTA_PRIORITY, uint32(r.Metric))
	}
	if r.NextHops == "" {
		if r.Device != "" {
			live, err := find(r.Device)
			if err != nil || live == nil {
				return err
			}
			body = put32(body, unix.RTA_OIF, uint32(live.index))
		}
		body = putGateway(body, r)
	}
	err = send(unix.RTM_DELROUTE, 0, body)
	if gone(err) {
		return nil
	}
	return err
}

// routeHeader is struct rtmsg with the destination and the table.
func routeHeader(r state.Route) ([]byte, error) {
	if !r.To.IsValid() {
		return nil, fmt.Errorf("route without a destination")
	}
	kind, err := routeTypeNumber(r.Type)
	if err != nil {
		return nil, err
	}
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[1], body[7] = familyOf(r.To.Addr()), byte(r.To.Bits()), kind
	if r.Table < 256 {
		body[4] = byte(r.Table)
	}
	if r.To.Bits() > 0 {
		body = put(body, unix.RTA_DST, r.To.Addr().AsSlice())
	}
	return put32(body, unix.RTA_TABLE, uint32(r.Table)), nil
}

func putGateway(body []byte, r state.Route) []byte {
	switch {
	case !r.Via.IsValid():
		return body
	case r.Via.Is4() == r.To.Addr().Is4():
		return put(body, unix.RTA_GATEWAY, r.Via.AsSlice())
	}
	via := native.AppendUint16(nil, uint16(familyOf(r.Via)))
	return put(body, unix.RTA_VIA, append(via, r.Via.AsSlice()...))
}

// describeRoute is the message that creates a route: as it was where it has
// been read before, else from its attributes.
func (n *Network) describeRoute(r state.Route) ([]byte, error) {
	if was, ok := n.raw[r]; ok {
		return replayRoute(was)
	}
	if r.NextHops != "" {
		return nil, fmt.Errorf("a route of several gateways (%s) can only be put back", r.NextHops)
	}
	body, err := routeHeader(r)
	if err != nil {
		return nil, err
	}
	body[5] = byte(r.Protocol)
	if r.Protocol == 0 {
		body[5] = unix.RTPROT_STATIC
	}
	body[6] = routeScope(r)
	if r.OnLink {
		native.PutUint32(body[8:], unix.RTNH_F_ONLINK)
	}
	if r.Device != "" {
		index, err := indexOf(r.Device)
		if err != nil {
			return nil, err
		}
		body = put32(body, unix.RTA_OIF, uint32(index))
	}
	body = putGateway(body, r)
	if r.Metric != 0 {
		body = put32(body, unix.RTA_PRIORITY, uint32(r.Metric))
	}
	if r.Source.IsValid() {
		body = put(body, unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	var metrics []byte
	if r.MTU != 0 {
		metrics = put32(metrics, rtaxMTU, uint32(r.MTU))
	}
	if r.AdvMSS != 0 {
		metrics = put32(metrics, rtaxAdvMSS, uint32(r.AdvMSS))
	}
	if metrics != nil {
		body = put(body, unix.RTA_METRICS|unix.NLA_F_NESTED, metrics)
	}
	return body, nil
}

// routeScope is the scope of a route, derived as ip-route(8) does where it is
// open. IPv6 has none.
func routeScope(r state.Route) uint8 {
	switch {
	case r.To.Addr().Is6():
		return unix.RT_SCOPE_UNIVERSE
	case r.Scope != "":
		return scopeNumber(r.Scope)
	case r.Type == "local" || r.Type == "nat":
		return unix.RT_SCOPE_HOST
	case r.Type == "broadcast" || r.Type == "multicast" || r.Type == "anycast", r.Type == "" && !r.Via.IsValid():
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// replayRoute turns the kernel's description into one that creates the same
// route, its links found again by name.
func replayRoute(was original) ([]byte, error) {
	m := was.message
	body := append([]byte(nil), m[:unix.SizeofRtMsg]...)
	native.PutUint32(body[8:], native.Uint32(m[8:])&unix.RTNH_F_ONLINK)
	a := parse(m, unix.SizeofRtMsg)
	var failure error
	index := func(old uint32) uint32 {
		now, err := indexOf(was.names[int(old)])
		if err != nil {
			failure = err
		}
		return uint32(now)
	}
	each(m, unix.SizeofRtMsg, func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_CACHEINFO:
			// struct rta_cacheinfo: clntref, lastuse, expires, …
			if len(value) >= 12 && m[0] == unix.AF_INET6 && int32(native.Uint32(value[8:])) > 0 {
				body = put32(body, rtaExpires, native.Uint32(value[8:])/userHertz)
			}
			return
		case rtaExpires, rtaNewDst:
			return
		case unix.RTA_OIF, unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE:
			if a[rtaNextHop] != nil {
				return // the nexthop object says it
			}
		}
		switch kind {
		case unix.RTA_OIF:
			if !rejects(m[7]) {
				body = put32(body, kind, index(get32(value)))
			}
		case unix.RTA_METRICS:
			body = put(body, kind|unix.NLA_F_NESTED, value)
		case unix.RTA_ENCAP:
			body = put(body, kind|unix.NLA_F_NESTED, value)
		case unix.RTA_MULTIPATH:
			body = put(body, kind, replayHops(value, index))
		default:
			body = put(body, kind, value)
		}
	})
	return body, failure
}

// replayHops takes what is state of the moment (dead, link down) from the
// nexthops.
func replayHops(hops []byte, index func(uint32) uint32) []byte {
	out := append([]byte(nil), hops...)
	for b := out; len(b) >= unix.SizeofRtNexthop; {
		size := int(native.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		b[2] &= unix.RTNH_F_ONLINK
		native.PutUint32(b[4:], index(native.Uint32(b[4:])))
		b = b[min(align(size), len(b)):]
	}
	return out
}

// routeTypes are the types of linux/rtnetlink.h by number, named as in
// ip-route(8); unicast has no name here.
var routeTypes = [...]string{
	unix.RTN_UNICAST: "", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
	unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable",
	unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw", unix.RTN_NAT: "nat",
}

func routeTypeName(n uint8) string {
	if int(n) < len(routeTypes) {
		return routeTypes[n]
	}
	return strconv.Itoa(int(n))
}

func routeTypeNumber(name string) (uint8, error) {
	for n := unix.RTN_UNICAST; n < len(routeTypes); n++ {
		if routeTypes[n] == name {
			return uint8(n), nil
		}
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("there is no route type %q", name)
	}
	return uint8(n), nil
}
