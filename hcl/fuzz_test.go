package hcl

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/lvsform/lvsform/modules"
	"golang.org/x/tools/txtar"
)

// seeds are the configurations of the table tests and the built-in modules.
func seeds(f *testing.F) (native, values [][]byte) {
	f.Helper()
	archives, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			switch {
			case isConfig(file.Name):
				native = append(native, file.Data)
			case isValues(file.Name):
				values = append(values, file.Data)
			}
		}
	}
	for _, name := range []string{"dr/main.hcl", "dr/variables.hcl", "nat/main.hcl"} {
		src, err := modules.FS.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		native = append(native, src)
	}
	return native, values
}

// FuzzLoad looks for configurations that crash or hang the loader, or make it
// return an unfinished topology without an error.
func FuzzLoad(f *testing.F) {
	native, values := seeds(f)
	for i, src := range native {
		f.Add(src, values[i%len(values)], bytes.HasPrefix(src, []byte("{")))
	}
	f.Fuzz(func(t *testing.T, src, values []byte, inJSON bool) {
		dir := t.TempDir()
		name := "main.hcl"
		if inJSON {
			name = "main.hcl.json"
		}
		for name, data := range map[string][]byte{name: src, "lvsform.vars.hcl": values} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// Not Load, which turns panics into diagnostics.
		l := newLoader(Options{Dir: dir})
		top, _ := l.load()
		diags := l.r.finish()
		if top == nil {
			t.Fatal("no topology")
		}
		if diags.HasErrors() {
			return
		}
		if top.Name == "" {
			t.Error("a topology without a name, and no error")
		}
		for _, r := range top.Resources {
			if r.Body == nil || top.Host(r.Host) == nil {
				t.Errorf("%s on %q is incomplete, and no error", r.Path, r.Host)
			}
		}
		for _, h := range top.Hosts {
			if !h.Address.IsValid() {
				t.Errorf("%s has no address, and no error", h.Path)
			}
		}
	})
}

// FuzzFormat checks that formatting a formatted file changes nothing, and that
// what could be parsed still can.
func FuzzFormat(f *testing.F) {
	native, values := seeds(f)
	for _, src := range append(native, values...) {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		once, diags := Format("main.hcl", src)
		if diags.HasErrors() {
			return
		}
		twice, diags := Format("main.hcl", once)
		if diags.HasErrors() {
			t.Fatalf("the formatted file is wrong: %v\n%s", diags, once)
		}
		if !bytes.Equal(once, twice) {
			t.Errorf("formatted once:\n%s\ntwice:\n%s", once, twice)
		}
	})
}
