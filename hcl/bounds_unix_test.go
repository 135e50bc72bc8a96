//go:build unix

package hcl

import (
	"path/filepath"
	"syscall"
	"testing"
)

func TestLoadReadsRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root("")))
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.hcl"), 0o600); err != nil {
		t.Skipf("SKIPPED, no named pipes here: %v", err)
	}
	_, diags := Load(Options{Dir: dir})
	wantError(t, diags, "pipe.hcl cannot be read")
}
