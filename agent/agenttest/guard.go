//go:build unix

package agenttest

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/txn"
)

// StartGuard returns a Server's StartGuard that runs guards inside the test's
// process. They share the server's kernel and cannot kill it.
func StartGuard(k txn.Kernel) func(agent.Order, *os.File) (agent.Guarding, error) {
	return StartGuardThatHears(k, nil)
}

// StartGuardThatHears is StartGuard of guards that confirmations reach.
func StartGuardThatHears(k txn.Kernel, c <-chan agent.Confirmation) func(agent.Order, *os.File) (agent.Guarding, error) {
	return func(o agent.Order, lock *os.File) (agent.Guarding, error) {
		// Programs that the test starts meanwhile must not inherit it.
		fd, err := unix.FcntlInt(lock.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		g := &guard{signs: make(chan struct{}, 1), ended: make(chan struct{})}
		go func() {
			defer close(g.ended)
			defer unix.Close(fd) //nolint:errcheck // it gives the lock back
			_, _ = (&agent.Guard{Order: o, Kernel: k, Signs: g.signs, Confirmations: c, Again: time.Millisecond, Kill: func() error { return nil }}).Run()
		}()
		return g, nil
	}
}

type guard struct {
	signs chan struct{}
	close sync.Once
	ended chan struct{}
}

func (g *guard) Alive() {
	select {
	case g.signs <- struct{}{}:
	default:
	}
}

func (g *guard) Close() { g.close.Do(func() { close(g.signs) }) }
func (g *guard) Wait()  { <-g.ended }
