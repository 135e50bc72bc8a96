package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/lvsform/lvsform/wire"
)

// greet reads the agent's Hello. When the agent is not on the host it is placed,
// started, and given the frame that the missing one did not get. Where it does not
// start by itself even then the script that places it starts it.
func (s *Session) greet(g *guard, frame []byte) error {
	hello, err := readHello(s.proc)
	for range 2 {
		if !absent(err, s.target.Sudo) {
			break
		}
		s.dialer.log.Debug("the agent does not run yet", "host", s.target.Name, "because", causeText(err))
		placed, failed := s.place(g)
		if failed != nil {
			return failed
		}
		s.proc = placed
		if failed = s.send(g, frame); failed != nil && !errors.Is(failed, io.EOF) {
			return failed
		}
		hello, err = readHello(s.proc)
	}
	if err != nil {
		return explainStart(err, s.target.Sudo)
	}
	g.progress()
	settle(s.link.conn)
	hello.Hostname, hello.Kernel, hello.Arch = clean(hello.Hostname), clean(hello.Kernel), clean(hello.Arch)
	if hello.Protocol != wire.Protocol {
		return faultf(FaultProtocol, "the agent speaks version %d of the protocol, this lvsform version %d", hello.Protocol, wire.Protocol)
	}
	if hello.UID != 0 {
		return faultf(FaultNotRoot, "the agent runs as user %d, not as root: log in as root, or set sudo = true for the host", hello.UID)
	}
	s.hello = &hello
	return nil
}

// startError is a command that ended before it wrote anything.
type startError struct {
	exit   exit
	stderr string
}

func (e *startError) Error() string {
	return fmt.Sprintf("the agent ended %s before its first word: %s", e.exit, e.stderr)
}

// readHello reads the first frame. Text in its place, as a login shell's
// startup file prints it, is recognised by its first bytes: they make a length
// that no frame has.
func readHello(p *process) (wire.Hello, error) {
	var hello wire.Hello
	head, err := p.out.Peek(4)
	if len(head) == 0 && errors.Is(err, io.EOF) {
		e := p.ended()
		if !e.known {
			return hello, io.EOF
		}
		return hello, &startError{e, p.errs.String()}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return hello, err
	}
	if len(head) < 4 && !p.ended().known {
		return hello, io.ErrUnexpectedEOF // the connection went, not the command
	}
	if len(head) < 4 || binary.BigEndian.Uint32(head) > wire.MaxFrame {
		return hello, garbage(p)
	}
	if err := wire.Read(p.out, &hello); err != nil {
		return hello, err
	}
	return hello, nil
}

// garbage quotes what a host printed in place of a frame.
func garbage(p *process) error {
	// What follows at once belongs to it; nothing is worth waiting for long.
	timer := time.AfterFunc(graceful, func() { p.channel.Close() })
	defer timer.Stop()
	text, _ := p.out.Peek(min(512, max(p.out.Buffered(), 1)))
	return &AgentError{
		Fault: FaultGarbage,
		Detail: fmt.Sprintf("the host printed %q before the agent spoke: the login shell's startup files "+
			"(~/.bashrc, /etc/profile.d) must print nothing in a session without a terminal", clean(string(text))),
		Stderr: p.errs.String(),
	}
}

// absent tells an agent that has to be placed: the shell does not find it (127),
// may not run it, does not trust its directory or finds none (126), takes an empty
// file for a script (0), or understands nothing of the command (1), which is also
// how sudo refuses.
func absent(err error, sudo bool) bool {
	var start *startError
	if !errors.As(err, &start) {
		return false
	}
	switch start.exit.code {
	case 0, 126, 127:
		return true
	case 1:
		return !sudo || sudoFault(start.stderr) == ""
	}
	return false
}

// sudoFault reads sudo's refusal. Empty: it is none, or none that is known.
func sudoFault(stderr string) AgentFault {
	switch {
	case strings.Contains(stderr, "password is required"), strings.Contains(stderr, "terminal is required"),
		strings.Contains(stderr, "must have a tty"):
		return FaultSudoPassword
	case strings.Contains(stderr, "not in the sudoers"), strings.Contains(stderr, "is not allowed to"),
		strings.Contains(stderr, "may not run sudo"):
		return FaultSudo
	}
	return ""
}

// explainStart says what a command that ended at once means.
func explainStart(err error, sudo bool) error {
	var start *startError
	if !errors.As(err, &start) {
		return err
	}
	e := &AgentError{Fault: FaultEnded, Detail: "the agent ended " + start.exit.String() + " before its first word", Stderr: start.stderr}
	if start.exit.code == 126 {
		e.Fault = FaultNoExec
		e.Detail = "the agent is on the host and may not be run: is " + agentDir + " on a file system mounted noexec, or does a security module forbid it?"
	}
	if sudo {
		explainSudo(e)
	}
	return e
}

// explainSudo turns an error into one about sudo when sudo is what refused.
func explainSudo(e *AgentError) bool {
	fault := sudoFault(e.Stderr)
	switch fault {
	case FaultSudoPassword:
		e.Detail = "sudo asks for a password: allow the user to run commands without one (NOPASSWD in sudoers)"
	case FaultSudo:
		e.Detail = "sudo does not let this user run the agent: see sudoers on the host"
	default:
		return false
	}
	e.Fault = fault
	return true
}

func faultf(fault AgentFault, format string, args ...any) error {
	return &AgentError{Fault: fault, Detail: fmt.Sprintf(format, args...)}
}

// isFrameFault tells a frame that cannot be understood from a connection that
// is gone. Package wire gives its errors no type, but its own prefix.
func isFrameFault(err error) bool {
	return strings.HasPrefix(err.Error(), "wire: ") && !isEnd(err)
}

// lostCause is why the connection ended, as far as it is known.
func (s *Session) lostCause() error {
	select {
	case <-s.link.done:
		if s.link.cause != nil && !errors.Is(s.link.cause, net.ErrClosed) {
			return s.link.cause
		}
	case <-time.After(graceful):
	}
	return errors.New("the connection ended")
}
