package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/wire"
)

// attack is text that must never reach a terminal as it is: sequences of both
// kinds of control characters, a change of the writing direction, line ends.
const attack = "\x1b[2J\x1b]0;owned\x07\u009b31m\u202eevil\u2066\r\nhost rs2: done\u2028\x00"

// plain fails when a text could move a cursor, reorder what is read, or be
// taken for lines of our own.
func plain(t *testing.T, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' }); i >= 0 {
		t.Errorf("it holds %q: %q", text[i:min(len(text), i+8)], text)
	}
	if len(text) > 3*maxText {
		t.Errorf("it is %d bytes long", len(text))
	}
}

// nothingLeft waits until no more goroutines run than before.
func nothingLeft(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines ran before, these run now:\n%s", before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
}

// repeat writes until the reader is gone.
func repeat(w io.Writer, text string) {
	block := []byte(strings.Repeat(text, 1+8192/len(text)))
	for {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// dripping hands over what is written byte by byte, with a pause before each.
type dripping struct {
	net.Conn
	pause time.Duration
}

func (d dripping) Write(p []byte) (int, error) {
	for i := range p {
		time.Sleep(d.pause) // it is the attack itself
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestAHostileServerEndsInAnErrorInTime(t *testing.T) {
	const limit = 400 * time.Millisecond
	for _, c := range []struct {
		name   string
		server sshtest.Config
		says   string
	}{
		{"lines without end before the version", sshtest.Config{Raw: func(c net.Conn) { repeat(c, "hello\r\n") }}, "does not speak SSH"},
		{"a version line without end", sshtest.Config{Raw: func(c net.Conn) { repeat(c, "SSH-2.0-"+strings.Repeat("x", 100)) }}, "does not speak SSH"},
		{"escapes in place of SSH", sshtest.Config{Raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-x\r\n"+attack+strings.Repeat(attack, 100)) // the client may be gone
			_, _ = io.Copy(io.Discard, c)
		}}, "connect to"},
		{"a protocol of long ago", sshtest.Config{Raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-1.5-x\r\n")
			_, _ = io.Copy(io.Discard, c)
		}}, "connect to"},
		{"noise before the key exchange", sshtest.Config{Raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
			repeat(c, "\x00\x00\x04\x00\x04\x02noise")
		}}, "connect to"},
		{"a packet of 4 GB", sshtest.Config{Raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
			repeat(c, "\xff")
		}}, "connect to"},
		{"nothing after the version", sshtest.Config{Raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
			_, _ = io.Copy(io.Discard, c)
		}}, "no answer in time"},
		{"a byte now and then", sshtest.Config{Wrap: func(c net.Conn) net.Conn { return dripping{c, 20 * time.Millisecond} }}, "no answer in time"},
		{"banners without end", sshtest.Config{SSH: func(s *ssh.ServerConfig) {
			gone := make(chan struct{})
			s.PreAuthConnCallback = func(c ssh.ServerPreAuthConn) {
				go func() {
					defer close(gone)
					for c.SendAuthBanner(attack) == nil {
					}
				}()
			}
			s.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
				<-gone
				return nil, errors.New("no")
			}
		}}, "no answer in time"},
		{"a login that never ends", sshtest.Config{SSH: func(s *ssh.ServerConfig) {
			var again ssh.ServerAuthCallbacks
			again.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
				return nil, &ssh.PartialSuccessError{Next: again}
			}
			s.PublicKeyCallback, s.MaxAuthTries = again.PublicKeyCallback, -1
		}}, "admin"},
		{"a refusal with escapes", sshtest.Config{SSH: func(s *ssh.ServerConfig) {
			s.BannerCallback = func(ssh.ConnMetadata) string { return attack }
			s.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New(attack) }
		}}, "admin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.server, nil)
			if _, err := b.dialer.settings(patient(t), b.target); err != nil { // a busy machine may need long for this
				t.Fatal(err)
			}
			b.dialer.config.Timeout = limit
			_, err := b.observe(t)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), fmt.Sprint(b.server.Port)) {
				t.Fatalf("want an error about port %d that says %q, got: %v", b.server.Port, c.says, err)
			}
			plain(t, err.Error())
			plain(t, strings.ReplaceAll(b.log.String(), "\n", ""))
		})
	}
}

