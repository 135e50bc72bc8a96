package wire_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

func sysctl(value string) state.Object { return state.Sysctl{Name: "a", Value: value} }

func record(value, before state.Object) *state.ClaimChange {
	return &state.ClaimChange{Before: state.Boxed{Object: before}, Claim: state.Claim{
		Topology: "web", Addresses: []string{"sysctl.a"}, Value: state.Boxed{Object: value}}}
}

func drop(value state.Object) *state.ClaimChange {
	c := record(value, nil)
	c.Drop = true
	return c
}

func secret(c *state.ClaimChange) *state.ClaimChange {
	c.Claim.Sensitive = []string{"value"}
	return c
}

func flagged(c *state.ClaimChange, draining, loose bool) *state.ClaimChange {
	c.Claim.Draining, c.Claim.Loose = draining, loose
	return c
}

func TestEveryFormOfStepSurvivesTheWay(t *testing.T) {
	for name, step := range map[string]wire.Step{
		"create":             {Change: &state.Change{After: sysctl("1")}, Claim: record(sysctl("1"), nil), Announce: true},
		"gives":              {Change: &state.Change{Before: sysctl("0")}, Gives: []state.ServiceID{{FWMark: 7, Family: "ipv6"}}},
		"update":             {Change: &state.Change{Before: sysctl("0"), After: sysctl("1")}, Claim: record(sysctl("1"), sysctl("0"))},
		"claimed otherwise":  {Change: &state.Change{Before: sysctl("0"), After: sysctl("1")}, Claim: record(sysctl("2"), sysctl("3"))},
		"adopt":              {Claim: record(sysctl("1"), sysctl("1"))},
		"forget":             {Claim: drop(sysctl("1"))},
		"delete":             {Change: &state.Change{Before: sysctl("1")}, Claim: drop(sysctl("1"))},
		"restore":            {Change: &state.Change{Before: sysctl("1"), After: sysctl("0")}, Claim: drop(sysctl("1"))},
		"draining":           {Claim: flagged(record(sysctl("1"), nil), true, false)},
		"loose":              {Claim: flagged(record(sysctl("1"), nil), false, true)},
		"sensitive":          {Claim: secret(record(sysctl("1"), nil))},
		"without any claim":  {Change: &state.Change{Before: sysctl("1")}},
		"drop of the target": {Change: &state.Change{Before: sysctl("1"), After: sysctl("0")}, Claim: drop(sysctl("0"))},
	} {
		step.ID = name
		want := wire.Begin{Topology: "web", Members: []string{"x"}, Transient: true, Modules: []state.Module{{Name: "ip_vs", Parameters: "conn_tab_bits=16"}}, Steps: []wire.Step{step}}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got wire.Begin
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestContradictoryBeginsAreRefused(t *testing.T) {
	create := wire.Step{ID: "x", Change: &state.Change{After: sysctl("1")}}
	foreign := wire.Step{ID: "y", Claim: record(sysctl("1"), nil)}
	foreign.Claim.Claim.Topology = "mail"
	if _, err := json.Marshal(wire.Begin{Topology: "web", Steps: []wire.Step{foreign}}); err == nil {
		t.Error("another topology's claim is sent")
	}
	if b, err := json.Marshal(wire.Begin{Topology: "web", Steps: []wire.Step{create, create}}); err == nil {
		if json.Unmarshal(b, &wire.Begin{}) == nil {
			t.Error("two steps on one object pass")
		}
	}
	for name, doc := range map[string]string{
		"no object":     `{"steps":[{"id":"x","key":"sysctl a","change":true}]}`,
		"no address":    `{"after":{"sysctl":[{"name":"a","value":"1"}]},"steps":[{"id":"x","key":"sysctl a","claim":"record"}]}`,
		"unknown claim": `{"after":{"sysctl":[{"name":"a","value":"1"}]},"steps":[{"id":"x","key":"sysctl a","claim":"steal"}]}`,
		"a second step": `{"after":{"sysctl":[{"name":"a","value":"1"}]},"steps":[{"id":"x","key":"sysctl a","change":true},{"id":"y","key":"sysctl a","change":true}]}`,
	} {
		var b wire.Begin
		if err := json.Unmarshal([]byte(doc), &b); err == nil || !strings.Contains(err.Error(), "step") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
