//go:build !unix

package agent

import (
	"errors"
	"os"

	"github.com/lvsform/lvsform/wire"
)

func openPrivate(path string) (*os.File, error) { return os.Open(path) }

func flock(*os.File, bool) error { return errors.New("lock: this system has no flock") }

func current(*os.File, string) bool { return true }

func checkOwner(string, os.FileInfo) error { return nil }

type lock struct {
	by   wire.LockInfo
	file *os.File
}

func tryAcquire(string, wire.LockInfo) (*lock, error) {
	return nil, errors.New("lock: this system has no flock")
}

func acquire(string, wire.LockInfo) (*lock, error) {
	return nil, errors.New("lock: this system has no flock")
}

func (s *Server) breakLock() (*wire.Unlocked, error) {
	return nil, errors.New("unlock: this system has no flock")
}

func (l *lock) release() {}

func (l *lock) forget() {}
