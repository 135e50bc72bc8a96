// Package state is one host's kernel objects as comparable values.
package state

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Kind is a kind of kernel object.
type Kind string

const (
	KindPackage     Kind = "package"
	KindModule      Kind = "module"
	KindSysctl      Kind = "sysctl"
	KindLink        Kind = "link"
	KindFOU         Kind = "fou"
	KindAddress     Kind = "address"
	KindRoute       Kind = "route"
	KindRule        Kind = "rule"
	KindMark        Kind = "mark"
	KindMasquerade  Kind = "masquerade"
	KindTimeouts    Kind = "ipvs_timeouts"
	KindSync        Kind = "ipvs_sync"
	KindService     Kind = "ipvs_service"
	KindDestination Kind = "ipvs_destination"
	KindConfig      Kind = "config"
	KindUnit        Kind = "service"
)

// Kinds lists every kind, in the order in which a host is built up.
var Kinds = []Kind{KindPackage, KindModule, KindSysctl, KindLink, KindFOU, KindAddress, KindRoute, KindRule,
	KindMark, KindMasquerade, KindTimeouts, KindSync, KindService, KindDestination, KindConfig, KindUnit}

// Key is the kernel's identity of an object: two objects with one key cannot
// exist beside each other on a host.
type Key struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

func (k Key) String() string { return string(k.Kind) + " " + k.ID }

// Less orders keys by kind as in Kinds, then by ID.
func (k Key) Less(o Key) bool { return k.Compare(o) < 0 }

// Compare orders keys by kind as in Kinds, then by ID.
func (k Key) Compare(o Key) int {
	if k.Kind != o.Kind {
		return kindRank(k.Kind) - kindRank(o.Kind)
	}
	switch {
	case k.ID < o.ID:
		return -1
	case k.ID > o.ID:
		return 1
	}
	return 0
}

func kindRank(k Kind) int {
	for i, known := range Kinds {
		if k == known {
			return i
		}
	}
	return len(Kinds)
}

// Object is one object of a host: one of Package, Module, Sysctl, Link, FOU,
// Address, Route, Rule, Mark, Masquerade, Timeouts, Sync, Service, Destination,
// Config and Unit, never a pointer, so that == compares every attribute. Counters
// are no part of an object.
type Object interface {
	Key() Key
	// Resolve returns the object with the attributes that it leaves open
	// taken from live, an object of the same key (or nil). A declared object
	// matches the live one when declared.Resolve(live) == live.
	Resolve(live Object) Object
}

// Opt is a value that may be unset, which is not the same as zero.
type Opt[T comparable] struct {
	Value T
	Set   bool
}

// Some returns a set value.
func Some[T comparable](v T) Opt[T] { return Opt[T]{Value: v, Set: true} }

// Or returns o if it is set, else other.
func (o Opt[T]) Or(other Opt[T]) Opt[T] {
	if o.Set {
		return o
	}
	return other
}

// IsZero tells whether the value is unset; encoding/json omits it then.
func (o Opt[T]) IsZero() bool { return !o.Set }

// Module is a loaded (or built-in) kernel module. It is loaded where needed and
// never unloaded.
type Module struct {
	Name string `json:"name"` // with underscores: ip_vs_wlc
	// Parameters are those that it is loaded with, as modprobe(8) takes them:
	// "conn_tab_bits=16". A declared "" accepts any.
	Parameters string `json:"parameters,omitempty"`
}

// Sysctl is a kernel parameter.
type Sysctl struct {
	// Name is as sysctl(8) prints it: dots between the parts, a dot inside an
	// interface name written as a slash: net.ipv4.conf.eth0/100.rp_filter.
	Name  string `json:"name"`
	Value string `json:"value"` // fields separated by one space
}

// Link is a network interface. Unset attributes of a declared link are left as
// they are.
type Link struct {
	Name string `json:"name"`
	// Kind is as ip-link(8) names it: dummy, ipip, ip6tnl, sit, gre, veth,
	// device, … A declared "" accepts an existing link of any kind.
	Kind string `json:"kind,omitempty"`
	// Mode is that of an ip6tnl link: ip6ip6, ipip6 or any.
	Mode   string     `json:"mode,omitempty"`
	Local  netip.Addr `json:"local,omitzero"`
	Remote netip.Addr `json:"remote,omitzero"`
	Up     Opt[bool]  `json:"up,omitzero"`  // administrative state
	MTU    Opt[int]   `json:"mtu,omitzero"` // bytes
	// Fallback marks a link that the kernel itself made with its module or
	// namespace (tunl0, ip6tnl0, sit0, gre0): it can be changed, not deleted.
	Fallback bool `json:"fallback,omitempty"`
}

