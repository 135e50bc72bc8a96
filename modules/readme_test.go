package modules_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/lvsform/lvsform/modules"
)

var update = flag.Bool("update", false, "write the tables into the modules' README files")

const (
	tableStart = "<!-- generated from the HCL: go test ./modules -update -->\n"
	tableEnd   = "<!-- end -->\n"
)

func TestReadmeTablesAreTheHCLs(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			file := path.Join(name, "README.md")
			have, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			before, rest, ok := strings.Cut(string(have), tableStart)
			_, after, ok2 := strings.Cut(rest, tableEnd)
			if !ok || !ok2 {
				t.Fatalf("%s lacks the lines %q and %q", file, tableStart, tableEnd)
			}
			want := before + tableStart + "\n" + tables(t, name) + "\n" + tableEnd + after
			if *update {
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := gocmp.Diff(want, string(have)); diff != "" {
				t.Errorf("%s is stale; run go test ./modules -update\n%s", file, diff)
			}
		})
	}
}

// A topology changes its mode by changing the word in `source`, so every mode
// takes the same variables and yields the same outputs.
func TestModesShareVariablesAndOutputs(t *testing.T) {
	for _, file := range []string{"variables.hcl", "outputs.hcl"} {
		want, err := fs.ReadFile(modules.FS, "dr/"+file)
		if err != nil {
			t.Fatal(err)
		}
		have, err := fs.ReadFile(modules.FS, "nat/"+file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(string(want), string(have)); diff != "" {
			t.Errorf("%s of dr and nat differ:\n%s", file, diff)
		}
	}
}

func names(t *testing.T) []string {
	t.Helper()
	entries, err := fs.ReadDir(modules.FS, ".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// tables renders the variables and outputs of a module as Markdown.
func tables(t *testing.T, name string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| variable | type | default | meaning |\n|---|---|---|---|\n")
	for _, v := range blocks(t, name, "variable") {
		fallback := "required"
		if _, ok := v.attributes["default"]; ok {
			fallback = "`" + v.attributes["default"] + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", v.label, v.attributes["type"], fallback, v.text(t, "description"))
	}
	b.WriteString("\n| output | meaning |\n|---|---|\n")
	for _, o := range blocks(t, name, "output") {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.label, o.text(t, "description"))
	}
	return b.String()
}

// block is a labelled block with its attributes as they stand in the source.
type block struct {
	label      string
	attributes map[string]string
	start      int
	file       string
	exprs      map[string]hcl.Expression
}

// text is an attribute that has to be a plain string.
func (b block) text(t *testing.T, attribute string) string {
	t.Helper()
	expr, ok := b.exprs[attribute]
	if !ok {
		t.Fatalf("%s: %s has no %s", b.file, b.label, attribute)
	}
	v, diags := expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return strings.ReplaceAll(v.AsString(), "|", "\\|")
}

func blocks(t *testing.T, module, kind string) []block {
	t.Helper()
	files, err := fs.Glob(modules.FS, module+"/*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	for _, file := range files {
		source, err := fs.ReadFile(modules.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, diags := hclsyntax.ParseConfig(source, file, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, b := range parsed.Body.(*hclsyntax.Body).Blocks {
			if b.Type != kind {
				continue
			}
			one := block{label: b.Labels[0], attributes: map[string]string{}, start: b.Range().Start.Byte, file: file, exprs: map[string]hcl.Expression{}}
			for name, a := range b.Body.Attributes {
				one.attributes[name] = onOneLine(a.Expr.Range().SliceBytes(source))
				one.exprs[name] = a.Expr
			}
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b block) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.start, b.start))
	})
	return found
}

// onOneLine joins the lines of an expression, with commas between attributes.
func onOneLine(source []byte) string {
	var parts []string
	for line := range bytes.Lines(source) {
		parts = append(parts, strings.Join(strings.Fields(string(line)), " "))
	}
	joined := strings.Join(parts, ", ")
	return strings.NewReplacer("{, ", "{ ", ", }", " }", "(, ", "(", ", )", ")", "|", "\\|").Replace(joined)
}
