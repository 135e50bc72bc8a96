//go:build lab

package e2e

import (
	"encoding/json"

	"github.com/lvsform/lvsform/topology"
)

// wantNoFindings expects that the checks have nothing to say of what runs, but
// for notes.
func (s *scene) wantNoFindings() {
	s.t.Helper()
	var plan struct {
		Checks topology.Diagnostics `json:"checks"`
	}
	got := s.must(0, "plan", "--json")
	if err := json.Unmarshal([]byte(got.out), &plan); err != nil {
		s.t.Fatal(err)
	}
	for _, d := range plan.Checks {
		if d.Severity != topology.Info {
			s.t.Errorf("%s %s on %s: %s: %s", d.Check, d.Severity, d.Host, d.Summary, d.Detail)
		}
	}
}
