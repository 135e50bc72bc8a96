//go:build linux && kernel

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// plenty is a time for a confirmation that nobody waits for.
const plenty = 2 * time.Minute

// controller is what lvsform apply and destroy are, over pipes.
type controller struct {
	*scene
	owner    string
	sessions map[string]*session
}

// connect starts an agent on every host, some of them with a word for their
// environment.
func (s *scene) connect(owner string, env map[string]string) (*controller, error) {
	c := &controller{scene: s, owner: owner, sessions: map[string]*session{}}
	started, errs := make([]*session, len(s.hosts)), make([]error, len(s.hosts))
	var wg sync.WaitGroup
	for i, h := range s.hosts {
		wg.Go(func() { started[i], errs[i] = h.start(env[h.name]) })
	}
	wg.Wait()
	for i, h := range s.hosts {
		if started[i] != nil {
			c.sessions[h.name] = started[i]
		}
	}
	if err := errors.Join(errs...); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *controller) close() {
	for _, x := range c.sessions {
		x.close()
	}
}

// lock takes the first host's lock alone, then the others.
func (c *controller) lock() error {
	if _, err := c.sessions[c.hosts[0].name].lock(c.owner); err != nil {
		return err
	}
	return c.all(c.hosts[1:], func(x *session) error {
		_, err := x.lock(c.owner)
		return err
	})
}

func (c *controller) all(hosts []*host, do func(*session) error) error {
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { errs[i] = do(c.sessions[h.name]) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *controller) observe() (map[string]planner.Live, error) {
	live := map[string]planner.Live{}
	var mu sync.Mutex
	err := c.all(c.hosts, func(x *session) error {
		seen, err := x.observe()
		mu.Lock()
		defer mu.Unlock()
		live[x.host.name] = seen
		return err
	})
	return live, err
}

// plan is what lvsform plan makes of the hosts; drains do not wait.
func (s *scene) plan(live map[string]planner.Live, destroy bool) *planner.Plan {
	p := planner.Build(planner.Input{Topology: s.topology, Live: live, Destroy: destroy})
	if p.Diagnostics.HasErrors() || p.Checks.HasErrors() {
		s.Errorf("plan: %v %v", p.Diagnostics, p.Checks)
	}
	p.DrainFor(0)
	return p
}

// run is a whole apply or destroy. Of the report only failures are told.
func (c *controller) run(destroy bool) (*apply.Report, error) {
	if err := c.lock(); err != nil {
		return nil, err
	}
	live, err := c.observe()
	if err != nil {
		return nil, err
	}
	p := c.plan(live, destroy)
	hosts := map[string]apply.Host{}
	for _, h := range c.hosts {
		hosts[h.name] = remoteHost{c, h, p}
	}
	report := apply.Run(context.Background(), p, hosts, len(hosts), silent{})
	if !report.Complete() {
		for _, h := range report.Hosts {
			err = errors.Join(err, h.Err)
		}
		return report, errors.Join(errors.New("incomplete"), err)
	}
	if destroy {
		err = c.all(c.hosts, func(x *session) error {
			_, err := x.ask(wire.Request{Leave: &wire.Leave{Topology: p.Topology}})
			return err
		})
	}
	return report, err
}

// begin is a host's part of a stage as the CLI sends it.
func begin(p *planner.Plan, changes []planner.Change, within time.Duration) wire.Begin {
	b := wire.Begin{Topology: p.Topology, Token: fmt.Sprintf("%032x", rand.Uint64()), Confirm: within}
	if !p.Destroy {
		b.Members = slices.Clone(p.Members)
	}
	for _, c := range changes {
		step := wire.Step{ID: c.ID, Claim: c.Claim, Announce: c.Announce}
		if change, ok := c.Object(); ok {
			step.Change = &change
		}
		b.Steps = append(b.Steps, step)
	}
	return b
}

// remoteHost is a host of a running apply.
type remoteHost struct {
	c    *controller
	host *host
	plan *planner.Plan
}

// Apply implements apply.Host.
func (h remoteHost) Apply(_ context.Context, changes []planner.Change, done func(string)) error {
	b := begin(h.plan, changes, plenty)
	r, err := h.c.sessions[h.host.name].ask(wire.Request{Begin: &b})
	if err == nil && r.Result.Unconfirmed {
		err = h.host.confirm(b.Token)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.host.name, err)
	}
	for _, c := range changes {
		done(c.ID)
	}
	return nil
}

// Connections implements apply.Host.
func (h remoteHost) Connections(_ context.Context, services []state.ServiceID) ([]state.Connections, error) {
	r, err := h.c.sessions[h.host.name].ask(wire.Request{Connections: &wire.Connections{Services: services}})
	if err != nil {
		return nil, err
	}
	return r.Connected.Destinations, nil
}

type silent struct{}

func (silent) Started(string, []planner.Change)       {}
func (silent) Done(planner.Change)                    {}
func (silent) Failed(string, []planner.Change, error) {}
func (silent) Skipped(planner.Change, string)         {}
func (silent) Draining(planner.Change, int)           {}
