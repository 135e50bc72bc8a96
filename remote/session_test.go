package remote

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

func TestFirstContactPlacesTheAgentThenOneExecIsEnough(t *testing.T) {
	for _, c := range []struct {
		name    string
		host    *sshtest.Host
		sudo    bool
		first   int // execs
		second  int
		uploads int
	}{
		{name: "amd64", first: 3, second: 1, uploads: 1},
		{name: "arm64", host: &sshtest.Host{Machine: "aarch64"}, first: 3, second: 1, uploads: 1},
		{name: "a host without gzip", host: &sshtest.Host{NoGzip: true}, first: 3, second: 1, uploads: 1},
		{name: "through sudo", host: &sshtest.Host{Sudo: true}, sudo: true, first: 3, second: 1, uploads: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := c.host
			if host == nil {
				host = &sshtest.Host{}
			}
			host.Serve = scripted{}.Serve
			b := newBench(t, sshtest.Config{Exec: host.Exec}, func(_ *sshtest.Server, _ *Config, target *Target) {
				target.Sudo = c.sudo
			})
			execs := []int{}
			for range 2 {
				got, err := b.observe(t)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(asked.MissingModules, got.MissingModules); diff != "" {
					t.Error(diff)
				}
				execs = append(execs, len(b.server.Commands()))
			}
			if diff := cmp.Diff([]int{c.first, c.first + c.second}, execs); diff != "" {
				t.Errorf("execs after each command: %s\n%q", diff, b.server.Commands())
			}
			if host.Uploads() != c.uploads {
				t.Errorf("uploads: want %d, got %d", c.uploads, host.Uploads())
			}
		})
	}
}

