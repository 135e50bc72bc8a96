package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/wire"
)

// journalName is the file that holds the transaction that has begun. It goes
// when the transaction has ended one way or the other.
const journalName = "pending"

// bootID tells one boot of the machine from another.
const bootID = "/proc/sys/kernel/random/boot_id"

// journal is the file's content.
type journal struct {
	Boot string        `json:"boot"`
	By   wire.LockInfo `json:"by"`
	txn.Pending
}

// newToken differs from every earlier one.
func newToken() string { return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) }

func currentBoot() string {
	b, err := os.ReadFile(bootID)
	if err != nil {
		return "" // a system without one: every boot is the same
	}
	return strings.TrimSpace(string(b))
}

// writeJournal makes the pending transaction durable before its first change.
func (s *Server) writeJournal(p txn.Pending) error {
	body, err := json.Marshal(journal{Boot: currentBoot(), By: s.lock.by, Pending: p})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := makePrivateDir(s.stateDir()); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := replaceFile(s.journalPath(), body); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (s *Server) journalPath() string { return filepath.Join(s.stateDir(), journalName) }

func (s *Server) endJournal() error {
	if err := os.Remove(s.journalPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	_ = os.Remove(s.stateDir()) // a directory that holds nothing else goes too
	return nil
}

// recover takes back the transaction that an earlier agent was in when it ended,
// and says whose it was. It needs the lock: nobody is in a transaction then.
func (s *Server) recover() (by *wire.LockInfo, err error) {
	j, err := readJournal(s.journalPath())
	if err != nil || j == nil {
		return nil, err
	}
	ledger, err := readLedger(s.stateDir())
	if err != nil {
		return nil, err
	}
	// After a reboot the kernel has forgotten all that the transaction did.
	if ledger.Last == j.Token || j.Boot != currentBoot() {
		return nil, s.endJournal()
	}
	if err := txn.Recover(s.Kernel, j.Pending); err != nil {
		return nil, fmt.Errorf("the run of %s was cut off here, and what it did cannot be taken back: %w; "+
			"nothing else was changed: put that right by hand, remove %s, and apply again", j.By.Owner, err, s.journalPath())
	}
	return &j.By, s.endJournal()
}

// readJournal returns nil when no transaction is pending.
func readJournal(path string) (*journal, error) {
	f, err := openPrivate(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var j journal
	if err := json.Unmarshal(body, &j); err != nil || j.Token == "" {
		return nil, fmt.Errorf("journal %s is damaged (%v): a run was cut off here and cannot be taken back; "+
			"nothing was changed: compare the host with its plan, remove the file, and apply again", path, err)
	}
	return &j, nil
}
