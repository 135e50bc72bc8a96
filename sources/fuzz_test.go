package sources

import (
	"strings"
	"testing"
)

// FuzzParseGit checks that a source that is taken names nothing outside, is
// written as it is read, and gives git no options.
func FuzzParseGit(f *testing.F) {
	for _, s := range []string{"git::https://example.net/lvs.git//dr?ref=v1", "git::ssh://git@h:22/a//b/c?ref=a%2Fb", "git::file:///a?ref=x",
		"git::git://[::1]/a?ref=v1+x", "git::https://u:p@h/a?ref=v", "git::https://h/a//../b?ref=v"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		g, why := ParseGit(source)
		if why != "" {
			return
		}
		if again, why := ParseGit(g.String()); why != "" || again != g {
			t.Errorf("%q is written as %q, which is %+v %s", source, g, again, why)
		}
		// The directory is never an argument of git.
		for _, text := range []string{g.URL, g.Ref, "-" + g.Dir} {
			if text == "" || text != "-"+g.Dir && strings.HasPrefix(text, "-") || strings.ContainsAny(text, "\x00\n\r\x1b \\") {
				t.Errorf("%q: %q", source, text)
			}
		}
		if strings.Contains("/"+g.Dir+"/", "/../") || strings.HasPrefix(g.Dir, "/") {
			t.Errorf("%q leads to %q", source, g.Dir)
		}
		if name := g.Repository().Folder(); strings.ContainsAny(name, "/\\.:") || strings.HasPrefix(name, "-") || len(name) > 60 {
			t.Errorf("%q has the folder %q", source, name)
		}
	})
}
