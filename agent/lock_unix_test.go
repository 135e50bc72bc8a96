//go:build unix

package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lvsform/lvsform/wire"
)

// Who has just taken the lock has not yet put its name in the place of the one
// before.
func TestARefusalNamesWhoHoldsTheLockNow(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pid    int
		writes bool
		want   string
	}{
		"a holder that writes its name":        {ended.Process.Pid, true, "new"},
		"a guard with the name of its session": {ended.Process.Pid, false, "old"},
		"a holder that runs":                   {os.Getpid(), false, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			if err := os.Mkdir(filepath.Join(h.dir, "run"), 0o700); err != nil {
				t.Fatal(err)
			}
			lock := filepath.Join(h.dir, "run", "lock")
			write := func(owner string, pid int) {
				body := fmt.Sprintf(`{"owner":%q,"since":"2026-01-02T03:04:05Z","pid":%d}`, owner, pid)
				if err := os.WriteFile(lock, []byte(body), 0o600); err != nil {
					t.Error(err)
				}
			}
			write("old", c.pid)
			f, err := os.Open(lock)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			if c.writes {
				defer time.AfterFunc(50*time.Millisecond, func() { write("new", os.Getpid()) }).Stop()
			}
			s := h.dial()
			defer s.close()
			r, _ := s.ask(wire.Request{Lock: &wire.Lock{Owner: "me"}})
			if r.Error == nil || r.Error.Code != wire.ErrorLocked || r.Error.Lock.Owner != c.want {
				t.Errorf("got %+v, want locked by %s", r.Error, c.want)
			}
		})
	}
}
