package remote

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/wire"
)

// says is an agent that answers every request with the same bytes.
func says(hello any, answer string) sshtest.Serve {
	return func(stdin io.Reader, stdout, stderr io.Writer) int {
		if wire.Write(stdout, hello) != nil {
			return 1
		}
		for {
			var q wire.Request
			if wire.Read(stdin, &q) != nil {
				return 0
			}
			if _, err := stdout.Write([]byte(answer)); err != nil {
				return 1
			}
		}
	}
}

func frame(body string) string { return string(sshtest.Frame([]byte(body))) }

// observation is an answer to observe that holds some objects.
func observation(objects string) string {
	return frame(`{"observation":{"objects":{` + objects + `},"ledger":{"version":1,"before":{},"topologies":{}}}}`)
}

// escaped is attack inside a JSON text.
func escaped(t *testing.T) string {
	b, err := json.Marshal(attack)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(b), `"`)
}

// An agent of a host that somebody else controls gets nowhere: what it says is
// refused with an error that names what is wrong, holds no escapes, and comes in
// time.
func TestAHostileAgentIsRefused(t *testing.T) {
	bad := escaped(t)
	flood := func(text string) sshtest.Serve {
		return func(_ io.Reader, stdout, _ io.Writer) int { repeat(stdout, text); return 0 }
	}
	for _, c := range []struct {
		name  string
		serve sshtest.Serve
		says  string
	}{
		{"text without end", flood(attack), "printed"},
		{"the same frame without end", flood(frame(`{}`)), "version 0"},
		{"another version", says(map[string]any{"protocol": wire.Protocol + 1, "hostname": attack}, ""), fmt.Sprint("version ", wire.Protocol+1)},
		{"a version that is no number", says(map[string]any{"protocol": attack}, ""), "cannot be read"},
		{"a version beyond all numbers", flood(frame(`{"protocol":99999999999999999999999}`)), "cannot be read"},
		{"more than a hello", says(map[string]any{"protocol": wire.Protocol, "run": "reboot"}, ""), "unknown field"},
		{"no user but root", says(map[string]any{"protocol": wire.Protocol, "uid": -1}, ""), "user -1"},
		{"a frame over the limit", says(goodHello, "\xff\xff\xff\xff"), "over the limit"},
		{"a frame that never comes", says(goodHello, string(binary.BigEndian.AppendUint32(nil, wire.MaxFrame))+"{"), "no answer"},
		{"no JSON", says(goodHello, frame(attack)), "cannot be read"},
		{"an empty frame", says(goodHello, frame("")), "cannot be read"},
		{"null", says(goodHello, frame("null")), "0 answers"},
		{"two documents", says(goodHello, frame(`{"left":{}} {"left":{}}`)), "more than one"},
		{"nested too deep", says(goodHello, frame(`{"observation":{"facts":`+strings.Repeat("[", 1<<20))), "cannot be read"},
		{"millions of objects in little text", says(goodHello, observation(`"link":[`+strings.Repeat("{},", 2<<20)+`{}]`)), "values"},
		{"millions of texts in little text", says(goodHello, observation(`"ipvs_destination":{"tcp/192.0.2.1:80":[`+strings.Repeat(`"",`, 5<<20)+`""]}`)), "values"},
		{"an object twice", says(goodHello, observation(`"package":[{"name":"`+bad+`"},{"name":"`+bad+`"}]`)), "twice"},
		{"an object of an unknown kind", says(goodHello, observation(`"`+bad+`":[]`)), "unknown field"},
		{"an unknown attribute", says(goodHello, observation(`"package":[{"`+bad+`":1}]`)), "unknown field"},
		{"a number out of range", says(goodHello, observation(`"fou":[{"family":"ipv4","port":65536}]`)), "cannot be read"},
		{"a negative port", says(goodHello, observation(`"fou":[{"family":"ipv4","port":-1}]`)), "cannot be read"},
		{"a number that is a text", says(goodHello, observation(`"route":[{"to":"192.0.2.0/24","table":"`+bad+`"}]`)), "cannot be read"},
		{"an address that is none", says(goodHello, observation(`"address":[{"device":"lo","ip":"`+bad+`"}]`)), "cannot be read"},
		{"a service that is none", says(goodHello, observation(`"ipvs_destination":{"`+bad+`":["192.0.2.1:80 dr 1"]}`)), "virtual service"},
		{"a destination that is none", says(goodHello, observation(`"ipvs_destination":{"tcp/192.0.2.1:80":["`+bad+`"]}`)), "cannot be read"},
		{"a claim without an address", says(goodHello, frame(`{"observation":{"objects":{},"ledger":{"version":1,"before":{},"topologies":{"`+bad+
			`":{"values":{"package":[{"name":"x"}]},"addresses":{}}}}}}`)), "no address"},
		{"the answer to another question", says(goodHello, frame(`{"connected":{"destinations":null}}`)), "something else"},
		{"an error of an unknown kind", says(goodHello, frame(`{"error":{"code":"`+bad+`","message":"`+bad+`"}}`)), "error of a kind"},
		{"complaints without end", func(_ io.Reader, stdout, stderr io.Writer) int {
			_ = wire.Write(stdout, goodHello)
			repeat(stderr, attack)
			return 0
		}, "no answer"},
		{"complaints and an end", func(_ io.Reader, stdout, stderr io.Writer) int {
			_ = wire.Write(stdout, goodHello)
			_, _ = io.WriteString(stderr, strings.Repeat(attack, 10_000))
			return 77
		}, "exit status 77"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := &sshtest.Host{Serve: c.serve}
			b := newBench(t, sshtest.Config{Exec: host.Exec}, func(_ *sshtest.Server, config *Config, _ *Target) {
				_, sum := agentFiles(t)
				host.Placed = map[string]bool{sum: true}
				config.Timeout = 3 * time.Second
				if c.says == "no answer" {
					config.Timeout = 300 * time.Millisecond
				}
			})
			before := runtime.NumGoroutine()
			_, err := b.observe(t)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("want an error that says %q, got: %v", c.says, err)
			}
			plain(t, err.Error())
			b.server.Cut()
			nothingLeft(t, before)
		})
	}
}

