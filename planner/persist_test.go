package planner_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func TestHostsThatForgetAreNamed(t *testing.T) {
	yes, no := true, false
	for name, tc := range map[string]struct {
		persist  *bool
		destroy  bool
		fleeting []string
		errors   int
	}{
		"not said":           {nil, false, []string{"dir1", "rs1"}, 0},
		"insisted on":        {&yes, false, nil, 1},
		"declined":           {&no, false, nil, 0},
		"when it is removed": {nil, true, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			top := webDR("rs1", "rs2")
			top.Persist = tc.persist
			top.PersistRange = topology.Range{File: "main.hcl", Start: topology.Pos{Line: 2, Column: 3}}
			live := map[string]planner.Live{"dir1": bare("172.18.20.126"), "rs1": bare("172.18.20.11"), "rs2": bare("172.18.20.12")}
			for _, host := range []string{"dir1", "rs1"} {
				l := live[host]
				l.Facts = state.Facts{NoSystemd: true}
				live[host] = l
			}
			p := planner.Build(planner.Input{Topology: top, Live: live, Destroy: tc.destroy})
			if diff := cmp.Diff(tc.fleeting, p.Fleeting); diff != "" {
				t.Error(diff)
			}
			found := 0
			for _, d := range p.Diagnostics {
				if d.Severity == topology.Error && strings.Contains(d.Summary, "dir1, rs1 run no systemd") && d.Range.Start.Line == 2 {
					found++
				}
			}
			if found != tc.errors || p.Transient != (tc.persist == &no) {
				t.Errorf("%d errors, transient %v: %+v", found, p.Transient, p.Diagnostics)
			}
			var saved bytes.Buffer
			if err := p.Save(&saved); err != nil {
				t.Fatal(err)
			}
			read, err := planner.Open(&saved)
			if err != nil {
				t.Fatal(err)
			}
			if read.Transient != p.Transient || cmp.Diff(p.Fleeting, read.Fleeting) != "" {
				t.Errorf("saved %v %v, read %v %v", p.Transient, p.Fleeting, read.Transient, read.Fleeting)
			}
		})
	}
}

func TestAHostsModulesAreInThePlan(t *testing.T) {
	top := webDR("rs1")
	live := map[string]planner.Live{"dir1": bare("172.18.20.126"), "rs1": bare("172.18.20.11")}
	p := planner.Build(planner.Input{Topology: top, Live: live})
	if diff := cmp.Diff([]state.Module{{Name: "ip_vs"}, {Name: "ip_vs_wlc"}}, p.Host("dir1").Modules); diff != "" {
		t.Error(diff)
	}
	if p := planner.Build(planner.Input{Topology: top, Live: live, Destroy: true}); len(p.Host("dir1").Modules)+len(p.Host("rs1").Modules) > 0 {
		t.Errorf("after a destroy: %v", p.Host("dir1").Modules)
	}
}

func TestAClaimSaysWhatItLeavesToOthers(t *testing.T) {
	top := webDR("rs1")
	for _, r := range top.Resources {
		if r.Path == "address.vip" {
			r.IgnoreChanges = []string{"label"}
		}
	}
	p := planner.Build(planner.Input{Topology: top, Live: map[string]planner.Live{"dir1": bare("172.18.20.126"), "rs1": bare("172.18.20.11")}})
	for _, c := range p.Changes {
		if c.Claim != nil && c.Claim.Claim.Loose != (c.Address() == "address.vip") {
			t.Errorf("%s: loose is %v", c.ID, c.Claim.Claim.Loose)
		}
	}
}
