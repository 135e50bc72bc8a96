package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"sync"
	"time"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/remote"
	"github.com/lvsform/lvsform/remote/agentbin"
	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
)

// machine is a host to speak to: from a topology, or from a saved plan.
type machine struct {
	name, address string
	ssh           topology.SSH
	query         planner.Names
	drains        *planner.Drains // of the topology; nil for a saved plan, which has its counts
}

// topologyMachines are the managed hosts of a topology, sorted by name.
func topologyMachines(t *topology.Topology) []machine {
	queries, drains := planner.Queries(t), planner.NewDrains(t)
	var out []machine
	for _, h := range t.Hosts {
		if h.Managed {
			out = append(out, machine{h.Name, h.Address.String(), h.SSH, queries[h.Name], drains})
		}
	}
	return out
}

// planMachines are the hosts of a saved plan that it could read, sorted by name.
func planMachines(p *planner.Plan) []machine {
	var out []machine
	for _, h := range p.Hosts {
		if h.Error == "" {
			out = append(out, machine{h.Name, h.Address, h.SSH, h.Query, nil})
		}
	}
	slices.SortFunc(out, func(a, b machine) int { return cmp.Compare(a.name, b.name) })
	return out
}

// fleet is the hosts of one run and the sessions with them.
type fleet struct {
	machines    []machine // sorted by name
	dialer      *remote.Dialer
	parallelism int
	progress    progress

	mu       sync.Mutex
	sessions map[string]*remote.Session
	errs     map[string]error // why a host has no session
}

// newFleet fails when there is no agent to place: all hosts would say the same.
func (c *cli) newFleet(machines []machine, p progress) (*fleet, error) {
	if _, err := agentbin.New(c.flags.agentDir).Archs(); err != nil {
		return nil, err
	}
	dialer := remote.New(remote.Config{
		SSHConfig: c.flags.sshConfig, KnownHosts: c.flags.knownHosts, Identity: c.flags.identity,
		AgentDir: c.flags.agentDir, Timeout: c.flags.timeout, Log: c.log(),
	})
	return &fleet{machines: machines, dialer: dialer, parallelism: c.flags.parallelism, progress: p,
		sessions: map[string]*remote.Session{}, errs: map[string]error{}}, nil
}

// connect opens a session with every host, and does what comes first there; the
// hosts that fail are in errs.
func (f *fleet) connect(ctx context.Context, first func(machine, *remote.Session) error) {
	each(f.machines, f.parallelism, func(m machine) {
		f.progress.set(m.name, "connecting")
		s, err := f.dialer.Connect(ctx, target(m))
		if err != nil {
			f.lose(m.name, err)
			return
		}
		f.mu.Lock()
		f.sessions[m.name] = s
		f.mu.Unlock()
		if err := first(m, s); err != nil {
			f.lose(m.name, err)
		}
	})
}

// greet waits for the agents, so that a host that cannot run one is known
// before any is locked.
func greet(ctx context.Context) func(machine, *remote.Session) error {
	return func(_ machine, s *remote.Session) error {
		_, err := s.Hello(ctx)
		return err
	}
}

func target(m machine) remote.Target {
	address := m.ssh.Address
	if address == "" {
		address = m.address
	}
	return remote.Target{Name: m.name, Address: address, Port: m.ssh.Port, User: m.ssh.User,
		IdentityFile: m.ssh.IdentityFile, Jump: m.ssh.Jump, Sudo: m.ssh.Sudo}
}

// all calls do for every session, some at once; a failure ends the session.
func (f *fleet) all(do func(machine, *remote.Session) error) {
	each(f.connected(), f.parallelism, func(m machine) {
		if err := do(m, f.session(m.name)); err != nil {
			f.lose(m.name, err)
		}
	})
}

func (f *fleet) session(name string) *remote.Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[name]
}

// adopt takes a new session in the place of a host's old one.
func (f *fleet) adopt(name string, s *remote.Session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions[name] = s
}

// connected are the machines with a session.
func (f *fleet) connected() []machine {
	return slices.DeleteFunc(slices.Clone(f.machines), func(m machine) bool { return f.session(m.name) == nil })
}

// lose ends a host's session for good.
func (f *fleet) lose(name string, err error) {
	f.mu.Lock()
	f.errs[name] = err
	f.mu.Unlock()
	f.release(name)
	f.progress.end(name, "failed", false)
}

// lockedError is a host that another run holds.
type lockedError struct {
	host string
	info *wire.LockInfo
}

