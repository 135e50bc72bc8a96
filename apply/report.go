// Package apply walks a plan over its hosts.
package apply

import (
	"context"
	"errors"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// Host is what apply needs of one host: make a stage's changes as one
// transaction, calling done with the id of each change that is made. Its error
// wraps ErrStale, ErrRolledBack or ErrBroken where that is what happened.
type Host interface {
	Apply(ctx context.Context, changes []planner.Change, done func(id string)) error
	// Connections counts the connections of the destinations of services.
	Connections(ctx context.Context, services []state.ServiceID) ([]state.Connections, error)
}

var (
	// ErrStale: the host is not as the plan saw it; nothing was changed there.
	ErrStale = errors.New("the host changed since the plan was made")
	// ErrRolledBack: a change failed and the host is as it was before the stage.
	ErrRolledBack = errors.New("rolled back")
	// ErrBroken: a change failed and the host could not be brought back.
	ErrBroken = errors.New("partly changed")
)

// Status is how far one change got.
type Status string

const (
	Done       Status = "done"
	Failed     Status = "failed"      // its transaction failed; see the host's error
	RolledBack Status = "rolled_back" // made, then undone with its transaction
	Skipped    Status = "skipped"     // something that it needs failed
	NotStarted Status = "not_started" // the run ended before its turn
)

// Report is what an apply did.
type Report struct {
	Hosts []HostReport // of the plan's changes, sorted by name
	// Changes is the status of every change by id.
	Changes map[string]Status
	// Interrupted: the run was asked to stop and began no further transaction.
	Interrupted bool
}

// HostReport is what happened on one host.
type HostReport struct {
	Name   string
	Counts map[Status]int
	Err    error // the first failure there; nil: none
}

// Observer is told of progress as it happens; calls may come from several
// goroutines at once.
type Observer interface {
	Started(host string, changes []planner.Change)
	Done(c planner.Change)
	Failed(host string, changes []planner.Change, err error)
	Skipped(c planner.Change, because string)
	// Draining tells how many connections a drained destination still has; zero
	// ends it, as does its timeout.
	Draining(c planner.Change, connections int)
}

// Complete tells whether every change was made.
func (r *Report) Complete() bool {
	for _, s := range r.Changes {
		if s != Done {
			return false
		}
	}
	return true
}

// Wrote tells whether any host is different from before the run.
func (r *Report) Wrote() bool {
	for _, h := range r.Hosts {
		if h.Counts[Done] > 0 || errors.Is(h.Err, ErrBroken) {
			return true
		}
	}
	return false
}

// RolledBack tells whether any host went back to what it was.
func (r *Report) RolledBack() bool {
	for _, h := range r.Hosts {
		if errors.Is(h.Err, ErrRolledBack) {
			return true
		}
	}
	return false
}
