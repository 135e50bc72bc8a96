//go:build linux && kernel

package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/wire"
)

// diskSize is more than an agent asks for before it begins.
const diskSize = 32 << 20

// disk lets the disk that holds the ledger be full, or read-only.
func disk(t *testing.T, all bool, count *tally) {
	v := firstTransaction(t, count)
	if err := os.Mkdir(stateDir(v.home), 0o700); err != nil {
		t.Fatal(err)
	}
	v.sh(fmt.Sprintf("mount -t tmpfs -o mode=700,size=%d lvsform %s", diskSize, stateDir(v.home)))
	t.Cleanup(func() { v.T = t; v.sh("umount " + stateDir(v.home)) })
	kept := 0
	for free := 0; free <= 96<<10; free += 4 << 10 {
		if !all && free%(16<<10) != 0 {
			continue
		}
		t.Run(fmt.Sprintf("%d bytes free", free), func(t *testing.T) {
			v.T = t
			if v.withRoom(free) {
				kept++
			}
		})
	}
	if kept == 0 {
		t.Error("every disk was too full")
	}
	t.Run("read-only", func(t *testing.T) {
		v.T = t
		v.readOnly()
	})
	t.Run("read-only on the way", func(t *testing.T) {
		v.T = t
		v.readOnlyOnTheWay()
	})
}

// withRoom lets the disk be nearly full when changes begin. It tells whether
// they were made all the same.
func (v *victim) withRoom(free int) (made bool) {
	s := v.locked()
	filler := filepath.Join(stateDir(v.home), "filler")
	if err := os.WriteFile(filler, make([]byte, diskSize-free), 0o600); err != nil {
		v.Fatal(err)
	}
	_, _, err := v.send(s, plenty)
	switch code := refused(err); {
	case err == nil:
		s.kill()
		v.killGuards() // the next run takes it back
	case code != wire.ErrorFailed && code != wire.ErrorRolledBack:
		v.Errorf("begin: %v", err)
	}
	s.close()
	v.quiet()
	if err != nil {
		v.untouched(err)
	}
	if err := os.Remove(filler); err != nil {
		v.Fatal(err)
	}
	v.wantAsBefore(fmt.Sprintf("%v, then room again", err), v.around)
	return err == nil
}

func (v *victim) remount(how string) { v.sh("mount -o remount," + how + " " + stateDir(v.home)) }

func (v *victim) readOnly() {
	s := v.locked()
	v.remount("ro")
	_, _, err := v.send(s, plenty)
	if refused(err) != wire.ErrorFailed {
		v.Errorf("begin: %v", err)
	}
	s.close()
	v.untouched(err)
	v.remount("rw")
	v.wantAsBefore("when the disk can be written to again", v.around)
}

// readOnlyOnTheWay lets the disk become so after the journal was written.
func (v *victim) readOnlyOnTheWay() {
	s := v.stopped(stopAt(8))
	v.remount("ro")
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		v.Fatal(err)
	}
	_, err := s.answer()
	if code := refused(err); code != wire.ErrorRolledBack {
		v.Errorf("begin: %v", err)
	}
	s.close()
	v.untouched(err)
	v.remount("rw")
	v.wantAsBefore("when the disk can be written to again", v.around)
}

// untouched expects the host's kernel to be as before, whatever the disk holds.
// A guard that cannot remove its journal goes on trying.
func (v *victim) untouched(err error) {
	v.Helper()
	want := v.around[v.name].Dump
	v.until("the host is as before, or nobody is left to make it so", func() bool { return v.dump() == want || len(agents()) == 0 })
	if diff := cmp.Diff(want, v.dump()); diff != "" {
		v.Errorf("half changed: %v\n%s", err, diff)
	}
}
