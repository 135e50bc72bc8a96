package agent

import (
	"cmp"
	"errors"
	"os"
	"time"

	"github.com/lvsform/lvsform/agent/txn"
)

// Order is what a guard watches over.
type Order struct {
	StateDir string        `json:"state_dir"`
	Token    string        `json:"token"`   // of the transaction
	Confirm  time.Duration `json:"confirm"` // how long it may wait for its confirmation, in ns
	Agent    int           `json:"agent"`   // pid of the agent that makes the changes
}

// Guarding is a guard at work, as the agent sees it that has started it.
type Guarding interface {
	// Alive tells the guard that the agent gets on.
	Alive()
	// Close tells it that the session is over; it looks at the transaction.
	Close()
	// Wait waits for its end.
	Wait()
}

// Confirmation is one that has reached a guard itself, without an agent.
type Confirmation struct {
	Token string
	// Answer says whether the transaction of that token is kept.
	Answer func(kept bool)
}

// Guard takes a transaction back when its agent dies or hangs, when no
// confirmation comes in time, or when it is told to stop. It holds the host's
// lock as long as it runs.
type Guard struct {
	Order
	Kernel txn.Kernel
	// Signs are the agent's signs of life; closed when the session is over.
	Signs <-chan struct{}
	// Confirmations decide the transaction, when its agent has let go of it.
	Confirmations <-chan Confirmation
	// Stop asks to take the transaction back now.
	Stop <-chan os.Signal
	// Again is the time between two tries to take the transaction back; 0: a few
	// seconds.
	Again time.Duration
	// Kill ends the agent; one that has ended already is no error.
	Kill func() error
}

// guardPause is the time between two looks whether the transaction is decided,
// where nothing calls for one before.
const guardPause = time.Second

// againPause is the time between two tries to take a transaction back.
const againPause = 5 * time.Second

// leastPatience is how long an agent may always go without a sign of life: it
// gives one after each of its calls to the kernel, and every few seconds while a
// package manager is at work.
const leastPatience = 15 * time.Second

// Run returns when the transaction is decided, and tells whether it was this
// guard that has taken it back.
func (g *Guard) Run() (tookBack bool, err error) {
	event, err := g.release()
	if err != nil {
		return false, err
	}
	r := records{dir: g.StateDir, again: g.again}
	action, _, err := r.decide(g.Kernel, g.Token, event, true)
	if err != nil || action != txn.Wait {
		return action == txn.TakeBack, err
	}
	if !g.undecided(r) {
		return false, nil
	}
	action, _, err = r.decide(g.Kernel, g.Token, txn.TimeOut, true)
	if action == txn.TakeBack {
		// Nothing more can be changed in that session, and it may be one that
		// nobody is left to end.
		err = errors.Join(err, g.Kill())
	}
	return action == txn.TakeBack, err
}

// again waits before another try to take the transaction back. Nobody else may
// be able to reach the host.
func (g *Guard) again() bool {
	select {
	case <-g.Stop:
		return false
	case <-time.After(cmp.Or(g.Again, againPause)):
		return true
	}
}

// release waits until the agent has let go of the journal: because it is done,
// or dead. One that gives no sign of life for too long is killed.
func (g *Guard) release() (event txn.Event, err error) {
	released := make(chan error, 1)
	go func() {
		f, err := records{dir: g.StateDir}.openLocked(true)
		if f != nil {
			f.Close()
		}
		released <- err
	}()
	event, signs, stop := txn.Released, g.Signs, g.Stop
	allowed := max(g.Confirm, leastPatience)
	patience := time.NewTimer(allowed)
	defer patience.Stop()
	for {
		select {
		case err := <-released:
			return event, err
		case _, alive := <-signs:
			if !alive {
				signs = nil
			}
			patience.Reset(allowed)
		case <-stop:
			event, stop = txn.TimeOut, nil // what has begun is finished first
		case <-patience.C:
			if err := g.Kill(); err != nil {
				return event, errors.Join(errors.New("the agent hangs and cannot be ended"), err)
			}
		}
	}
}

// undecided waits for the confirmation, and tells whether the time was over
// first.
func (g *Guard) undecided(r records) bool {
	journal, err := os.Open(r.path(journalName))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer journal.Close()
	deadline := time.NewTimer(g.Confirm)
	defer deadline.Stop()
	look := time.NewTicker(guardPause)
	defer look.Stop()
	signs := g.Signs
	for r.stands(journal) {
		select {
		case <-deadline.C:
			return true
		case <-g.Stop:
			return true
		case _, alive := <-signs:
			if !alive {
				signs = nil
			}
		case c := <-g.Confirmations:
			c.Answer(g.keep(r, c.Token))
		case <-look.C:
		}
	}
	return false
}

// keep keeps the transaction with the token, if it is the one that is guarded.
func (g *Guard) keep(r records, token string) bool {
	if token != g.Token {
		return false
	}
	action, _, err := r.decide(g.Kernel, token, txn.Confirmed, true)
	return err == nil && (action == txn.Commit || action == txn.Clear || action == txn.Kept)
}
