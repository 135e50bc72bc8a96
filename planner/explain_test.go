package planner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func explain(t *testing.T, top *topology.Topology, p *planner.Plan, address string) *planner.Explanation {
	t.Helper()
	e, err := planner.Explain(top, p, address)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func objectTitles(e *planner.Explanation) []string {
	out := []string{}
	for _, o := range e.Objects {
		out = append(out, o.Host+": "+planner.Title(o.Object))
	}
	return out
}

func TestExplainNamesWhatAnAddressStandsFor(t *testing.T) {
	top := webDR("rs1", "rs2")
	for address, want := range map[string][]string{
		"virtual_service.web.real_server.rs2": {`dir1: real_server "172.18.20.12:80"`},
		`address.lo["rs1"]`:                   {`rs1: address "172.18.20.128/32"`},
		"address.lo":                          {`rs1: address "172.18.20.128/32"`, `rs2: address "172.18.20.128/32"`},
		"virtual_service.web": {`dir1: module "ip_vs"`, `dir1: module "ip_vs_wlc"`, `dir1: virtual_service "tcp/172.18.20.128:80"`,
			`dir1: real_server "172.18.20.11:80"`, `dir1: real_server "172.18.20.12:80"`},
		"host.rs1": {`rs1: sysctl "net.ipv4.conf.all.arp_ignore"`, `rs1: sysctl "net.ipv4.conf.lo.arp_ignore"`,
			`rs1: address "172.18.20.128/32"`, `rs1: route "172.18.20.128/32"`},
	} {
		e := explain(t, top, nil, address)
		if diff := cmp.Diff(want, objectTitles(e)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", address, diff)
		}
		if e.Planned || len(e.Changes) != 0 {
			t.Errorf("%s: without a plan there are changes: %+v", address, e.Changes)
		}
	}
}

func TestExplainKnowsTheModulesAndTheInstance(t *testing.T) {
	top := webDR("rs1")
	top.Resources = append(top.Resources, &topology.Resource{Path: `module.site["e.u]"].module.in.sysctl.x[0]`, Host: "rs1",
		Body: &topology.Sysctl{Settings: map[string]string{"net.ipv4.ip_forward": "0"}}, DependsOn: []string{"address.vip"}})
	for address, want := range map[string]planner.Explanation{
		`module.site["e.u]"].module.in.sysctl.x[0]`: {Instance: "0", Modules: []planner.Instance{{Name: "site", Key: `"e.u]"`}, {Name: "in"}}},
		`module.site["e.u]"].module.in.sysctl.x`:    {Modules: []planner.Instance{{Name: "site", Key: `"e.u]"`}, {Name: "in"}}},
		`module.site["e.u]"].module.in`:             {Modules: []planner.Instance{{Name: "site", Key: `"e.u]"`}}},
		`module.site["e.u]"]`:                       {Instance: `"e.u]"`, Modules: []planner.Instance{}},
		`sysctl.arp["rs1"]`:                         {Instance: `"rs1"`, Modules: []planner.Instance{}},
	} {
		e := explain(t, top, nil, address)
		if diff := cmp.Diff(want, planner.Explanation{Instance: e.Instance, Modules: e.Modules}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", address, diff)
		}
	}
	vip := explain(t, top, nil, "address.vip")
	if diff := cmp.Diff([]string{`module.site["e.u]"].module.in.sysctl.x[0]`}, vip.ReferencedBy); diff != "" {
		t.Errorf("what needs the VIP (-want +got):\n%s", diff)
	}
}

func TestExplainSaysWhatComesBeforeAndAfter(t *testing.T) {
	top := webDR("rs1", "rs2")
	p := build(t, planner.Input{Topology: top, Live: bareAll(top)})
	arp := explain(t, top, p, `sysctl.arp["rs1"]`)
	const destination = "dir1:ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80"
	for _, c := range arp.Changes {
		if !slices.Contains(c.WaitedFor, destination) {
			t.Errorf("%s: nothing says that %s waits for it: %q", c.Change.ID, destination, c.WaitedFor)
		}
		if len(c.Reasons) != 2 || !strings.Contains(c.Reasons[1], "ARP") {
			t.Errorf("%s: reasons %q", c.Change.ID, c.Reasons)
		}
	}
	if len(arp.Changes) != 2 {
		t.Errorf("%d changes of two sysctls", len(arp.Changes))
	}
	server := explain(t, top, p, "virtual_service.web.real_server.rs1")
	if len(server.Changes) != 1 || len(server.Changes[0].WaitsFor) == 0 || !strings.HasPrefix(server.Changes[0].WaitsFor[0], "rs1:") {
		t.Errorf("the destination waits for its server: %+v", server.Changes)
	}
}

func TestExplainKnowsWhatOnlyLedgersRemember(t *testing.T) {
	top := webDR("rs1", "rs2")
	live := settle(t, top, bareAll(top))
	less := webDR("rs1")
	less.Hosts = top.Hosts
	p := build(t, planner.Input{Topology: less, Live: live})
	e := explain(t, less, p, `address.lo["rs2"]`)
	if e.Declared != nil || len(e.Changes) != 1 || e.Changes[0].Change.Action != planner.Delete {
		t.Errorf("explanation of what goes: %+v", e)
	}
	if _, err := planner.Explain(less, nil, `address.lo["rs2"]`); err == nil {
		t.Error("without hosts nobody knows of it")
	}
}

func TestExplainSuggestsWhatWasMeant(t *testing.T) {
	top := webDR("rs1", "rs2")
	for address, want := range map[string]string{
		"host.rs":                            "host.rs1",
		`adress.lo["rs2"]`:                   `address.lo["rs2"]`,
		"virtual_service.web.real_server.r2": "virtual_service.web.real_server.rs2",
		"virtual_service.web.address":        "virtual_service.web",
	} {
		_, err := planner.Explain(top, nil, address)
		var unknown *planner.UnknownAddressError
		if !errors.As(err, &unknown) || len(unknown.Near) == 0 || unknown.Near[0] != want {
			t.Errorf("%s: %v, want %s suggested first", address, err, want)
		}
	}
	if _, err := planner.Explain(top, nil, "something.else.entirely.and.far"); !strings.Contains(err.Error(), "host.NAME") {
		t.Errorf("without a near one the error says what there is: %v", err)
	}
}

func TestExplainHidesSensitiveValues(t *testing.T) {
	top := webDR("rs1")
	for _, r := range top.Resources {
		if r.Path == "sysctl.director" {
			r.Sensitive = []string{"settings"}
		}
	}
	e := explain(t, top, build(t, planner.Input{Topology: top, Live: bareAll(top)}), "sysctl.director")
	text, err := jsonOf(e)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, `"value":"1"`) || !strings.Contains(text, `"value":null`) {
		t.Errorf("JSON shows a sensitive value: %s", text)
	}
}

func TestExplainNamesTheRulesOfUnmanagedHosts(t *testing.T) {
	top := webDR("rs1")
	top.Host("rs1").Managed = false
	e := explain(t, top, nil, `address.lo["rs1"]`)
	if len(e.Objects) != 1 || e.Objects[0].Object.Key().Kind != state.KindAddress || len(e.Notes) != 1 {
		t.Errorf("an unmanaged host: %+v", e)
	}
}
