//go:build lab

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// What a runbook makes by hand is what is declared: lvsform then finds nothing
// to change, and only takes it over.
func TestRunbooksMakeWhatIsDeclared(t *testing.T) {
	for _, example := range []string{"dr-wlc", "tun-multisite", "fullnat", "fwmark-two-ports", "dr-ipv6"} {
		t.Run(example, func(t *testing.T) {
			s := newExample(t, example)
			for _, h := range s.topology().Hosts {
				script := s.runbook(h.Name)
				for range 2 { // it can be run again
					s.on(h.Name, script)
				}
			}
			adopted := s.planned()
			for _, change := range adopted {
				if !strings.Contains(change, " adopt ") {
					t.Errorf("after the runbooks: %s", change)
				}
			}
			if len(adopted) == 0 {
				t.Error("nothing was made")
			}
			s.serve()
			s.wantAnswers()
		})
	}
}

// runbook is what `lvsform runbook` prints; no host is contacted, so it takes no
// flags of connections.
func (s *scene) runbook(host string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), cliPath(), "runbook", host)
	cmd.Dir = s.dir
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("runbook %s: %v", host, err)
	}
	return string(out)
}
