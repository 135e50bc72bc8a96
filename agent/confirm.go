package agent

import (
	"errors"
	"time"

	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/wire"
)

const (
	// confirmPatience is how long a confirmation waits for a transaction that is
	// still under way, or being taken back.
	confirmPatience = 30 * time.Second
	confirmPause    = 20 * time.Millisecond
)

// confirm keeps the changes of an earlier session's transaction.
func (s *Server) confirm(q wire.Confirm, events *outbox) (*wire.Confirmed, error) {
	if q.Token == "" || q.Token == s.made.token {
		return nil, errors.New("a confirmation names a transaction, and comes over another connection than its changes")
	}
	r := records{dir: s.stateDir()}
	sign := time.Now().Add(5 * time.Second)
	for end := time.Now().Add(confirmPatience); time.Now().Before(end); time.Sleep(confirmPause) {
		action, _, err := r.decide(s.Kernel, q.Token, txn.Confirmed, false)
		switch {
		case errors.Is(err, errBusy):
		case err != nil:
			return nil, err
		case action == txn.Commit, action == txn.Clear, action == txn.Kept:
			return &wire.Confirmed{}, nil
		case action == txn.Wait:
			if err := s.relieveOrphan(); err != nil {
				return nil, err
			}
		default:
			return nil, &wire.Error{Code: wire.ErrorRolledBack, Message: "the changes were not confirmed in time, or cut off: the host has taken them back"}
		}
		if now := time.Now(); now.After(sign) {
			sign = now.Add(5 * time.Second)
			if err := events.send(wire.Response{Working: &wire.Working{}}); err != nil {
				return nil, err // whoever asked has gone away: nothing was confirmed
			}
		}
	}
	return nil, errors.New("the transaction is still under way: confirm it again")
}

// relieveOrphan takes back a transaction whose agent and guard are both gone.
func (s *Server) relieveOrphan() error {
	l, err := tryAcquire(s.lockDir(), wire.LockInfo{Owner: "a confirmation", Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil //nolint:nilerr // somebody is in charge
	}
	defer l.release()
	_, err = s.recover()
	return err
}
