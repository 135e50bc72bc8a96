//go:build lab

package remote

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startAgent runs an ssh-agent that holds keys, and returns its socket.
func startAgent(t testing.TB, keys ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	await(t, "the agent listens", func() error { _, err := os.Stat(socket); return err })
	for _, k := range keys {
		add := exec.Command("ssh-add", "-q", k)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket, "SSH_ASKPASS_REQUIRE=force", "SSH_ASKPASS="+askpass(t))
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add %s: %v\n%s", k, err, out)
		}
	}
	return socket
}

// askpass answers ssh-add's question for the passphrase of the test's key.
func askpass(t testing.TB) string {
	t.Helper()
	path := write(t, filepath.Join(t.TempDir(), "askpass"), "#!/bin/sh\necho "+passphrase+"\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

const passphrase = "correct-horse"

func TestOpenSSHLogins(t *testing.T) {
	ca := keygen(t, t.TempDir(), "ca", "ed25519")
	s := startSSHD(t, sshdOptions{config: "TrustedUserCAKeys " + ca + ".pub"})
	for _, c := range []struct {
		name  string
		setup func(*testing.T, *client)
	}{
		{"identity of the flag", func(*testing.T, *client) {}},
		{"identity of the target", func(_ *testing.T, c *client) {
			c.target.IdentityFile, c.config.Identity = c.config.Identity, ""
		}},
		{"identity of ssh_config, with everything else", func(t *testing.T, c *client) {
			write(t, c.config.SSHConfig, fmt.Sprintf("Host lb?\n HostName 127.0.0.1\n Port %d\n User root\n IdentityFile %s\n"+
				" UserKnownHostsFile %s\n", s.port, c.config.Identity, c.config.KnownHosts))
			c.config.Identity, c.config.KnownHosts = "", ""
			c.target = Target{Name: "rs1", Address: "lb1"}
		}},
		{"an RSA identity", func(t *testing.T, c *client) {
			c.config.Identity = keygen(t, c.dir, "id_rsa", "rsa")
			s.authorize(t, c.config.Identity+".pub")
		}},
		{"an RSA key of the agent", func(t *testing.T, c *client) {
			key := keygen(t, c.dir, "id_rsa", "rsa")
			s.authorize(t, key+".pub")
			t.Setenv("SSH_AUTH_SOCK", startAgent(t, key))
			c.config.Identity = ""
		}},
		{"a key with a passphrase in the agent", func(t *testing.T, c *client) {
			c.config.Identity = keygen(t, c.dir, "locked", "ed25519", "-N", passphrase)
			s.authorize(t, c.config.Identity+".pub")
			t.Setenv("SSH_AUTH_SOCK", startAgent(t, c.config.Identity))
		}},
		{"IdentityAgent, the key chosen by its public half", func(t *testing.T, c *client) {
			write(t, c.config.SSHConfig, fmt.Sprintf("IdentityAgent %s\nIdentitiesOnly yes\nIdentityFile %s.pub\n",
				startAgent(t, keygen(t, c.dir, "other", "ed25519"), c.config.Identity), c.config.Identity))
			c.config.Identity = ""
		}},
		{"a certificate beside the identity", func(t *testing.T, c *client) {
			c.config.Identity = keygen(t, c.dir, "certified", "ed25519")
			run(t, "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", "root", c.config.Identity+".pub")
		}},
		{"CertificateFile for a key of the agent", func(t *testing.T, c *client) {
			key := keygen(t, c.dir, "certified", "ecdsa")
			run(t, "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", "root", key+".pub")
			t.Setenv("SSH_AUTH_SOCK", startAgent(t, key))
			if err := os.Rename(key+"-cert.pub", key+".cert"); err != nil {
				t.Fatal(err)
			}
			write(t, c.config.SSHConfig, "CertificateFile "+key+".cert\nIdentityFile /nonexistent\n")
			c.config.Identity = ""
		}},
		{"a certificate in the agent", func(t *testing.T, c *client) {
			key := keygen(t, c.dir, "certified", "rsa")
			run(t, "ssh-keygen", "-q", "-s", ca, "-I", "me", "-n", "root", key+".pub")
			t.Setenv("SSH_AUTH_SOCK", startAgent(t, key))
			c.config.Identity = ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newClient(t, s)
			c.setup(t, cl)
			if _, err := cl.bench().observe(t); err != nil {
				t.Errorf("%v\n%s", err, cl.log)
			}
		})
	}
}

func TestOpenSSHRefusedLogins(t *testing.T) {
	s := startSSHD(t, sshdOptions{config: "MaxAuthTries 3"})
	for _, c := range []struct {
		name  string
		setup func(*testing.T, *client)
		says  []string
	}{
		{"another key", func(t *testing.T, c *client) { c.config.Identity = keygen(t, c.dir, "other", "ed25519") },
			[]string{`refused user "root"`, "it accepts publickey", "other (ed25519)", "--identity"}},
		{"a passphrase and no agent", func(t *testing.T, c *client) {
			c.config.Identity = keygen(t, c.dir, "locked", "ed25519", "-N", passphrase)
			s.authorize(t, c.config.Identity+".pub")
		}, []string{"locked has a passphrase: load it into an agent with ssh-add"}},
		{"no key at all", func(t *testing.T, c *client) {
			write(t, c.config.SSHConfig, "IdentityFile /nonexistent\n")
			c.config.Identity = ""
		}, []string{"there was no key to try"}},
		{"too many keys of the agent", func(t *testing.T, c *client) {
			var keys []string
			for i := range 5 {
				keys = append(keys, keygen(t, c.dir, fmt.Sprint("other", i), "ed25519"))
			}
			t.Setenv("SSH_AUTH_SOCK", startAgent(t, keys...))
		}, []string{`agent key "other0"`, "IdentitiesOnly yes"}},
		{"an agent that is not there", func(t *testing.T, c *client) {
			t.Setenv("SSH_AUTH_SOCK", filepath.Join(c.dir, "nowhere"))
			write(t, c.config.SSHConfig, "IdentityFile /nonexistent\n")
			c.config.Identity = ""
		}, []string{"ssh-agent at", "nowhere"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newClient(t, s)
			c.setup(t, cl)
			_, err := cl.bench().observe(t)
			var auth *AuthError
			if !errors.As(err, &auth) {
				t.Fatalf("want an *AuthError, got %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %s", want, err)
				}
			}
			t.Log(err)
		})
	}
}

func TestOpenSSHJumps(t *testing.T) {
	target, first, second := startSSHD(t, sshdOptions{}), startSSHD(t, sshdOptions{}), startSSHD(t, sshdOptions{})
	closed := startSSHD(t, sshdOptions{config: "AllowTcpForwarding no"})
	known := target.known(t, "ed25519") + first.known(t, "ecdsa") + second.known(t, "rsa") + closed.known(t, "ed25519")
	setup := func(t *testing.T) *client {
		cl := newClient(t, target)
		for _, s := range []*sshd{first, second, closed} {
			s.authorize(t, cl.config.Identity+".pub")
		}
		write(t, cl.config.KnownHosts, known)
		write(t, cl.config.SSHConfig, fmt.Sprintf("User root\nHost j1\n HostName 127.0.0.1\n Port %d\n"+
			"Host j2\n HostName 127.0.0.1\n Port %d\nHost closed\n HostName 127.0.0.1\n Port %d\n"+
			"Host far\n HostName 127.0.0.1\n Port %d\n ProxyJump j1,j2\nHost chained\n HostName 127.0.0.1\n Port %d\n ProxyJump j2\n"+
			"Host circle\n ProxyJump circle2\nHost circle2\n ProxyJump circle\n"+
			"Host proxied\n HostName 127.0.0.1\n Port %d\n ProxyCommand ssh -F %s -i %s -o UserKnownHostsFile=%s -W %%h:%%p j1\n",
			first.port, second.port, closed.port, target.port, target.port, target.port,
			cl.config.SSHConfig, cl.config.Identity, cl.config.KnownHosts))
		return cl
	}
	for _, c := range []struct {
		name   string
		target Target
		want   string // in the error; empty: none
	}{
		{"one hop of the target", Target{Address: "127.0.0.1", Port: target.port, Jump: "j1"}, ""},
		{"two hops of ssh_config", Target{Address: "far"}, ""},
		{"ports and users spelled out", Target{Address: "127.0.0.1", Port: target.port,
			Jump: fmt.Sprintf("root@127.0.0.1:%d,root@127.0.0.1:%d", first.port, second.port)}, ""},
		{"none overrules ssh_config", Target{Address: "chained", Jump: "none"}, ""},
		{"ProxyCommand", Target{Address: "proxied"}, ""},
		{"the jump host's own ProxyJump", Target{Address: "127.0.0.1", Port: target.port, Jump: "far"}, ""},
		{"nobody listens behind the jump host", Target{Address: "127.0.0.1", Port: 1, Jump: "j1"}, "refused"},
		{"forwarding is forbidden", Target{Address: "127.0.0.1", Port: target.port, Jump: "closed"}, "prohibited"},
		{"a circle", Target{Address: "circle"}, "circle?"},
		{"a jump host that is not known", Target{Address: "127.0.0.1", Port: target.port, Jump: "localhost:1"}, "jump host localhost:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := setup(t)
			cl.target = c.target
			_, err := cl.bench().observe(t)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%v\n%s", err, cl.log)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("want an error with %q, got %v", c.want, err)
			}
		})
	}
}
