package txn

import (
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Pending is a transaction that has begun: all that it takes to bring the host
// back to what it was before, also for a process that comes later.
type Pending struct {
	// Token names the transaction. A ledger that holds it says that the
	// transaction has succeeded.
	Token string     `json:"token"`
	Begin wire.Begin `json:"begin"`
	// Before is the host before the transaction, in the kernel's order.
	Before state.Objects `json:"before"`
}

// Recover takes back a transaction whose process has ended in the midst of it.
// It returns what could not be restored, as an error.
func Recover(k Kernel, p Pending) error {
	r := newRun(Txn{Kernel: k}, p.Begin)
	r.begin(p.Before)
	for _, s := range r.steps {
		if s.Change != nil {
			r.disturbed.add(*s.Change)
		}
	}
	if err := r.learnFallbacks(); err != nil {
		return err
	}
	return r.reconcile()
}

// RecoverAfterBoot takes back what such a transaction did that outlives a reboot:
// the configurations of programs, and which services the system starts. Whether
// one runs is the system's own business by then.
func RecoverAfterBoot(k Kernel, p Pending) error {
	kept := Pending{Token: p.Token}
	for _, s := range p.Begin.Steps {
		if s.Change == nil {
			continue
		}
		if s.Change.Key().Kind == state.KindConfig {
			kept.Begin.Steps = append(kept.Begin.Steps, wire.Step{ID: s.ID, Change: s.Change})
			continue
		}
		before, _ := s.Change.Before.(state.Unit)
		after, ok := s.Change.After.(state.Unit)
		if !ok || !after.Enabled.Set {
			continue
		}
		before.Running, after.Running = state.Opt[bool]{}, state.Opt[bool]{}
		kept.Begin.Steps = append(kept.Begin.Steps, wire.Step{ID: s.ID, Change: &state.Change{Before: before, After: after}})
	}
	for _, o := range p.Before {
		switch o := o.(type) {
		case state.Config:
			kept.Before = append(kept.Before, o)
		case state.Unit:
			o.Running = state.Opt[bool]{}
			kept.Before = append(kept.Before, o)
		}
	}
	return Recover(k, kept)
}

// learnFallbacks notes the links that the kernel made with a module during the
// transaction: they cannot be deleted, and go down.
func (r *run) learnFallbacks() error {
	if !r.query.Network {
		return nil
	}
	host, err := r.Kernel.Read(Query{Network: true})
	if err != nil {
		return err
	}
	for _, o := range host.Objects {
		l, ok := o.(state.Link)
		if _, touched := r.final[l.Key()]; !ok || !touched || !l.Fallback || r.expected[l.Key()] != nil {
			continue
		}
		l.Up = state.Some(false)
		r.learned[l.Key()] = l
	}
	return nil
}
