package remote

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ackAtOnce sets TCP_QUICKACK (tcp(7)); the kernel takes it back by itself, so
// it is set before each read. A failure costs time only.
func ackAtOnce(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}

// limitUnacknowledged sets TCP_USER_TIMEOUT (tcp(7)).
func limitUnacknowledged(raw syscall.RawConn, timeout time.Duration) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	})
}
