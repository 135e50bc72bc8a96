package remote

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// classesOf learns from one configuration file.
func classesOf(t *testing.T, config string) (*classes, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return learnClasses([]byte("OpenSSH_9.2p1\r\ndebug1: Reading configuration data " + path + "\r\n"))
}

func TestHostsOfOneClassShareAnAnswer(t *testing.T) {
	for _, c := range []struct {
		name, config string
		hosts        []string
		want         int // classes
	}{
		{"no file says anything", "", []string{"a", "b", "10.0.0.1"}, 1},
		{"for all", "Host *\n User root\n", []string{"a", "b"}, 1},
		{"by pattern", "Host lb?\n User root\nHost 10.*\n Port 22\n", []string{"lb1", "lb2", "10.0.0.1", "10.0.0.2", "x"}, 3},
		{"with an equals sign", "Host = lb1 lb2\nUser=root\n", []string{"lb1", "lb2", "lb3"}, 2},
		{"negated", "Host lb* !lb9\n User root\n", []string{"lb1", "lb9", "x"}, 2},
		{"a name that is a HostName elsewhere", "Host a\n HostName b\n", []string{"a", "b", "c", "d"}, 3},
		{"upper case is asked for by itself", "Host lb*\n User root\n", []string{"LB1", "lb1", "lb2"}, 2},
		{"Fedora's Match final all", "Match final all\n Include x\n", []string{"a", "b"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			known, err := classesOf(t, c.config)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, h := range c.hosts {
				seen[known.of(h)] = true
			}
			if len(seen) != c.want {
				t.Errorf("want %d classes, got %v", c.want, seen)
			}
		})
	}
}

func TestConfigurationsWithoutClasses(t *testing.T) {
	for _, config := range []string{
		"Match host x\n User y", "match exec true", "Host a\nHostName %h.example", "IdentityFile ~/.ssh/%h",
		"CanonicalizeHostname yes", "Host \"a b\"", "Include %h.conf", "ProxyCommand=nc %h %p", "\tUserKnownHostsFile\t~/%k",
	} {
		if _, err := classesOf(t, config); err == nil {
			t.Errorf("%q: hosts would share an answer", config)
		}
	}
	if _, err := learnClasses([]byte("dropbear")); err == nil {
		t.Error("another ssh than OpenSSH is believed")
	}
}

func TestWildcards(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "x", true}, {"", "", true}, {"", "x", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*.org", "a.b.org", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "aXbY", false}, {"a**", "a", true}, {"[x]", "[x]", true},
		{strings.Repeat("*a", 40) + "b", strings.Repeat("a", 400), false}, // must not take for ever
	} {
		if got := matchWildcard(c.pattern, c.name); got != c.want {
			t.Errorf("%q %q: want %v", c.pattern, c.name, c.want)
		}
	}
}

func TestWithoutSSHTheConfigurationIsReadHere(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	config := filepath.Join(home, "config")
	read := func(text string, q query) (settings, error) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &resolver{config: config, log: slog.New(slog.DiscardHandler)}
		return r.fallback(q)
	}
	got, err := read("Host lb*\n HostName %h.example\n User admin\n Port 2222\n IdentityFile /a\n IdentityFile /b\n ProxyJump j\n",
		query{Host: "lb1", Identities: []string{"/mine"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(systemConfig())
	want := settings{
		Host: "lb1", HostName: "lb1.example", User: "admin", Port: 2222, ProxyJump: "j", Family: got.Family,
		IdentityFiles:    []string{"/mine", "/a", "/b"},
		UserKnownHosts:   []string{home + "/.ssh/known_hosts", home + "/.ssh/known_hosts2"},
		GlobalKnownHosts: []string{filepath.Join(dir, "ssh_known_hosts"), filepath.Join(dir, "ssh_known_hosts2")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err = read("User x\n", query{Host: "lb1", User: "me", Port: 7}); err != nil || got.User != "me" || got.Port != 7 {
		t.Errorf("the target's own fields: %+v, %v", got, err)
	}
	if _, err = read("Match user x\n Port 1\n", query{Host: "lb1"}); err == nil || !strings.Contains(fmt.Sprint(err), "--ssh-config") {
		t.Errorf("Match: %v", err)
	}
}
