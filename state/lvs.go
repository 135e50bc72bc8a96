package state

import (
	"net/netip"
	"strconv"
	"time"
)

// FOU is a UDP port at which the kernel unwraps packets, as ip-fou(8) makes it.
type FOU struct {
	Family string `json:"family"` // ipv4 or ipv6
	Port   uint16 `json:"port"`
	// Protocol is what is inside: gue (a GUE header tells), ipip, ipv6 or gre.
	Protocol string `json:"protocol"`
}

// Mark gives packets to an address and ports a firewall mark: one rule of
// lvsform's own nftables table.
type Mark struct {
	Protocol string     `json:"protocol"` // tcp, udp or sctp
	Address  netip.Addr `json:"address"`
	// Ports are sorted ports and ranges joined by commas: "80,443,8000-8100".
	Ports string `json:"ports"`
	Mark  uint32 `json:"mark"` // not 0
}

// Masquerade gives connections that IPVS sends to a real server a source
// address of the director: one rule of lvsform's own nftables table. They are
// told by their original destination, so that other traffic is left alone.
type Masquerade struct {
	VIP      netip.Addr `json:"vip"`
	Protocol string     `json:"protocol"`       // tcp, udp or sctp
	Port     uint16     `json:"port,omitempty"` // of the VIP; 0: every port
	To       netip.Addr `json:"to"`             // the real server
	// Source is the address that the real server sees; unset: that of the
	// interface through which it is reached.
	Source netip.Addr `json:"source,omitzero"`
	// Idle: no connection is given a new source any more, but those that were
	// keep it. The kernel forgets all of them with the last masquerade.
	Idle bool `json:"idle,omitempty"`
}

// Timeouts are how long the host's IPVS remembers idle connections; whole
// seconds. A declared zero is left as it is. The object is there when the
// module ip_vs is.
type Timeouts struct {
	TCP    time.Duration `json:"tcp,omitempty"`
	TCPFin time.Duration `json:"tcp_fin,omitempty"`
	UDP    time.Duration `json:"udp,omitempty"`
}

// DefaultTimeouts are those of a freshly loaded ip_vs (ip_vs_proto_tcp.c,
// ip_vs_proto_udp.c).
var DefaultTimeouts = Timeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}

// Sync is one of the two connection synchronisation daemons of a host, as
// ipvsadm --start-daemon starts it.
type Sync struct {
	Role      string     `json:"role"` // master or backup
	Interface string     `json:"interface"`
	ID        int        `json:"id"`                  // 0..255; a backup takes only its master's
	Group     netip.Addr `json:"group"`               // multicast; the kernel's default is 224.0.0.81
	Port      uint16     `json:"port"`                // UDP; the kernel's default is 8848
	TTL       int        `json:"ttl"`                 // 1..255; the kernel's default is 1
	MaxLength int        `json:"max_length,omitzero"` // bytes; a declared 0 leaves it to the kernel
}

// Package is an installed package of the host's distribution. It is installed
// where needed and never removed.
type Package struct {
	Name string `json:"name"`
}

// Unit is a service of the host's init system. Unset attributes are left as
// they are. One that does not exist is no object.
type Unit struct {
	Name    string    `json:"name"` // without a suffix: firewalld
	Running Opt[bool] `json:"running,omitzero"`
	Enabled Opt[bool] `json:"enabled,omitzero"` // started at boot
}

// Config is a topology's part of the configuration of keepalived(8) or
// ldirectord(8), beside what others have configured there: that is a Config too,
// of no topology, all of the program's own file but what lvsform adds to it.
type Config struct {
	Program  string `json:"program"`  // keepalived or ldirectord
	Topology string `json:"topology"` // whose part it is; "": nobody's
	Text     string `json:"text"`     // may hold secrets
}

func (f FOU) Key() Key     { return Key{KindFOU, f.Family + "/" + strconv.Itoa(int(f.Port))} }
func (Timeouts) Key() Key  { return Key{KindTimeouts, "host"} }
func (s Sync) Key() Key    { return Key{KindSync, s.Role} }
func (p Package) Key() Key { return Key{KindPackage, p.Name} }
func (u Unit) Key() Key    { return Key{KindUnit, u.Name} }
func (c Config) Key() Key  { return Key{KindConfig, c.Program + "/" + c.Topology} }
func (m Mark) Key() Key {
	return Key{KindMark, m.Protocol + "/" + m.Address.String() + "/" + m.Ports}
}
func (m Masquerade) Key() Key {
	return Key{KindMasquerade, m.Protocol + "/" + netip.AddrPortFrom(m.VIP, m.Port).String() + "/" + m.To.String()}
}

func (f FOU) Resolve(Object) Object        { return f }
func (m Mark) Resolve(Object) Object       { return m }
func (m Masquerade) Resolve(Object) Object { return m }
func (p Package) Resolve(Object) Object    { return p }
func (c Config) Resolve(Object) Object     { return c }

func (t Timeouts) Resolve(live Object) Object {
	have, ok := live.(Timeouts)
	if !ok {
		return t
	}
	open := func(d *time.Duration, live time.Duration) {
		if *d == 0 {
			*d = live
		}
	}
	open(&t.TCP, have.TCP)
	open(&t.TCPFin, have.TCPFin)
	open(&t.UDP, have.UDP)
	return t
}

func (s Sync) Resolve(live Object) Object {
	if have, ok := live.(Sync); ok && s.MaxLength == 0 {
		s.MaxLength = have.MaxLength
	}
	return s
}

func (u Unit) Resolve(live Object) Object {
	if have, ok := live.(Unit); ok {
		u.Running, u.Enabled = u.Running.Or(have.Running), u.Enabled.Or(have.Enabled)
	}
	return u
}
