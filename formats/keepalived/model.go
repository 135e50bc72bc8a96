// Package keepalived is the text form of keepalived's configuration.
package keepalived

import (
	"net/netip"
	"time"

	"github.com/lvsform/lvsform/state"
)

// Config is what lvsform tells keepalived(8) to do.
type Config struct {
	Global     Global
	SyncGroups []SyncGroup
	Instances  []Instance
	Services   []VirtualServer
}

// Global is the block global_defs.
type Global struct {
	RouterID string // "": the host's name
}

// SyncGroup is a vrrp_sync_group: its instances become master together. One with
// fewer than two instances is not written.
type SyncGroup struct {
	Name      string
	Instances []string // their names
}

// Instance is a vrrp_instance.
type Instance struct {
	Name            string
	State           string // at start: MASTER or BACKUP; "" is BACKUP, with the priority 255 MASTER
	Interface       string
	VirtualRouterID int // 1..255
	Priority        int // 1..255
	// AdvertInterval has a resolution of a second in version 2, of 10 ms in
	// version 3; 0: keepalived's second.
	AdvertInterval  time.Duration
	Version         int // 2 or 3; 0: 2, for IPv6 addresses 3
	NoPreempt       bool
	PreemptDelay    time.Duration
	Authentication  Authentication
	UnicastSource   netip.Addr   // zero: the interface's
	UnicastPeers    []netip.Addr // none: multicast
	TrackInterfaces []string
	Addresses       []Address // virtual_ipaddress: told in the advertisements
	Excluded        []Address // virtual_ipaddress_excluded
}

// Authentication is that of RFC 2338; the zero value is none.
type Authentication struct {
	Type     string // PASS or AH
	Password string // a secret; keepalived takes at most 8 bytes
}

// Address is an address that an instance adds as master.
type Address struct {
	IP     netip.Prefix // host bits kept: 192.0.2.7/24
	Device string       // "" is the instance's interface
	Label  string       // IPv4 only
	Scope  string       // global, site, link, host or nowhere; "" is global
}

// VirtualServer is a virtual_server: the IPVS service that keepalived programs,
// with its real servers.
type VirtualServer struct {
	state.Service
	DelayLoop   time.Duration // between two checks of a server; 0: keepalived's minute
	Quorum      int           // the weight that must be alive; 0: keepalived's 1
	Fallback    Fallback
	RealServers []RealServer
}

// Forwarding is how packets get to a server.
type Forwarding struct {
	Forward        string // nat, dr or tun
	TunnelType     string // ipip, gue or gre for tun, else ""
	TunnelPort     uint16 // gue only
	TunnelChecksum string // csum or remcsum for gue and gre; "" is none
}

// Fallback is a sorry_server; the zero value is none.
type Fallback struct {
	Address netip.Addr
	Port    uint16 // 0: the service's
	Forwarding
}

// RealServer is a real_server with its one checker.
type RealServer struct {
	Address netip.Addr
	Port    uint16 // 0: the service's, as it is needed for a service of a mark
	Weight  int    // 0 drains
	Forwarding
	Upper     uint32 // uthreshold; 0: none
	Lower     uint32 // lthreshold; 0: none
	Quiescent bool   // inhibit_on_failure: a dead server gets the weight 0 and stays
	Check     Check
}

// The checkers of keepalived that lvsform knows.
const (
	TCPCheck  = "TCP_CHECK"
	HTTPGet   = "HTTP_GET"
	SSLGet    = "SSL_GET"
	DNSCheck  = "DNS_CHECK"
	SMTPCheck = "SMTP_CHECK"
	UDPCheck  = "UDP_CHECK"
	PingCheck = "PING_CHECK"
	MiscCheck = "MISC_CHECK"
)

// Check is how keepalived finds out whether a real server is alive; zero fields
// are left to keepalived.
type Check struct {
	Type       string         // one of the constants; "": never checked, always alive
	Timeout    time.Duration  // connect_timeout; of a MISC_CHECK misc_timeout, whole seconds
	Retries    state.Opt[int] // before a server counts as dead
	RetryDelay time.Duration
	Port       uint16 // connect_port; not for MISC_CHECK and PING_CHECK

	// HTTP_GET and SSL_GET
	Path        string        // begins with /; needed
	VirtualHost string        // the Host header
	SNI         bool          // SSL_GET: the virtual host is told in the handshake
	Status      []StatusRange // none: 200 to 299
	Digest      string        // MD5 of the answer in hexadecimal
	Regex       string        // PCRE that the answer must match

	// DNS_CHECK
	Name   string // "" is .
	Record string // A, NS, CNAME, SOA, MX, TXT or AAAA; "" is SOA

	// SMTP_CHECK
	HELO string

	// UDP_CHECK
	Payload      string // raw bytes, at most 255
	RequireReply bool   // without it only an ICMP error tells of a dead server
	// Reply is how a required answer must begin, raw bytes. keepalived compares no
	// more than it got, so that MinReply should be at least as long.
	Reply    string
	MinReply int // bytes
	MaxReply int // bytes; 0: keepalived's 255

	// MISC_CHECK
	Command string // an absolute path and its arguments, no shell
	User    string // needed: keepalived's own choice may not exist
	Group   string // "": the user's
}

// StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct {
	From, To int
}

// Destination is the IPVS destination that keepalived makes of a real server of
// s that is alive.
func (s VirtualServer) Destination(r RealServer) state.Destination {
	return state.Destination{
		Service: s.ServiceID, Address: r.Address, Port: r.Port, Weight: r.Weight, Forward: r.Forward,
		Upper: r.Upper, Lower: r.Lower,
		TunnelType: r.TunnelType, TunnelPort: r.TunnelPort, TunnelChecksum: r.TunnelChecksum,
	}
}

// ServerOf is the real server that is the destination, without a check.
func ServerOf(d state.Destination) RealServer {
	return RealServer{
		Address: d.Address, Port: d.Port, Weight: d.Weight, Upper: d.Upper, Lower: d.Lower,
		Forwarding: Forwarding{
			Forward: d.Forward, TunnelType: d.TunnelType, TunnelPort: d.TunnelPort, TunnelChecksum: d.TunnelChecksum,
		},
	}
}
