package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// link is an SSH connection to one host.
type link struct {
	address string // host:port
	conn    net.Conn
	client  *ssh.Client
	release func()        // gives back the jump host, may be nil
	done    chan struct{} // closed when the connection is gone
	cause   error         // why it is gone; read it after done
}

func (l *link) close() {
	l.client.Close()
	l.conn.Close()
	if l.release != nil {
		l.release()
		l.release = nil
	}
}

func (l *link) alive() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// open connects to a host, through its jump hosts if it has any. way names
// the jump hosts whose connections wait for this one.
func (d *Dialer) open(ctx context.Context, s *settings, way []string) (*link, error) {
	address := net.JoinHostPort(s.HostName, strconv.Itoa(s.Port))
	verifier, err := d.newHostVerifier(s)
	if err != nil {
		return nil, err
	}
	keys, err := d.keysFor(s)
	if err != nil {
		return nil, err
	}
	conn, via, release, err := d.transport(ctx, s, address, way)
	if err != nil {
		return nil, err
	}
	l, err := d.handshake(ctx, s, address, via, conn, verifier, keys)
	if err != nil {
		conn.Close()
		if release != nil {
			release()
		}
		return nil, err
	}
	l.release = release
	return l, nil
}

// transport opens the bytes' way to a host: TCP, a channel of a jump host, or
// a ProxyCommand.
func (d *Dialer) transport(ctx context.Context, s *settings, address string, way []string) (conn net.Conn, via string, release func(), err error) {
	hops, err := parseJump(s.ProxyJump)
	if err != nil {
		return nil, "", nil, err
	}
	if len(hops) > 0 {
		return d.throughJump(ctx, hops, address, way)
	}
	if s.ProxyCommand != "" && s.ProxyCommand != "none" {
		conn, err := s.startProxy()
		return conn, "ProxyCommand", nil, err
	}
	timeout := d.config.Timeout
	if s.ConnectTimeout > 0 && s.ConnectTimeout < timeout {
		timeout = s.ConnectTimeout
	}
	network := map[string]string{"inet": "tcp4", "inet6": "tcp6"}[s.Family]
	if network == "" {
		network = "tcp"
	}
	dialer := net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive()}
	conn, err = dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, "", nil, dialError(ctx, address, "", err)
	}
	return newPeerConn(conn, d.config.Timeout), "", nil, nil
}

// handshake makes an SSH connection of a transport.
func (d *Dialer) handshake(ctx context.Context, s *settings, address, via string, conn net.Conn, v *hostVerifier, keys *offer) (*link, error) {
	try := &attempt{offer: keys}
	config := &ssh.ClientConfig{
		User:              s.User,
		AuthCallback:      try.callback,
		HostKeyCallback:   v.callback,
		HostKeyAlgorithms: v.algorithms(),
		ClientVersion:     "SSH-2.0-lvsform",
	}
	// nistp256 is the cheapest of the safe ones in Go.
	config.KeyExchanges = []string{
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeCurve25519, ssh.KeyExchangeMLKEM768X25519,
		ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521, ssh.KeyExchangeDH14SHA256, ssh.KeyExchangeDH16SHA512,
	}
	g := newGuard(ctx, d.config.Timeout, "the SSH handshake", conn)
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	cause := g.end(nil)
	if cause != nil {
		return nil, dialError(ctx, address, via, cause)
	}
	if err != nil {
		return nil, handshakeError(ctx, s, address, via, v, try, err)
	}
	if v.note != "" {
		d.log.Warn(v.note, "host", s.Host)
	}
	l := &link{address: address, conn: conn, client: ssh.NewClient(c, channels, requests), done: make(chan struct{})}
	go l.watch(d.config.Timeout)
	return l, nil
}

// handshakeError says what a failed handshake means.
func handshakeError(ctx context.Context, s *settings, address, via string, v *hostVerifier, try *attempt, err error) error {
	if v.refused != nil {
		return v.refused // the text of x/crypto/ssh adds nothing
	}
	if try.began && !isClosed(err) {
		return &AuthError{
			User: s.User, Address: address, Offered: try.offered, Tried: try.tried, Skipped: try.offer.skipped, Err: err,
		}
	}
	if !isClosed(err) {
		return &DialError{Address: address, Via: via, Reason: DialProtocol, Err: err}
	}
	return dialError(ctx, address, via, err)
}

// watch asks a silent peer for a sign of life, and notes the connection's end.
func (l *link) watch(timeout time.Duration) {
	ended := make(chan error, 1)
	go func() { ended <- l.client.Wait() }()
	ticker := time.NewTicker(min(15*time.Second, timeout/2))
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			l.cause = err
			close(l.done)
			return
		case <-ticker.C:
			timer := time.AfterFunc(timeout, func() { l.conn.Close() })
			_, _, _ = l.client.SendRequest("keepalive@openssh.com", true, nil) // any answer is one
			timer.Stop()
		}
	}
}

// dialError says why a connection did not come about.
func dialError(ctx context.Context, address, via string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	return &DialError{Address: address, Via: via, Reason: dialReason(err), Err: err}
}

func dialReason(err error) DialReason {
	var name *net.DNSError
	var channel *ssh.OpenChannelError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &name) && !name.IsTimeout:
		return DialName
	case errors.As(err, &channel):
		return jumpReason(channel)
	case isErrno(err, syscall.ECONNREFUSED, 10061): // WSAECONNREFUSED
		return DialRefused
	case isErrno(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH, 10065, 10051): // WSAEHOSTUNREACH, WSAENETUNREACH
		return DialNoRoute
	case errors.As(err, &timeout) && timeout.Timeout():
		return DialTimeout
	case isClosed(err):
		return DialClosed
	}
	return DialOther
}

// jumpReason reads what OpenSSH writes about a forwarding that failed.
func jumpReason(e *ssh.OpenChannelError) DialReason {
	text := strings.ToLower(e.Message)
	switch {
	case strings.Contains(text, "refused"):
		return DialRefused
	case strings.Contains(text, "no route"), strings.Contains(text, "unreachable"):
		return DialNoRoute
	case strings.Contains(text, "timed out"):
		return DialTimeout
	case strings.Contains(text, "not known"), strings.Contains(text, "resolution"):
		return DialName
	}
	return DialOther
}

func isErrno(err error, numbers ...syscall.Errno) bool {
	for _, n := range numbers {
		if errors.Is(err, n) {
			return true
		}
	}
	return false
}

// isClosed tells a connection that ended from an answer that was refused.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		isErrno(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT, 10054)
}
