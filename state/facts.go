package state

import "net/netip"

// Facts are what the checks look at beside objects. They are never changed.
type Facts struct {
	// NoSystemd: nothing on the host can put back after a reboot what was
	// applied.
	NoSystemd bool `json:"no_systemd,omitempty"`
	// Boot is what else makes things like lvsform's at boot.
	Boot []BootOwner `json:"boot,omitempty"`
	// Programs keep IPVS services of their own; sorted.
	Programs  []string   `json:"programs,omitempty"`
	Listeners []Listener `json:"listeners,omitempty"` // sorted
	// Filters are the base chains of the host's packet filter (nftables, also
	// where iptables made them) that can drop packets, but lvsform's own.
	Filters []Filter `json:"filters,omitempty"`
}

// BootOwner is a line of a file on the host that has something made at boot.
type BootOwner struct {
	File string `json:"file"`
	// Sysctl and Value, or Address and Device, or none: then the file has an
	// IPVS table restored.
	Sysctl  string     `json:"sysctl,omitempty"` // as Sysctl.Name; a * stands for one whole part
	Value   string     `json:"value,omitempty"`
	Address netip.Addr `json:"address,omitzero"`
	Device  string     `json:"device,omitempty"`
}

// Listener is a socket that takes connections or datagrams.
type Listener struct {
	Protocol string     `json:"protocol"` // tcp, udp or sctp
	Address  netip.Addr `json:"address"`  // unspecified: every address
	Port     uint16     `json:"port"`
}

// Connections counts the connections of an IPVS destination, as ipvsadm(8) -Ln
// shows them.
type Connections struct {
	Destination string `json:"destination"` // the ID of its key
	Active      uint32 `json:"active"`      // established; for UDP always 0
	Inactive    uint32 `json:"inactive"`
}

// Open is how many of them go on, as far as can be told: closed ones are
// inactive for minutes, but those of UDP are never active. A firewall mark, whose
// protocol is "", may stand for both.
func (c Connections) Open(protocol string) int {
	switch protocol {
	case "udp":
		return int(c.Inactive)
	case "":
		return int(c.Active) + int(c.Inactive)
	}
	return int(c.Active)
}

// Counters are what the kernel counts for an IPVS destination. All but the
// Connections it sums up every two seconds.
type Counters struct {
	Connections
	// Total is how many connections came since the destination was made, or its
	// counters were set to zero.
	Total uint64 `json:"total"`
	Rates
}

// Rates are the kernel's estimates for the last seconds, each per second.
type Rates struct {
	Conns      uint64 `json:"connections_per_second"`
	PacketsIn  uint64 `json:"packets_in_per_second"`
	PacketsOut uint64 `json:"packets_out_per_second"` // 0 where answers do not pass the director
	BytesIn    uint64 `json:"bytes_in_per_second"`
	BytesOut   uint64 `json:"bytes_out_per_second"`
}

// Activity is what a host does at the moment, beside the objects that it has.
type Activity struct {
	// Counters are those of the destinations of the services asked for, as far
	// as they exist.
	Counters []Counters `json:"counters,omitempty"`
	// Programs are keepalived and ldirectord, where they run; sorted.
	Programs []string `json:"programs,omitempty"`
}

// Filter is a base chain that can drop packets.
type Filter struct {
	Family string `json:"family"` // ip, ip6 or inet
	Table  string `json:"table"`
	Chain  string `json:"chain"`
	Hook   string `json:"hook"` // input, forward, output, prerouting or postrouting
	Drops  bool   `json:"drops,omitempty"`
	// Verdicts are the chain's rules in order, with those of the chains that
	// it jumps to in their place; what follows a rule that takes every packet
	// is left out.
	Verdicts []Verdict `json:"verdicts,omitempty"`
}

// Verdict is a rule of a packet filter as far as the checks understand it.
type Verdict struct {
	Accept bool `json:"accept"` // else it drops or rejects
	// Protocol and Ports are what the rule matches; zero is any.
	Protocol int         `json:"protocol,omitempty"` // IP protocol number
	Ports    [][2]uint16 `json:"ports,omitempty"`    // destination port ranges, both ends in
	// To is the destination that the rule matches; unset is any.
	To netip.Prefix `json:"to,omitzero"`
	// Partial says that the rule matches more than is told here (an
	// interface, a connection state, a set, …): it may not apply.
	Partial bool `json:"partial,omitempty"`
	// Replies says that the rule takes no packet with which another host
	// begins a connection: only those of connections that are known already,
	// or those that the host sends to itself.
	Replies bool `json:"replies,omitempty"`
}