// A file system may lose the mark, and a login shell not understand the command.
func TestAnAgentThatDoesNotStartByItselfIsStartedByTheScriptThatPlacesIt(t *testing.T) {
	host := &sshtest.Host{Unmarked: true, Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	for _, execs := range []int{4, 6} {
		if _, err := b.observe(t); err != nil {
			t.Fatal(err)
		}
		if got := len(b.server.Commands()); got != execs {
			t.Errorf("execs: want %d, got %d: %q", execs, got, b.server.Commands())
		}
	}
	if host.Uploads() != 1 {
		t.Errorf("the agent was uploaded %d times", host.Uploads())
	}
}

func TestAnotherRunFindsAnARM64AgentWithOneExecMore(t *testing.T) {
	host := &sshtest.Host{Machine: "aarch64", Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	if _, err := b.observe(t); err != nil {
		t.Fatal(err)
	}
	before := len(b.server.Commands())
	b.dialer = New(b.dialer.config) // knows nothing of the host
	if _, err := b.observe(t); err != nil {
		t.Fatal(err)
	}
	if got := len(b.server.Commands()) - before; got != 2 {
		t.Errorf("execs: want 2, got %d", got)
	}
	if host.Uploads() != 1 {
		t.Errorf("the agent was uploaded %d times", host.Uploads())
	}
}

func TestRequestsAreAnsweredInTurn(t *testing.T) {
	host := &sshtest.Host{Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	ctx := patient(t)
	s, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Lock(ctx, "me"); err != nil {
		t.Fatal(err)
	}
	hello, err := s.Hello(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goodHello, hello); diff != "" {
		t.Error(diff)
	}
	var steps []string
	_, err = s.Begin(ctx, wire.Begin{Topology: "web", Steps: []wire.Step{sysctlStep("a"), sysctlStep("b")}}, func(e wire.StepEvent) { steps = append(steps, e.ID) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, steps); diff != "" {
		t.Error(diff)
	}
	left, err := s.Leave(ctx, "web")
	if err != nil || !left.Removed {
		t.Errorf("leave: %v, %v", left, err)
	}
	if b.server.Connections() != 1 {
		t.Errorf("connections: want 1, got %d", b.server.Connections())
	}
}

func sysctlStep(id string) wire.Step {
	return wire.Step{ID: id, Change: &state.Change{After: state.Sysctl{Name: "net.ipv4.vs." + id, Value: "1"}}}
}

func TestTheAgentsErrorsComeBackWithoutEscapes(t *testing.T) {
	refuse := func(wire.Request) []wire.Response {
		return []wire.Response{{Error: &wire.Error{
			Code: wire.ErrorLocked, Message: "locked by \x1b[31mbob\x1b[0m\x07\r\n since", Lock: &wire.LockInfo{Owner: "bob\x1b]0;x\x07"},
		}}}
	}
	host := &sshtest.Host{Serve: scripted{answer: refuse}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	ctx := patient(t)
	s, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 { // the session is of use after such an error
		err = s.Lock(ctx, "me")
		var got *wire.Error
		if !errors.As(err, &got) {
			t.Fatalf("want a *wire.Error, got %v", err)
		}
		want := &wire.Error{Code: wire.ErrorLocked, Message: "locked by bob since", Lock: &wire.LockInfo{Owner: "bob"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSignsOfLifeAreNoEndAndNotEndless(t *testing.T) {
	for _, signs := range []int{2, wire.MaxWorking + 1} {
		host := &sshtest.Host{Serve: scripted{answer: func(q wire.Request) []wire.Response {
			var all []wire.Response
			if q.Begin != nil {
				for range signs {
					all = append(all, wire.Response{Working: &wire.Working{}})
				}
			}
			return append(all, succeed(q)...)
		}}.Serve}
		b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
		ctx := patient(t)
		s, err := b.dialer.Connect(ctx, b.target)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Begin(ctx, wire.Begin{Topology: "web", Steps: []wire.Step{sysctlStep("a")}}, nil)
		if want := signs > wire.MaxWorking; (err != nil) != want {
			t.Errorf("%d signs of life: %v", signs, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFaultsOfTheHostAreToldApart(t *testing.T) {
	lie := func(r wire.Response) func(wire.Request) []wire.Response {
		return func(wire.Request) []wire.Response { return []wire.Response{r} }
	}
	for _, c := range []struct {
		name string
		host *sshtest.Host
		tell func(*sshtest.Config)
		sudo bool
		want AgentFault
		says string
	}{
		{name: "sudo wants a password", host: &sshtest.Host{SudoSays: "sudo: a password is required"}, sudo: true,
			want: FaultSudoPassword, says: "NOPASSWD"},
		{name: "sudo wants a terminal", host: &sshtest.Host{SudoSays: "sudo: sorry, you must have a tty to run sudo"}, sudo: true,
			want: FaultSudoPassword, says: "NOPASSWD"},
		{name: "sudo refuses", host: &sshtest.Host{SudoSays: "admin is not in the sudoers file."}, sudo: true,
			want: FaultSudo, says: "sudoers"},
		{name: "sudo speaks another language", host: &sshtest.Host{SudoSays: "sudo: nein"}, sudo: true,
			want: FaultSudo, says: "nein"},
		{name: "login is not root", host: &sshtest.Host{Sudo: true}, want: FaultNotRoot, says: "sudo = true"},
		{name: "no space", host: &sshtest.Host{PlaceError: "place: cat: write error: No space left on device"},
			want: FaultNoSpace, says: "No space left"},
		{name: "read-only", host: &sshtest.Host{PlaceError: "place: mkdir: Read-only file system"}, want: FaultReadOnly},
		{name: "a directory of somebody else", host: &sshtest.Host{PlaceError: "unsafe: /usr/local/libexec/lvsform"},
			want: FaultUnsafeDir, says: "/usr/local/libexec/lvsform must be"},
		{name: "noexec", host: &sshtest.Host{NoExec: true}, want: FaultNoExec, says: "noexec"},
		{name: "no agent for the architecture", host: &sshtest.Host{Machine: "s390x"}, want: FaultArch, says: "s390x"},
		{name: "another protocol", host: &sshtest.Host{Serve: scripted{hello: wire.Hello{Protocol: 99}}.Serve},
			want: FaultProtocol, says: "version 99"},
		{name: "the agent is not root", host: &sshtest.Host{Serve: scripted{hello: wire.Hello{Protocol: 1, UID: 7}}.Serve},
			want: FaultNotRoot, says: "user 7"},
		{name: "the shell prints a greeting", tell: func(c *sshtest.Config) { c.Garbage = "Welcome to \x1b[1mrs1\x1b[0m\n" },
			want: FaultGarbage, says: `Welcome to rs1`},
		{name: "the shell prints an empty line", tell: func(c *sshtest.Config) { c.Garbage = "\n" }, want: FaultGarbage},
		{name: "two answers in one", host: &sshtest.Host{Serve: scripted{answer: lie(wire.Response{
			Locked: &wire.Locked{}, Result: &wire.Result{}})}.Serve}, want: FaultProtocol, says: "2 answers"},
		{name: "the answer to another question", host: &sshtest.Host{Serve: scripted{answer: lie(wire.Response{
			Locked: &wire.Locked{}})}.Serve}, want: FaultProtocol, says: "something else"},
		{name: "steps that nobody asked for", host: &sshtest.Host{Serve: scripted{answer: lie(wire.Response{
			Step: &wire.StepEvent{ID: "x"}})}.Serve}, want: FaultProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := c.host
			if host == nil {
				host = &sshtest.Host{}
			}
			if host.Serve == nil {
				host.Serve = scripted{}.Serve
			}
			server := sshtest.Config{Exec: host.Exec}
			if c.tell != nil {
				c.tell(&server)
			}
			b := newBench(t, server, func(_ *sshtest.Server, _ *Config, target *Target) { target.Sudo = c.sudo })
			_, err := b.observe(t)
			var got *AgentError
			if !errors.As(err, &got) {
				t.Fatalf("want an *AgentError, got %v", err)
			}
			if got.Fault != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("want %q with %q, got %q: %s", c.want, c.says, got.Fault, err)
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("control characters in %q", err)
			}
		})
	}
}

func TestADeadPeerDoesNotHang(t *testing.T) {
	for _, c := range []struct {
		name   string
		server sshtest.Config
		want   any
	}{
		{"silent after accept", sshtest.Config{Silent: true}, new(*DialError)},
		{"closed after accept", sshtest.Config{Refuse: true}, new(*DialError)},
		{"silent after exec", sshtest.Config{SilentExec: true}, new(*LostError)},
		{"cut in the first frame", sshtest.Config{CutAfter: 10}, new(*LostError)},
		{"cut between frames", sshtest.Config{CutAfter: 100}, new(*LostError)},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := &sshtest.Host{Serve: scripted{}.Serve}
			c.server.Exec = host.Exec
			b := newBench(t, c.server, func(_ *sshtest.Server, config *Config, _ *Target) {
				_, sum := agentFiles(t)
				host.Placed = map[string]bool{sum: true}
				config.Timeout = 300 * time.Millisecond
			})
			_, err := b.observe(t)
			if !errors.As(err, c.want) {
				t.Errorf("want %T, got %v", c.want, err)
			}
			if !Unreachable(err) {
				t.Errorf("not unreachable: %v", err)
			}
		})
	}
}

func TestCancelEndsARequest(t *testing.T) {
	arrived := make(chan struct{})
	stuck := scripted{answer: func(wire.Request) []wire.Response {
		close(arrived)
		return nil
	}}
	host := &sshtest.Host{Serve: stuck.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	ctx, cancel := context.WithCancel(patient(t))
	s, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := s.Observe(ctx, wire.Observe{}); !errors.Is(err, context.Canceled) {
		t.Errorf("want context.Canceled, got %v", err)
	}
	if _, err := s.Observe(context.Background(), wire.Observe{}); err == nil {
		t.Error("a session whose request was cancelled answers again")
	}
}

func TestALostConnectionEndsTheSession(t *testing.T) {
	host := &sshtest.Host{Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	ctx := patient(t)
	s, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Lock(ctx, "me"); err != nil {
		t.Fatal(err)
	}
	b.server.Cut()
	var lost *LostError
	if _, err := s.Observe(ctx, wire.Observe{}); !errors.As(err, &lost) {
		t.Errorf("want a *LostError, got %v", err)
	}
}

func TestAHalfOpenConnectionIsNoticed(t *testing.T) {
	host := &sshtest.Host{Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, func(_ *sshtest.Server, c *Config, _ *Target) { c.Timeout = 400 * time.Millisecond })
	ctx := patient(t)
	connect := func() *Session {
		s, err := b.dialer.Connect(ctx, b.target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		if err := s.Lock(ctx, "me"); err != nil {
			t.Fatal(err)
		}
		return s
	}
	idle, busy := connect(), connect()
	b.server.Freeze()
	var slow *TimeoutError
	if _, err := busy.Observe(ctx, wire.Observe{}); !errors.As(err, &slow) || !Unreachable(err) {
		t.Errorf("with a request in hand: %v", err)
	}
	select {
	case <-idle.link.done: // nobody asked: the keepalive found out
	case <-ctx.Done():
		t.Error("an idle connection to a dead peer stays open")
	}
	var lost *LostError
	if _, err := idle.Observe(ctx, wire.Observe{}); !errors.As(err, &lost) {
		t.Errorf("after that: %v", err)
	}
}
