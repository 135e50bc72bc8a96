//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/wire"
)

// confirmations are those that come over a socket. Where there can be none an
// agent takes them.
func confirmations(path string) (<-chan agent.Confirmation, func()) {
	fd, err := listen(path)
	if err != nil {
		return nil, func() {}
	}
	out := make(chan agent.Confirmation)
	go func() {
		for {
			peer, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			switch err {
			case nil:
				if token, ok := readToken(peer); ok {
					out <- agent.Confirmation{Token: token, Answer: func(kept bool) { answer(peer, kept) }}
				} else {
					_ = unix.Close(peer)
				}
			case unix.EINTR, unix.ECONNABORTED:
			default:
				return
			}
		}
	}()
	return out, func() { _ = os.Remove(path) }
}

// listen opens a socket in a directory that this program's user alone can enter,
// and nobody else can have made. It takes the place of one that a killed guard has
// left: this guard has the host's lock.
func listen(path string) (int, error) {
	info, err := os.Lstat(filepath.Dir(path))
	if err != nil {
		return -1, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) != os.Geteuid() || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return -1, os.ErrPermission
	}
	_ = os.Remove(path)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
		_ = unix.Close(fd)
	}
	return fd, err
}

// readToken reads what a peer has to say, for which it has seconds.
func readToken(peer int) (string, bool) {
	_ = unix.SetsockoptTimeval(peer, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	line := make([]byte, 0, 128)
	for len(line) < cap(line) {
		n, err := unix.Read(peer, line[len(line):cap(line)])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			break
		}
		line = line[:len(line)+n]
		if token, whole := bytes.CutSuffix(line, []byte("\n")); whole {
			return string(token), true
		}
	}
	return "", false
}

// answer says Kept or nothing. It may be lost: the ledger says it as well.
func answer(peer int, kept bool) {
	if kept {
		_ = unix.Sendto(peer, []byte(wire.Kept), unix.MSG_NOSIGNAL, nil)
	}
	_ = unix.Close(peer)
}
