package planner_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func desired(t *testing.T, top *topology.Topology, host string) []planner.Declared {
	t.Helper()
	list, err := planner.Desired(top, host)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func keys(list []planner.Declared) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Object.Key().String())
	}
	return out
}

func TestDesiredIsInTheOrderOfApply(t *testing.T) {
	top := webDR("rs1")
	top.Resources = append(top.Resources,
		&topology.Resource{Path: "package.tools", Host: "dir1", Body: &topology.Package{Names: []string{"ipvsadm"}}},
		&topology.Resource{Path: "service.off", Host: "dir1", Body: &topology.Service{Name: "firewalld", Running: new(bool)}})
	for host, want := range map[string][]string{
		"dir1": {"package ipvsadm", "service firewalld", "module ip_vs", "module ip_vs_wlc", "sysctl net.ipv4.ip_forward",
			"ipvs_service tcp/172.18.20.128:80", "ipvs_destination tcp/172.18.20.128:80/172.18.20.11:80", "address eth0/172.18.20.128"},
		"rs1": {"sysctl net.ipv4.conf.all.arp_ignore", "sysctl net.ipv4.conf.lo.arp_ignore", "address lo/172.18.20.128", "route 254/172.18.20.128/32/0"},
	} {
		if diff := cmp.Diff(want, keys(desired(t, top, host))); diff != "" {
			t.Errorf("%s: %s", host, diff)
		}
	}
}

func TestDesiredIsTheSameForUnmanagedHosts(t *testing.T) {
	managed, unmanaged := webDR("rs1", "rs2"), webDR("rs1", "rs2")
	unmanaged.Host("rs2").Managed = false
	for _, host := range []string{"rs1", "rs2", "dir1"} {
		if diff := cmp.Diff(keys(desired(t, managed, host)), keys(desired(t, unmanaged, host))); diff != "" {
			t.Errorf("%s: %s", host, diff)
		}
	}
	if unmanaged.Host("rs2").Managed {
		t.Error("the topology was changed")
	}
	p := planner.Build(planner.Input{Topology: unmanaged, Live: bareAll(unmanaged)})
	i := slices.IndexFunc(p.Diagnostics, func(d topology.Diagnostic) bool { return d.Host == "rs2" && d.Severity == topology.Info })
	if i < 0 || !strings.Contains(p.Diagnostics[i].Detail, "lvsform runbook rs2") {
		t.Errorf("the plan does not name the runbook: %+v", p.Diagnostics)
	}
}

func TestDesiredKnowsTheWayToAGateway(t *testing.T) {
	top := webDR("rs1")
	top.Host("rs1").Interfaces = []topology.Interface{{Name: "ens3", Addresses: []netip.Prefix{netip.MustParsePrefix("172.18.20.11/24")}}}
	top.Resources = append(top.Resources, &topology.Resource{Path: "route.out", Host: "rs1",
		Body: &topology.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("172.18.20.126")}})
	for _, d := range desired(t, top, "rs1") {
		if r, ok := d.Object.(state.Route); ok && r.Via.IsValid() && r.Device != "ens3" {
			t.Errorf("the route is %+v", r)
		}
	}
}

func TestDesiredRefuses(t *testing.T) {
	retired, twice := webDR("rs1"), webDR("rs1")
	retired.Host("rs1").Retired = true
	twice.Resources = append(twice.Resources, &topology.Resource{Path: "sysctl.other", Host: "rs1",
		Body: &topology.Sysctl{Settings: map[string]string{"net.ipv4.conf.all.arp_ignore": "2"}}})
	for name, tc := range map[string]struct {
		top  *topology.Topology
		host string
		want string
	}{
		"an unknown host":  {webDR("rs1"), "rs9", "no host"},
		"a retired host":   {retired, "rs1", "retired"},
		"two declarations": {twice, "rs1", "declared with two values"},
	} {
		if _, err := planner.Desired(tc.top, tc.host); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDesiredTellsWhatIsSensitive(t *testing.T) {
	top := webDR("rs1")
	for _, r := range top.Resources {
		if r.Path == `sysctl.arp["rs1"]` {
			r.Sensitive = []string{"settings"}
		}
	}
	for _, d := range desired(t, top, "rs1") {
		if want := d.Object.Key().Kind == state.KindSysctl; d.Sensitive != want {
			t.Errorf("%s: sensitive %t", d.Object.Key(), d.Sensitive)
		}
	}
}
