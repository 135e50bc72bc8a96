package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lvsform/lvsform/remote/agentbin"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Session is the agent of one host, reached. Its methods may be called from
// several goroutines; they take turns. After an error that is not a
// *wire.Error the session is of no use but for Close.
type Session struct {
	dialer *Dialer
	target Target
	link   *link
	agent  *agentbin.Agent

	mu        sync.Mutex
	proc      *process
	hello     *wire.Hello
	locked    bool
	recovered string
	dead      error
}

// Hello is what the agent says of its host. It waits for the agent.
func (s *Session) Hello(ctx context.Context) (wire.Hello, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead != nil {
		return wire.Hello{}, s.dead
	}
	if s.hello == nil {
		g := newGuard(ctx, s.dialer.config.Timeout, "the agent's first words", s.link.conn)
		if err := g.end(s.greet(g, nil)); err != nil {
			return wire.Hello{}, s.fail("the agent's start", err)
		}
	}
	return *s.hello, nil
}

// Lock takes the host's lock for the rest of the session. A lock that another
// session holds is a *wire.Error with ErrorLocked.
func (s *Session) Lock(ctx context.Context, owner string) error {
	r, err := s.call(ctx, "lock", wire.Request{Lock: &wire.Lock{Owner: owner}}, nil)
	if err == nil && r.Locked == nil {
		err = s.unexpected("lock")
	}
	s.locked = err == nil
	if s.locked && r.Locked.Recovered != nil {
		s.recovered = clean(r.Locked.Recovered.Owner)
	}
	return err
}

// Recovered is whose run, cut off on the host, was taken back when the lock was
// taken; "" is nobody's.
func (s *Session) Recovered() string { return s.recovered }

// Observe reads the host.
func (s *Session) Observe(ctx context.Context, o wire.Observe) (wire.Observation, error) {
	r, err := s.call(ctx, "observe", wire.Request{Observe: &o}, nil)
	if err == nil && r.Observation == nil {
		err = s.unexpected("observe")
	}
	if err != nil {
		return wire.Observation{}, err
	}
	return *r.Observation, nil
}

// Begin changes the host. onStep, unless nil, is called for every step done.
// Config.Timeout bounds each step, not the whole. A context that is done ends
// the connection, not the transaction: the agent completes it or rolls it back.
// The result says whether the host waits for Confirm.
func (s *Session) Begin(ctx context.Context, b wire.Begin, onStep func(wire.StepEvent)) (wire.Result, error) {
	asked := make(map[string]bool, len(b.Steps))
	for _, step := range b.Steps {
		asked[step.ID] = true
	}
	r, err := s.call(ctx, "begin", wire.Request{Begin: &b}, func(e wire.StepEvent) error {
		if !asked[e.ID] {
			return fmt.Errorf("the agent reports a step that was not asked for, or was done before: %q", clean(e.ID))
		}
		delete(asked, e.ID) // else an agent could report for ever
		if onStep != nil {
			onStep(e)
		}
		return nil
	})
	if err == nil && r.Result == nil {
		err = s.unexpected("begin")
	}
	if err = contradiction(err, len(b.Steps)-len(asked), len(asked)); err != nil {
		return wire.Result{}, err
	}
	return *r.Result, nil
}

// contradiction is the error of an answer to begin that does not go with the
// steps reported before it: of neither is it known what was changed.
func contradiction(err error, reported, missing int) error {
	var answer *wire.Error
	switch {
	case err == nil && missing > 0:
		return faultf(FaultProtocol, "the agent says that all is done, and has not reported %d of the steps", missing)
	case errors.As(err, &answer) && reported > 0 && answer.Code != wire.ErrorRolledBack && answer.Code != wire.ErrorBroken:
		return faultf(FaultProtocol, "the agent reports %d steps, and then that it has changed nothing: %s", reported, answer.Message)
	}
	return err
}

