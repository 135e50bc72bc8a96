package hcl

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/modules"
	"github.com/lvsform/lvsform/sources"
	"github.com/lvsform/lvsform/topology"
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
			if why := implausible(r.Body); why != "" {
				t.Errorf("%s: %s, and no error", r.Path, why)
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

// implausible says what the later rooms rely on and a body does not hold.
func implausible(body topology.Body) string {
	switch b := body.(type) {
	case *topology.Mark:
		for i, p := range b.Ports {
			if p.First == 0 || p.Last < p.First || i > 0 && p.First <= b.Ports[i-1].Last {
				return "ports without order"
			}
		}
		if b.Mark == 0 || b.Protocol == "" || !b.Address.IsValid() || len(b.Ports) == 0 {
			return "an incomplete mark"
		}
	case *topology.Masquerade:
		if !b.VIP.IsValid() || b.Protocol == "" {
			return "an incomplete masquerade"
		}
		for _, to := range b.To {
			if to.Is4() != b.VIP.Is4() || b.Source.IsValid() && b.Source.Is4() != to.Is4() {
				return "mixed families"
			}
		}
	case *topology.IPVS:
		for _, s := range b.Sync {
			if s.Role != "master" && s.Role != "backup" || s.Interface == "" || s.ID > 255 || s.Group.IsValid() && !s.Group.IsMulticast() {
				return "an incomplete sync"
			}
		}
		if t := b.Timeouts; t != nil && (t.TCP%time.Second != 0 || t.TCPFin%time.Second != 0 || t.UDP%time.Second != 0 || *t == topology.Timeouts{}) {
			return "timeouts that are no whole seconds"
		}
	case *topology.Package:
		for _, name := range b.Names {
			if badPackage(name) != "" {
				return "a strange package"
			}
		}
	case *topology.Service:
		if badUnit(b.Name) != "" || b.Running == nil && b.Enabled == nil {
			return "a strange service"
		}
	case *topology.Link:
		if f := b.FOU; f != nil && (f.Port == 0 || f.Protocol == "") {
			return "an incomplete fou"
		}
	}
	return ""
}

// FuzzLock checks that a lock that could be read is written so that it reads
// the same again.
func FuzzLock(f *testing.F) {
	f.Add(sources.Lock{Pins: []sources.Pin{{Repository: sources.Repository{URL: "https://example.net/a.git", Ref: "v1"},
		Commit: strings.Repeat("a", 40), Checksum: "sha256:" + strings.Repeat("b", 64)}}}.Format())
	f.Add([]byte("module {\n source = \"git::file:///${x}\"\n ref = 1\n}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		l := newLoader(Options{})
		lock := l.parseLock(src)
		if l.r.finish().HasErrors() {
			return
		}
		l = newLoader(Options{})
		again := l.parseLock(lock.Format())
		if diags := l.r.finish(); len(diags) > 0 {
			t.Fatalf("what was written is wrong: %v\n%s", diags, lock.Format())
		}
		if !bytes.Equal(lock.Format(), again.Format()) {
			t.Errorf("written:\n%s\nread and written:\n%s", lock.Format(), again.Format())
		}
	})
}

// FuzzEval looks for expressions that crash or hang the evaluation, or show
// what is sensitive.
func FuzzEval(f *testing.F) {
	for _, s := range []string{"1 + 1", "var.secret", "[for a in range(3) : a]", "host.a", "{ a = var.secret, b = module.m }", "mark.m.ports", "\"${path.root}\"",
		"jsonencode(var.secret)", "try(var.secret, 1)", "var.secret == \"\" ? 1 : 2", "templatefile(\"main.hcl\", {})", "nosuch(", "a[*].b", "<<E\nx\nE\n"} {
		f.Add(s)
	}
	dir := f.TempDir()
	src := "topology \"a\" {}\nvariable \"secret\" {\n default = \"kept-to-itself\"\n sensitive = true\n}\nhost \"a\" { address = \"192.0.2.1\" }\n" +
		"mark \"m\" {\n host = host.a\n protocol = \"tcp\"\n address = \"192.0.2.1\"\n ports = [80]\n mark = 1\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(src), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		c, diags := LoadConfig(Options{Dir: dir})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		text, diags := c.Eval(expression)
		for _, d := range diags {
			if strings.Contains(d.Summary, "cannot be evaluated") {
				t.Errorf("a panic: %+v", d)
			}
			text += d.Summary + d.Detail + d.Source
		}
		hides := strings.Contains(expression, "kept") || strings.Contains(expression, "nonsensitive") || strings.Contains(expression, "file")
		if strings.Contains(text, "kept-to-itself") && !hides {
			t.Errorf("%q shows the secret: %s", expression, text)
		}
	})
}
