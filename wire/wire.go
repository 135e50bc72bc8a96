// Package wire is the conversation between the CLI and the agent.
//
// The agent runs for the length of one SSH session and speaks frames over its
// stdin and stdout. It sends Hello at once; the CLI may write its first request
// without waiting for it. Requests are answered one at a time, in order: by any
// number of Step events (Begin only), then by one Response. EOF on stdin ends
// the agent after the request in hand; its lock goes with it.
package wire

import (
	"net/netip"
	"time"

	"github.com/lvsform/lvsform/state"
)

// Protocol is the version of this conversation. Both sides refuse another.
const Protocol = 1

// Socket is where a guard, which watches over a transaction until it is decided,
// takes the confirmation of a host: the token and a newline. It answers Kept, or
// nothing, which decides nothing.
const (
	Socket = "/run/lvsform/confirm"
	Kept   = "kept\n"
)

// Hello is the agent's first frame.
type Hello struct {
	Protocol int    `json:"protocol"`
	Hostname string `json:"hostname"`
	Kernel   string `json:"kernel"` // as uname -r
	Arch     string `json:"arch"`   // as GOARCH
	UID      int    `json:"uid"`
}

// Request is one frame to the agent; exactly one pointer is set.
type Request struct {
	Lock    *Lock    `json:"lock,omitempty"`
	Observe *Observe `json:"observe,omitempty"`
	Begin   *Begin   `json:"begin,omitempty"`
	Confirm *Confirm `json:"confirm,omitempty"`
	Unlock  *Unlock  `json:"unlock,omitempty"`
	Leave   *Leave   `json:"leave,omitempty"`
	// Connections asks for the connections of some services.
	Connections *Connections `json:"connections,omitempty"`
	Activity    *Activity    `json:"activity,omitempty"`
	Knock       *Knock       `json:"knock,omitempty"`
}