// Confirm keeps the changes of a transaction that another session began.
func (s *Session) Confirm(ctx context.Context, token string) error {
	ignore := func(e wire.StepEvent) error {
		return fmt.Errorf("the agent reports a step of a confirmation: %q", clean(e.ID))
	}
	r, err := s.call(ctx, "confirm", wire.Request{Confirm: &wire.Confirm{Token: token}}, ignore)
	if err == nil && r.Confirmed == nil {
		err = s.unexpected("confirm")
	}
	return err
}

// Alive asks the agent for a sign of life.
func (s *Session) Alive(ctx context.Context) error {
	_, err := s.Connections(ctx, nil)
	return err
}

// Unlock ends whoever holds the host's lock.
func (s *Session) Unlock(ctx context.Context) (wire.Unlocked, error) {
	r, err := s.call(ctx, "unlock", wire.Request{Unlock: &wire.Unlock{}}, nil)
	if err == nil && r.Unlocked == nil {
		err = s.unexpected("unlock")
	}
	if err != nil {
		return wire.Unlocked{}, err
	}
	out := *r.Unlocked
	if out.Held != nil {
		held := *out.Held
		held.Owner = clean(held.Owner)
		out.Held = &held
	}
	return out, nil
}

// Leave ends a topology's presence on the host.
func (s *Session) Leave(ctx context.Context, topology string) (wire.Left, error) {
	r, err := s.call(ctx, "leave", wire.Request{Leave: &wire.Leave{Topology: topology}}, nil)
	if err == nil && r.Left == nil {
		err = s.unexpected("leave")
	}
	if err != nil {
		return wire.Left{}, err
	}
	return *r.Left, nil
}

// Connections counts the connections of the destinations of services.
func (s *Session) Connections(ctx context.Context, services []state.ServiceID) ([]state.Connections, error) {
	r, err := s.call(ctx, "connections", wire.Request{Connections: &wire.Connections{Services: services}}, nil)
	if err == nil && r.Connected == nil {
		err = s.unexpected("connections")
	}
	if err != nil {
		return nil, err
	}
	return r.Connected.Destinations, nil
}

// Activity reads what the host does at the moment, with the counters of the
// destinations of services.
func (s *Session) Activity(ctx context.Context, services []state.ServiceID) (state.Activity, error) {
	r, err := s.call(ctx, "activity", wire.Request{Activity: &wire.Activity{Services: services}}, nil)
	if err == nil && r.Activity == nil {
		err = s.unexpected("activity")
	}
	if err != nil {
		return state.Activity{}, err
	}
	return *r.Activity, nil
}

// Knock opens connections from the host. What it returns is why each was not
// taken, "" for one that was.
func (s *Session) Knock(ctx context.Context, k wire.Knock) ([]string, error) {
	r, err := s.call(ctx, "knock", wire.Request{Knock: &k}, nil)
	if err == nil && (r.Knocked == nil || len(r.Knocked.Failures) != k.Count) {
		err = s.unexpected("knock")
	}
	if err != nil {
		return nil, err
	}
	for i, failure := range r.Knocked.Failures {
		r.Knocked.Failures[i] = clean(failure)
	}
	return r.Knocked.Failures, nil
}

// Close ends the agent and the connection. It waits for an agent that holds
// the host's lock, so that the next command finds it free.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead == nil && s.locked {
		_ = s.proc.channel.CloseWrite() // a dead connection needs no goodbye
		s.proc.ended()
	}
	if s.dead == nil {
		s.dead = errors.New("the session is closed")
	}
	s.link.close()
	return nil
}

// call sends a request and waits for its answer.
func (s *Session) call(ctx context.Context, name string, req wire.Request, onStep func(wire.StepEvent) error) (wire.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead != nil {
		return wire.Response{}, s.dead
	}
	var frame bytes.Buffer
	if err := wire.Write(&frame, req); err != nil {
		return wire.Response{}, err
	}
	g := newGuard(ctx, s.dialer.config.Timeout, name, s.link.conn)
	r, err := s.exchange(g, frame.Bytes(), onStep)
	if err = g.end(err); err != nil {
		return wire.Response{}, s.fail(name, err)
	}
	if r.Error != nil {
		return wire.Response{}, cleanError(r.Error)
	}
	return r, nil
}

