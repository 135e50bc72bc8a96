package agent

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// unconfirmed is the transaction of this session that waits for its
// confirmation, or got it.
type unconfirmed struct {
	token string
	guard Guarding // nil: there is none
}

// relieve tells the guard that the session needs it no more. It waits for its
// end when the transaction is decided: the host's lock is free only then.
func (u *unconfirmed) relieve(r records) {
	if u.guard == nil {
		return
	}
	u.guard.Close()
	if _, err := os.Lstat(r.path(journalName)); errors.Is(err, os.ErrNotExist) {
		u.guard.Wait()
	}
	u.guard = nil
}

// settle makes sure that the session's last transaction was kept: what follows
// is built on it.
func (s *Server) settle(r records) error {
	if there(r.dir, journalName) {
		return errors.New("the changes made before wait for their confirmation, or are being taken back: confirm them over a new connection first")
	}
	if s.made.token == "" {
		return nil
	}
	last, err := lastOf(r.dir)
	if err == nil && !slices.Contains(last, s.made.token) {
		err = errors.New("the changes made before were not confirmed in time and taken back: plan again")
	}
	if err != nil {
		return err
	}
	s.made.relieve(r)
	s.made = unconfirmed{}
	return nil
}

func (s *Server) begin(b wire.Begin, events *outbox) (*wire.Result, error) {
	if s.lock == nil {
		return nil, errors.New("nothing is changed without the host's lock: send lock first")
	}
	if err := checkBegin(b); err != nil {
		return nil, err
	}
	t := transaction{Server: s, records: records{dir: s.stateDir()}, Begin: b, events: events}
	if err := s.settle(t.records); err != nil {
		return nil, err
	}
	ledger, err := readLedger(t.dir)
	if err != nil {
		return nil, err
	}
	if err := s.persist(ledger, b); err != nil {
		return nil, err
	}
	return t.run(ledger)
}

// transaction is a Begin on its way.
type transaction struct {
	*Server
	records
	wire.Begin
	events  *outbox
	journal *os.File                 // locked; nil where there is nothing to take back
	guard   atomic.Pointer[Guarding] // nil: none has started
	kept    bool                     // the guard stays when the Begin is answered
}

func (t *transaction) run(ledger state.Ledger) (*wire.Result, error) {
	x := txn.Txn{Kernel: t.Kernel, Token: cmp.Or(t.Token, newToken()), Prepare: t.prepare, Record: t.record, Done: t.done, Stands: t.stands}
	defer t.working()()
	defer t.release()
	err := x.Run(ledger, t.Begin)
	var failed *wire.Error
	switch {
	case errors.As(err, &failed) && failed.Code == wire.ErrorBroken:
		return nil, err // the guard, or the next run, tries to take it back
	case t.journal == nil:
	case err == nil && t.Confirm > 0:
		t.Server.made, t.kept = unconfirmed{token: x.Token}, true
		if g := t.guard.Load(); g != nil {
			t.Server.made.guard = *g
		}
		return &wire.Result{Unconfirmed: true}, nil
	case t.stands():
		if ended := t.end(); err == nil {
			err = ended
		}
	}
	if err != nil {
		return nil, err
	}
	return &wire.Result{}, nil
}

// prepare makes the transaction durable and has it guarded.
func (t *transaction) prepare(p txn.Pending) (err error) {
	if t.journal, err = t.records.open(p, t.lock.by); err != nil {
		return err
	}
	if t.Confirm <= 0 || t.StartGuard == nil {
		return nil
	}
	g, err := t.StartGuard(Order{StateDir: t.dir, Token: p.Token, Confirm: t.Confirm, Agent: os.Getpid()}, t.lock.file)
	if err == nil {
		t.guard.Store(&g)
	} else {
		err = errors.Join(fmt.Errorf("start the guard: %w", err), t.end())
	}
	return err
}

// alive is a sign of life for the guard.
func (t *transaction) alive() {
	if g := t.guard.Load(); g != nil {
		(*g).Alive()
	}
}

func (t *transaction) stands() bool { return t.journal == nil || t.records.stands(t.journal) }

// record keeps the ledger, or the one that is kept when the confirmation comes.
func (t *transaction) record(l state.Ledger) error {
	name := ledgerName
	if t.Confirm > 0 && t.journal != nil {
		name = madeName
	}
	return writeLedger(t.dir, name, l)
}

func (t *transaction) done(ids []string) {
	t.alive()
	steps := make([]any, 0, len(ids))
	for _, id := range ids {
		steps = append(steps, wire.Response{Step: &wire.StepEvent{ID: id}})
	}
	_ = t.events.send(steps...) // whoever has gone away does not stop the transaction
}

// release lets go of the journal, and of a guard that has nothing to wait for.
func (t *transaction) release() {
	if t.journal != nil {
		t.journal.Close()
	}
	if g := t.guard.Load(); g != nil && !t.kept {
		left := unconfirmed{guard: *g}
		left.relieve(t.records)
	}
}

// working sends signs of life during a transaction with packages, configurations or services,
// until the returned function is called.
func (t *transaction) working() (stop func()) {
	slow := slices.ContainsFunc(t.Steps, func(s wire.Step) bool {
		return s.Change != nil && slices.Contains([]state.Kind{state.KindPackage, state.KindConfig, state.KindUnit}, s.Change.Key().Kind)
	})
	if !slow {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(cmp.Or(t.Working, 5*time.Second))
		defer ticker.Stop()
		for range wire.MaxWorking {
			select {
			case <-done:
				return
			case <-ticker.C:
				t.alive()
				_ = t.events.send(wire.Response{Working: &wire.Working{}}) // whoever has gone away hears nothing
			}
		}
	}()
	return func() { close(done); <-ended }
}
