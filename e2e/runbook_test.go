//go:build lab

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a runbook makes by hand is what is declared: lvsform then finds nothing
// to change, and only takes it over. Imported from the hosts it is the module
// again.
func TestRunbooksMakeWhatIsDeclared(t *testing.T) {
	for example, module := range map[string]string{"dr-wlc": "dr", "tun-multisite": "tun", "fullnat": "fullnat", "fwmark-two-ports": "", "dr-ipv6": "dr"} {
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
			s.wantImportedAs(module)
		})
	}
}

// wantImportedAs imports what dir1 and its real servers are like: with a module,
// or "" without. The first plan adopts it, and the second is empty.
func (s *scene) wantImportedAs(module string) {
	s.t.Helper()
	o := s.empty()
	main := filepath.Join(o.dir, "main.hcl")
	got := o.must(0, "import", "--from", "live", s.topology().Host("dir1").Address.String(), "--real-servers", "--out", main)
	text, err := os.ReadFile(main)
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.Contains(string(text), "lvsform://"+module) == (module == "") {
		s.t.Errorf("want the module %q:\n%s%s", module, text, got.err)
	}
	for _, change := range o.planned() {
		if !strings.Contains(change, " adopt ") {
			s.t.Errorf("after the import: %s\n%s", change, text)
		}
	}
	o.apply()
	o.wantNoChanges()
	o.wantAnswers()
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
