package agent

import (
	"maps"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Persistence makes a host keep over a reboot what is applied to it.
type Persistence interface {
	// Ensure sees to it, now and cheaply when it is so already.
	Ensure() error
	// Remove takes away all that Ensure has made.
	Remove() error
}

// persist sees to it before the first change that what a transaction makes will
// survive a reboot, where any topology of the host wants that: once in a session.
func (s *Server) persist(l state.Ledger, b wire.Begin) error {
	l.Members = maps.Clone(l.Members)
	if l.Members == nil {
		l.Members = map[string][]string{}
	}
	l.Members[b.Topology] = b.Members
	if s.Persistence == nil || s.ensured || !l.SetTransient(b.Topology, b.Transient).Lasting() {
		return nil
	}
	err := s.Persistence.Ensure()
	s.ensured = err == nil
	return err
}

// Tidy removes the persistence of a host on which no topology persists, when no
// transaction is under way. It needs the host's lock.
func Tidy(stateDir string, p Persistence) error {
	l, err := readLedger(stateDir)
	if err != nil || p == nil || l.Lasting() || there(stateDir, journalName) {
		return err
	}
	return p.Remove()
}
