package planner_test

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func TestSavedPlanIsTheSamePlan(t *testing.T) {
	top := webDR("rs1")
	live := bareAll(top)
	p := build(t, planner.Input{Topology: top, Live: live, Version: "1.2.3"})
	var file bytes.Buffer
	if err := p.Save(&file); err != nil {
		t.Fatal(err)
	}
	saved := file.Bytes()
	again, err := planner.Open(bytes.NewReader(saved))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(p), lines(again)); diff != "" {
		t.Error(diff)
	}
	if d := again.Stale(live); len(d) > 0 {
		t.Errorf("stale at once: %v", d)
	}
	execute(t, again, live)
	for i := range saved {
		damaged := slices.Clone(saved)
		damaged[i] ^= 1
		if _, err := planner.Open(bytes.NewReader(damaged)); err == nil {
			t.Fatalf("a plan with bit 0 of byte %d flipped is accepted", i)
		}
	}
	if _, err := planner.Open(bytes.NewReader(saved[:len(saved)-1])); err == nil {
		t.Error("a truncated plan is accepted")
	}
}

func TestPlanIsStaleWhenItsObjectsChangedAndOnlyThen(t *testing.T) {
	top := webDR("rs1")
	live := settle(t, top, bareAll(top))
	find[*topology.VirtualService](top, "virtual_service.web").RealServers[0].Weight = 7
	p := build(t, planner.Input{Topology: top, Live: live})
	unrelated := maps.Clone(live)
	l := unrelated["dir1"]
	l.Objects = append(slices.Clone(l.Objects), state.Address{Device: "eth1", IP: netip.MustParsePrefix("10.9.9.9/24"), Scope: "global"})
	unrelated["dir1"] = l
	if d := p.Stale(unrelated); len(d) > 0 {
		t.Errorf("an unrelated address makes the plan stale: %v", d)
	}
	for name, touch := range map[string]func(state.Object) state.Object{
		"weight changed": func(o state.Object) state.Object {
			if d, ok := o.(state.Destination); ok {
				d.Weight = 3
				return d
			}
			return o
		},
		"address gone": func(o state.Object) state.Object {
			if a, ok := o.(state.Address); ok && a.IP.Addr() == vip {
				return nil
			}
			return o
		},
	} {
		if d := p.Stale(mutate(live, "dir1", touch)); len(d) != 1 || d[0].Host != "dir1" {
			t.Errorf("%s: %v", name, d)
		}
	}
	created := build(t, planner.Input{Topology: top, Live: bareAll(top)})
	appeared := bareAll(top)
	l = appeared["dir1"]
	l.Objects = append(l.Objects, state.Address{Device: "eth0", IP: vip32, Label: "eth0", Scope: "global"})
	appeared["dir1"] = l
	if d := created.Stale(appeared); len(d) != 1 {
		t.Errorf("an object that appeared meanwhile: %v", d)
	}
}

func TestSensitiveValuesAreRedacted(t *testing.T) {
	top := webDR("rs1")
	for _, r := range top.Resources {
		if r.Path == "sysctl.director" {
			r.Sensitive = []string{"settings"}
			r.Body.(*topology.Sysctl).Settings["net.ipv4.ip_forward"] = "canary"
		}
	}
	p := build(t, planner.Input{Topology: top, Live: bareAll(top)})
	shown, err := jsonOf(p.Redacted())
	if err != nil || strings.Contains(shown, "canary") {
		t.Errorf("%v: %s", err, shown)
	}
	if kept, _ := jsonOf(p); !strings.Contains(kept, "canary") {
		t.Error("the plan itself lost the value")
	}
}

func TestSensitiveRealServerAttributesAreRedacted(t *testing.T) {
	top := webDR("rs1", "rs2")
	for _, r := range top.Resources {
		if r.Path == "virtual_service.web" {
			r.Sensitive = []string{"real_server.rs1.weight", "real_server.rs2.tunnel.port"}
		}
	}
	got := map[string][]string{}
	for _, c := range build(t, planner.Input{Topology: top, Live: bareAll(top)}).Changes {
		if len(c.Sensitive) > 0 {
			got[c.ID] = c.Sensitive
		}
	}
	want := map[string][]string{
		"dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80": {"weight"},
		"dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.12:80": {"tunnel_port"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