// Address is an IP address on an interface.
type Address struct {
	Device    string       `json:"device"`
	IP        netip.Prefix `json:"ip"`              // host bits kept: 192.0.2.7/24
	Label     string       `json:"label,omitempty"` // IPv4 only; "" is the device's name
	Broadcast netip.Addr   `json:"broadcast,omitzero"`
	Scope     string       `json:"scope"` // global, site, link, host
	Peer      netip.Prefix `json:"peer,omitzero"`
	NoDAD     bool         `json:"nodad,omitempty"` // IPv6 only
	// Deprecated is a preferred lifetime of zero (IPv6): the kernel does not
	// choose the address as a source.
	Deprecated bool `json:"deprecated,omitempty"`
}

// RouteTable numbers of linux/rtnetlink.h.
const (
	TableMain  = 254
	TableLocal = 255
)

// Route is one route of any table but the local one.
type Route struct {
	To     netip.Prefix `json:"to"`
	Table  int          `json:"table"`
	Metric int          `json:"metric"`
	// Type is as ip-route(8) names it (blackhole, …); "" is unicast.
	Type   string     `json:"type,omitempty"`
	Via    netip.Addr `json:"via,omitzero"`
	Device string     `json:"device,omitempty"`
	Source netip.Addr `json:"source,omitzero"`
	Scope  string     `json:"scope,omitempty"` // IPv4 only: global, site, link, host
	OnLink bool       `json:"onlink,omitempty"`
	MTU    int        `json:"mtu,omitempty"`
	AdvMSS int        `json:"advmss,omitempty"`
	// NextHops describes a multipath route as ip-route(8) writes it; such
	// routes are only ever read and put back.
	NextHops string `json:"nexthops,omitempty"`
	// Protocol is who made the route (rtnetlink.h RTPROT_*, 2 is the kernel).
	// A declared 0 accepts any, and a route so created is static (4).
	Protocol int `json:"protocol,omitempty"`
}

// Rule is one policy-routing rule.
type Rule struct {
	Family   string       `json:"family"` // ipv4 or ipv6
	Priority int          `json:"priority"`
	From     netip.Prefix `json:"from,omitzero"`
	To       netip.Prefix `json:"to,omitzero"`
	FWMark   uint32       `json:"fwmark,omitempty"`
	Table    int          `json:"table"`
	// Other holds selectors and actions that lvsform does not write (iif,
	// uidrange, goto, …) as one line of text; such rules are only read.
	Other string `json:"other,omitempty"`
}

// ServiceID is the identity of an IPVS service: protocol, address and port, or
// a firewall mark and an address family.
type ServiceID struct {
	Protocol string     `json:"protocol,omitempty"` // tcp, udp, sctp
	Address  netip.Addr `json:"address,omitzero"`
	Port     uint16     `json:"port,omitempty"`
	FWMark   uint32     `json:"fwmark,omitempty"`
	Family   string     `json:"family"` // ipv4 or ipv6
}

// String is the ID of the service's key: tcp/192.0.2.1:80, fwmark/7/ipv4.
func (s ServiceID) String() string { return string(s.appendTo(make([]byte, 0, 64))) }

// appendTo appends the ID to b: a table of ten thousand destinations makes as
// many keys.
func (s ServiceID) appendTo(b []byte) []byte {
	if s.FWMark != 0 {
		b = strconv.AppendUint(append(b, "fwmark/"...), uint64(s.FWMark), 10)
		return append(append(b, '/'), s.Family...)
	}
	b = append(append(b, s.Protocol...), '/')
	return netip.AddrPortFrom(s.Address, s.Port).AppendTo(b)
}

