package remote

import (
	"context"
	"errors"
	"io"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/wire"
)

// Confirm keeps the changes of a transaction. Like Connect it reaches the host
// anew, with all checks. Where short, the guard that waits there for the token is
// asked itself, if the server lets one: to start an agent that does the same
// costs the host half as much as the login. Else, and for any answer but that the
// changes are kept, an agent is started.
func (d *Dialer) Confirm(ctx context.Context, t Target, token string, short bool) error {
	arch, err := d.guessArch(t)
	if err != nil {
		return err
	}
	l, err := d.reach(ctx, t)
	if err != nil {
		return err
	}
	if short && !t.Sudo { // the guard listens to root alone
		kept, err := d.askGuard(ctx, l, token)
		if kept || err != nil {
			l.close()
			return err
		}
	}
	s, err := d.start(ctx, t, l, arch)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // nothing depends on a goodbye
	return s.Confirm(ctx, token)
}

// askGuard tells a host's guard the token, through the server's forwarding to a
// socket (PROTOCOL of OpenSSH, 2.4). Not kept is all that it does not say it kept.
func (d *Dialer) askGuard(ctx context.Context, l *link, token string) (kept bool, err error) {
	g := newGuard(ctx, d.config.Timeout, "the confirmation", l.conn)
	kept, err = forwardToken(l, token)
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		d.log.Debug("the guard cannot be asked itself", "address", l.address, "because", clean(refused.Message))
		err = nil
	}
	if err = g.end(err); err != nil {
		return false, &LostError{Address: l.address, During: "the confirmation", Err: err}
	}
	return kept, nil
}

func forwardToken(l *link, token string) (kept bool, err error) {
	to := ssh.Marshal(struct {
		Path     string
		Reserved string
		Port     uint32
	}{Path: wire.Socket})
	channel, requests, err := l.client.OpenChannel("direct-streamlocal@openssh.com", to)
	if err != nil {
		return false, err
	}
	defer channel.Close() //nolint:errcheck // the answer is there
	go ssh.DiscardRequests(requests)
	if _, err := io.WriteString(channel, token+"\n"); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := make([]byte, len(wire.Kept))
	if _, err := io.ReadFull(channel, answer); err != nil && !isEnd(err) {
		return false, err
	}
	return string(answer) == wire.Kept, nil
}
