//go:build !linux

package remote

import (
	"syscall"
	"time"
)

func ackAtOnce(syscall.RawConn) {}

func limitUnacknowledged(syscall.RawConn, time.Duration) {}
