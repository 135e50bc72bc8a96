package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lvsform/lvsform/agent/restore"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Where a host keeps what lvsform needs there.
const (
	DefaultStateDir = "/var/lib/lvsform"
	DefaultLockDir  = "/run/lvsform"
)

// Server answers the requests of one session.
type Server struct {
	Kernel   txn.Kernel
	StateDir string     // holds the ledger; "" is DefaultStateDir
	LockDir  string     // "" is DefaultLockDir
	Hello    wire.Hello // its Protocol is filled in
	// Executable is the file that goes when the last topology leaves the host;
	// "" for none.
	Executable string
	// Persistence keeps over a reboot what is applied; nil: nothing does.
	Persistence Persistence
	// Working is the time between signs of life during a long transaction; 0
	// is shorter than any peer waits.
	Working time.Duration

	// StartGuard starts a process that runs Guard and outlives the session. It
	// inherits the file of the host's lock.
	StartGuard func(o Order, lock *os.File) (Guarding, error)
	// Knock opens connections; nil: this host opens none.
	Knock func(wire.Knock) ([]string, error)

	busy sync.Mutex // held while a request is answered
	lock *lock
	// untidy: a Begin may have left a persistence that nobody needs.
	untidy bool
	// ensured: Persistence has been made sure of.
	ensured bool
	made    unconfirmed
}

