package remote

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/lvsform/lvsform/remote/sshtest"
)

// TestKnownHostsAgreesWithOthers compares the verdict on plain lines with that
// of x/crypto/ssh/knownhosts, an independent reader.
func TestKnownHostsAgreesWithOthers(t *testing.T) {
	key, other := sshtest.NewKey(t).PublicKey(), sshtest.NewKey(t).PublicKey()
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	for _, names := range []string{
		"lb1", "lb1,lb2", "LB1", "lb*", "lb?", "!lb1,lb*", "*,!lb1", "10.0.0.1", "[lb1]:2222", "[lb*]:2222", "[lb1]:22", "lb1:2222",
		"fd00::1", "[fd00::1]:2222", knownhosts.HashHostname("lb1"), knownhosts.HashHostname("[lb1]:2222"), "x", "*",
	} {
		path := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(path, []byte(names+" "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		theirs, err := knownhosts.New(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"lb1", "lb2", "10.0.0.1", "fd00::1", "y"} {
			for _, port := range []int{22, 2222} {
				for _, offered := range []ssh.PublicKey{key, other} {
					ours := verdict(t, path, host, port, offered)
					address := net.JoinHostPort(host, map[int]string{22: "22", 2222: "2222"}[port])
					err := theirs(address, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port}, offered)
					if ours != theirVerdict(err) && !knownDifference(names, port) {
						t.Errorf("%q for %s: we say %q, they say %q", names, address, ours, theirVerdict(err))
					}
				}
			}
		}
	}
}

// knownDifference tells where OpenSSH, and we with it, judge otherwise: it
// compares without regard to case, a name without a port counts for every port
// (no other being known), and host:port without brackets is no form of it.
func knownDifference(names string, port int) bool {
	return names == "LB1" || names == "lb1:2222" || names == "[lb1]:22" || port != 22 && !strings.HasPrefix(names, "[")
}

func verdict(t *testing.T, path, host string, port int, key ssh.PublicKey) string {
	t.Helper()
	d := New(Config{KnownHosts: path})
	v, err := d.newHostVerifier(&settings{Host: host, HostName: host, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	var unknown *UnknownHostKeyError
	var changed *ChangedHostKeyError
	switch err := v.check(key); {
	case err == nil:
		return "known"
	case errors.As(err, &unknown):
		return "unknown"
	case errors.As(err, &changed):
		return "changed"
	default:
		return err.Error()
	}
}

func theirVerdict(err error) string {
	var key *knownhosts.KeyError
	switch {
	case err == nil:
		return "known"
	case errors.As(err, &key) && len(key.Want) == 0:
		return "unknown"
	case errors.As(err, &key):
		return "changed"
	}
	return err.Error()
}

func TestANameWithoutAPortCountsForEveryPort(t *testing.T) {
	key, other := sshtest.NewKey(t).PublicKey(), sshtest.NewKey(t).PublicKey()
	line := func(name string, k ssh.PublicKey) string { return name + " " + string(ssh.MarshalAuthorizedKey(k)) }
	for _, c := range []struct {
		name, text, want string
	}{
		{"alone", line("lb1", key), "known"},
		{"hashed", line(knownhosts.HashHostname("lb1"), key), "known"},
		{"but not against a line with the port", line("lb1", key) + line("[lb1]:2222", other), "changed"},
		{"nor in place of another port", line("[lb1]:2223", key), "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := verdict(t, path, "lb1", 2222, key); got != c.want {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

func FuzzKnownLine(f *testing.F) {
	for _, s := range []string{"a b c", "@revoked * ssh-ed25519 AAAA", "|1|AAAA|BBBB ssh-rsa x", "@", "#", "|1||", ",,, a b", "! a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := parseKnownLine(text)
		if ok && l.names == nil && l.hash == nil {
			t.Errorf("%q names no host", text)
		}
		l.matches("lb1")
	})
}