// Response is one frame from the agent after Hello.
type Response struct {
	// Step reports one step of a Begin while it runs; more frames follow.
	Step *StepEvent `json:"step,omitempty"`
	// Working says now and then that a Begin with packages or services is
	// still at them, or that a Confirm waits; more frames follow.
	Working *Working `json:"working,omitempty"`

	// Exactly one of these ends the answer to a request.
	Locked      *Locked      `json:"locked,omitempty"`
	Observation *Observation `json:"observation,omitempty"`
	Result      *Result      `json:"result,omitempty"`
	Confirmed   *Confirmed   `json:"confirmed,omitempty"`
	Unlocked    *Unlocked    `json:"unlocked,omitempty"`
	Left        *Left        `json:"left,omitempty"`
	Connected   *Connected   `json:"connected,omitempty"`
	// Activity answers the request of that name.
	Activity *state.Activity `json:"activity,omitempty"`
	Knocked  *Knocked        `json:"knocked,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Lock takes the host's lock for the rest of the session. It waits for moments: a
// held lock is ErrorLocked.
type Lock struct {
	Owner string `json:"owner"` // who asks: user@machine, topology, process id
}

// Locked answers Lock.
type Locked struct {
	// Recovered is whose transaction, cut off in its midst, was taken back
	// before; nil: there was none.
	Recovered *LockInfo `json:"recovered,omitempty"`
}

// Observe reads the host and changes nothing.
type Observe struct {
	// Sysctls and Modules are the names to look at beside those that the
	// ledger names. A sysctl that does not exist is left out of the answer.
	Sysctls []string `json:"sysctls,omitempty"`
	Modules []string `json:"modules,omitempty"`
	// Packages and Units are the names to look at beside those that the ledger
	// names. What is not installed is left out of the answer.
	Packages []string `json:"packages,omitempty"`
	Units    []string `json:"units,omitempty"`
	// Facts asks for them; Traffic for those too that tell what becomes of
	// packets: listeners and packet filters.
	Facts   bool `json:"facts,omitempty"`
	Traffic bool `json:"traffic,omitempty"`
}

// Observation answers Observe. Objects holds the loaded modules, existing
// sysctls, installed packages and services asked for, and every link, fou port,
// address, route (but those of the local table), rule, and all of IPVS and of
// lvsform's nftables table.
type Observation struct {
	Objects state.Objects `json:"objects"`
	Ledger  state.Ledger  `json:"ledger"`
	// MissingModules are those asked for that are neither loaded nor to be
	// found on the host.
	MissingModules []string     `json:"missing_modules,omitempty"`
	Facts          *state.Facts `json:"facts,omitempty"`
}

// Begin changes the host: all steps in order, or none. The steps' kernel
// changes are made, their effect is read back, then the claims are written to
// the ledger. On a failure the host is reconciled to what it was before. It
// needs the lock.
//
// With Confirm set the changes are made, but not kept: the host takes them back
// by itself unless a Confirm with the same token comes, on another connection,
// within that time. It does so too when the agent dies or hangs on the way.
type Begin struct {
	Topology string
	Members  []string // of the topology, sorted; recorded in the ledger
	// Transient: what the topology makes is not put back after a reboot;
	// recorded in the ledger.
	Transient bool
	// Modules are those that the topology needs on the host, sorted by name;
	// recorded in the ledger.
	Modules []state.Module
	// Token names the transaction; no two have the same.
	Token string
	// Confirm is how long made changes wait for their confirmation; 0 keeps
	// them at once. A transaction that changes claims alone needs none.
	Confirm time.Duration
	Steps   []Step
}

// Step is one change of a kernel object, of its claim, or of both. The host is
// untouched and the answer is ErrorStale when the live object is not what the
// step's Before (resolved) says.
type Step struct {
	ID     string             `json:"id"`
	Change *state.Change      `json:"change,omitempty"` // nil: the claim alone changes
	Claim  *state.ClaimChange `json:"claim,omitempty"`  // nil: the claim stays as it is
	// Announce sends gratuitous ARP or unsolicited neighbour advertisements
	// for an address that is created.
	Announce bool `json:"announce,omitempty"`
	// Gives are the IPVS services that the program of a state.Config stops keeping
	// with this change, and that later steps of the transaction make again: by
	// creating them, whatever is live of them, or by another program's Config. From
	// this step until then new connections to them are held back, not refused.
	Gives []state.ServiceID `json:"gives,omitempty"`
}

// StepEvent says that a step's change has been made.
type StepEvent struct {
	ID string `json:"id"`
}

// Working is a sign of life: installing a package takes longer than a peer waits
// for a step.
type Working struct{}

// MaxWorking is how many of them an answer has at most.
const MaxWorking = 400

// Result answers Begin: every step is done, and recorded or to be confirmed.
type Result struct {
	// Unconfirmed: the host waits for Confirm.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
}

// Confirm keeps the changes of a transaction. It needs no lock, and comes over
// another connection than the Begin: that it arrives is what it proves. While
// the transaction is still under way it waits. ErrorRolledBack says that the
// host has taken the changes back, or never made them.
type Confirm struct {
	Token string `json:"token"`
}

// Confirmed answers Confirm: the changes are kept, over a reboot too.
type Confirmed struct{}

// Unlock ends whoever holds the host's lock. What its transaction had done and
// nobody has confirmed is taken back.
type Unlock struct{}

// Unlocked answers Unlock.
type Unlocked struct {
	Held *LockInfo `json:"held,omitempty"` // who held the lock; nil: nobody did
	// TakenBack: a transaction was under way, and is taken back.
	TakenBack bool `json:"taken_back,omitempty"`
}

// Connections reads how many connections the destinations of services have.
type Connections struct {
	Services []state.ServiceID `json:"services"`
}

// Connected answers Connections: the destinations of those services that exist.
type Connected struct {
	Destinations []state.Connections `json:"destinations"`
}

// Activity reads what the host does at the moment, and changes nothing.
type Activity struct {
	Services []state.ServiceID `json:"services,omitempty"` // whose counters are read
}

// MaxKnock is how many connections a Knock opens at most.
const MaxKnock = 64

// Knock opens connections, all at once, and closes those that were taken; for
// UDP it sends a datagram without content on each and waits for nothing.
type Knock struct {
	Protocol string         `json:"protocol"` // tcp, udp or sctp
	Address  netip.AddrPort `json:"address"`
	Count    int            `json:"count"`   // 1..MaxKnock
	Timeout  time.Duration  `json:"timeout"` // of each, in ns
}

// Knocked answers Knock: what became of each connection, "" where it was taken,
// else why it was not.
type Knocked struct {
	Failures []string `json:"failures"`
}

// Leave ends a topology's presence on a host: its members are forgotten, and
// when no claim of any topology is left the ledger and the agent's own file go.
type Leave struct {
	Topology string `json:"topology"`
}

// Left answers Leave.
type Left struct {
	Removed bool `json:"removed"` // nothing of lvsform is left on the host
}

// ErrorCode tells the failures apart that the CLI treats apart.
type ErrorCode string

const (
	// ErrorFailed is any failure that changed nothing.
	ErrorFailed ErrorCode = "failed"
	// ErrorLocked is a lock held by another session; Error.Lock says whose.
	ErrorLocked ErrorCode = "locked"
	// ErrorStale is a live object that differs from a step's Before.
	ErrorStale ErrorCode = "stale"
	// ErrorRolledBack is a failed step, or a confirmation that came too late:
	// the host is as it was.
	ErrorRolledBack ErrorCode = "rolled_back"
	// ErrorBroken is a failed step after which the host could not be brought
	// back; Message says what is left.
	ErrorBroken ErrorCode = "broken"
)

// Known tells whether the code is one of these.
func (c ErrorCode) Known() bool {
	switch c {
	case ErrorFailed, ErrorLocked, ErrorStale, ErrorRolledBack, ErrorBroken:
		return true
	}
	return false
}

// Error is a request's failure. It is an error value on both sides.
type Error struct {
	Code    ErrorCode `json:"code"`
	Step    string    `json:"step,omitempty"` // the step that failed
	Message string    `json:"message"`        // names the object, what is wrong, what to do
	Lock    *LockInfo `json:"lock,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// LockInfo is who holds a lock.
type LockInfo struct {
	Owner string    `json:"owner"`
	Since time.Time `json:"since"`
}
