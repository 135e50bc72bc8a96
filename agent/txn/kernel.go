// Package txn makes one host's changes all together or not at all.
package txn

import "github.com/lvsform/lvsform/state"

// Kernel is the host's kernel as a transaction sees it. It does what it is told
// and nothing more: what the kernel takes away by itself beside a change (a
// route with its address) is for the transaction to notice and put back.
type Kernel interface {
	// Read reads what the query asks for. It changes nothing and loads no
	// module. What could not be read is an error, never an empty answer.
	Read(q Query) (Host, error)
	// Apply makes the changes in order. On an error done is the index of the
	// first that failed; some that follow it may have been made as well, where
	// they went to the kernel together. Deleting what is already gone succeeds.
	Apply(changes []state.Change) (done int, err error)
	// Facts reads what the checks look at beside objects; what becomes of
	// packets, which takes the kernel a while to tell, only when asked.
	Facts(traffic bool) (state.Facts, error)
	// Connections counts the connections of the destinations of services.
	Connections(services []state.ServiceID) ([]state.Connections, error)
	// Activity tells what the host does at the moment, with the counters of the
	// destinations of services.
	Activity(services []state.ServiceID) (state.Activity, error)
	// Hold has the new clients of virtual services wait while a service is away
	// for a moment, until release is called; where the kernel can do that.
	Hold(services []state.ServiceID) (release func())
	// Announce tells the neighbours that this host now has the address. A
	// device that has no neighbours to tell is no error.
	Announce(a state.Address) error
}

// Query says what to read.
type Query struct {
	// Sysctls are names; one that does not exist is left out of the answer. A
	// * stands for one whole part of a name: net.ipv4.conf.*.forwarding.
	Sysctls  []string
	Modules  []string // names with underscores
	Packages []string
	Units    []string
	Network  bool // links, fou ports, addresses, routes, rules
	NFT      bool // marks and masquerades: lvsform's nftables table
	Configs  bool // lvsform's parts of the configuration of keepalived and ldirectord
	IPVS     bool // timeouts, sync daemons, services and destinations
}

// Host is what was read: no key occurs twice, and the addresses of a device
// come in the kernel's order, primary ones first.
type Host struct {
	Objects state.Objects
	// MissingModules are those asked for that are neither loaded nor to be
	// found on the host.
	MissingModules []string
}