func (s *Session) exchange(g *guard, frame []byte, onStep func(wire.StepEvent) error) (wire.Response, error) {
	err := s.send(g, frame)
	if s.hello == nil {
		// An agent that is not there takes no input: its absence shows in
		// greet, and is the better explanation of a failed write.
		err = s.greet(g, frame)
	}
	if err != nil {
		return wire.Response{}, err
	}
	for working := 0; ; {
		var r wire.Response
		if err := wire.Read(s.proc.out, &r); err != nil {
			return r, err
		}
		g.progress()
		if err := checkResponse(r); err != nil {
			return r, err
		}
		if r.Step == nil && r.Working == nil {
			return r, nil
		}
		if onStep == nil {
			return r, faultf(FaultProtocol, "the agent reports steps of a request that has none")
		}
		if r.Working != nil {
			if working++; working > wire.MaxWorking {
				return r, faultf(FaultProtocol, "the agent does not come to an end")
			}
			continue
		}
		if err := onStep(*r.Step); err != nil {
			return r, faultf(FaultProtocol, "%s", err)
		}
	}
}

// send writes a frame. A large one on a slow line gets time for each part.
func (s *Session) send(g *guard, frame []byte) error {
	for part := range slices.Chunk(frame, 64<<10) {
		if _, err := s.proc.channel.Write(part); err != nil {
			return err
		}
		g.progress()
	}
	return nil
}

// checkResponse wants exactly one answer in a frame.
func checkResponse(r wire.Response) error {
	n := 0
	for _, set := range []bool{
		r.Step != nil, r.Working != nil, r.Locked != nil, r.Observation != nil, r.Result != nil, r.Confirmed != nil, r.Unlocked != nil, r.Left != nil, r.Connected != nil, r.Activity != nil, r.Knocked != nil, r.Error != nil,
	} {
		n += boolInt(set)
	}
	if n != 1 {
		return faultf(FaultProtocol, "the agent's answer holds %d answers instead of one", n)
	}
	// What an unknown error has changed nobody can tell.
	if r.Error != nil && !r.Error.Code.Known() {
		return faultf(FaultProtocol, "the agent answers with an error of a kind that is unknown: %q", clean(string(r.Error.Code)))
	}
	return nil
}

func (s *Session) unexpected(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail(name, faultf(FaultProtocol, "the agent answers %s with something else", name))
}

// fail ends the session's use and says why, as one of the package's errors.
func (s *Session) fail(name string, err error) error {
	stderr := ""
	if isEnd(err) {
		e := s.proc.ended()
		stderr = s.proc.errs.String()
		if e.known {
			err = &AgentError{Fault: FaultEnded, Detail: fmt.Sprintf("the agent ended %s during %s", e, name), Stderr: stderr}
		} else {
			err = s.lostCause()
		}
	}
	var agent *AgentError
	switch {
	case errors.As(err, &agent), errors.Is(err, agentbin.ErrMissing):
	case isFrameFault(err):
		err = &AgentError{Fault: FaultProtocol, Detail: "the agent's answer to " + name + " cannot be read: " + causeText(err), Err: err}
	default:
		err = &LostError{Address: s.link.address, During: name, Err: err, Stderr: stderr}
	}
	s.dead = err
	s.link.client.Close()
	s.link.conn.Close()
	return err
}

func cleanError(e *wire.Error) *wire.Error {
	cleaned := *e
	cleaned.Message, cleaned.Step = clean(e.Message), clean(e.Step)
	if e.Lock != nil {
		lock := *e.Lock
		lock.Owner = clean(lock.Owner)
		cleaned.Lock = &lock
	}
	return &cleaned
}
