package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/lvsform/lvsform/agent/restore"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Restorer keeps a host as its ledger says: all of it at boot, and the network
// from then on.
type Restorer struct {
	// Kernel opens the host's kernel for one round.
	Kernel func() (k txn.Kernel, closed func())
	// Watch tells of changes of the network from its return on.
	Watch    func() (changed <-chan struct{}, stop func(), err error)
	StateDir string // "" is DefaultStateDir
	LockDir  string // "" is DefaultLockDir
	// Patrol is the time between two looks for a transaction that was cut off
	// and that nobody is in charge of; 0 is half a minute.
	Patrol time.Duration
	// Ready hears once that the first round is over. A round does not wait for
	// a run that holds the lock.
	Ready func()
	Log   func(line string)

	owed map[state.Key]bool    // what was to be made at boot, could not be, and is not watched
	told map[string]bool       // complaints of the last round
	vain map[state.Change]vain // changes of live objects that came to nothing
}

// RestoreOwner holds the lock while it puts back what the host has lost. That
// takes moments, and is nobody's run.
const RestoreOwner = "lvsform-restore"

// vain is a try that came to nothing.
type vain struct {
	err error
	at  time.Time
}

// How rounds follow each other.
const (
	never    = -1
	quiet    = 100 * time.Millisecond // from a change to the round
	longest  = 2 * time.Second        // between rounds in a fight over the same things
	calm     = 3 * time.Second        // without a loss: no fight
	lockTry  = time.Second            // between two tries to take the host's lock
	errorTry = 10 * time.Second       // after a round that could not be made
	vainTry  = 30 * time.Second       // between two tries of what came to nothing

	journalTry = 30 * time.Second // between two looks for a journal
)

// ErrLedger is a ledger that cannot be read: nothing is done.
var ErrLedger = errors.New("nothing is put back")

// Run restores, then watches until ctx ends, which is no error; a round that has
// begun is finished. An unreadable ledger is ErrLedger.
func (r *Restorer) Run(ctx context.Context) error {
	changed, stop, err := r.Watch() // before the first look at the host
	if err != nil {
		return err
	}
	defer stop()
	var pace pace
	for first := true; ; first = false {
		began := time.Now()
		lost, again, err := r.round()
		if err != nil {
			return err
		}
		if first {
			r.Ready()
		}
		switch open := r.next(ctx, changed, pace.after(began, time.Now(), lost > 0), again); {
		case ctx.Err() != nil:
			return nil
		case !open:
			return errors.New("the kernel tells nothing more of the network")
		}
	}
}

// pace keeps rounds apart: nobody is fought at full speed, and a host that costs
// much to read, for it has very many routes, is read less often.
type pace struct {
	delay time.Duration
	last  time.Time // when something had been lost
}

// after is when the next round may begin.
func (p *pace) after(began, ended time.Time, lost bool) time.Time {
	if lost {
		if ended.Sub(p.last) > calm {
			p.delay = 0
		}
		p.delay, p.last = min(max(2*p.delay, quiet), longest), ended
	}
	return ended.Add(max(p.delay, ended.Sub(began)))
}

