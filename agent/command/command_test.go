//go:build linux

package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sh(script string) Command {
	return Command{Path: "/bin/sh", Args: []string{"-c", script}, Timeout: time.Minute}
}

func TestRunTellsWhatAProgramCameTo(t *testing.T) {
	for name, tc := range map[string]struct {
		script string
		want   Output
	}{
		"success":        {"echo yes", Output{Stdout: "yes\n"}},
		"an exit status": {"echo no >&2; exit 3", Output{Stderr: "no\n", Code: 3}},
		"a signal":       {"kill -9 $$", Output{Code: 137}},
		"no input":       {"cat", Output{}},
		"its language":   {"echo $LC_ALL", Output{Stdout: "C\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Host{}.Run(sh(tc.script))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRunStopsWhatHangsWithItsChildren(t *testing.T) {
	for name, grace := range map[string]time.Duration{"at once": 0, "with grace": time.Minute} {
		t.Run(name, func(t *testing.T) {
			pid := filepath.Join(t.TempDir(), "pid")
			c := sh("sleep 1000 & echo $! > " + pid + "; wait")
			c.Timeout, c.Grace = 300*time.Millisecond, grace
			_, err := Host{}.Run(c)
			if !errors.Is(err, ErrTimeout) {
				t.Fatalf("got %v", err)
			}
			child, err := os.ReadFile(pid)
			if err != nil {
				t.Fatal(err)
			}
			// It is killed, and gone as soon as its new parent has looked.
			for deadline := time.Now().Add(time.Minute); ; {
				stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(child)) + "/stat")
				if err != nil || strings.Contains(string(stat), ") Z ") {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("the child goes on: %s", stat)
				}
			}
		})
	}
}

func TestRunDoesNotWaitForADaemon(t *testing.T) {
	out, err := Host{}.Run(sh("sleep 1000 & echo $!"))
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(out.Stdout)
	if _, err := os.Stat("/proc/" + pid); err != nil {
		t.Errorf("the daemon has gone: %v", err)
	}
	if _, err := (Host{}).Run(Command{Path: "/bin/kill", Args: []string{"-9", pid}, Timeout: time.Minute}); err != nil {
		t.Error(err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	out, err := Host{}.Run(sh("head -c 1000000 /dev/zero | tr '\\0' x; echo end"))
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Stdout) != limit || !strings.HasSuffix(out.Stdout, "xend\n") {
		t.Errorf("%d bytes that end in %q", len(out.Stdout), out.Stdout[len(out.Stdout)-8:])
	}
	if said := out.Said(); len(said) > 700 || !strings.HasSuffix(said, "end") {
		t.Errorf("said %d bytes", len(said))
	}
}

func TestFindLooksWhereSystemsKeepPrograms(t *testing.T) {
	if got := (Host{}).Find("sh"); !strings.HasSuffix(got, "/bin/sh") {
		t.Errorf("sh: %q", got)
	}
	if got := (Host{}).Find("no-such-program"); got != "" {
		t.Errorf("got %q", got)
	}
}
