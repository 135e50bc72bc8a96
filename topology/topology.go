// Package topology is the cluster as its owner declared it.
package topology

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Topology is one evaluated configuration: every value is known, every name
// resolved, and no host has been contacted.
type Topology struct {
	// Name is the label of the topology block: the name under which objects
	// are owned on hosts.
	Name      string
	Hosts     []*Host     // sorted by Name
	Resources []*Resource // sorted by Path
	Removed   []Removed
	Outputs   []Output // sorted by Name
	Range     Range    // the topology block
	// Persist: what is applied survives a reboot of its host. nil: not said,
	// which is true where the host allows it.
	Persist      *bool
	PersistRange Range
}

// Persists tells whether what is applied is to survive a reboot.
func (t *Topology) Persists() bool { return t.Persist == nil || *t.Persist }

// Host returns the host of that name, or nil.
func (t *Topology) Host(name string) *Host {
	for _, h := range t.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Host is one machine. Interfaces and Gateway are facts about the machine as it
// was before lvsform; they are never written to it.
type Host struct {
	Name       string     // unique in the topology: `dir1`, `rs["a"]`
	Path       string     // where it is declared: `host.dir1`, `module.m.host.rs["a"]`
	Address    netip.Addr // DIP or RIP, and where SSH connects unless SSH.Address differs
	Interfaces []Interface
	Gateway    netip.Addr // zero: none declared
	SSH        SSH
	Managed    bool // false: checked, never connected to
	Retired    bool // everything claimed there is planned away
	OS         string
	Range      Range
	Attributes map[string]Range // by attribute name
}

// Interface is one NIC of a host with the addresses that it had before lvsform.
type Interface struct {
	Name      string
	Addresses []netip.Prefix
	Range     Range
}

// SSH says how to reach a host; zero fields leave the choice to ssh_config(5).
type SSH struct {
	Address      string `json:"address,omitempty"` // host name or address; "" means Host.Address
	Port         int    `json:"port,omitempty"`
	User         string `json:"user,omitempty"`
	IdentityFile string `json:"identity_file,omitempty"`
	Jump         string `json:"jump,omitempty"` // as ProxyJump takes it
	Sudo         bool   `json:"sudo,omitempty"`
}

// Resource is one resource instance, on one host.
type Resource struct {
	// Path is the resource's address in the configuration, instances and
	// modules included: `module.web.address.vip_lo["rs1"]`.
	Path string
	Host string // the Name of a host of the topology
	Body Body
	// DependsOn are the Paths of the resource instances that depends_on and
	// references name, modules expanded; sorted, without duplicates.
	DependsOn      []string
	PreventDestroy bool
	// IgnoreChanges are attribute names; for a virtual_service also those of
	// its real servers (`weight`).
	IgnoreChanges []string
	// Sensitive are the attribute names whose values must not be shown.
	Sensitive  []string
	Range      Range            // the block's header
	Attributes map[string]Range // by attribute name; blocks as `real_server.NAME`
	Call       Range            // the root's module block that leads to it; zero: it stands in the root
}

// Body is what a resource declares: one of *Sysctl, *Link, *Address, *Route,
// *Rule, *VirtualService, *VRRPInstance, *Mark, *Masquerade, *IPVS, *Package and
// *Service.
type Body interface {
	// Type is the block's type in the language: `virtual_service`.
	Type() string
}

// Sysctl sets kernel parameters. Names are as sysctl(8) prints them: dots
// between the parts, a dot inside an interface name written as a slash.
type Sysctl struct {
	Settings map[string]string
}

// Link is a network interface: a new one of Kind, or an existing one.
type Link struct {
	Name string
	// Kind is dummy, ipip, ip6tnl, sit, gre or existing.
	Kind          string
	Mode          string // ip6tnl only: ip6ip6, ipip6 or any; "" is the kernel's default
	Local, Remote netip.Addr
	Up            *bool
	MTU           *int // bytes
	FOU           *FOU
}

// FOU unwraps what comes to a UDP port, as a GUE real server needs it.
type FOU struct {
	Port     uint16
	Protocol string // gue, ipip, ipv6 or gre
}

// Address is an IP address on an interface.
type Address struct {
	IP        netip.Prefix // host bits kept: 192.0.2.7/24
	Device    string
	Label     string     // IPv4 only; "" is the device's name
	Broadcast netip.Addr // IPv4 only; zero: none
	Scope     string     // global, site, link, host; "" is global
	NoDAD     *bool      // IPv6 only; nil: the planner decides
	// PreferredLifetime is IPv6 only: zero keeps the address from being a
	// source address. nil: the planner decides. Only zero and Forever exist.
	PreferredLifetime *time.Duration
	// Announce sends gratuitous ARP or unsolicited neighbour advertisements
	// when the address is added. nil: the planner decides.
	Announce *bool
}

// Forever is an address lifetime without an end.
const Forever = time.Duration(1<<63 - 1)

// Route is one route. To is 0.0.0.0/0 or ::/0 for "default".
type Route struct {
	To     netip.Prefix
	Via    netip.Addr
	Device string
	Source netip.Addr
	Metric *int   // nil: the kernel's default, 0 for IPv4 and 1024 for IPv6
	Table  int    // 0 means main (254)
	Scope  string // IPv4 only: global, site, link, host; "" is what ip-route(8) picks
	OnLink bool
	MTU    int // bytes; 0: not set
	AdvMSS int // bytes; 0: not set
}

// Rule is one policy-routing rule.
type Rule struct {
	Family   string // ipv4 or ipv6
	From, To netip.Prefix
	FWMark   uint32
	Table    int
	Priority int
}

// VirtualService is one IPVS service with its real servers.
type VirtualService struct {
	Protocol       string // tcp, udp or sctp; "" for a firewall-mark service
	Address        netip.Addr
	Port           uint16 // 0: every port; needs Persistence
	FWMark         uint32 // not 0: packets with this mark, instead of Protocol, Address and Port
	Family         string // ipv4 or ipv6
	Scheduler      string
	SchedulerFlags []string // as ipvsadm(8) names them: sh-fallback, mh-port, flag-1, …
	OnePacket      bool
	Persistence    *Persistence
	// DrainTimeout is how long the connections of a real server that goes get
	// to end; nil: the planner decides.
	DrainTimeout *time.Duration
	// Checker programs the table and takes dead servers out of it: keepalived or
	// ldirectord; "" is the kernel's table as lvsform writes it, without checks.
	Checker     string
	HealthCheck *HealthCheck // nil: none
	Fallback    *Fallback    // where clients go when no real server is alive; nil: nowhere
	// Quorum is how many real servers must be alive (keepalived: their weight) for
	// the service to be served; 0: not declared, which is one.
	Quorum int
	// Quiescent gives a dead server the weight 0 instead of taking it out; nil:
	// the planner decides.
	Quiescent   *bool
	RealServers []RealServer // sorted by Name
}

// HealthCheck is how a checker finds out whether a real server is alive; zero
// fields leave the choice to the planner.
type HealthCheck struct {
	Type       string        // tcp, http, https, dns, smtp, udp, ping, script; ldirectord: also on, off
	Interval   time.Duration // between two checks
	Timeout    time.Duration // of one
	Retries    *int          // before a server counts as dead
	RetryDelay time.Duration // between two of them
	Port       uint16        // checked; 0: the real server's
	Path       string        // http, https: what is asked for; "" is /
	Status     []int         // http, https: the answers that are good; none: 200 to 299
	HostHeader string        // http, https: the virtual host that is asked for
	Contains   string        // http, https: what the answer must contain
	Name       string        // dns: what is asked for
	Record     string        // dns: its type, as A
	HELO       string        // smtp: the name that is told
	Send       string        // udp: the payload
	Receive    string        // udp: what the answer must begin with
	Command    string        // script: an absolute path and its arguments, no shell
	User       string        // script: who runs it; "" is root
}

// Fallback is a server for the clients when all real servers are dead.
type Fallback struct {
	Address netip.Addr
	Port    uint16 // the service's where not declared
	Forward string // nat, dr or tun
}

// VRRPInstance is a group of addresses that float between hosts (RFC 3768, RFC
// 5798), as one of its hosts takes part in it.
type VRRPInstance struct {
	Interface        string
	RouterID         string // the host's name for itself; "" is its host name
	VirtualRouterID  int    // 1..255
	Priority         int    // 1..255
	State            string // at start: MASTER or BACKUP; "" is BACKUP
	AdvertInterval   time.Duration
	Preempt          *bool // nil: true
	PreemptDelay     time.Duration
	Version          int // 2 or 3
	Authentication   *VRRPAuthentication
	Unicast          *VRRPUnicast
	VirtualAddresses []VirtualAddress // sorted by Name, at least one
	TrackInterfaces  []string         // sorted
	SyncGroup        string           // instances of one group change together; "": none
}

// VRRPAuthentication is the password of RFC 2338 (version 2 alone).
type VRRPAuthentication struct {
	Type     string // PASS or AH
	Password string
}

// VRRPUnicast sends advertisements to the peers instead of a multicast group.
type VRRPUnicast struct {
	Source netip.Addr   // zero: the interface's
	Peers  []netip.Addr // sorted, at least one
}

// VirtualAddress is one of the addresses that float.
type VirtualAddress struct {
	Name   string
	IP     netip.Prefix
	Device string // "" is the instance's interface
	Label  string // IPv4 only; "": none
	// Excluded leaves the address out of the advertisements, so that it may differ
	// between the hosts for a while. nil: all but the first are.
	Excluded *bool
	Range    Range
}

// Persistence sends a client to the server that it had before.
type Persistence struct {
	Timeout time.Duration // whole seconds, at least one
	Netmask int           // prefix length of the clients treated as one; 0: 32 or 128
	Engine  string        // "" or sip
}

// RealServer is one destination of a virtual service.
type RealServer struct {
	Name         string
	Host         string // the Name of a host; "" when only an address was given
	Address      netip.Addr
	Port         uint16 // the service's where not declared
	Weight       int    // 0..2147483647; 0 drains
	Forward      string // nat, dr or tun
	Upper, Lower uint32 // connection thresholds; 0: none
	Tunnel       *Tunnel
	Range        Range
}

// Tunnel is how packets to a tun destination are wrapped.
type Tunnel struct {
	Type     string // ipip, gue or gre
	Port     uint16 // UDP port; gue only
	Checksum string // none, csum or remcsum
}

// Mark gives packets to an address and ports a firewall mark.
type Mark struct {
	Protocol string // tcp, udp or sctp
	Address  netip.Addr
	Ports    []PortRange // sorted, not overlapping
	Mark     uint32      // not 0
}

// PortRange is a port, or several; both ends belong to it.
type PortRange struct{ First, Last uint16 }

// Masquerade gives the connections of a virtual service a source address of the
// director on their way to its real servers (FullNAT).
type Masquerade struct {
	VIP      netip.Addr
	Protocol string       // tcp, udp or sctp
	Port     uint16       // of the VIP; 0: every port
	To       []netip.Addr // the real servers; sorted
	Source   netip.Addr   // zero: that of the interface towards the real server
}

// IPVS is what concerns a host's IPVS as a whole.
type IPVS struct {
	Timeouts *Timeouts
	// ConnectionTableBits is the size of the connection table as a power of
	// two, set when the module is loaded; 0: the kernel's choice.
	ConnectionTableBits int
	Modules             []string // beside those that follow from services: ip_vs_ftp, …
	Sync                []Sync   // sorted by Role
	Exclusive           bool     // services that nobody declares are removed
}

// Timeouts are how long idle connections are remembered; whole seconds, and
// zero leaves one as it is.
type Timeouts struct{ TCP, TCPFin, UDP time.Duration }

// Sync is a connection synchronisation daemon; zero attributes are the kernel's
// defaults.
type Sync struct {
	Role      string // master or backup
	Interface string
	ID        int // 0..255
	Group     netip.Addr
	Port      uint16
	TTL       int
	MaxLength int // bytes
}

// Package is packages that the host's package manager installs.
type Package struct{ Names []string } // sorted

// Service is a service of the host's init system.
type Service struct {
	Name             string // without a suffix: firewalld
	Running, Enabled *bool  // nil: left as it is
}

// Removed drops the claims of a resource and leaves its objects on the hosts.
type Removed struct {
	From  string // a resource address or the prefix of one: `module.web`
	Range Range
}

// Output is a value that a configuration publishes.
type Output struct {
	Name        string          `json:"name"`
	Value       json.RawMessage `json:"value"`
	Sensitive   bool            `json:"sensitive"`
	Description string          `json:"description,omitempty"`
}

func (*Sysctl) Type() string         { return "sysctl" }
func (*Link) Type() string           { return "link" }
func (*Address) Type() string        { return "address" }
func (*Route) Type() string          { return "route" }
func (*Rule) Type() string           { return "rule" }
func (*VirtualService) Type() string { return "virtual_service" }
func (*VRRPInstance) Type() string   { return "vrrp_instance" }
func (*Mark) Type() string           { return "mark" }
func (*Masquerade) Type() string     { return "masquerade" }
func (*IPVS) Type() string           { return "ipvs" }
func (*Package) Type() string        { return "package" }
func (*Service) Type() string        { return "service" }
