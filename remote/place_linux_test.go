package remote

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the host's login shell is told: the agent runs only in a directory that
// carries root's mark. Its shells are those that every machine has.
func TestServeScriptRunsTheAgentOfAMarkedDirectory(t *testing.T) {
	const agent = "#!/bin/sh\necho agent $1\n"
	for _, c := range []struct {
		name  string
		mode  os.FileMode // of the directory; 0: there is none
		agent string
		exit  int
	}{
		{"marked", 0o700 | os.ModeSetuid | os.ModeSticky, agent, 0},
		{"marked, another agent's", 0o700 | os.ModeSetuid | os.ModeSticky, "", 127},
		{"without a mark", 0o700, agent, 126},
		{"as /tmp is", 0o777 | os.ModeSticky, agent, 126},
		{"sticky", 0o700 | os.ModeSticky, agent, 126},
		{"set-user-ID, as chmod -R 777 leaves a marked one", 0o777 | os.ModeSetuid, agent, 126},
		{"no directory", 0, "", 126},
	} {
		for _, shell := range []string{"sh", "bash"} {
			t.Run(c.name+", "+shell, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "lvsform")
				if c.mode != 0 {
					if err := os.Mkdir(dir, 0o700); err != nil {
						t.Fatal(err)
					}
				}
				if c.agent != "" {
					if err := os.WriteFile(filepath.Join(dir, "agent-abc"), []byte(c.agent), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				if c.mode != 0 {
					if err := os.Chmod(dir, c.mode); err != nil {
						t.Fatal(err)
					}
				}
				profile := filepath.Join(t.TempDir(), "profile")
				if err := os.WriteFile(profile, []byte("cd() { builtin cd \"$@\" && ls; }\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(shell, "-c", strings.ReplaceAll(serveCommand("abc", false), agentDir, dir))
				cmd.Env = append(os.Environ(), "BASH_ENV="+profile)
				out, err := cmd.Output()
				var ended *exec.ExitError
				if err != nil && !errors.As(err, &ended) || cmd.ProcessState.ExitCode() != c.exit {
					t.Errorf("want exit %d, got %v", c.exit, err)
				}
				want := ""
				if c.exit == 0 {
					want = "agent serve\n"
				}
				if string(out) != want {
					t.Errorf("want %q, got %q", want, out)
				}
			})
		}
	}
}