// What a placing script says is as suspect as what an agent says.
func TestAHostileScriptIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"no line's end":                 {strings.Repeat("x", 1<<20), "printed"},
		"escapes for a machine":         {"lvsform-place " + attack + " gzip\n", "printed"},
		"a machine with escapes":        {"lvsform-place \u202ex86\x1b[1m gzip\n", "printed"},
		"a machine that is a path":      {"lvsform-place x/../../secret gzip\n", "printed"},
		"an error of an unknown kind":   {"lvsform-place x86_64 gzip\n" + "error " + strings.ReplaceAll(attack, "\r\n", "") + "\n", "cannot be placed"},
		"neither needed nor an error":   {"lvsform-place x86_64 gzip\nplaced\n", "cannot be placed"},
		"a directory with escapes":      {"lvsform-place x86_64 plain\nerror unsafe: /\x1b[31m\u202e\n", "must be a directory"},
		"a sum with escapes":            {"lvsform-place x86_64 plain\nneed\nerror sum: \x1b[31m\u202e\n", "damaged"},
		"text without end after a need": {"lvsform-place x86_64 plain\nneed\n" + strings.Repeat(attack, 100), "cannot be placed"},
	} {
		t.Run(name, func(t *testing.T) {
			exec := func(command string, stdin io.Reader, stdout, stderr io.Writer) int {
				if !strings.Contains(command, "lvsform-place") {
					fmt.Fprintln(stderr, "not found")
					return 127
				}
				_, _ = io.WriteString(stdout, c.text)
				_, _ = io.Copy(io.Discard, stdin) // until the client has had enough
				return 0
			}
			b := newBench(t, sshtest.Config{Exec: exec}, nil)
			_, err := b.observe(t)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("want an error that says %q, got: %v", c.says, err)
			}
			plain(t, err.Error())
		})
	}
}

// A frame that answers the next question before it is asked is taken for the
// answer to nothing else.
func TestAnAnswerTooManyIsNotTakenForTheNext(t *testing.T) {
	twice := scripted{answer: func(q wire.Request) []wire.Response { return append(succeed(q), succeed(q)...) }}
	host := &sshtest.Host{Serve: twice.Serve}
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
	var fault *AgentError
	if _, err := s.Observe(ctx, wire.Observe{}); !errors.As(err, &fault) || fault.Fault != FaultProtocol {
		t.Errorf("got %v", err)
	}
}

// The text of an honest agent's Hello is shown in no log with its escapes.
func TestLogsHoldNoEscapes(t *testing.T) {
	host := &sshtest.Host{Serve: sshtest.Tamper(scripted{}.Serve, func(n int, body []byte, out io.Writer) error {
		if n == 0 {
			body = bytes.ReplaceAll(body, []byte(`"rs1"`), []byte(`"`+escaped(t)+`"`))
		}
		_, err := out.Write(sshtest.Frame(body))
		return err
	})}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	ctx := patient(t)
	s, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hello, err := s.Hello(ctx)
	if err != nil {
		t.Fatal(err)
	}
	plain(t, hello.Hostname)
	plain(t, strings.ReplaceAll(b.log.String(), "\n", ""))
}

// What an agent says of its changes goes together, or it is not known what they
// are: it never is "nothing was changed".
func TestAnAgentThatContradictsItselfIsNotBelieved(t *testing.T) {
	step := func(id string) wire.Response { return wire.Response{Step: &wire.StepEvent{ID: id}} }
	refusal := func(code wire.ErrorCode) wire.Response {
		return wire.Response{Error: &wire.Error{Code: code, Message: attack}}
	}
	for name, c := range map[string]struct {
		answers []wire.Response
		says    string
	}{
		"done without a step":             {[]wire.Response{{Result: &wire.Result{}}}, "not reported 2"},
		"done after half of them":         {[]wire.Response{step("a"), {Result: &wire.Result{}}}, "not reported 1"},
		"a step, and nothing was changed": {[]wire.Response{step("a"), refusal(wire.ErrorFailed)}, "changed nothing"},
		"a step, and it is stale":         {[]wire.Response{step("a"), refusal(wire.ErrorStale)}, "changed nothing"},
		"a step, and it is locked":        {[]wire.Response{step("b"), refusal(wire.ErrorLocked)}, "changed nothing"},
		"a step of somebody else":         {[]wire.Response{step("c")}, "not asked for"},
		"a step twice":                    {[]wire.Response{step("a"), step("a")}, "done before"},
		"a confirmation":                  {[]wire.Response{step("a"), step("b"), {Confirmed: &wire.Confirmed{}}}, "something else"},
		"a lock":                          {[]wire.Response{{Locked: &wire.Locked{}}}, "something else"},
	} {
		t.Run(name, func(t *testing.T) {
			host := &sshtest.Host{Serve: scripted{answer: func(wire.Request) []wire.Response { return c.answers }}.Serve}
			b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
			ctx := patient(t)
			s, err := b.dialer.Connect(ctx, b.target)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Begin(ctx, wire.Begin{Topology: "web", Steps: []wire.Step{sysctlStep("a"), sysctlStep("b")}}, nil)
			var fault *AgentError
			if !errors.As(err, &fault) || fault.Fault != FaultProtocol || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("want a fault that says %q, got %v", c.says, err)
			}
			plain(t, err.Error())
		})
	}
}
