//go:build unix

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lvsform/lvsform/wire"
)

// openPrivate opens a regular file that only its owner, this process's user,
// can write to.
func openPrivate(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err == nil {
		err = checkOwner(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkOwner(path string, info os.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: it must belong to user %d alone", path, stat.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %v): take that right away", path, info.Mode().Perm())
	}
	return nil
}

// lockName is the lock's file.
const lockName = "lock"

// lock is the host's lock, held. It goes with the process.
type lock struct {
	file *os.File
	path string
	by   wire.LockInfo
}

// staleName is a held lock with the name of a process that has ended: its guard
// holds it, or somebody who is about to write another name.
type staleName struct{ held *wire.Error }

func (s staleName) Error() string { return s.held.Error() }
func (s staleName) Unwrap() error { return s.held }

// patience is how long acquire waits for what holds the lock.
func patience(refusal error, held *wire.Error) time.Duration {
	switch {
	case held.Lock.Owner == RestoreOwner:
		return 10 * time.Second
	case held.Lock.Owner == nameless, errors.As(refusal, new(staleName)):
		return time.Second // it is about to write its name, or to go
	}
	return 500 * time.Millisecond // its guard, or a program that it is just starting, may be about to let go
}

// acquire takes the lock. One that is held, and does not go within moments, is a
// *wire.Error with ErrorLocked.
func acquire(dir string, who wire.LockInfo) (*lock, error) {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		l, err := tryAcquire(dir, who)
		var held *wire.Error
		if !errors.As(err, &held) || time.Since(began) >= patience(err, held) {
			return l, err
		}
	}
}

func tryAcquire(dir string, who wire.LockInfo) (*lock, error) {
	if err := makePrivateDir(dir); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	path := filepath.Join(dir, lockName)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			defer f.Close()
			return nil, lockedBy(f)
		}
		if err == nil && !current(f, path) {
			f.Close() // the last topology left with the file meanwhile
			continue
		}
		if err == nil {
			err = writeOwner(f, who)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return &lock{file: f, path: path, by: who}, nil
	}
}

// current tells whether the open file is still the one of that path.
func current(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(open, named)
}

// holder is the content of the lock's file.
type holder struct {
	wire.LockInfo
	PID int `json:"pid"`
}

func writeOwner(f *os.File, who wire.LockInfo) error {
	body, err := json.Marshal(holder{who, os.Getpid()})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(body, 0)
	return err
}

// nameless is a holder that has not written its name yet.
const nameless = "another session"

func lockedBy(f *os.File) error {
	who := holder{}
	body := make([]byte, 4096)
	n, _ := f.ReadAt(body, 0)
	if json.Unmarshal(body[:n], &who) != nil || who.Owner == "" {
		who.Owner = nameless
	}
	message := "the host is locked by " + who.Owner
	if !who.Since.IsZero() {
		message += " since " + who.Since.Format("2006-01-02T15:04:05Z07:00")
	}
	held := &wire.Error{Code: wire.ErrorLocked, Message: message, Lock: &who.LockInfo}
	if who.PID > 0 && errors.Is(syscall.Kill(who.PID, 0), syscall.ESRCH) {
		return staleName{held}
	}
	return held
}

// release lets go of the lock. A guard that has inherited it holds it on.
func (l *lock) release() { _ = l.file.Close() }

// forget removes the lock's file while the lock is held.
func (l *lock) forget() {
	dir := filepath.Dir(l.path)
	_ = os.Remove(l.path)
	_ = os.Remove(filepath.Join(dir, filepath.Base(wire.Socket))) // of a guard that was killed
	_ = os.Remove(dir)
}
