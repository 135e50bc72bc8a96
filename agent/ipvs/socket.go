//go:build linux

package ipvs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// answerTimeout is how long to wait for the kernel, in seconds. It works
	// off a request before send returns, so that this is never reached.
	answerTimeout = 30
	// receiveQueue holds the answers to a whole batch even if every message of
	// it fails; in bytes as the kernel counts them.
	receiveQueue = 1 << 20
	// The room for a datagram. The kernel allocates as much for each datagram of
	// a dump (at least NLMSG_GOODSIZE, which is a page or 8 KiB at most, at most
	// 32 KiB) and its own 320 bytes (struct skb_shared_info) on top: one byte
	// more here would double what it allocates.
	datagramRoom = 8<<10 - 320
)

// socket is a generic netlink socket to the kernel.
type socket struct {
	fd  int
	buf []byte
}

func newSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	s := &socket{fd: fd, buf: make([]byte, datagramRoom)}
	if err := s.setUp(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *socket) setUp() error {
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	timeout := unix.Timeval{Sec: answerTimeout}
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, option, &timeout); err != nil {
			return err
		}
	}
	// Best effort, each: an old kernel or a user without rights still works,
	// and lost answers are noticed.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveQueue)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return nil
}

// Send hands the messages in b to the kernel, which works them off in order
// before Send returns.
func (s *socket) Send(b []byte) error {
	for {
		err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return err
		}
	}
}

// Receive returns the next datagram.
func (s *socket) Receive() ([]byte, error) {
	for {
		n, err := unix.Read(s.fd, s.buf)
		switch {
		case err == nil:
			return s.buf[:n], nil
		case errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("no answer from the kernel within %d seconds", answerTimeout)
		case !errors.Is(err, unix.EINTR):
			return nil, err
		}
	}
}

// Close closes the socket.
func (s *socket) Close() error { return unix.Close(s.fd) }
