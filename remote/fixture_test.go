package remote

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// patience bounds what must never hang: a test that reaches it fails.
const patience = 20 * time.Second

// scripted is an agent that answers by rule.
type scripted struct {
	hello  wire.Hello
	answer func(wire.Request) []wire.Response // nil: one success
}

var goodHello = wire.Hello{Protocol: wire.Protocol, Hostname: "rs1", Kernel: "6.1.0", Arch: "amd64"}

func (a scripted) Serve(stdin io.Reader, stdout, stderr io.Writer) int {
	hello := a.hello
	if hello == (wire.Hello{}) {
		hello = goodHello
	}
	if err := wire.Write(stdout, hello); err != nil {
		return 1
	}
	for {
		var req wire.Request
		err := wire.Read(stdin, &req)
		if errors.Is(err, io.EOF) {
			return 0
		}
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		answer := succeed
		if a.answer != nil {
			answer = a.answer
		}
		answers := answer(req)
		for _, r := range answers {
			if wire.Write(stdout, r) != nil {
				return 1
			}
		}
	}
}

func succeed(req wire.Request) []wire.Response {
	switch {
	case req.Lock != nil:
		return []wire.Response{{Locked: &wire.Locked{}}}
	case req.Observe != nil:
		o := wire.Observation{MissingModules: req.Observe.Modules}
		return []wire.Response{{Observation: &o}}
	case req.Leave != nil:
		return []wire.Response{{Left: &wire.Left{Removed: true}}}
	}
	var all []wire.Response
	for _, s := range req.Begin.Steps {
		all = append(all, wire.Response{Step: &wire.StepEvent{ID: s.ID}})
	}
	return append(all, wire.Response{Result: &wire.Result{}})
}

// agentFiles makes an --agent-dir and returns it with the amd64 agent's sum.
func agentFiles(t testing.TB) (dir, sum string) {
	t.Helper()
	dir = t.TempDir()
	plain := bytes.Repeat([]byte("agent for amd64\n"), 10000)
	s := sha256.Sum256(plain)
	if err := os.WriteFile(filepath.Join(dir, "lvsform-agent-linux-amd64"), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("agent for arm64")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lvsform-agent-linux-arm64.gz"), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, hex.EncodeToString(s[:])
}

// bench is a server with a client that may reach it.
type bench struct {
	server *sshtest.Server
	dialer *Dialer
	target Target
	log    *bytes.Buffer
}

func newBench(t *testing.T, server sshtest.Config, edit func(*sshtest.Server, *Config, *Target)) *bench {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	b := &bench{server: sshtest.Start(t, server), log: &bytes.Buffer{}}
	dir, _ := agentFiles(t)
	config := Config{
		SSHConfig:  b.server.SSHConfig,
		KnownHosts: b.server.KnownHosts,
		Identity:   b.server.Identity,
		AgentDir:   dir,
		Timeout:    5 * time.Second,
		Log:        slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	b.target = Target{Name: "rs1", Address: b.server.Host, Port: b.server.Port, User: "admin"}
	if edit != nil {
		edit(b.server, &config, &b.target)
	}
	b.dialer = New(config)
	return b
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// observe connects and makes one request, which is where most faults show.
func (b *bench) observe(t testing.TB) (wire.Observation, error) {
	t.Helper()
	ctx := patient(t)
	s, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		return wire.Observation{}, err
	}
	defer s.Close()
	return s.Observe(ctx, wire.Observe{Modules: []string{"ip_vs"}})
}

var asked = wire.Observation{Objects: state.Objects{}, MissingModules: []string{"ip_vs"}}
