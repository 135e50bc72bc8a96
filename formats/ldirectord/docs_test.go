package ldirectord

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The page has a line for every directive that is read, and for none besides;
// every directive that is written is one of these.
func TestThePageHasEveryDirective(t *testing.T) {
	page, err := os.ReadFile("../../docs/ldirectord.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n### ")
	if len(sections) != 4 {
		t.Fatalf("the page has %d tables, want 3", len(sections)-1)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(globals)), listed(sections[1])); diff != "" {
		t.Error("globals:", diff)
	}
	want := append(slices.Collect(maps.Keys(directives)), "virtual", "virtual6")
	slices.Sort(want)
	if diff := cmp.Diff(want, listed(sections[2])); diff != "" {
		t.Error("services:", diff)
	}
}

// listed are the directives of a table, sorted.
func listed(section string) []string {
	var out []string
	for line := range strings.Lines(section) {
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			word, _, _ := strings.Cut(row, "`")
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return out
}

func TestEveryDirectiveThatIsWrittenIsRead(t *testing.T) {
	written := map[string]bool{}
	for _, c := range golden {
		text, err := c.Render()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			keyword, _, _ := split(strings.TrimSpace(line))
			_, global := globals[keyword]
			_, directive := directives[keyword]
			if keyword != "" && !global && !directive && keyword != "virtual" && keyword != "virtual6" {
				t.Errorf("%s is written but not read", keyword)
			}
			written[keyword] = true
		}
	}
	// A service's own way to say it is the one that is written.
	for _, not := range []string{"load", "fallback6", "real6"} {
		written[not] = true
	}
	for keyword := range directives {
		if !written[keyword] {
			t.Errorf("no golden text has %s", keyword)
		}
	}
}