// Service is an IPVS virtual service.
type Service struct {
	ServiceID
	Scheduler string `json:"scheduler"`
	// SchedulerFlags are sorted names joined by commas: "sh-fallback,sh-port",
	// "mh-fallback,mh-port"; for other schedulers "flag-1,flag-2,flag-3".
	SchedulerFlags string `json:"scheduler_flags,omitempty"`
	OnePacket      bool   `json:"one_packet,omitempty"`
	// Timeout makes the service persistent; whole seconds. Zero: it is not.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Netmask is the prefix length of the clients that persistence treats as
	// one. It is 32 or 128 where the service does not say otherwise.
	Netmask int    `json:"netmask"`
	Engine  string `json:"engine,omitempty"` // persistence engine: sip
}

// Destination is one real server of an IPVS service.
type Destination struct {
	Service ServiceID  `json:"service"`
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
	Weight  int        `json:"weight"`  // 0 drains
	Forward string     `json:"forward"` // nat, dr, tun; local (an address of the director) is reported as declared
	Upper   uint32     `json:"upper_threshold,omitempty"`
	Lower   uint32     `json:"lower_threshold,omitempty"`
	// TunnelType is ipip, gue or gre for forward tun, else "".
	TunnelType string `json:"tunnel_type,omitempty"`
	TunnelPort uint16 `json:"tunnel_port,omitempty"` // gue only
	// TunnelChecksum is csum or remcsum for gue and gre; "" is none.
	TunnelChecksum string `json:"tunnel_checksum,omitempty"`
}

func (m Module) Key() Key  { return Key{KindModule, m.Name} }
func (s Sysctl) Key() Key  { return Key{KindSysctl, s.Name} }
func (l Link) Key() Key    { return Key{KindLink, l.Name} }
func (s Service) Key() Key { return Key{KindService, s.ServiceID.String()} }

// Key of an address leaves the prefix length out: an address that is already
// there with another length is the same object, never doubled.
func (a Address) Key() Key { return Key{KindAddress, a.Device + "/" + a.IP.Addr().String()} }

// Key of a route is what the kernel holds unique: table, destination and
// metric; for IPv6 the device too (fe80::/64 stands once for every NIC).
func (r Route) Key() Key {
	id := strconv.Itoa(r.Table) + "/" + r.To.String() + "/" + strconv.Itoa(r.Metric)
	if r.To.Addr().Is6() {
		id += "/" + r.Device
	}
	return Key{KindRoute, id}
}

// Key of a rule is the whole rule: the kernel refuses only exact duplicates.
func (r Rule) Key() Key {
	id := fmt.Sprintf("%s/%d/from=%s/to=%s/fwmark=%d/table=%d", r.Family, r.Priority,
		prefixID(r.From), prefixID(r.To), r.FWMark, r.Table)
	if r.Other != "" {
		id += "/" + r.Other
	}
	return Key{KindRule, id}
}

func prefixID(p netip.Prefix) string {
	if !p.IsValid() {
		return "all"
	}
	return p.String()
}

// Key of a destination is its service, address and port.
func (d Destination) Key() Key {
	return Key{KindDestination, string(d.appendID(make([]byte, 0, 128)))}
}

func (d Destination) appendID(b []byte) []byte {
	return netip.AddrPortFrom(d.Address, d.Port).AppendTo(append(d.Service.appendTo(b), '/'))
}

func (s Sysctl) Resolve(Object) Object      { return s }
func (a Address) Resolve(Object) Object     { return a }
func (r Rule) Resolve(Object) Object        { return r }
func (s Service) Resolve(Object) Object     { return s }
func (d Destination) Resolve(Object) Object { return d }

func (m Module) Resolve(live Object) Object {
	if have, ok := live.(Module); ok && m.Parameters == "" {
		m.Parameters = have.Parameters
	}
	return m
}

func (l Link) Resolve(live Object) Object {
	have, ok := live.(Link)
	if !ok {
		return l
	}
	l.Fallback = have.Fallback
	l.Up, l.MTU = l.Up.Or(have.Up), l.MTU.Or(have.MTU)
	if l.Kind == "" { // an existing link: only what is set is ours
		l.Kind, l.Mode, l.Local, l.Remote = have.Kind, have.Mode, have.Local, have.Remote
	}
	if l.Mode == "" {
		l.Mode = have.Mode
	}
	return l
}

func (r Route) Resolve(live Object) Object {
	have, ok := live.(Route)
	if !ok {
		return r
	}
	if r.Protocol == 0 {
		r.Protocol = have.Protocol
	}
	if r.Device == "" {
		r.Device = have.Device
	}
	return r
}
