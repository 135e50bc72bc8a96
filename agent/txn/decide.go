package txn

import "slices"

// Disk is what a host's disk says of a transaction. It is read, and acted on,
// under the lock of the journal's file.
type Disk struct {
	Journal string   // token of the transaction that has begun; "": none
	Made    bool     // its changes are all made, and its ledger is written beside the old one
	Kept    []string // tokens of the transactions that wrote the ledger last
	// Rebooted: the journal is of an earlier boot, and the kernel has forgotten
	// what was done.
	Rebooted bool
}

// Event is why somebody looks at a transaction.
type Event int8

const (
	// Confirmed: its confirmation has come.
	Confirmed Event = iota
	// Released: the agent that made its changes has let go of the journal; it
	// is done, or dead.
	Released
	// TimeOut: the time for its confirmation is over.
	TimeOut
	// Found: a journal that nobody is in charge of was met under the host's lock.
	Found
)

// Action is what has to be done about it.
type Action int8

const (
	// Nothing: there is no such transaction any more.
	Nothing Action = iota
	// Kept: the transaction is in the ledger, and no journal is left of it.
	Kept
	// Wait: others are in charge of it.
	Wait
	// Commit puts the new ledger in the old one's place, which decides it, then
	// removes the journal.
	Commit
	// Clear removes the journal of a transaction that is in the ledger.
	Clear
	// TakeBack removes the new ledger, so that nothing can commit it any more,
	// then restores the host, then removes the journal.
	TakeBack
	// Discard is TakeBack after a reboot: only what outlives one is restored.
	Discard
)

// Decide is the state machine of a transaction: what becomes of the one with the
// token. A transaction is kept at the moment when its ledger takes the old one's
// place, and lost at the moment when its new ledger goes.
func Decide(d Disk, token string, e Event) Action {
	if d.Journal == "" || d.Journal != token {
		if slices.Contains(d.Kept, token) {
			return Kept
		}
		return Nothing
	}
	if slices.Contains(d.Kept, token) {
		return Clear
	}
	if d.Rebooted {
		return Discard
	}
	switch {
	case e == Confirmed && d.Made:
		return Commit
	case e == Confirmed:
		return Wait
	case e == Released && d.Made:
		return Wait
	}
	return TakeBack
}
