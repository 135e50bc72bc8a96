package architecture

import (
	"bytes"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/topology"
)

const root = "../.."

// markdown lists the repository's pages, as paths from its root.
func markdown(t *testing.T) []string {
	t.Helper()
	return files(t, ".md")
}

func files(t *testing.T, suffix string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "bin" || d.Name() == "testdata"):
			return fs.SkipDir
		case strings.HasSuffix(path, suffix):
			found = append(found, path)
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("no %s files: %v", suffix, err)
	}
	return found
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)?(#[^)\s]+)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range markdown(t) {
		text := withoutCode(read(t, page))
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links %s: %v", page, m[1], err)
				continue
			}
			if m[2] != "" && !anchors(read(t, target))[m[2]] {
				t.Errorf("%s links %s%s, but there is no such heading", page, m[1], m[2])
			}
		}
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// anchors are the headings of a page as links name them.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(withoutCode(text), -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				b.WriteRune(r)
			}
		}
		out["#"+b.String()] = true
	}
	return out
}

var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	hclCode = regexp.MustCompile("(?ms)^```hcl\n(.*?)^```$")
)

func withoutCode(text string) string { return fenced.ReplaceAllString(text, "") }

func TestSnippetsParse(t *testing.T) {
	for _, page := range markdown(t) {
		for _, m := range hclCode.FindAllStringSubmatch(read(t, page), -1) {
			if _, diags := hcl.Format(page, []byte(m[1])); diags.HasErrors() {
				t.Errorf("%s: %s: %s in:\n%s", page, diags[0].Summary, diags[0].Detail, m[1])
			}
		}
	}
}

// The README's snippet is examples/dr-wlc without its facts, and what it prints
// is what the CLI's test of that example expects.
func TestReadmeShowsTheRealThing(t *testing.T) {
	readme := read(t, root+"/README.md")
	snippet := hclCode.FindStringSubmatch(readme)
	if snippet == nil {
		t.Fatal("README.md has no HCL")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(snippet[1]), 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(resources(t, root+"/examples/dr-wlc"), resources(t, dir), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("README.md and examples/dr-wlc declare different things:\n%s", diff)
	}
	_, plan, _ := strings.Cut(read(t, root+"/cmd/lvsform/testdata/script/dr.txtar"), "-- plan.txt --\n")
	if plan == "" || !strings.Contains(readme, "$ lvsform plan\n"+plan) {
		t.Errorf("README.md does not show the plan of examples/dr-wlc, which is\n%s", plan)
	}
}

func resources(t *testing.T, dir string) map[string]topology.Body {
	t.Helper()
	topo, diags := hcl.Load(hcl.Options{Dir: dir})
	if len(diags) > 0 || len(topo.Resources) == 0 {
		t.Fatalf("%s: %d resources, findings %+v", dir, len(topo.Resources), diags)
	}
	bodies := map[string]topology.Body{}
	for _, r := range topo.Resources {
		if s, ok := r.Body.(*topology.VirtualService); ok {
			for i := range s.RealServers {
				s.RealServers[i].Range = topology.Range{}
			}
		}
		bodies[r.Path] = r.Body
	}
	return bodies
}

var functionNames = regexp.MustCompile("(?ms)^Functions:\n\n(.*?)\n\n")

// A function that the page names exists: called without arguments, what is wrong
// is the call and not the name.
func TestDocumentedFunctionsExist(t *testing.T) {
	table := functionNames.FindStringSubmatch(read(t, root+"/docs/language.md"))
	if table == nil {
		t.Fatal("docs/language.md has no table of functions")
	}
	names := regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(table[1], -1)
	if len(names) < 50 {
		t.Errorf("only %d functions are documented", len(names))
	}
	for _, name := range names {
		dir := t.TempDir()
		text := "topology \"t\" {}\nlocals {\n  a = " + name[1] + "()\n}\n"
		if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, diags := hcl.Load(hcl.Options{Dir: dir})
		for _, d := range diags {
			if strings.Contains(strings.ToLower(d.Summary+d.Detail), "no function") || strings.Contains(d.Summary, "unknown function") {
				t.Errorf("%s: %s: %s", name[1], d.Summary, d.Detail)
			}
		}
	}
}

func TestConfigurationsAreFormatted(t *testing.T) {
	for _, file := range files(t, ".hcl") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out, diags := hcl.Format(file, src)
		if diags.HasErrors() {
			t.Errorf("%s: %s", file, diags[0].Summary)
		} else if !bytes.Equal(src, out) {
			t.Errorf("%s is not in canonical form:\n%s", file, cmp.Diff(string(src), string(out)))
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var testName = regexp.MustCompile("`(Test[A-Za-z]+)`")

// A page that names the test that proves something names one that is there.
func TestTestsThatPagesNameExist(t *testing.T) {
	defined := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(t \*testing\.T\)`)
	for _, file := range files(t, "_test.go") {
		for _, m := range function.FindAllStringSubmatch(read(t, file), -1) {
			defined[m[1]] = true
		}
	}
	named := 0
	for _, page := range markdown(t) {
		for _, m := range testName.FindAllStringSubmatch(read(t, page), -1) {
			if named++; !defined[m[1]] {
				t.Errorf("%s names %s, and there is no such test", page, m[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("%d tests are named", named)
	}
}
