// Package planner turns a declared topology and observed hosts into a plan.
package planner

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// FormatVersion is the version of the plan's JSON form; a reader accepts plans
// of the same major version.
const FormatVersion = "1.0"

// Plan is the ordered set of changes that brings live hosts to the declared
// topology. What is printed, saved and executed is this one value.
type Plan struct {
	FormatVersion  string   `json:"format_version"`
	LvsformVersion string   `json:"lvsform_version"`
	Topology       string   `json:"topology"`
	Destroy        bool     `json:"destroy,omitempty"`
	Members        []string `json:"members"` // managed hosts of the topology, sorted
	Hosts          []Host   `json:"hosts"`   // managed hosts, sorted by name
	Changes        []Change `json:"changes"` // in the order in which apply makes them
	// Transient: what is applied goes with a reboot, because the configuration
	// says so.
	Transient bool `json:"transient,omitempty"`
	// Fleeting are the hosts where what the plan makes goes with a reboot, because
	// they have nothing that could put it back; sorted.
	Fleeting []string `json:"fleeting,omitempty"`
	// Renamed are claims, by host, that only get other configuration addresses:
	// no change, but apply records it, so that removed blocks find them.
	Renamed     map[string][]state.ClaimChange `json:"renamed,omitempty"`
	Summary     Summary                        `json:"summary"`
	Outputs     []topology.Output              `json:"outputs,omitempty"`
	Diagnostics topology.Diagnostics           `json:"diagnostics"`
	Checks      topology.Diagnostics           `json:"checks"`
}

// Host is one host as the plan saw it.
type Host struct {
	Name    string       `json:"name"`
	Address string       `json:"address"`
	SSH     topology.SSH `json:"ssh"`
	// Digest is the SHA-256 of Observed, of Facts and of the claims on the
	// topology's objects there.
	Digest string `json:"digest,omitempty"`
	// Error is why the host could not be read; it then has no changes.
	Error string `json:"error,omitempty"`
	// Observed holds the live objects that the topology declares or claims.
	Observed state.Objects `json:"observed,omitempty"`
	// Facts are further live objects that the checks rest on.
	Facts state.Objects `json:"facts,omitempty"`
	Query Names         `json:"query"` // what to observe for Observed and Facts
	// Modules are those that the topology needs there, sorted by name.
	Modules []state.Module `json:"modules,omitempty"`
}

// Action is what happens to an object; the words are Terraform's.
type Action string

const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace" // JSON: ["delete","create"]
	Delete  Action = "delete"
	// Adopt records a claim on an object that is already as declared.
	Adopt Action = "adopt"
	// Forget drops a claim and leaves the object as it is.
	Forget Action = "forget"
)

// Actions is the action in the form of the plan's JSON.
func (a Action) Actions() []string {
	if a == Replace {
		return []string{string(Delete), string(Create)}
	}
	return []string{string(a)}
}

// Hazard is a consequence of a change that its reader should know.
type Hazard string

const (
	// HazardExistedBefore: the object that is deleted was there before lvsform.
	HazardExistedBefore Hazard = "existed_before"
	// HazardUnverified: the destination's host is not managed by the topology,
	// so nothing checks that it is ready for traffic.
	HazardUnverified Hazard = "unverified"
	// HazardConnections: connections through the object end.
	HazardConnections Hazard = "interrupts_connections"
	// HazardRefusesClients: clients that the scheduler sends to the destination
	// are refused: with dh while it is drained, with sh and mh when it stays at
	// the weight 0 and the service has no sh-fallback or mh-fallback.
	HazardRefusesClients Hazard = "drain_refuses_clients"
	// HazardChangedByHand: the live object is no longer as lvsform left it, so
	// it is left alone and only forgotten.
	HazardChangedByHand Hazard = "changed_by_hand"
	// HazardAddressGap: addresses that keepalived has as the master of an instance
	// of VRRP go to another instance, to another interface, or become fixed.
	// keepalived takes them away first, and for a moment nobody has them.
	HazardAddressGap Hazard = "address_gap"
)

// Wave is the stage of apply in which a change is made.
type Wave int

const (
	WaveGateways      Wave = iota // NAT directors become the gateway that servers will use
	WaveServersAdd                // real servers get ready
	WaveDirectorsAdd              // directors send traffic
	WaveMove                      // real servers change between NAT and DR or TUN, one by one
	WaveDrain                     // directors send no new connections to servers that go
	WaveDirectorsDrop             // directors stop sending traffic
	WaveServersDrop               // real servers are cleaned
	WaveGatewaysDrop              // NAT directors stop being a gateway
)

func (w Wave) String() string {
	return [...]string{"NAT gateways", "real servers, add", "directors, add", "real servers, move", "directors, drain",
		"directors, remove", "real servers, clean", "NAT gateways, clean"}[w]
}

// waveNames are the waves in the plan's JSON.
func waveNames() []string {
	return []string{"gateways", "servers_add", "directors_add", "servers_move", "directors_drain", "directors_remove", "servers_clean", "gateways_clean"}
}

// MarshalText writes the wave's name in the plan's JSON.
func (w Wave) MarshalText() ([]byte, error) { return []byte(waveNames()[w]), nil }

