package remote

import (
	"context"
	"io"
	"sync"
	"time"
)

// guard bounds a piece of work on a connection. When the time is over, or the
// context done, it closes the connection: that ends every read and write on
// it, also those inside x/crypto/ssh, which know no deadline.
type guard struct {
	conn  io.Closer
	limit time.Duration
	what  string
	timer *time.Timer
	stop  func() bool

	mu    sync.Mutex
	ended bool
	cause error
}

func newGuard(ctx context.Context, limit time.Duration, what string, conn io.Closer) *guard {
	g := &guard{conn: conn, limit: limit, what: what}
	g.timer = time.AfterFunc(limit, func() { g.fire(&TimeoutError{limit, what}) })
	g.stop = context.AfterFunc(ctx, func() { g.fire(context.Cause(ctx)) })
	return g
}

func (g *guard) fire(cause error) {
	g.mu.Lock()
	fired := !g.ended && g.cause == nil
	if fired {
		g.cause = cause
	}
	g.mu.Unlock()
	if fired {
		g.conn.Close()
	}
}

// progress begins the time anew: the peer did something.
func (g *guard) progress() { g.timer.Reset(g.limit) }

// end ends the guard. It returns the reason for which the guard closed the
// connection, or err.
func (g *guard) end(err error) error {
	g.timer.Stop()
	g.stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	if g.cause != nil {
		return g.cause
	}
	return err
}
