package sources

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plant writes files; one whose content begins with -> is a symbolic link.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		target, link := strings.CutPrefix(content, "->")
		var err error
		if link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExamineSeesEveryDifference(t *testing.T) {
	base := map[string]string{"a/main.hcl": "x", "b": "y", "c": "->a/main.hcl"}
	sum := func(change func(map[string]string)) string {
		files := map[string]string{}
		for name, content := range base {
			files[name] = content
		}
		change(files)
		got, err := Examine(plant(t, files))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := sum(func(map[string]string) {})
	// The format of the checksum is in locks: it must not change.
	if want := "sha256:" + knownSum; same != want {
		t.Errorf("the checksum is %s, want %s", same, want)
	}
	for name, change := range map[string]func(map[string]string){
		"content":       func(f map[string]string) { f["b"] = "z" },
		"name":          func(f map[string]string) { delete(f, "b"); f["B"] = "y" },
		"further file":  func(f map[string]string) { f["d"] = "" },
		"missing file":  func(f map[string]string) { delete(f, "b") },
		"other target":  func(f map[string]string) { f["c"] = "->b" },
		"link for file": func(f map[string]string) { f["b"] = "->a/main.hcl" },
	} {
		if got := sum(change); got == same {
			t.Errorf("%s: the same checksum", name)
		}
	}
	dir := plant(t, base)
	if err := os.Chmod(filepath.Join(dir, "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Examine(dir); err != nil || got == same {
		t.Errorf("a program has the checksum of a plain file, or %v", err)
	}
}

func TestExamineRefusesWhatLeadsOut(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"absolute link":          {map[string]string{"a": "->/etc/passwd"}, "leads out"},
		"relative link":          {map[string]string{"a/b": "->../../x"}, "leads out"},
		"link to the parent":     {map[string]string{"a": "->.."}, "leads out"},
		"link to nowhere":        {map[string]string{"a": "->b"}, "leads out of the repository, or nowhere"},
		"link to itself":         {map[string]string{"a": "->a"}, "leads out of the repository, or nowhere"},
		"links one upon another": {map[string]string{"deep/a/s": "->../..", "deep/a/t": "->s/../x"}, "leads out"},
		"git folder":             {map[string]string{"a/.GIT/config": "x"}, "called .git"},
		"control character":      {map[string]string{"a\nb": "x"}, "control character"},
		"backslash":              {map[string]string{`a\b`: "x"}, "backslash"},
		"depth":                  {map[string]string{strings.Repeat("a/", 40) + "b": "x"}, "deep"},
		"large file":             {map[string]string{"a": strings.Repeat("x", MaxFileSize+1)}, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			sum, err := Examine(plant(t, tc.files))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q, %v; want %q", sum, err, tc.want)
			}
		})
	}
	inside := map[string]string{"a/main.hcl": "x", "b/c": "->../a/main.hcl", "d": "->a"}
	if _, err := Examine(plant(t, inside)); err != nil {
		t.Errorf("links inside the tree: %v", err)
	}
}

func TestExamineBoundsTheNumberOfFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range MaxFiles + 1 {
		f, err := os.Create(filepath.Join(dir, strings.Repeat("x", i%100+1)+"-"+string(rune('a'+i/100%26))+strings.Repeat("y", i/2600)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close() //nolint:errcheck // nothing was written
	}
	if _, err := Examine(dir); err == nil || !strings.Contains(err.Error(), "files") {
		t.Errorf("%v, want the bound of files", err)
	}
}

func TestExamineTellsWhatIsMissing(t *testing.T) {
	if _, err := Examine(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrMissing) {
		t.Errorf("%v, want ErrMissing", err)
	}
}

// knownSum is the SHA-256 of three lines: mode, SHA-256 of the content, quoted
// name; made with sha256sum(1).
const knownSum = "131b92fcc8ffcdbe17eadfa038a9d6105024ee9a0872145e8d2bae3c51a36e33"
