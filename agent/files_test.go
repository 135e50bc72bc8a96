//go:build unix

package agent_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/wire"
)

// modes are the modes of everything below a directory, where the owner is this
// process's user.
func modes(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := fmt.Sprintf("%04o", info.Mode().Perm())
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
			mode += " of somebody else"
		}
		out[strings.TrimPrefix(path, dir+"/")] = mode
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Everything that lvsform keeps on a host is its owner's alone, whatever the
// session's umask: the ledger, the journal, the ledger to be, and the lock.
func TestWhatIsKeptOnAHostIsReadByItsOwnerAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	h, _ := guarded(t)
	s := h.dial()
	s.lock()
	if r, _ := s.ask(toConfirm("one", time.Hour)); r.Result == nil || !r.Result.Unconfirmed {
		t.Fatalf("%+v", r)
	}
	want := map[string]string{"run": "0700", "run/lock": "0600", "state": "0700", "state/made": "0600", "state/pending": "0600"}
	if diff := cmp.Diff(want, modes(t, h.dir)); diff != "" {
		t.Errorf("before the confirmation: %s", diff)
	}
	other := h.dial()
	if r, _ := other.ask(confirm("one")); r.Confirmed == nil {
		t.Fatalf("%+v", r)
	}
	other.close()
	want = map[string]string{"run": "0700", "run/lock": "0600", "state": "0700", "state/ledger": "0600"}
	if diff := cmp.Diff(want, modes(t, h.dir)); diff != "" {
		t.Errorf("after it: %s", diff)
	}
	s.close()
}

// Files and directories that others own, may write to, or have put links in the
// place of, are not used.
func TestWhatOthersPutInPlaceOfAHostsFilesIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(state, run string) error
		says  string
	}{
		"a directory for everybody": {func(state, _ string) error { return os.Chmod(state, 0o777) }, "written by others"},
		"a ledger for everybody": {func(state, _ string) error {
			return errors.Join(os.WriteFile(state+"/ledger", []byte("{}"), 0o600), os.Chmod(state+"/ledger", 0o666))
		}, "written by others"},
		"a ledger that is a link": {func(state, run string) error {
			return errors.Join(os.WriteFile(run+"/theirs", []byte("{}"), 0o600), os.Symlink(run+"/theirs", state+"/ledger"))
		}, "ledger"},
		"a ledger that is a directory": {func(state, _ string) error { return os.Mkdir(state+"/ledger", 0o700) }, "no regular file"},
		"a ledger that is a pipe":      {func(state, _ string) error { return syscall.Mkfifo(state+"/ledger", 0o600) }, "no regular file"},
		"a journal that is a link": {func(state, run string) error {
			return errors.Join(os.WriteFile(run+"/theirs", []byte("{}"), 0o600), os.Symlink(run+"/theirs", state+"/pending"))
		}, "journal"},
		"a lock that is a link":            {func(_, run string) error { return os.Symlink("/etc/hostname", run+"/lock") }, "lock"},
		"a lock's directory for everybody": {func(_, run string) error { return os.Chmod(run, 0o777) }, "written by others"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			state, run := filepath.Join(h.dir, "state"), filepath.Join(h.dir, "run")
			if err := errors.Join(os.Mkdir(state, 0o700), os.Mkdir(run, 0o700), c.plant(state, run)); err != nil {
				t.Fatal(err)
			}
			s := h.dial()
			defer s.close()
			r, _ := s.ask(wire.Request{Lock: &wire.Lock{Owner: "me"}})
			if r.Error == nil {
				r, _ = s.ask(begin("t", claim("t", nil, vip)))
			}
			if r.Error == nil || !strings.Contains(r.Error.Message, c.says) {
				t.Errorf("%+v", r)
			}
		})
	}
}
