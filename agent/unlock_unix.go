//go:build unix

package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/lvsform/lvsform/wire"
)

const (
	// unlockPatience is how long who holds the lock has to end by itself, and
	// how long what it leaves may take to be put right.
	unlockPatience = 5 * time.Second
	mendPatience   = time.Minute
	unlockPause    = 50 * time.Millisecond
)

// breakLock ends whoever holds the host's lock, takes back what its transaction
// had done, and leaves the host unlocked.
func (s *Server) breakLock() (*wire.Unlocked, error) {
	if s.lock != nil {
		return nil, errors.New("this session holds the lock itself")
	}
	var out wire.Unlocked
	r := records{dir: s.stateDir()}
	pending, err := r.pending()
	if err != nil {
		return nil, err
	}
	l, err := tryAcquire(s.lockDir(), wire.LockInfo{Owner: "unlock", Since: time.Now().UTC().Truncate(time.Second)})
	var held *wire.Error
	if errors.As(err, &held) {
		out.Held = held.Lock
		l, err = s.seize(filepath.Join(s.lockDir(), lockName))
	}
	if err != nil {
		return nil, err
	}
	s.lock = l
	defer s.unlock()
	if _, err := s.recover(); err != nil || pending == "" {
		return &out, err
	}
	kept, err := lastOf(s.stateDir())
	out.TakenBack = !slices.Contains(kept, pending)
	return &out, err
}

// pending is the token of the transaction that is under way; "" for none.
func (r records) pending() (string, error) {
	f, err := openPrivate(r.path(journalName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	o, err := readOutline(f)
	if err != nil {
		return "", err
	}
	return o.Token, nil
}

// seize asks the holders of the lock to end, then ends them. A guard takes its
// transaction back first, for which it has longer.
func (s *Server) seize(path string) (*lock, error) {
	begin := time.Now()
	for asked := map[int]bool{}; ; time.Sleep(unlockPause) {
		l, err := tryAcquire(s.lockDir(), wire.LockInfo{Owner: "unlock", Since: time.Now().UTC().Truncate(time.Second)})
		var held *wire.Error
		if !errors.As(err, &held) {
			return l, err
		}
		waited := time.Since(begin)
		if waited > mendPatience+unlockPatience {
			return nil, fmt.Errorf("%s: what holds the lock does not end: look for processes that have the file open", path)
		}
		for _, pid := range holders(path) {
			switch {
			case !asked[pid]:
				asked[pid] = true
				_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended by itself
			case waited > mendPatience, waited > unlockPatience && !isGuard(pid):
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// isGuard tells a guard from other agents.
func isGuard(pid int) bool {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err == nil && slices.Contains(splitNul(line), "guard")
}

func splitNul(line []byte) (out []string) {
	word := 0
	for i, b := range line {
		if b == 0 {
			out = append(out, string(line[word:i]))
			word = i + 1
		}
	}
	return out
}

// holders are the processes that have the lock's file open, but this one.
func holders(path string) (pids []int) {
	lock, err := os.Stat(path)
	if err != nil {
		return nil
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(fd))))
		if err != nil || pid == os.Getpid() || slices.Contains(pids, pid) {
			continue
		}
		if open, err := os.Stat(fd); err == nil && os.SameFile(open, lock) {
			pids = append(pids, pid)
		}
	}
	return pids
}
