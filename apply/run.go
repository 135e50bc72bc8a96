package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// Run makes the plan's changes, stage by stage, on at most parallelism hosts at
// once. A cancelled context lets transactions in flight end and begins no more.
// Run returns when nothing is in flight.
//
// A change runs only when all that it waits for is done. After a failure on a
// host, nothing more is done there; after a failure anywhere, nothing is taken
// away from any host that the failed additions might have replaced.
func Run(ctx context.Context, p *planner.Plan, hosts map[string]Host, parallelism int, observer Observer) *Report {
	r := &run{plan: p, hosts: hosts, observer: observer, slots: make(chan struct{}, max(1, parallelism)),
		status: make(map[string]Status, len(p.Changes)), errs: map[string]error{}}
	for _, c := range p.Changes {
		r.status[c.ID] = NotStarted
	}
	for start := 0; start < len(p.Changes); {
		end := start
		for end < len(p.Changes) && p.Changes[end].Stage == p.Changes[start].Stage {
			end++
		}
		if r.stopped(ctx, p.Changes[start].Wave) {
			break
		}
		r.stage(ctx, p.Changes[start:end])
		start = end
	}
	return r.report()
}

type run struct {
	plan     *planner.Plan
	hosts    map[string]Host
	observer Observer
	slots    chan struct{}

	mu          sync.Mutex // guards the rest; between stages only Run touches it
	status      map[string]Status
	errs        map[string]error // by host
	interrupted bool
}

// stopped tells whether the stages that are left must not begin.
func (r *run) stopped(ctx context.Context, w planner.Wave) bool {
	if ctx.Err() != nil {
		r.interrupted = true
		return true
	}
	return len(r.errs) > 0 && w >= planner.WaveMove && !r.plan.Destroy
}

// stage runs the changes of one stage, a transaction a host, and waits for all.
func (r *run) stage(ctx context.Context, changes []planner.Change) {
	var wg sync.WaitGroup
	for start := 0; start < len(changes); {
		end := start
		for end < len(changes) && changes[end].Host == changes[start].Host {
			end++
		}
		ready := r.ready(changes[start:end])
		start = end
		if len(ready) == 0 {
			continue
		}
		wg.Go(func() {
			r.slots <- struct{}{}
			defer func() { <-r.slots }()
			r.transaction(ctx, ready)
		})
	}
	wg.Wait()
}

// ready returns the changes of one host that can run, and marks the others as
// skipped.
func (r *run) ready(changes []planner.Change) []planner.Change {
	var out []planner.Change
	skipped := map[state.Key]bool{}
	for _, c := range changes {
		because := r.blocked(c)
		if d, ok := c.After.(state.Destination); ok && because == "" &&
			skipped[state.Key{Kind: state.KindService, ID: d.Service.String()}] {
			because = "its service is left out"
		}
		if because == "" {
			out = append(out, c)
			continue
		}
		skipped[c.Key()] = true
		r.mu.Lock()
		r.status[c.ID] = Skipped
		r.mu.Unlock()
		r.observer.Skipped(c, because)
	}
	return out
}

// blocked says why a change cannot run; "" when it can.
func (r *run) blocked(c planner.Change) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errs[c.Host] != nil {
		return "an earlier change failed on " + c.Host
	}
	for _, id := range c.AfterIDs {
		if r.status[id] != Done {
			return "it waits for " + id
		}
	}
	return ""
}

// transaction makes one host's changes of a stage.
func (r *run) transaction(ctx context.Context, changes []planner.Change) {
	host := changes[0].Host
	if ctx.Err() != nil { // stopped while it waited for its turn
		r.mu.Lock()
		r.interrupted = true
		r.mu.Unlock()
		return
	}
	r.observer.Started(host, changes)
	err := r.apply(ctx, host, changes)
	if err == nil {
		r.made(ctx, host, changes)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs[host] = err
	for _, c := range changes {
		if r.status[c.ID] == Done && !errors.Is(err, ErrBroken) {
			r.status[c.ID] = RolledBack
		} else { // what of a broken transaction was kept nobody knows
			r.status[c.ID] = Failed
		}
	}
	r.observer.Failed(host, changes, err)
}

// made notes a transaction's success, and waits for what it drains.
func (r *run) made(ctx context.Context, host string, changes []planner.Change) {
	r.mu.Lock()
	for _, c := range changes {
		r.status[c.ID] = Done
	}
	r.mu.Unlock()
	if err := r.drain(ctx, host, changes); err != nil {
		r.mu.Lock()
		r.errs[host] = err
		r.mu.Unlock()
		r.observer.Failed(host, nil, err)
	}
}

// apply hands the changes to the host. What has begun is finished, whatever
// becomes of ctx.
func (r *run) apply(ctx context.Context, host string, changes []planner.Change) error {
	h := r.hosts[host]
	if h == nil {
		return fmt.Errorf("%s: no connection", host)
	}
	byID := make(map[string]planner.Change, len(changes))
	for _, c := range changes {
		byID[c.ID] = c
	}
	return h.Apply(context.WithoutCancel(ctx), changes, func(id string) {
		c, ok := byID[id]
		if !ok {
			return
		}
		r.mu.Lock()
		r.status[id] = Done
		r.mu.Unlock()
		r.observer.Done(c)
	})
}

func (r *run) report() *Report {
	out := &Report{Changes: r.status, Interrupted: r.interrupted}
	at := map[string]int{}
	for _, c := range r.plan.Changes {
		i, ok := at[c.Host]
		if !ok {
			i = len(out.Hosts)
			at[c.Host] = i
			out.Hosts = append(out.Hosts, HostReport{Name: c.Host, Counts: map[Status]int{}, Err: r.errs[c.Host]})
		}
		out.Hosts[i].Counts[r.status[c.ID]]++
	}
	slices.SortFunc(out.Hosts, func(a, b HostReport) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
