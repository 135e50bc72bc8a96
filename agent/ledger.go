package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/lvsform/lvsform/state"
)

const ledgerName = "ledger"

// readLedger reads the host's ledger; a host that has none has an empty one. A
// ledger that is damaged, of another version or not ours alone is an error.
func readLedger(dir string) (state.Ledger, error) {
	empty := state.Ledger{Version: state.LedgerVersion}
	path := filepath.Join(dir, ledgerName)
	f, err := openPrivate(path)
	if errors.Is(err, os.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("ledger: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(f)
	if err != nil {
		return empty, fmt.Errorf("ledger: %w", err)
	}
	l, err := decodeLedger(body)
	if err != nil {
		return empty, fmt.Errorf("ledger %s is damaged: %w; nothing was changed: restore the file from a backup, "+
			"or move it away and apply again to adopt what is there", path, err)
	}
	return l, nil
}

func decodeLedger(file []byte) (state.Ledger, error) {
	var l state.Ledger
	body, err := unseal(file)
	if err != nil {
		return l, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, err
	}
	if _, err := d.Token(); err != io.EOF {
		return l, errors.New("more follows its end")
	}
	if l.Version != state.LedgerVersion {
		return l, fmt.Errorf("it has version %d, this agent knows %d", l.Version, state.LedgerVersion)
	}
	return l, checkLedger(l)
}

// checkLedger tells whether the entries can be worked with.
func checkLedger(l state.Ledger) error {
	if !slices.IsSorted(l.Transient) {
		return errors.New("the topologies that do not persist are out of order")
	}
	seen := make(map[state.Key]bool, len(l.Entries))
	for i, e := range l.Entries {
		if len(e.Claims) == 0 {
			return fmt.Errorf("entry %d has no claim", i)
		}
		for n, c := range e.Claims {
			switch {
			case c.Value.Object == nil:
				return fmt.Errorf("entry %d has a claim without a value", i)
			case c.Value.Key() != e.Key():
				return fmt.Errorf("the entry of %s has a claim on %s", e.Key(), c.Value.Key())
			case n > 0 && c.Topology <= e.Claims[n-1].Topology:
				return fmt.Errorf("the claims on %s are out of order", e.Key())
			}
		}
		if e.Before.Object != nil && e.Before.Key() != e.Key() {
			return fmt.Errorf("the entry of %s has the earlier value of %s", e.Key(), e.Before.Key())
		}
		if seen[e.Key()] {
			return fmt.Errorf("%s occurs twice", e.Key())
		}
		seen[e.Key()] = true
	}
	return nil
}

// writeLedger replaces the ledger, or the one to be, durably: after a crash it is
// the old or the new one.
func writeLedger(dir, name string, l state.Ledger) error {
	l.Version = state.LedgerVersion
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := makePrivateDir(dir); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, name), seal(body)); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// replaceFile writes beside the file and renames.
func replaceFile(path string, body []byte) (err error) {
	temporary := path + ".new"
	// What an earlier crash left is of no use.
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary)
		}
	}()
	_, err = f.Write(body)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

// syncDir keeps the names in a directory over a power cut. They are in place
// already: failing that is no reason to undo what they record.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// lastOf are the tokens of the transactions that wrote the ledger last. It reads
// no further than that.
func lastOf(dir string) ([]string, error) {
	f, err := openPrivate(filepath.Join(dir, ledgerName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer f.Close()
	last, err := findLast(json.NewDecoder(f))
	if err != nil {
		return nil, fmt.Errorf("ledger %s is damaged: %w", f.Name(), err)
	}
	return last, nil
}

func findLast(d *json.Decoder) (last []string, err error) {
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil || name == "entries" {
			return last, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if name == "last" {
			return last, json.Unmarshal(value, &last)
		}
	}
	return last, nil
}

func removeLedger(dir string) error {
	err := os.Remove(filepath.Join(dir, ledgerName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// makePrivateDir creates the directory, or checks that only its owner can write
// to it.
func makePrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	return checkOwner(dir, info)
}

// forget drops a topology's members. A topology that still has claims cannot be
// forgotten.
func forget(l state.Ledger, topology string) (state.Ledger, error) {
	for _, e := range l.Entries {
		if _, ok := e.Claim(topology); ok {
			return l, fmt.Errorf("topology %q still has claims here, %s among them: destroy it, or retire the host, first",
				topology, e.Key())
		}
	}
	l.Members = maps.Clone(l.Members)
	delete(l.Members, topology)
	return l.SetTransient(topology, false).SetModules(topology, nil), nil
}
