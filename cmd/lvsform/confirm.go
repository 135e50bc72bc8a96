package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/remote"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

const (
	// confirmPause is the time between two tries to reach a host anew.
	confirmPause = time.Second
	// leastTry is how long one try may take at least.
	leastTry = 20 * time.Second
	// healing is how long after the time for a confirmation a host is asked what
	// has become of its changes.
	healing = time.Minute
	// alivePatience is how long the connection that made changes has to show that
	// it outlived them.
	alivePatience = 10 * time.Second
)

// newToken names a transaction.
func newToken() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// confirm keeps a transaction's changes, over a connection of its own. What it
// asks of it, it asks until the host answers: where the changes have cut off the
// way, the host takes them back, and then answers that.
//
// short: a host that only has to say that it can be reached is asked so first.
func (h *remoteHost) confirm(ctx context.Context, token string, short bool) error {
	deadline := time.Now().Add(h.within + healing)
	var before error // why the try before came to nothing
	for {
		err := h.confirmOnce(ctx, token, short)
		short = false
		var answer *wire.Error
		switch {
		case err == nil:
			return nil
		case errors.As(err, &answer) && answer.Code == wire.ErrorRolledBack:
			if before != nil {
				return fmt.Errorf("%w: %s (the try before: %w)", apply.ErrRolledBack, answer.Message, before)
			}
			return fmt.Errorf("%w: %s", apply.ErrRolledBack, answer.Message)
		case ctx.Err() != nil:
			return fmt.Errorf("%w: interrupted before its changes were confirmed; it takes them back by itself within %s; a new plan shows how it is", apply.ErrBroken, h.within)
		case time.Now().After(deadline):
			return fmt.Errorf("%w: its changes could not be confirmed, and it takes them back by itself; a new plan shows how it is: %w", apply.ErrBroken, err)
		}
		before = err
		h.fleet.progress.set(h.name, "its changes wait for a new connection: "+firstLine(err.Error()))
		select {
		case <-ctx.Done():
		case <-time.After(confirmPause):
		}
	}
}

// confirmOnce opens a connection that shares nothing with those before it. One
// that hangs must not use up the time for all.
func (h *remoteHost) confirmOnce(ctx context.Context, token string, short bool) error {
	ctx, cancel := context.WithTimeout(ctx, max(h.within/4, leastTry))
	defer cancel()
	return h.fleet.dialer.Fresh().Confirm(ctx, target(h.machine), token, short)
}

// reconnect makes sure of a session for what follows: changes may have cut the
// connection over which they were made, and left new ones possible.
func (h *remoteHost) reconnect(ctx context.Context) error {
	if h.proven {
		return nil
	}
	old := h.fleet.session(h.name)
	patience, cancel := context.WithTimeout(ctx, alivePatience)
	defer cancel()
	if old.Alive(patience) == nil {
		h.proven = true
		return nil
	}
	old.Close() //nolint:errcheck // it is of no use any more
	s, err := h.fleet.dialer.Fresh().Connect(ctx, target(h.machine))
	if err == nil {
		err = h.relock(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("%s: what was changed before is confirmed, but the connection for more is lost: %w", h.name, err)
	}
	h.proven = true
	return nil
}

// relock takes the lock again, as soon as the session before has ended.
func (h *remoteHost) relock(ctx context.Context, s *remote.Session) error {
	deadline := time.Now().Add(alivePatience)
	for {
		err := s.Lock(ctx, lockOwner(h.topology))
		var e *wire.Error
		if errors.As(err, &e) && e.Code == wire.ErrorLocked && time.Now().Before(deadline) {
			select {
			case <-ctx.Done():
			case <-time.After(confirmPause):
			}
			continue
		}
		if err != nil {
			s.Close() //nolint:errcheck // the error says more
			return err
		}
		h.fleet.adopt(h.name, s)
		return nil
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// networkAlone tells changes that cannot reach further than the network: whether
// programs start on a host as before is not in question after them.
func networkAlone(steps []wire.Step) bool {
	return !slices.ContainsFunc(steps, func(s wire.Step) bool {
		if s.Change == nil {
			return false
		}
		switch key := s.Change.Key(); key.Kind {
		case state.KindPackage, state.KindUnit, state.KindConfig:
			return true
		case state.KindSysctl:
			return !strings.HasPrefix(key.ID, "net.")
		}
		return false
	})
}
