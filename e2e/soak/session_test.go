//go:build linux && kernel

package soak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/wire"
)

// session is an agent's process on a host, over pipes.
type session struct {
	host  *host
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   io.Reader
	ended bool
}

// start starts an agent and hears its hello.
func (h *host) start(env ...string) (*session, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &session{host: h, cmd: exec.Command("ip", "netns", "exec", h.namespace, self, "serve")}
	s.cmd.Env = append(os.Environ(), append(env, envHome+"="+h.home)...)
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	var hello wire.Hello
	if err := wire.Read(s.out, &hello); err != nil {
		s.kill()
		return nil, fmt.Errorf("%s: hello: %w", h.name, err)
	}
	return s, nil
}

// mustStart is start where nothing can go wrong.
func (h *host) mustStart(env ...string) *session {
	h.Helper()
	s, err := h.start(env...)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(s.kill)
	return s
}

// ask sends a request and hears its answer. An agent's refusal is a *wire.Error,
// and io.EOF an agent that has died.
func (s *session) ask(q wire.Request) (wire.Response, error) {
	if err := wire.Write(s.in, q); err != nil {
		return wire.Response{}, io.EOF
	}
	return s.answer()
}

func (s *session) answer() (wire.Response, error) {
	// One that hangs for good fails the test in time.
	watchdog := time.AfterFunc(3*time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer watchdog.Stop()
	for {
		var r wire.Response
		err := wire.Read(s.out, &r)
		switch {
		case err != nil:
			return r, err
		case r.Error != nil:
			return r, r.Error
		case r.Step == nil && r.Working == nil:
			return r, nil
		}
	}
}

// kill ends the agent as kill -9 does.
func (s *session) kill() {
	if s.ended {
		return
	}
	s.ended = true
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// close ends the session as the end of a connection does.
func (s *session) close() {
	if s.ended {
		return
	}
	s.ended = true
	s.in.Close()
	_ = s.cmd.Wait()
}

func (s *session) lock(owner string) (*wire.Locked, error) {
	r, err := s.ask(wire.Request{Lock: &wire.Lock{Owner: owner}})
	return r.Locked, err
}

// observe reads what a plan needs of the host.
func (s *session) observe() (planner.Live, error) {
	q := s.host.queries[s.host.name]
	r, err := s.ask(wire.Request{Observe: &wire.Observe{Sysctls: append(append([]string{}, q.Sysctls...), q.Checked...), Modules: q.Modules,
		Packages: q.Packages, Units: q.Units, Facts: true, Traffic: q.Traffic}})
	if err != nil {
		return planner.Live{}, err
	}
	seen := r.Observation
	return planner.Live{Objects: seen.Objects, Ledger: seen.Ledger, MissingModules: seen.MissingModules, Facts: *seen.Facts}, nil
}

// confirm keeps a transaction, over an agent of its own.
func (h *host) confirm(token string) error {
	s, err := h.start()
	if err != nil {
		return err
	}
	defer s.close()
	_, err = s.ask(wire.Request{Confirm: &wire.Confirm{Token: token}})
	return err
}

// refused is the agent's answer in an error; "" for another one.
func refused(err error) wire.ErrorCode {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