// What a server does that let us in must not keep a request from its end.
func TestAHostileServerAfterTheLogin(t *testing.T) {
	for name, connected := range map[string]func(ssh.Conn){
		"requests without end": func(c ssh.Conn) {
			for i := 0; ; i++ {
				if _, _, err := c.SendRequest(attack, i%2 == 0, []byte(attack)); err != nil {
					return
				}
			}
		},
		"channels without end": func(c ssh.Conn) {
			for {
				_, _, err := c.OpenChannel("session", []byte(attack))
				var refused *ssh.OpenChannelError
				if !errors.As(err, &refused) {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := &sshtest.Host{Serve: scripted{}.Serve}
			b := newBench(t, sshtest.Config{Exec: host.Exec, Connected: connected}, nil)
			before := runtime.NumGoroutine()
			if _, err := b.observe(t); err != nil {
				t.Error(err)
			}
			b.server.Cut()
			nothingLeft(t, before)
		})
	}
}

// Wherever the connection breaks, the client says so and leaves nothing behind.
func TestAConnectionThatBreaksAnywhereIsLost(t *testing.T) {
	var whole bytes.Buffer
	_ = scripted{}.Serve(requests(t), &whole, io.Discard)
	for at := 1; at < whole.Len(); at += 7 {
		host := &sshtest.Host{Serve: scripted{}.Serve}
		b := newBench(t, sshtest.Config{Exec: host.Exec, CutAfter: at}, func(_ *sshtest.Server, config *Config, _ *Target) {
			_, sum := agentFiles(t)
			host.Placed = map[string]bool{sum: true}
			config.Timeout = patience
		})
		before := runtime.NumGoroutine()
		err := talk(t, b)
		var lost *LostError
		if !errors.As(err, &lost) || !Unreachable(err) || !strings.Contains(err.Error(), fmt.Sprint(b.server.Port)) {
			t.Errorf("cut after %d bytes: %v", at, err)
		}
		nothingLeft(t, before)
	}
}

// talk goes through every request of a run.
func talk(t *testing.T, b *bench) error {
	ctx := patient(t)
	s, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Lock(ctx, "me"); err != nil {
		return err
	}
	if _, err := s.Observe(ctx, wire.Observe{}); err != nil {
		return err
	}
	_, err = s.Leave(ctx, "web")
	return err
}

// requests is what talk asks for.
func requests(t *testing.T) io.Reader {
	var out bytes.Buffer
	for _, q := range []wire.Request{{Lock: &wire.Lock{Owner: "me"}}, {Observe: &wire.Observe{}},
		{Leave: &wire.Leave{Topology: "web"}}} {
		if err := wire.Write(&out, q); err != nil {
			t.Fatal(err)
		}
	}
	return &out
}

// The connection that confirms is checked like the first: a host that has
// another key by then is refused.
func TestAHostKeyThatChangesBeforeTheConfirmationIsRefused(t *testing.T) {
	host := &sshtest.Host{Serve: scripted{}.Serve}
	b := newBench(t, sshtest.Config{Exec: host.Exec}, nil)
	ctx := patient(t)
	first, err := b.dialer.Connect(ctx, b.target)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := first.Lock(ctx, "me"); err != nil {
		t.Fatal(err)
	}
	b.server.ChangeHostKey(sshtest.NewKey(t))
	commands := len(b.server.Commands())
	second, err := b.dialer.Fresh().Connect(ctx, b.target)
	var changed *ChangedHostKeyError
	if !errors.As(err, &changed) || Unreachable(err) {
		t.Errorf("want a *ChangedHostKeyError, got %v", err)
	}
	if err == nil {
		second.Close()
	}
	if got := b.server.Commands()[commands:]; len(got) > 0 {
		t.Errorf("the host of another key was asked to run %q", got)
	}
}