// next waits until a round is due: a little after a change and not before some
// time, when the time again has passed unless it is never, or when a journal is
// found, whose transaction may be nobody's any more.
func (r *Restorer) next(ctx context.Context, changed <-chan struct{}, least time.Time, again time.Duration) (open bool) {
	patrol := time.NewTicker(cmp.Or(r.Patrol, journalTry))
	defer patrol.Stop()
	var retry <-chan time.Time
	if again != never {
		retry = time.After(again)
	}
	for waiting := true; waiting; {
		select {
		case <-ctx.Done():
			return true
		case <-retry:
			return true
		case <-patrol.C:
			if there(cmp.Or(r.StateDir, DefaultStateDir), journalName) {
				return true
			}
		case _, open = <-changed:
			waiting = false
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(max(quiet, time.Until(least))):
	}
	// What was told meanwhile is seen by the round that follows.
	select {
	case _, open = <-changed:
	default:
	}
	return open
}

// round puts back what is missing now and returns how much that was, and when to
// try again even if nothing changes.
func (r *Restorer) round() (made int, again time.Duration, err error) {
	k, closed := r.Kernel()
	defer closed()
	s := &Server{Kernel: k, StateDir: r.StateDir, LockDir: r.LockDir}
	// Looked at before the lock: on a host that has nothing there is nothing to
	// do, and with a damaged ledger nobody's run is taken back.
	if !there(s.stateDir(), ledgerName) && !there(s.stateDir(), journalName) {
		return 0, never, nil
	}
	if there(s.stateDir(), journalName) {
		if _, err := readLedger(s.stateDir()); err != nil {
			return 0, never, fmt.Errorf("%w: %w", ErrLedger, err)
		}
	}
	locked, err := s.takeLock(wire.Lock{Owner: RestoreOwner})
	if held := (*wire.Error)(nil); errors.As(err, &held) && held.Code == wire.ErrorLocked {
		return 0, lockTry, nil
	}
	if err != nil {
		r.complain([]string{err.Error()})
		return 0, errorTry, nil
	}
	defer s.unlock()
	if by := locked.Recovered; by != nil {
		r.Log("the run of " + by.Owner + ", which had been cut off, is taken back")
	}
	ledger, err := readLedger(s.stateDir())
	if err != nil {
		return 0, never, fmt.Errorf("%w: %w", ErrLedger, err)
	}
	report, err := r.restore(k, ledger)
	if err != nil {
		r.complain([]string{err.Error()})
		return 0, errorTry, nil
	}
	r.tell(report)
	for _, left := range report.Left { // nothing may tell when it can be made
		if r.owed[left.Key] || left.Untried {
			return len(report.Made), vainTry, nil
		}
	}
	return len(report.Made), never, nil
}

// BootName is the file beside the host's lock that says that the restoration of
// this boot is over: a restart of the program does not repeat it, and leaves
// tables as their operators have them by now.
const BootName = "restored"

func (r *Restorer) restore(k txn.Kernel, ledger state.Ledger) (restore.Report, error) {
	marker := filepath.Join(cmp.Or(r.LockDir, DefaultLockDir), BootName)
	_, err := os.Lstat(marker)
	boot := errors.Is(err, fs.ErrNotExist)
	task := restore.Task{Vain: map[state.Change]error{}}
	if !boot {
		task.Loose = restore.Loose(ledger)
	}
	for _, o := range restore.Wanted(ledger) {
		if boot || restore.Watched(o) || r.owed[o.Key()] {
			task.Wanted = append(task.Wanted, o)
		}
	}
	for c, v := range r.vain {
		if time.Since(v.at) < vainTry {
			task.Vain[c] = v.err
		}
	}
	report, err := restore.Run(k, task)
	if err != nil {
		return report, err
	}
	owed, tried := map[state.Key]bool{}, map[state.Change]vain{}
	for _, left := range report.Left {
		if v := r.vain[left.Vain]; task.Vain[left.Vain] != nil {
			tried[left.Vain] = v
		} else if left.Vain != (state.Change{}) {
			tried[left.Vain] = vain{left.Err, time.Now()}
		}
		if !restore.WatchedKey(left.Key) {
			owed[left.Key] = true
		}
	}
	r.owed, r.vain = owed, tried
	if boot {
		err = os.WriteFile(marker, nil, 0o600)
	}
	return report, err
}

// most is how many lines tell of what was put back, or could not be.
const most = 20

func (r *Restorer) tell(report restore.Report) {
	for _, key := range report.Made[:min(len(report.Made), most)] {
		r.Log("put back: " + key.String())
	}
	if more := len(report.Made) - most; more > 0 {
		r.Log(fmt.Sprintf("put back: %d more", more))
	}
	var lines []string
	for _, left := range report.Left[:min(len(report.Left), most)] {
		lines = append(lines, fmt.Sprintf("cannot be put back now: %s: %v", left.Key, left.Err))
	}
	if more := len(report.Left) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("cannot be put back now: %d more", more))
	}
	r.complain(lines)
}

// complain says what it has not said of the round before.
func (r *Restorer) complain(lines []string) {
	told := map[string]bool{}
	for _, line := range lines {
		if told[line] = true; !r.told[line] {
			r.Log(line)
		}
	}
	r.told = told
}

func there(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}
