package agentbin

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const helloSum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // sha256 of "hello"

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAgentsOfADirectory(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
	}{
		{"plain", map[string]string{"lvsform-agent-linux-amd64": "hello"}},
		{"compressed", map[string]string{"lvsform-agent-linux-amd64.gz": packed(t, "hello")}},
		{"compressed, with its sum", map[string]string{
			"lvsform-agent-linux-amd64.gz": packed(t, "hello"), "lvsform-agent-linux-amd64.sha256": helloSum + "  file\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := New(directory(t, c.files)).Get("amd64")
			if err != nil {
				t.Fatal(err)
			}
			plain, err := a.Plain()
			if err != nil {
				t.Fatal(err)
			}
			zipped, err := a.Gzip()
			if err != nil {
				t.Fatal(err)
			}
			r, err := gzip.NewReader(bytes.NewReader(zipped))
			if err != nil {
				t.Fatal(err)
			}
			var unzipped bytes.Buffer
			if _, err := unzipped.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{helloSum, "hello", "hello"}, []string{a.SHA256, string(plain), unzipped.String()}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheLikelyArchitectureComesFirst(t *testing.T) {
	files := map[string]string{"README": ""}
	for _, arch := range []string{"arm64", "amd64", "riscv64.gz", "386", "amd64.sha256"} {
		files["lvsform-agent-linux-"+arch] = "x"
	}
	got, err := New(directory(t, files)).Archs()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"amd64", "arm64", "386", "riscv64"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingAgentSaysWhatToDo(t *testing.T) {
	dir := directory(t, map[string]string{"lvsform-agent-linux-amd64": "x"})
	if _, err := New(dir).Get("s390x"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "--agent-dir "+dir) {
		t.Errorf("in a directory: %v", err)
	}
	if _, err := New(t.TempDir()).Archs(); !errors.Is(err, ErrMissing) {
		t.Errorf("in an empty directory: %v", err)
	}
	if _, err := New(filepath.Join(dir, "nowhere")).Archs(); err == nil || !strings.Contains(err.Error(), "--agent-dir") {
		t.Errorf("in no directory: %v", err)
	}
	_, err := New("").Get("pdp11")
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "make build") || !strings.Contains(err.Error(), "--agent-dir") {
		t.Errorf("embedded: %v", err)
	}
}

func TestADamagedAgentIsAnError(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no gzip":     {"lvsform-agent-linux-amd64.gz": "hello"},
		"cut short":   {"lvsform-agent-linux-amd64.gz": packed(t, "hello")[:15]},
		"a false sum": {"lvsform-agent-linux-amd64.gz": packed(t, "hello"), "lvsform-agent-linux-amd64.sha256": "abc"},
	} {
		if a, err := New(directory(t, files)).Get("amd64"); err == nil {
			t.Errorf("%s: got %+v", name, a.SHA256)
		}
	}
}
