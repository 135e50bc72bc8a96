//go:build kernel

package ldirectord

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The program itself has the last word: it takes what Render writes, and what
// Parse reads or refuses it reads or refuses too.
func TestLdirectordReadsWhatIsRendered(t *testing.T) {
	for name, c := range golden {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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
			t.Parallel()
			if code, out := status(t, text); code != stopped {
				t.Errorf("exit %d: %s", code, out)
			}
		})
	}
}

func TestLdirectordRefusesWhatIsAMistake(t *testing.T) {
	for name, text := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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

// matches finds where the program's reader of files compares a line.
var matches = regexp.MustCompile(`\$(rcmd|linedata)\s*=~\s*/\^\(?([a-z]+)`)

// The program's own text says what it knows, the two directives of which it
// only says that they are gone aside.
func TestNoDirectiveOfTheProgramIsMissing(t *testing.T) {
	program, err := exec.LookPath("ldirectord")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]map[string]bool{"rcmd": {}, "linedata": {}}
	for _, m := range matches.FindAllSubmatch(text, -1) {
		known[string(m[1])][string(m[2])] = true
	}
	for _, gone := range []string{"timeout", "connecttimeout"} {
		delete(known["rcmd"], gone)
		delete(known["linedata"], gone)
	}
	ours := map[string]map[string]bool{"rcmd": {}, "linedata": {"virtual": true}}
	for keyword := range directives {
		ours["rcmd"][strings.TrimSuffix(keyword, "6")] = true
	}
	for keyword := range globals {
		ours["linedata"][strings.TrimSuffix(keyword, "6")] = true
	}
	if diff := cmp.Diff(known, ours); diff != "" {
		t.Error(diff)
	}
}
