//go:build linux

package agent_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/wire"
)

// holdLock has another process hold the host's lock, in alice's name.
func (h *host) holdLock() *exec.Cmd {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Join(h.dir, "run"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `exec 9>"$0" && flock -n 9 && echo '{"owner":"alice@laptop","since":"2026-01-02T03:04:05Z"}' >&9 && echo held && exec sleep 600`,
		filepath.Join(h.dir, "run", "lock"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := os.Chmod(filepath.Join(h.dir, "run", "lock"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		h.t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

func TestUnlockEndsWhoHoldsTheLockAndTakesBackWhatItHadDone(t *testing.T) {
	h, k := guarded(t)
	unlock := func(want wire.Unlocked) {
		t.Helper()
		s := h.dial()
		defer s.close()
		r, _ := s.ask(wire.Request{Unlock: &wire.Unlock{}})
		if r.Unlocked == nil {
			t.Fatalf("%+v", r.Error)
		}
		if diff := diffOf(want, *r.Unlocked); diff != "" {
			t.Error(diff)
		}
	}
	unlock(wire.Unlocked{})

	// An agent and its guard have died, and another run hangs since.
	h.guards = nil
	before := k.Objects()
	if !h.killed(4, toConfirm("one", time.Hour)) {
		t.Fatal("it was not killed")
	}
	hanging := h.holdLock()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	unlock(wire.Unlocked{Held: &wire.LockInfo{Owner: "alice@laptop", Since: since}, TakenBack: true})
	if err := hanging.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("who held the lock: %v", err)
	}
	if diff := diffOf(before, volatile(k.Objects(), before)); diff != "" {
		t.Error(diff)
	}
	unlock(wire.Unlocked{})
	h.wantLock("next").close()
}