func (e *lockedError) Error() string {
	if e.info == nil {
		return "host " + e.host + " is locked by another run\nNothing was changed. Try again when that run has ended."
	}
	return fmt.Sprintf("host %s is locked by %s since %s\nNothing was changed. Try again when that run has ended.",
		e.host, e.info.Owner, e.info.Since.Local().Format(time.DateTime))
}

// lock takes the locks of all hosts: the first alone, so that of two runs one
// gets it and the other none; then the rest. With a host that is locked it goes on
// at once, without waiting for the others. The error is a *lockedError when
// another run holds one. Other failures end a host's session.
func (f *fleet) lock(ctx context.Context, topologyName string, then func(machine, *remote.Session) error) error {
	owner := lockOwner(topologyName)
	first := ""
	for _, m := range f.connected() {
		if refused := f.lockOne(ctx, m, owner); refused != nil {
			return refused
		}
		if f.session(m.name) != nil {
			first = m.name
			break
		}
	}
	var mu sync.Mutex
	var refused []*lockedError
	f.all(func(m machine, s *remote.Session) error {
		if m.name != first {
			if e := f.lockOne(ctx, m, owner); e != nil {
				mu.Lock()
				defer mu.Unlock()
				refused = append(refused, e)
				return nil
			}
			if f.session(m.name) == nil {
				return nil
			}
		}
		return then(m, s)
	})
	if len(refused) == 0 {
		return nil
	}
	return slices.MinFunc(refused, func(a, b *lockedError) int { return cmp.Compare(a.host, b.host) })
}

func (f *fleet) lockOne(ctx context.Context, m machine, owner string) *lockedError {
	f.progress.set(m.name, "locking")
	err := f.session(m.name).Lock(ctx, owner)
	var e *wire.Error
	if errors.As(err, &e) && e.Code == wire.ErrorLocked {
		return &lockedError{m.name, e.Lock}
	}
	if err != nil {
		f.lose(m.name, err)
		return nil
	}
	if who := f.session(m.name).Recovered(); who != "" {
		f.progress.say(fmt.Sprintf("%s: the run of %s was cut off there; what it had done was taken back", m.name, who))
	}
	return nil
}

// lockOwner says to another run who holds a lock.
func lockOwner(topologyName string) string {
	who := "somebody"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	if machine, err := os.Hostname(); err == nil {
		who += "@" + machine
	}
	return fmt.Sprintf("%s (topology %q, process %d)", who, topologyName, os.Getpid())
}

// observations collects what hosts are like.
type observations struct {
	f    *fleet
	mu   sync.Mutex
	live map[string]planner.Live
}

func (f *fleet) newObservations() *observations {
	return &observations{f: f, live: map[string]planner.Live{}}
}

func (o *observations) read(ctx context.Context) func(machine, *remote.Session) error {
	return func(m machine, s *remote.Session) error {
		o.f.progress.set(m.name, "reading")
		seen, err := s.Observe(ctx, wire.Observe{Sysctls: slices.Concat(m.query.Sysctls, m.query.Checked), Modules: m.query.Modules,
			Packages: m.query.Packages, Units: m.query.Units, Facts: true, Traffic: m.query.Traffic})
		if err != nil {
			return err
		}
		live := planner.Live{Objects: seen.Objects, Ledger: seen.Ledger, MissingModules: seen.MissingModules}
		if services := m.drains.Services(m.name, seen.Objects); len(services) > 0 {
			if live.Connections, err = s.Connections(ctx, services); err != nil {
				return err
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if seen.Facts != nil {
			live.Facts = *seen.Facts
		}
		o.live[m.name] = live
		o.f.progress.end(m.name, "read", true)
		return nil
	}
}

// close ends all sessions, and with them the locks.
func (f *fleet) close() {
	each(f.connected(), f.parallelism, func(m machine) { f.release(m.name) })
}

// release ends a host's session when all is done there.
func (f *fleet) release(name string) {
	f.mu.Lock()
	s := f.sessions[name]
	delete(f.sessions, name)
	f.mu.Unlock()
	if s != nil {
		s.Close() //nolint:errcheck // nothing depends on a goodbye
	}
}

// each calls f for every item, at most n at once, and waits.
func each[T any](items []T, n int, f func(T)) {
	slots := make(chan struct{}, max(1, n))
	var wg sync.WaitGroup
	for _, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(item)
		})
	}
	wg.Wait()
}
