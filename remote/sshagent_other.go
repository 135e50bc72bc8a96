//go:build !windows

package remote

import (
	"net"
	"time"
)

// defaultAgent is the agent when SSH_AUTH_SOCK is unset: none.
const defaultAgent = ""

func dialAgent(path string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("unix", path, timeout)
}
