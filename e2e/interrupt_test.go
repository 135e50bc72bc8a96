//go:build lab

package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The demo's command leaves nothing behind when it is interrupted: no machine,
// no file.
func TestLabRunCleansUpOnCtrlC(t *testing.T) {
	for _, moment := range []string{"booting a machine", "== plan", "== apply"} {
		t.Run(strings.TrimPrefix(moment, "== "), func(t *testing.T) {
			tmp := t.TempDir()
			cmd := exec.CommandContext(t.Context(), cliPath(), "lab", "run", filepath.Join("..", "examples", "dr-wlc"))
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = cmd.Stdout
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines, seen := bufio.NewScanner(out), ""
			for !strings.Contains(seen, moment) && lines.Scan() {
				seen += lines.Text() + "\n"
			}
			if !strings.Contains(seen, moment) {
				t.Errorf("no %q:\n%s", moment, seen)
			}
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
			for lines.Scan() { // to the end, so that it does not wait for its reader
				seen += lines.Text() + "\n"
			}
			started := time.Now()
			if err := cmd.Wait(); err == nil || time.Since(started) > time.Minute {
				t.Errorf("interrupted, it ends with %v:\n%s", err, seen)
			}
			if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
			if pids := processesWith(t, tmp); len(pids) > 0 {
				t.Errorf("processes left behind: %v", pids)
			}
		})
	}
}

// processesWith finds the processes whose command line names a path.
func processesWith(t *testing.T, path string) []string {
	t.Helper()
	var pids []string
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && strings.Contains(string(line), path) {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}
