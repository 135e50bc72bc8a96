package remote

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// peerConn is a TCP connection that acknowledges at once as long as the
// handshake lasts: sshd sends its parts of it as small packets under Nagle's
// algorithm, and each waits for the acknowledgement of the one before.
type peerConn struct {
	net.Conn
	raw   syscall.RawConn
	quick atomic.Bool
}

func (c *peerConn) Read(p []byte) (int, error) {
	if c.quick.Load() {
		ackAtOnce(c.raw)
	}
	return c.Conn.Read(p)
}

// settle ends the handshake's care.
func settle(c net.Conn) {
	if p, ok := c.(*peerConn); ok {
		p.quick.Store(false)
	}
}

// newPeerConn takes over a TCP connection. Data that stays unacknowledged for
// timeout ends it (Linux).
func newPeerConn(c net.Conn, timeout time.Duration) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	limitUnacknowledged(raw, timeout)
	p := &peerConn{Conn: c, raw: raw}
	p.quick.Store(true)
	return p
}

// keepAlive lets the kernel notice a peer that is gone while nothing is sent.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
}
