package remote

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// startProxy runs ssh_config's ProxyCommand, whose stdin and stdout are the
// connection. It is the user's own command line, run by a shell as ssh does.
func (s *settings) startProxy() (net.Conn, error) {
	if runtime.GOOS == "windows" {
		return nil, errors.New("ProxyCommand is not supported on Windows: use ProxyJump")
	}
	// ~ is the shell's to expand.
	command, err := s.expandPath(strings.ReplaceAll(s.ProxyCommand, "${", "$%%{"))
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", "exec "+strings.ReplaceAll(command, "$%{", "${"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("ProxyCommand: %w", err)
	}
	return &proxyConn{cmd: cmd, stdin: stdin, stdout: stdout}, nil
}

// proxyConn is a process as a connection. Closing it ends the process.
type proxyConn struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	once   sync.Once
}

func (c *proxyConn) Read(p []byte) (int, error)  { return c.stdout.Read(p) }
func (c *proxyConn) Write(p []byte) (int, error) { return c.stdin.Write(p) }

func (c *proxyConn) Close() error {
	c.once.Do(func() {
		c.stdin.Close()
		_ = c.cmd.Process.Kill() // it may have ended by itself
		_ = c.cmd.Wait()
	})
	return nil
}

func (c *proxyConn) LocalAddr() net.Addr  { return proxyAddr{} }
func (c *proxyConn) RemoteAddr() net.Addr { return proxyAddr{} }

// The deadlines are a guard's task, which closes the connection.

func (c *proxyConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *proxyConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *proxyConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

type proxyAddr struct{}

func (proxyAddr) Network() string { return "proxy" }
func (proxyAddr) String() string  { return "0.0.0.0:0" }