// Serve speaks on r and w until EOF, which is no error. A request in hand is
// finished even when nobody listens to its answer any more.
func (s *Server) Serve(r io.Reader, w io.Writer) error {
	defer s.unlock()
	defer s.made.relieve(records{dir: s.stateDir()})
	in, out := bufio.NewReaderSize(r, 64<<10), newOutbox(w)
	defer out.close()
	hello := s.Hello
	hello.Protocol = wire.Protocol
	if err := out.send(hello); err != nil {
		return err
	}
	for {
		if err := out.drain(); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		var request wire.Request
		if err := wire.Read(in, &request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			refusal := &wire.Error{Code: wire.ErrorFailed, Message: err.Error()}
			// What follows an unreadable frame cannot be trusted.
			return errors.Join(err, out.send(wire.Response{Error: refusal}), out.drain())
		}
		if err := out.send(s.answer(request, out)); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

// Idle runs f between two requests, or before the first, and lets none begin
// while it runs.
func (s *Server) Idle(f func()) {
	s.busy.Lock()
	defer s.busy.Unlock()
	f()
}

func (s *Server) answer(q wire.Request, events *outbox) wire.Response {
	s.busy.Lock()
	defer s.busy.Unlock()
	var out wire.Response
	var err error
	switch set := countSet(q); {
	case set != 1:
		err = fmt.Errorf("a request asks for one thing, this one for %d", set)
	case q.Lock != nil:
		if out.Locked, err = s.takeLock(*q.Lock); err == nil {
			if err = checkRoom(s.stateDir()); err != nil {
				s.unlock()
			}
		}
	case q.Observe != nil:
		out.Observation, err = s.observe(*q.Observe)
	case q.Begin != nil:
		out.Result, err = s.begin(*q.Begin, events)
		s.untidy = s.untidy || err != nil || q.Begin.Transient
	case q.Confirm != nil:
		out.Confirmed, err = s.confirm(*q.Confirm, events)
	case q.Unlock != nil:
		out.Unlocked, err = s.breakLock()
	case q.Leave != nil:
		out.Left, err = s.leave(*q.Leave)
	case q.Connections != nil:
		out.Connected = &wire.Connected{}
		out.Connected.Destinations, err = s.Kernel.Connections(q.Connections.Services)
	case q.Activity != nil:
		out.Activity = &state.Activity{}
		*out.Activity, err = s.Kernel.Activity(q.Activity.Services)
	case q.Knock != nil && s.Knock == nil:
		err = errors.New("this host opens no connections")
	case q.Knock != nil:
		out.Knocked = &wire.Knocked{}
		out.Knocked.Failures, err = s.Knock(*q.Knock)
	}
	if err != nil {
		return wire.Response{Error: asError(err)}
	}
	return out
}

func countSet(q wire.Request) (n int) {
	for _, set := range []bool{q.Lock != nil, q.Observe != nil, q.Begin != nil, q.Confirm != nil, q.Unlock != nil, q.Leave != nil, q.Connections != nil, q.Activity != nil, q.Knock != nil} {
		if set {
			n++
		}
	}
	return n
}

func asError(err error) *wire.Error {
	var e *wire.Error
	if errors.As(err, &e) {
		return e
	}
	return &wire.Error{Code: wire.ErrorFailed, Message: err.Error()}
}

func (s *Server) stateDir() string {
	if s.StateDir == "" {
		return DefaultStateDir
	}
	return s.StateDir
}

func (s *Server) lockDir() string {
	if s.LockDir == "" {
		return DefaultLockDir
	}
	return s.LockDir
}

func (s *Server) takeLock(q wire.Lock) (*wire.Locked, error) {
	if s.lock != nil {
		return &wire.Locked{}, nil
	}
	l, err := acquire(s.lockDir(), wire.LockInfo{Owner: q.Owner, Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil, err
	}
	s.lock = l
	recovered, err := s.recover()
	if err != nil {
		s.unlock()
		return nil, err
	}
	return &wire.Locked{Recovered: recovered}, nil
}

func (s *Server) unlock() {
	if s.lock != nil {
		if s.untidy {
			_ = Tidy(s.stateDir(), s.Persistence) // the next session that ends tries again
		}
		s.lock.release()
		s.lock, s.untidy = nil, false
	}
}

func (s *Server) observe(q wire.Observe) (*wire.Observation, error) {
	ledger, err := readLedger(s.stateDir())
	if err != nil {
		return nil, err
	}
	query := txn.Query{Sysctls: slices.Clone(q.Sysctls), Modules: slices.Clone(q.Modules),
		Packages: slices.Clone(q.Packages), Units: slices.Clone(q.Units), Network: true, NFT: true, Configs: true, IPVS: true}
	for _, e := range ledger.Entries {
		switch key := e.Key(); key.Kind {
		case state.KindSysctl:
			query.Sysctls = append(query.Sysctls, key.ID)
		case state.KindModule:
			query.Modules = append(query.Modules, key.ID)
		case state.KindPackage:
			query.Packages = append(query.Packages, key.ID)
		case state.KindUnit:
			query.Units = append(query.Units, key.ID)
		}
	}
	host, err := s.Kernel.Read(query)
	if err != nil {
		return nil, err
	}
	out := &wire.Observation{Objects: host.Objects, Ledger: ledger, MissingModules: host.MissingModules}
	if q.Facts {
		facts, err := s.Kernel.Facts(q.Traffic)
		if err != nil {
			return nil, err
		}
		out.Facts = &facts
	}
	return out, nil
}

// checkBegin refuses a request that cannot be carried out whatever the host.
func checkBegin(b wire.Begin) error {
	if b.Topology == "" {
		return errors.New("begin names no topology")
	}
	for _, step := range b.Steps {
		if step.Claim == nil {
			continue
		}
		claim := step.Claim.Claim
		switch {
		case claim.Value.Object == nil:
			return fmt.Errorf("step %s: claim without an object", step.ID)
		case claim.Topology != b.Topology:
			return fmt.Errorf("step %s: claim of topology %q in a change of %q", step.ID, claim.Topology, b.Topology)
		case len(claim.Addresses) == 0 && !step.Claim.Drop:
			return fmt.Errorf("step %s: claim on %s without an address", step.ID, claim.Value.Key())
		case step.Change != nil && step.Change.Key() != claim.Value.Key():
			return fmt.Errorf("step %s: changes %s, claims %s", step.ID, step.Change.Key(), claim.Value.Key())
		case step.Claim.Before.Object != nil && step.Claim.Before.Key() != claim.Value.Key():
			return fmt.Errorf("step %s: claims %s, which was %s", step.ID, claim.Value.Key(), step.Claim.Before.Key())
		}
	}
	return nil
}

func (s *Server) leave(q wire.Leave) (*wire.Left, error) {
	if err := s.settle(records{dir: s.stateDir()}); err != nil {
		return nil, err
	}
	if s.lock == nil {
		if _, err := s.takeLock(wire.Lock{Owner: "leave of " + q.Topology}); err != nil {
			return nil, err
		}
		defer s.unlock()
	}
	ledger, err := readLedger(s.stateDir())
	if err != nil {
		return nil, err
	}
	ledger, err = forget(ledger, q.Topology)
	if err != nil {
		return nil, err
	}
	if len(ledger.Entries) > 0 || len(ledger.Members) > 0 {
		return &wire.Left{}, writeLedger(s.stateDir(), ledgerName, ledger)
	}
	if err := s.removeAll(); err != nil {
		return nil, err
	}
	return &wire.Left{Removed: true}, nil
}

// removeAll removes what lvsform keeps on the host. A directory that holds
// something else stays.
func (s *Server) removeAll() error {
	if s.Persistence != nil {
		if err := s.Persistence.Remove(); err != nil {
			return err
		}
	}
	if err := removeLedger(s.stateDir()); err != nil {
		return err
	}
	if err := s.removeExecutable(); err != nil {
		return err
	}
	_ = os.Remove(s.stateDir())
	s.lock.forget()
	return nil
}

// removeExecutable removes the agent's own file and, in a directory of our own,
// the agents of other versions beside it, and what is left of one that was being
// placed when the host went down.
func (s *Server) removeExecutable() error {
	if s.Executable == "" {
		return nil
	}
	if err := os.Remove(s.Executable); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the agent: %w", err)
	}
	if !restore.Placed(s.Executable) {
		return nil
	}
	dir := filepath.Dir(s.Executable)
	for _, pattern := range []string{"agent-*", ".agent.*"} {
		others, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, file := range others {
			_ = os.Remove(file)
		}
	}
	_ = os.Remove(dir)
	return nil
}
