//go:build lab

package e2e

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/lab"
)

// The tests that carry the tag "kernel" need a real IPVS, or the programs that
// keep its table, and nothing else of the lab: they are compiled here and run in
// a machine of their own, in which no module is loaded yet.
func TestKernelTests(t *testing.T) {
	packages := kernelPackages(t)
	if len(packages) == 0 {
		t.Fatal("no package has a test with the tag kernel")
	}
	for _, dir := range packages {
		t.Run(strings.TrimPrefix(dir, moduleRoot(t)+"/"), func(t *testing.T) {
			t.Parallel() // none of them fills two processors
			binary := filepath.Join(t.TempDir(), path.Base(dir)+".test")
			build := exec.Command("go", "test", "-c", "-tags", "kernel", "-o", binary, ".")
			build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("compile: %v\n%s", err, out)
			}
			own, err := lab.Boot(t.Context(), lab.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			r, err := own.Exec(t.Context(), "sh", "-c", `cd "$1" && LVSFORM_GUEST=1 LVSFORM_SOAK="$3" exec "$2" -test.v -test.timeout=80m`,
				"sh", dir, binary, os.Getenv("LVSFORM_SOAK"))
			if err != nil {
				t.Fatal(err)
			}
			out := string(r.Stdout) + string(r.Stderr)
			if r.Code != 0 || !strings.Contains(out, "--- PASS") || strings.Contains(out, "--- SKIP") {
				t.Errorf("exit %d:\n%s", r.Code, failures(out))
			}
			t.Logf("%d tests passed%s", strings.Count(out, "--- PASS"), summary(out))
		})
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// kernelPackages are the folders with a test file that has the tag.
func kernelPackages(t *testing.T) []string {
	t.Helper()
	root := moduleRoot(t)
	var dirs []string
	for _, room := range []string{"agent", "e2e/soak", "formats"} {
		dirs = append(dirs, taggedKernel(t, filepath.Join(root, room))...)
	}
	return dirs
}

func taggedKernel(t *testing.T, root string) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		constraint, _, _ := strings.Cut(string(text), "\npackage ")
		if dir := filepath.Dir(name); strings.Contains(constraint, "//go:build") && strings.Contains(constraint, "kernel") &&
			(len(dirs) == 0 || dirs[len(dirs)-1] != dir) {
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// summary are the lines in which tests say what they did.
func summary(out string) string {
	var kept strings.Builder
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "soak: ") {
			kept.WriteString("\n" + strings.TrimSpace(line))
		}
	}
	return kept.String()
}

// failures leaves out the lines of tests that passed.
func failures(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		trimmed := strings.TrimSpace(line)
		if !strings.HasPrefix(trimmed, "=== ") && !strings.HasPrefix(trimmed, "--- PASS") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
