package remote

import (
	"net"
	"os"
	"strings"
	"time"
)

// defaultAgent is the named pipe of the OpenSSH Authentication Agent service.
const defaultAgent = `\\.\pipe\openssh-ssh-agent`

func dialAgent(path string, timeout time.Duration) (net.Conn, error) {
	if !strings.HasPrefix(path, `\\`) {
		return net.DialTimeout("unix", path, timeout)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return pipeConn{f}, nil
}

// pipeConn is a named pipe as a net.Conn. A pipe opened like this takes no
// deadline; the agent behind it is a local service.
type pipeConn struct{ *os.File }

func (pipeConn) LocalAddr() net.Addr         { return pipeAddr{} }
func (pipeConn) RemoteAddr() net.Addr        { return pipeAddr{} }
func (pipeConn) SetDeadline(time.Time) error { return nil }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return defaultAgent }
