//go:build kernel

package ldirectord

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The program itself has the last word: it takes what Render writes, and what
// Parse reads or refuses it reads or refuses too.
func TestLdirectordReadsWhatIsRendered(t *testing.T) {
	for name, c := range golden {
		t.Run(name, func(t *testing.T) {
			text, err := c.Render()
			if err != nil {
				t.Fatal(err)
			}
			if code, out := status(t, text); code != stopped {
				t.Errorf("exit %d: %s\nof\n%s", code, out, text)
			}
		})
	}
}

func TestLdirectordReadsWhatIsParsed(t *testing.T) {
	for name, text := range handWritten {
		t.Run(name, func(t *testing.T) {
			if code, out := status(t, text); code != stopped {
				t.Errorf("exit %d: %s", code, out)
			}
		})
	}
}

func TestLdirectordRefusesWhatIsAMistake(t *testing.T) {
	for name, text := range refused {
		t.Run(name, func(t *testing.T) {
			if code, out := status(t, text); code != configurationError {
				t.Errorf("exit %d: %s", code, out)
			}
		})
	}
}

// Exit codes of ldirectord's status, which reads the file and starts nothing.
const (
	configurationError = 2
	stopped            = 3
)

func status(t *testing.T, text string) (code int, out string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tested.cf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ldirectord", "-d", file, "status")
	cmd.Dir = "/"
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}
