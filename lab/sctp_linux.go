package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is how many associations may wait to be accepted.
const backlog = 64

// listenSCTP listens on a port of every IPv4 address. A one-to-one socket of
// SCTP is used like one of TCP (RFC 6458, section 4), so package net serves it
// once it is open.
func listenSCTP(port uint16) (net.Listener, error) {
	f, err := socketSCTP()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd := int(f.Fd())
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)}), unix.Listen(fd, backlog))
	if err != nil {
		return nil, fmt.Errorf("listen on sctp/%d: %w", port, err)
	}
	return net.FileListener(f)
}

func dialSCTP(r Requests) (net.Conn, error) {
	target, err := netip.ParseAddrPort(r.Target)
	if err != nil {
		return nil, err
	}
	f, err := socketSCTP()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd := int(f.Fd())
	if r.Source.IsValid() {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: r.Source.As4()}); err != nil {
			return nil, err
		}
	}
	// A socket that blocks gives up connecting after this time.
	timeout := unix.NsecToTimeval(r.Timeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}); err != nil {
		return nil, fmt.Errorf("connect to sctp %s: %w", target, err)
	}
	return net.FileConn(f)
}

func socketSCTP() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, fmt.Errorf("an SCTP socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "sctp"), nil
}
