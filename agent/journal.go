package agent

import (
	"cmp"
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

// Files beside the ledger. The journal is there from before the first change of
// a transaction until it is decided; whoever decides about it, or changes the
// host because of it, holds the lock of that file. The ledger as it is to be is
// there from the last change until then.
const (
	journalName = "pending"
	madeName    = "made"
)

// bootID tells one boot of the machine from another.
const bootID = "/proc/sys/kernel/random/boot_id"

// journal is the journal's content.
type journal struct {
	Boot string        `json:"boot"`
	By   wire.LockInfo `json:"by"`
	txn.Pending
}

// outline is as much of a journal as it takes to decide. The rest, which may be
// long, is decoded by who takes the transaction back.
type outline struct {
	Boot  string        `json:"boot"`
	By    wire.LockInfo `json:"by"`
	Token string        `json:"token"`
	body  []byte        // of the whole journal
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

// records is the directory that holds the ledger and the journal.
type records struct {
	dir string
	// again waits before another try to take a transaction back, and tells
	// whether there is to be one; nil: there is none.
	again func() bool
}

func (r records) path(name string) string { return filepath.Join(r.dir, name) }

// open makes a transaction durable before its first change, and returns its
// journal's file, locked.
func (r records) open(p txn.Pending, by wire.LockInfo) (*os.File, error) {
	body, err := json.Marshal(journal{Boot: currentBoot(), By: by, Pending: p})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := makePrivateDir(r.dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := errors.Join(remove(r.path(madeName)), replaceFile(r.path(journalName), seal(body))); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	f, err := r.openLocked(true)
	if err != nil || f == nil {
		return nil, errors.Join(fmt.Errorf("journal: it cannot be locked: %w", cmp.Or(err, errors.New("it has gone"))), r.end())
	}
	return f, nil
}

// errBusy: somebody else is deciding.
var errBusy = errors.New("the journal is locked")

// openLocked opens the journal and takes its lock, or returns nil when there is no
// journal. Without wait a held lock is errBusy.
func (r records) openLocked(wait bool) (*os.File, error) {
	for {
		f, err := openPrivate(r.path(journalName))
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		if err := flock(f, wait); err != nil {
			f.Close()
			return nil, err
		}
		if current(f, r.path(journalName)) {
			return f, nil
		}
		f.Close() // it was decided meanwhile
	}
}

// stands tells whether an open journal is still the one that is pending.
func (r records) stands(f *os.File) bool { return current(f, r.path(journalName)) }

// end removes the journal; a directory that holds nothing else goes too.
func (r records) end() error {
	if err := remove(r.path(journalName)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	_ = os.Remove(r.dir)
	return nil
}

// commit keeps the transaction: from the moment of the renaming on.
func (r records) commit() error {
	if err := os.Rename(r.path(madeName), r.path(ledgerName)); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	syncDir(r.dir)
	return r.end()
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// decide looks at the transaction with the token, or at whichever is pending,
// and does what is to be done about it. The outline is nil when there is none.
func (r records) decide(k txn.Kernel, token string, e txn.Event, wait bool) (txn.Action, *outline, error) {
	f, err := r.openLocked(wait)
	if err != nil {
		return txn.Wait, nil, err
	}
	if f == nil && token == "" {
		return txn.Nothing, nil, nil
	}
	d, j := txn.Disk{}, (*outline)(nil)
	if f != nil {
		defer f.Close()
		if j, err = readOutline(f); err != nil {
			return txn.Wait, nil, err
		}
		token, d.Journal = cmp.Or(token, j.Token), j.Token
		d.Rebooted = j.Boot != currentBoot()
		_, err := os.Lstat(r.path(madeName))
		d.Made = err == nil
	}
	if d.Kept, err = lastOf(r.dir); err != nil {
		return txn.Wait, j, err
	}
	action := txn.Decide(d, token, e)
	err = r.act(action, k, j)
	for err != nil && action == txn.TakeBack && r.again != nil && r.again() {
		err = r.act(action, k, j)
	}
	return action, j, err
}

func (r records) act(a txn.Action, k txn.Kernel, j *outline) error {
	switch a {
	case txn.Commit:
		return r.commit()
	case txn.Clear:
		return errors.Join(remove(r.path(madeName)), r.end())
	case txn.TakeBack, txn.Discard:
		var whole txn.Pending
		if err := json.Unmarshal(j.body, &whole); err != nil {
			return damaged(r.path(journalName), err)
		}
		// A disk that takes nothing any more is no reason to leave the host as it is.
		unmade := remove(r.path(madeName))
		syncDir(r.dir)
		restore := txn.Recover
		if a == txn.Discard {
			restore = txn.RecoverAfterBoot
		}
		if err := restore(k, whole); err != nil {
			return fmt.Errorf("the run of %s was cut off here, and what it did cannot be taken back: %w; "+
				"nothing else was changed: put that right by hand, remove %s, and apply again", j.By.Owner, err, r.path(journalName))
		}
		if unmade != nil {
			return fmt.Errorf("journal: the host is as before the run of %s, which the disk does not take: %w", j.By.Owner, unmade)
		}
		return r.end()
	}
	return nil
}

func readOutline(f *os.File) (*outline, error) {
	file, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	o, err := decodeOutline(file)
	if err != nil {
		return nil, damaged(f.Name(), err)
	}
	return o, nil
}

func damaged(journal string, err error) error {
	return fmt.Errorf("journal %s is damaged (%v): a run was cut off here and cannot be taken back; "+
		"nothing was changed: compare the host with its plan, remove the file, and apply again", journal, err)
}

func decodeOutline(file []byte) (*outline, error) {
	body, err := unseal(file)
	if err != nil {
		return nil, err
	}
	o := outline{body: body}
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	if o.Token == "" {
		return nil, errors.New("it names no transaction")
	}
	return &o, nil
}

// recover takes back the transaction that an earlier agent was in when it ended,
// and says whose it was. It needs the host's lock: nobody is in charge then.
func (s *Server) recover() (by *wire.LockInfo, err error) {
	action, j, err := records{dir: s.stateDir()}.decide(s.Kernel, "", txn.Found, true)
	if err != nil || action != txn.TakeBack {
		return nil, err
	}
	return &j.By, nil
}
