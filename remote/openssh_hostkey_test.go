//go:build lab

package remote

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestOpenSSHHostKeys(t *testing.T) {
	ca := keygen(t, t.TempDir(), "ca", "ed25519")
	authority := strings.TrimSpace(read(t, ca+".pub"))
	plain := startSSHD(t, sshdOptions{})
	certified := func(t *testing.T, sign ...string) *sshd {
		dir := t.TempDir()
		key := keygen(t, dir, "host", "ecdsa")
		run(t, "ssh-keygen", append(append([]string{"-q", "-s", ca, "-I", "host", "-h"}, sign...), key+".pub")...)
		return startSSHD(t, sshdOptions{config: "HostKey " + key + "\nHostCertificate " + key + "-cert.pub"})
	}
	good := certified(t, "-n", "127.0.0.1")
	expired := certified(t, "-n", "127.0.0.1", "-V", "20200101:20200102")
	foreign := certified(t, "-n", "elsewhere")
	other := strings.Fields(read(t, keygen(t, t.TempDir(), "other", "ed25519")+".pub"))[1]
	var unknown *UnknownHostKeyError
	var changed *ChangedHostKeyError
	var revoked *RevokedHostKeyError
	var invalid *HostCertificateError
	for _, c := range []struct {
		name   string
		server *sshd
		known  string // the client's known_hosts
		config string // the client's ssh_config
		want   any    // nil: let in
		says   string
	}{
		{name: "an ed25519 key", server: plain, known: plain.known(t, "ed25519")},
		{name: "an ecdsa key", server: plain, known: plain.known(t, "ecdsa")},
		{name: "an rsa key", server: plain, known: plain.known(t, "rsa")},
		{name: "hashed names", server: plain, known: hashed(t, plain.known(t, "ecdsa"))},
		{name: "a pattern", server: plain, known: strings.Replace(plain.known(t, "ed25519"), "127.0.0.1", "!10.0.0.1,[127.0.*", 1)},
		{name: "the name without a port", server: plain, known: "127.0.0.1 " + keyOf(plain.known(t, "rsa"))},
		{name: "lines that nobody understands", server: plain, known: "what is this\n@marker x ssh-ed25519 y\nh ssh-new AAAA\n" +
			plain.known(t, "ed25519")},
		{name: "HostKeyAlias", server: plain, known: "the-alias " + keyOf(plain.known(t, "ed25519")), config: "HostKeyAlias the-alias"},
		{name: "no file", server: plain, want: &unknown, says: "ssh-keyscan -p"},
		{name: "StrictHostKeyChecking no", server: plain, config: "StrictHostKeyChecking no", want: &unknown, says: "is not followed"},
		{name: "another key of that type", server: plain, known: fmt.Sprintf("# comment\n[127.0.0.1]:%d ssh-ed25519 %s\n", plain.port, other),
			want: &changed, says: "known_hosts:2"},
		{name: "revoked here", server: plain, known: plain.known(t, "ed25519") + "@revoked * " + keyOf(plain.known(t, "ed25519")),
			want: &revoked, says: "known_hosts:2"},
		{name: "another key is revoked", server: plain, known: plain.known(t, "ed25519") + "@revoked * " + keyOf(plain.known(t, "rsa"))},
		{name: "a certificate", server: good, known: "@cert-authority * " + authority + "\n"},
		{name: "a certificate, by pattern with a port", server: good, known: fmt.Sprintf("@cert-authority [127.0.0.1]:%d %s\n", good.port, authority)},
		{name: "a certificate of a revoked authority", server: good,
			known: "@cert-authority * " + authority + "\n@revoked * " + authority + "\n", want: &revoked, says: "known_hosts:2"},
		{name: "the authority of others", server: good, known: "@cert-authority *.example.org " + authority + "\n", want: &unknown},
		{name: "an authority, and a host without a certificate", server: plain, known: "@cert-authority * " + authority + "\n",
			want: &unknown, says: "showed none"},
		{name: "an expired certificate", server: expired, known: "@cert-authority * " + authority + "\n", want: &invalid, says: "expired"},
		{name: "a certificate for another host", server: foreign, known: "@cert-authority * " + authority + "\n", want: &invalid, says: "principal"},
		{name: "a certificate for another host, named by an alias", server: foreign, known: "@cert-authority * " + authority + "\n",
			config: "HostKeyAlias elsewhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newClient(t, c.server)
			write(t, cl.config.KnownHosts, c.known)
			write(t, cl.config.SSHConfig, c.config+"\n")
			_, err := cl.bench().observe(t)
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("want %T with %q, got %v", c.want, c.says, err)
			}
			t.Log(err)
		})
	}
	t.Run("RevokedHostKeys", func(t *testing.T) {
		cl := newClient(t, plain)
		list := write(t, cl.dir+"/revoked", read(t, plain.file("host_ed25519.pub")))
		write(t, cl.config.SSHConfig, "RevokedHostKeys "+list+"\n")
		if _, err := cl.bench().observe(t); !errors.As(err, &revoked) {
			t.Errorf("want %T, got %v", revoked, err)
		}
	})
}

// hashed is a known_hosts file after ssh-keygen -H.
func hashed(t *testing.T, lines string) string {
	t.Helper()
	f := write(t, t.TempDir()+"/known_hosts", lines)
	run(t, "ssh-keygen", "-q", "-H", "-f", f)
	if err := os.Remove(f + ".old"); err != nil {
		t.Fatal(err)
	}
	return read(t, f)
}

// keyOf is a known_hosts line without its names.
func keyOf(line string) string {
	_, key, _ := strings.Cut(line, " ")
	return key
}
