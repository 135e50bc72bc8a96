//go:build linux

// Package knock opens connections to see whether they are taken.
package knock

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/wire"
)

// maxTimeout is the longest that a request may wait.
const maxTimeout = 10 * time.Second

// Knock opens connections, all at once, and closes those that are taken. It
// returns what became of each: "" where it was taken, else why it was not.
func Knock(q wire.Knock) ([]string, error) {
	if q.Count < 1 || q.Count > wire.MaxKnock || q.Timeout <= 0 || q.Timeout > maxTimeout || !q.Address.IsValid() {
		return nil, errors.New("knock: a request out of bounds")
	}
	kind, protocol := unix.SOCK_STREAM, 0
	switch q.Protocol {
	case "tcp":
	case "udp":
		kind = unix.SOCK_DGRAM
	case "sctp":
		protocol = unix.IPPROTO_SCTP
	default:
		return nil, fmt.Errorf("knock: unknown protocol %q", q.Protocol)
	}
	failures := make([]string, q.Count)
	var waiting []unix.PollFd
	var places []int // of those that wait
	for i := range failures {
		fd, err := open(q.Address, kind, protocol)
		if err == unix.EINPROGRESS {
			waiting, places = append(waiting, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}), append(places, i)
			continue
		}
		if err == nil && kind == unix.SOCK_DGRAM {
			_, err = unix.Write(fd, nil)
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		if err != nil {
			failures[i] = err.Error()
		}
	}
	wait(waiting, time.Now().Add(q.Timeout), func(i int, err error) { failures[places[i]] = err.Error() })
	for i, p := range waiting {
		if p.Fd >= 0 { // nothing was heard of it
			unix.Close(int(p.Fd))
			failures[places[i]] = "no answer within " + q.Timeout.String()
		}
	}
	return failures, nil
}

// open begins a connection: EINPROGRESS where it is to be waited for.
func open(to netip.AddrPort, kind, protocol int) (fd int, err error) {
	var address unix.Sockaddr
	family := unix.AF_INET
	if ip := to.Addr(); ip.Is4() {
		address = &unix.SockaddrInet4{Port: int(to.Port()), Addr: ip.As4()}
	} else {
		family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: ip.As16()}
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, err
	}
	return fd, unix.Connect(fd, address)
}

// wait closes the connections that are decided, and leaves -1 in their place.
func wait(waiting []unix.PollFd, until time.Time, failed func(i int, err error)) {
	for left := len(waiting); left > 0; {
		remaining := time.Until(until)
		if remaining <= 0 {
			return
		}
		if _, err := unix.Poll(waiting, int(remaining.Milliseconds())+1); err != nil && err != unix.EINTR {
			return
		}
		for i := range waiting {
			p := &waiting[i]
			if p.Fd < 0 || p.Revents == 0 {
				continue
			}
			errno, err := unix.GetsockoptInt(int(p.Fd), unix.SOL_SOCKET, unix.SO_ERROR)
			if err == nil && errno != 0 {
				err = unix.Errno(errno)
			}
			if err != nil {
				failed(i, err)
			}
			unix.Close(int(p.Fd))
			p.Fd = -1 // poll passes over it
			left--
		}
	}
}
