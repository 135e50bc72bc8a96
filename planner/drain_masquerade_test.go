package planner_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// webFullNAT is webNAT with another source for what reaches the servers.
func webFullNAT(servers ...string) *topology.Topology {
	t := webNAT(servers...)
	m := &topology.Masquerade{VIP: netip.MustParseAddr("172.18.20.128"), Protocol: "tcp", Port: 80}
	for _, s := range find[*topology.VirtualService](t, "virtual_service.web").RealServers {
		m.To = append(m.To, s.Address)
	}
	t.Resources = append(t.Resources, &topology.Resource{Path: "masquerade.web", Host: t.Hosts[0].Name, Body: m})
	return t
}

// The kernel forgets all translations with the last masquerade, those of
// connections under way too.
func TestTranslatedConnectionsEndBeforeTheirMasqueradeGoes(t *testing.T) {
	live := settle(t, webFullNAT("rs1"), bareAll(webFullNAT("rs1")))
	p := build(t, planner.Input{Topology: webNAT("rs1"), Live: live})
	want := `0 directors, drain update dir1:drain masquerade tcp/172.18.20.128:80/172.18.20.11
1 directors, remove delete dir1:masquerade tcp/172.18.20.128:80/172.18.20.11
`
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Fatal(diff)
	}
	idle, ok := p.Changes[0].After.(state.Masquerade)
	if !ok || !idle.Idle || p.Changes[0].Drain != planner.DefaultDrainTimeout || p.Changes[1].Before != state.Object(idle) {
		t.Errorf("%+v", p.Changes)
	}
	execute(t, p, live)
	half := *p
	half.Changes = p.Changes[:1]
	cut := execute(t, &half, live)
	if again := build(t, planner.Input{Topology: webNAT("rs1"), Live: cut}); lines(again) != want {
		t.Errorf("after a run that was cut off:\n%s", lines(again))
	}
	if back := build(t, planner.Input{Topology: webFullNAT("rs1"), Live: cut}); len(back.Changes) != 1 || back.Changes[0].Action != planner.Update {
		t.Errorf("back again:\n%s", lines(back))
	}
	if gone := build(t, planner.Input{Topology: webNAT("rs1"), Live: live, Destroy: true}); slices.ContainsFunc(gone.Changes, func(c planner.Change) bool { return c.Drain > 0 }) {
		t.Errorf("a service that goes is drained:\n%s", lines(gone))
	}
}
