package sources

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseGitReadsEveryPart(t *testing.T) {
	for source, want := range map[string]Git{
		"git::https://example.net/lvs.git//dr/web?ref=v1.0.0":    {"https://example.net/lvs.git", "dr/web", "v1.0.0"},
		"git::https://example.net/lvs.git?ref=v1.0.0+build.5":    {"https://example.net/lvs.git", ".", "v1.0.0+build.5"},
		"git::https://example.net/lvs.git//dr/?ref=feature%2Fx":  {"https://example.net/lvs.git", "dr", "feature/x"},
		"git::ssh://git@example.net:2222/lvs.git//dr?ref=main":   {"ssh://git@example.net:2222/lvs.git", "dr", "main"},
		"git::file:///srv/lvs.git//dr?ref=main":                  {"file:///srv/lvs.git", "dr", "main"},
		"git::git://[2001:db8::1]/lvs?ref=" + commit:             {"git://[2001:db8::1]/lvs", ".", commit},
		"git::https://example.net/a%20b.git//dr?ref=user@branch": {"https://example.net/a%20b.git", "dr", "user@branch"},
	} {
		got, why := ParseGit(source)
		if why != "" {
			t.Errorf("%s: %s", source, why)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", source, diff)
		}
		if again, why := ParseGit(got.String()); why != "" || again != got {
			t.Errorf("%s is written as %s, which is read as %+v %s", source, got, again, why)
		}
	}
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func TestParseGitSaysWhatToWrite(t *testing.T) {
	for source, want := range map[string]string{
		"git::https://example.net/lvs.git//dr":                         "Without a ref",
		"git::https://example.net/lvs.git//dr?ref=":                    "Without a ref",
		"git::https://example.net/lvs.git//dr?ref=a&ref=b":             "only ref",
		"git::https://example.net/lvs.git//dr?ref=a&depth=1":           "only ref",
		"git::https://example.net/lvs.git//dr?ref=--upload-pack=x":     "cannot be the name",
		"git::https://example.net/lvs.git//dr?ref=a..b":                "cannot be the name",
		"git::https://example.net/lvs.git//dr?ref=a%00b":               "cannot be the name",
		"git::https://example.net/lvs.git//../dr?ref=v1":               "no plain path",
		"git::https://example.net/lvs.git//dr/../../x?ref=v1":          "no plain path",
		"git::https://example.net/lvs.git//.git/hooks?ref=v1":          "called .git",
		"git::https://example.net/lvs.git//?ref=v1":                    "a path has",
		"git::https://user:secret@example.net/lvs.git?ref=v1":          "no password",
		"git::ext::sh -c touch% /tmp/x?ref=v1":                         "no spaces",
		"git::ext::sh?ref=v1":                                          "begins with https",
		"git::ext://x/y?ref=v1":                                        "begins with https",
		"git::git@example.net:lvs.git?ref=v1":                          "begins with https",
		"git::./lvs?ref=v1":                                            "begins with https",
		"git::--upload-pack=touch?ref=v1":                              "begins with https",
		"git::ssh://-oProxyCommand=x/lvs?ref=v1":                       "begins with a minus",
		"git::ssh://-x@example.net/lvs?ref=v1":                         "begins with a minus",
		"git::https:///lvs?ref=v1":                                     "names no host",
		"git::https://example.net?ref=v1":                              "names no repository",
		"git::https://example.net/?ref=v1":                             "names no repository",
		"git::file://host/srv/lvs?ref=v1":                              "whole path",
		"git::https://example.net/lvs\x00?ref=v1":                      "control characters",
		"git::https://example.net/lvs\\x?ref=v1":                       "backslashes",
		"git::https://example.net/lvs?ref=v1#x":                        "cannot be the name",
		"git::https://example.net/lvs#x?ref=v1":                        "stands a URL",
		"git::https://example.net/" + strings.Repeat("x", 3000) + "?r": "2000 characters",
	} {
		if got, why := ParseGit(source); !strings.Contains(why, want) {
			t.Errorf("%.100q is %+v: %q, want %q", source, got, why, want)
		}
	}
}

func TestFolderIsPlainAndDiffers(t *testing.T) {
	seen := map[string]Repository{}
	for _, r := range []Repository{
		{"https://example.net/lvs.git", "v1"}, {"https://example.net/lvs.git", "v2"}, {"https://example.org/lvs.git", "v1"},
		{"https://example.net/..", "v1"}, {"https://example.net/a;b$(c)", "v1"}, {"https://example.net/" + strings.Repeat("x", 500), "v1"},
	} {
		name := r.Folder()
		if old, twice := seen[name]; twice {
			t.Errorf("%s and %s have the folder %s", old, r, name)
		}
		seen[name] = r
		if len(name) > 60 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || name[0] == '-' {
			t.Errorf("the folder of %s is %q", r, name)
		}
	}
}

func TestFormatIsStable(t *testing.T) {
	a := Pin{Repository{"https://example.net/a.git", "v1"}, commit, "sha256:00"}
	b := Pin{Repository{"https://example.net/a.git", "v2"}, commit, "sha256:11"}
	one, other := Lock{[]Pin{b, a}}.Format(), Lock{[]Pin{a, b}}.Format()
	want := lockHeader + `
module {
  source   = "git::https://example.net/a.git"
  ref      = "v1"
  commit   = "` + commit + `"
  checksum = "sha256:00"
}

module {
  source   = "git::https://example.net/a.git"
  ref      = "v2"
  commit   = "` + commit + `"
  checksum = "sha256:11"
}
`
	if diff := cmp.Diff(want, string(one)); diff != "" {
		t.Errorf("the lock differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(string(one), string(other)); diff != "" {
		t.Errorf("the order of pins matters:\n%s", diff)
	}
}