// UnmarshalText reads what MarshalText wrote.
func (w *Wave) UnmarshalText(b []byte) error {
	i := slices.Index(waveNames(), string(b))
	if i < 0 {
		return fmt.Errorf("unknown wave %q", b)
	}
	*w = Wave(i)
	return nil
}

// Change is one step of a plan: a kernel object's change, its claim's, or both.
type Change struct {
	ID string // unique in the plan: "dir1:address eth0/192.0.2.1"
	// Addresses are the configuration addresses that declare the object, or
	// that declared it when it goes; sorted, at least one.
	Addresses []string
	Host      string
	Action    Action
	// Before is the live object, After what it becomes; nil is none. For
	// Adopt and Forget both are the live object, and nothing is changed.
	Before, After state.Object
	// Claim is what the host's ledger records with it; nil: nothing.
	Claim *state.ClaimChange
	// Announce sends gratuitous ARP or neighbour advertisements.
	Announce bool
	// Drain is how long apply waits, when the change is made, until the
	// destination has no more connections. Zero: it does not wait.
	Drain time.Duration
	// Drained are the destinations whose connections a drained Config waits for;
	// a drained destination waits for its own.
	Drained []state.Destination
	// Gives are the IPVS services that the program of a Config stops keeping,
	// and that other changes of the same transaction make again.
	Gives []state.ServiceID
	// Connections is how many connections a destination that is drained had
	// when it was looked at; nil: nobody looked.
	Connections *int
	last        bool // on its host in its wave
	partly      bool // it is a part of a drain, and not counted as a change
	// Sensitive names the attributes whose values are not shown.
	Sensitive []string
	Hazards   []Hazard
	// AfterIDs are changes, on other hosts, that must have succeeded.
	AfterIDs []string
	Wave     Wave
	// Stage counts from zero within the plan: the changes of one stage are
	// made on their hosts in parallel, one transaction a host.
	Stage int

	redacted bool
	handed   bool // a program keeps the object from now on
	given    bool // a program has kept the object so far
}

// Waiting are the destinations whose connections a drain waits for.
func (c Change) Waiting() []state.Destination {
	if d, ok := c.After.(state.Destination); ok {
		return []state.Destination{d}
	}
	return c.Drained
}

// Key is the identity of the kernel object.
func (c Change) Key() state.Key {
	if c.After != nil {
		return c.After.Key()
	}
	return c.Before.Key()
}

// Address is the first of Addresses.
func (c Change) Address() string { return c.Addresses[0] }

// Object returns the change of the kernel object, and false where only the
// claim changes.
func (c Change) Object() (state.Change, bool) {
	if c.Action == Adopt || c.Action == Forget {
		return state.Change{}, false
	}
	return state.Change{Before: c.Before, After: c.After}, true
}

// Summary counts a plan's changes by action; Replace counts as add and remove.
type Summary struct {
	Add    int `json:"add"`
	Change int `json:"change"`
	Remove int `json:"remove"`
	Adopt  int `json:"adopt"`
	Forget int `json:"forget"`
	Hosts  int `json:"hosts"` // hosts with changes
}

// Empty tells whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 }

// Host returns the plan's host of that name, or nil.
func (p *Plan) Host(name string) *Host {
	for i := range p.Hosts {
		if p.Hosts[i].Name == name {
			return &p.Hosts[i]
		}
	}
	return nil
}

// Unreachable lists the hosts that could not be read.
func (p *Plan) Unreachable() []Host {
	var out []Host
	for _, h := range p.Hosts {
		if h.Error != "" {
			out = append(out, h)
		}
	}
	return out
}

func (p *Plan) summarise() {
	p.Summary = Summary{}
	hosts := map[string]bool{}
	for _, c := range p.Changes {
		hosts[c.Host] = true
		if c.partly {
			continue
		}
		switch c.Action {
		case Create:
			p.Summary.Add++
		case Update:
			p.Summary.Change++
		case Delete:
			p.Summary.Remove++
		case Replace:
			p.Summary.Add++
			p.Summary.Remove++
		case Adopt:
			p.Summary.Adopt++
		case Forget:
			p.Summary.Forget++
		}
	}
	p.Summary.Hosts = len(hosts)
}

// DrainFor gives every drain another time; one that is to be skipped still
// takes the new connections away.
func (p *Plan) DrainFor(d time.Duration) {
	for i := range p.Changes {
		if p.Changes[i].Drain > 0 {
			p.Changes[i].Drain = max(d, momentary)
		}
	}
}

// Redacted returns a copy for showing: sensitive values marshal as null, and the
// observed objects and renamed claims, which may hold them, are left out.
func (p *Plan) Redacted() *Plan {
	out := *p
	out.Renamed = nil
	out.Hosts = slices.Clone(p.Hosts)
	for i := range out.Hosts {
		out.Hosts[i].Observed, out.Hosts[i].Facts = nil, nil
	}
	out.Changes = slices.Clone(p.Changes)
	for i := range out.Changes {
		out.Changes[i].redacted = true
	}
	out.Outputs = slices.Clone(p.Outputs)
	for i := range out.Outputs {
		if out.Outputs[i].Sensitive {
			out.Outputs[i].Value = json.RawMessage("null")
		}
	}
	return &out
}
