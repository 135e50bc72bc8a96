package remote

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/remote/agentbin"
	"github.com/lvsform/lvsform/remote/sshtest"
)

func TestConnectErrorsAreToldApart(t *testing.T) {
	other := sshtest.NewKey(t).PublicKey()
	put := func(t *testing.T, path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name        string
		edit        func(*testing.T, *sshtest.Server, *Config, *Target)
		want        any // a pointer to the error's type
		says        []string
		unreachable bool
	}{
		{
			name: "nobody listens",
			edit: func(_ *testing.T, s *sshtest.Server, _ *Config, _ *Target) { s.Close() },
			want: new(*DialError), says: []string{"127.0.0.1:", "refused"}, unreachable: true,
		},
		{
			name: "unknown host key",
			edit: func(t *testing.T, s *sshtest.Server, _ *Config, _ *Target) { put(t, s.KnownHosts, "") },
			want: new(*UnknownHostKeyError), says: []string{"SHA256:", "ssh-keyscan -p", "known_hosts"},
		},
		{
			name: "no known_hosts file",
			edit: func(_ *testing.T, s *sshtest.Server, c *Config, _ *Target) { c.KnownHosts += ".nowhere" },
			want: new(*UnknownHostKeyError), says: []string{".nowhere"},
		},
		{
			name: "changed host key",
			edit: func(t *testing.T, s *sshtest.Server, _ *Config, _ *Target) {
				name, _, _ := strings.Cut(s.KnownLine(), " ")
				put(t, s.KnownHosts, "\n"+name+" "+string(ssh.MarshalAuthorizedKey(other)))
			},
			want: new(*ChangedHostKeyError), says: []string{"known_hosts:2", "ssh-keygen -R"},
		},
		{
			name: "revoked host key",
			edit: func(t *testing.T, s *sshtest.Server, _ *Config, _ *Target) {
				put(t, s.KnownHosts, s.KnownLine()+"\n@revoked * "+string(ssh.MarshalAuthorizedKey(s.Key)))
			},
			want: new(*RevokedHostKeyError), says: []string{"known_hosts:2"},
		},
		{
			name: "a key that is not let in",
			edit: func(t *testing.T, s *sshtest.Server, c *Config, _ *Target) {
				c.Identity = sshtest.Start(t, sshtest.Config{}).Identity
			},
			want: new(*AuthError), says: []string{`user "admin"`, "publickey", "identity (ed25519)"},
		},
		{
			name: "an identity file that is not there",
			edit: func(_ *testing.T, _ *sshtest.Server, c *Config, _ *Target) { c.Identity = "/nonexistent" },
			want: new(*os.PathError), says: []string{"/nonexistent"},
		},
		{
			name: "no agent binary",
			edit: func(t *testing.T, _ *sshtest.Server, c *Config, _ *Target) { c.AgentDir = t.TempDir() },
			says: []string{agentbin.ErrMissing.Error()},
		},
		{
			name: "an address that is an option",
			edit: func(_ *testing.T, _ *sshtest.Server, _ *Config, target *Target) { target.Address = "-oProxyCommand=x" },
			says: []string{"not a host name"},
		},
		{
			name: "a jump host that nobody answers for",
			edit: func(t *testing.T, _ *sshtest.Server, _ *Config, target *Target) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				l.Close()
				target.Jump = l.Addr().String()
			},
			want: new(*DialError), says: []string{"jump host 127.0.0.1", "refused"}, unreachable: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, sshtest.Config{}, func(s *sshtest.Server, config *Config, target *Target) {
				c.edit(t, s, config, target)
			})
			_, err := b.dialer.Connect(patient(t), b.target)
			if err == nil {
				t.Fatal("connected")
			}
			if c.want != nil && !errors.As(err, c.want) {
				t.Errorf("want %T, got %T: %v", c.want, err, err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %s", want, err)
				}
			}
			if Unreachable(err) != c.unreachable {
				t.Errorf("unreachable: want %v", c.unreachable)
			}
		})
	}
}
