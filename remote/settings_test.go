package remote

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSettingsOfSSH(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	spaced := filepath.Join(home, "with space")
	if err := os.WriteFile(spaced, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := "host lb1\nuser admin\nhostname 10.0.0.1\nport 2222\naddressfamily inet\nidentitiesonly yes\n" +
		"identityfile ~/.ssh/a key\nidentityfile ~/.ssh/b\ncertificatefile ~/c\nidentityagent none\n" +
		"userknownhostsfile /a /b " + spaced + "\nglobalknownhostsfile /etc/ssh/ssh_known_hosts\nhostkeyalias alias\n" +
		"stricthostkeychecking false\nproxyjump j1,j2\nconnecttimeout 7\nrevokedhostkeys /r\n"
	got, err := parseSettings("lb1", []byte(out))
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Host: "lb1", HostName: "10.0.0.1", User: "admin", Port: 2222, Family: "inet", IdentitiesOnly: true,
		IdentityFiles: []string{"~/.ssh/a key", "~/.ssh/b"}, CertificateFiles: []string{"~/c"}, IdentityAgent: "none",
		UserKnownHosts: []string{"/a", "/b", spaced}, GlobalKnownHosts: []string{"/etc/ssh/ssh_known_hosts"},
		HostKeyAlias: "alias", StrictChecking: "false", ProxyJump: "j1,j2", ConnectTimeout: 7 * time.Second, RevokedHostKeys: "/r",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPathsAreExpanded(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("KEYS", "/keys")
	s := settings{Host: "lb1", HostName: "10.0.0.1", User: "admin", Port: 2222}
	for _, c := range []struct {
		path, want string
		err        bool
	}{
		{path: "/a", want: "/a"},
		{path: "~/.ssh/id", want: "/home/me/.ssh/id"},
		{path: "~other/id", want: "~other/id"},
		{path: "%d/%h_%r_%p_%n_%%", want: "/home/me/10.0.0.1_admin_2222_lb1_%"},
		{path: "${KEYS}/%k", want: "/keys/lb1"},
		{path: "${NOT_SET}/x", err: true},
		{path: "${KEYS", err: true},
		{path: "%Z", err: true},
	} {
		t.Run(c.path, func(t *testing.T) {
			got, err := s.expandPath(c.path)
			if (err != nil) != c.err || got != c.want {
				t.Errorf("want %q, got %q, %v", c.want, got, err)
			}
		})
	}
}

func TestAddressesThatSSHWouldMisunderstandAreRefused(t *testing.T) {
	for _, host := range []string{"", "-oProxyCommand=x", "me@host", "ssh://host", "a b", "a\nb", "$(x)", "a'b"} {
		if checkHostName(host) == nil {
			t.Errorf("%q was taken", host)
		}
	}
	for _, host := range []string{"lb1", "10.0.0.1", "fd00::1", "fe80::1%eth0", "lb-1.example.org", "a_b"} {
		if err := checkHostName(host); err != nil {
			t.Error(err)
		}
	}
}
