package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// prevented are the resources whose removal a plan refuses.
func prevented(p *planner.Plan) []string {
	var out []string
	for _, d := range p.Diagnostics {
		if d.Severity == topology.Error && strings.HasSuffix(d.Summary, "must not be destroyed") {
			out = append(out, d.Object)
		}
	}
	slices.Sort(out)
	return out
}

func TestPreventDestroy(t *testing.T) {
	services := []string{"virtual_service.web"}
	for name, tc := range map[string]struct {
		protect string
		change  func(*topology.Topology) planner.Input
		want    []string
	}{
		"destroy": {"virtual_service.web", func(top *topology.Topology) planner.Input {
			return planner.Input{Topology: top, Destroy: true}
		}, services},
		"destroy of another resource": {"virtual_service.web", func(top *topology.Topology) planner.Input {
			return planner.Input{Topology: top, Destroy: true, Target: []string{"host.rs1"}}
		}, nil},
		"destroy after a rename": {"virtual_service.web", func(top *topology.Topology) planner.Input {
			for _, r := range top.Resources {
				if r.Path == "virtual_service.web" {
					r.Path = "virtual_service.other"
				}
			}
			return planner.Input{Topology: top, Destroy: true}
		}, []string{"virtual_service.other"}},
		"a retired host": {`address.lo["rs1"]`, func(top *topology.Topology) planner.Input {
			top.Host("rs1").Retired = true
			return planner.Input{Topology: top}
		}, []string{`address.lo["rs1"]`}},
		"another object in its place": {"virtual_service.web", func(top *topology.Topology) planner.Input {
			find[*topology.VirtualService](top, "virtual_service.web").Port = 81
			return planner.Input{Topology: top}
		}, services},
		"a real server taken out of the service": {"virtual_service.web", func(top *topology.Topology) planner.Input {
			find[*topology.VirtualService](top, "virtual_service.web").RealServers = nil
			return planner.Input{Topology: top}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			top := webDR("rs1")
			live := settle(t, top, bareAll(top))
			for _, r := range top.Resources {
				r.PreventDestroy = r.Path == tc.protect
			}
			in := tc.change(top)
			in.Live = live
			if d := cmp.Diff(tc.want, prevented(planner.Build(in))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSensitiveValuesStayHiddenWhenTheyGo(t *testing.T) {
	top := webDR("rs1")
	for _, r := range top.Resources {
		if r.Path == "sysctl.director" {
			r.Sensitive = []string{"settings"}
		}
	}
	live := settle(t, top, bareAll(top))
	gone := webDR("rs1")
	gone.Resources = slices.DeleteFunc(gone.Resources, func(r *topology.Resource) bool { return r.Path == "sysctl.director" })
	forward := state.Sysctl{Name: "net.ipv4.ip_forward"}.Key()
	for name, in := range map[string]planner.Input{
		"destroyed":                      {Topology: top, Live: live, Destroy: true},
		"no longer in the configuration": {Topology: gone, Live: live},
	} {
		p := build(t, in)
		i := slices.IndexFunc(p.Changes, func(c planner.Change) bool { return c.Key() == forward })
		if i < 0 {
			t.Fatalf("%s: the sysctl stays", name)
		}
		if d := cmp.Diff([]string{"value"}, p.Changes[i].Sensitive); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	byHand := mutate(live, "dir1", func(o state.Object) state.Object {
		if o.Key() == forward {
			return state.Sysctl{Name: "net.ipv4.ip_forward", Value: "4711"}
		}
		return o
	})
	for _, d := range build(t, planner.Input{Topology: gone, Live: byHand}).Diagnostics {
		if strings.Contains(d.Detail, "4711") {
			t.Errorf("the finding shows the value: %s", d.Detail)
		}
	}
}

func TestDestroyOfOneServerLeavesTheServiceItself(t *testing.T) {
	top := webDR("rs1", "rs2")
	live := settle(t, top, bareAll(top))
	p := build(t, planner.Input{Topology: top, Live: live, Destroy: true, Target: []string{"host.rs1"}})
	for _, c := range p.Changes {
		if c.Host != "rs1" && !strings.HasSuffix(c.Address(), ".real_server.rs1") {
			t.Errorf("%s %s goes too", c.Action, c.ID)
		}
	}
	if first := p.Changes[0]; first.Host != "dir1" {
		t.Errorf("%s comes first, and not the destination", first.ID)
	}
}

func TestAPlanIsStaleWhenAnotherTopologyClaimsTheSame(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	p := build(t, planner.Input{Topology: top, Live: live, Destroy: true})
	if d := p.Stale(live); len(d) > 0 {
		t.Fatalf("stale at once: %v", d)
	}
	other := webDR("rs1")
	other.Name = "other"
	if d := p.Stale(settle(t, other, live)); len(d) != 2 || !d[0].Ledger || !d[1].Ledger {
		t.Errorf("what other claims would be destroyed: %v", d)
	}
}
