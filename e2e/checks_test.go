//go:build lab

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

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

// What is wrong on a running host is found by what it reports, and gone when it
// is put right.
func TestFaultsOfRunningHostsAreFound(t *testing.T) {
	s := newExample(t, "dr-wlc")
	s.apply()
	s.serve()
	s.wantNoFindings()
	for _, fault := range []struct {
		host, make, mend string
		code             int
		says             string
	}{
		{"rs1", "sysctl -qw net.ipv4.conf.eth0.arp_ignore=3", "sysctl -qw net.ipv4.conf.eth0.arp_ignore=0", 1, "(LVS005)"},
		{"rs2", "ip route replace default via 172.18.20.126", "ip route replace default via 172.18.20.1", 1, "(LVS004)"},
		{"dir1", "nft -f - <<'.'\ntable inet closed { chain in { type filter hook input priority filter; policy drop; ct state established,related accept; tcp dport 22 accept; iif lo accept; }; }\n.",
			"nft delete table inet closed", 0, "(LVS025)"},
	} {
		s.on(fault.host, fault.make)
		if got := s.lvsform("plan"); got.code != fault.code || !strings.Contains(got.err, fault.says) {
			t.Errorf("%s: exit %d, want %d with %s\n%s%s", fault.make, got.code, fault.code, fault.says, got.out, got.err)
		}
		s.on(fault.host, fault.mend)
		s.wantNoFindings()
	}
	s.destroy()
}
