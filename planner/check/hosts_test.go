package check_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Hosts that nobody manages take part with what the configuration says of them.
func TestUnmanagedHostsTakePart(t *testing.T) {
	unmanaged := strings.Replace(direct, "  address = \"192.0.2.11\"\n", "  address = \"192.0.2.11\"\n  managed = false\n  os      = \"windows\"\n", 1)
	for name, tc := range map[string]struct {
		config string
		want   []string
	}{
		"with the VIP": {strings.Replace(unmanaged, `arp_ignore" = 1`, `arp_ignore" = 0`, 1), nil}, // Windows has no such thing
		"without the VIP": {strings.Replace(unmanaged, "address \"lo\" {\n  host   = host.rs1", "address \"lo\" {\n  host   = host.dir1", 1),
			[]string{`LVS005 error: host = host.rs1`}},
		"behind the director": {strings.Replace(unmanaged, "\"windows\"\n  gateway = \"192.0.2.1\"", "\"windows\"\n  gateway = \"192.0.2.2\"", 1),
			[]string{`LVS004 error: gateway = "192.0.2.2"`}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, live := range []map[string]planner.Live{nil, observed(t, tc.config)} {
				_, ds := judge(t, tc.config, live)
				ds = slices.DeleteFunc(ds, func(d topology.Diagnostic) bool { return d.Check == "" })
				if diff := cmp.Diff(tc.want, shown(t, tc.config, ds)); diff != "" {
					t.Errorf("%s\n%+v", diff, ds)
				}
			}
		})
	}
}

// Where a module of lvsform's own has the line, the reader's file comes first.
func TestPlacesAreTheReaders(t *testing.T) {
	config := strings.NewReplacer("INSIDE254", "192.168.11.254", "OUTSIDE", "203.0.113.", "INSIDE", "192.168.10.", "BITS", "24", "MODE", "dr").Replace(anyMode)
	_, ds := judge(t, config, nil)
	if diff := cmp.Diff([]string{`LVS002 error: host "rs1" {`}, shown(t, config, ds)); diff != "" {
		t.Fatalf("%s\n%+v", diff, ds)
	}
	if n := len(ds[0].Also); n == 0 || ds[0].Also[n-1].File != "lvsform://dr/main.hcl" {
		t.Errorf("also: %v", ds[0].Also)
	}
}

func TestRepeatedServerNamesTheFirst(t *testing.T) {
	config := edit(t, direct, "    host = host.rs1\n  }\n", "    host = host.rs1\n  }\n  real_server \"rs2\" {\n    host = host.rs1\n  }\n")
	_, ds := judge(t, config, nil)
	if len(ds) != 1 || len(ds[0].Also) != 1 || ds[0].Range.Start.Line-ds[0].Also[0].Start.Line != 3 {
		t.Errorf("%+v", ds)
	}
}

// Where the reader has written none of the lines, the call of the module is it.
func TestPlaceIsTheCallOfTheModule(t *testing.T) {
	config := strings.NewReplacer("OUTSIDE", "203.0.113.", "INSIDE", "192.168.10.", "BITS", "24", "MODE", "nat",
		"port         = 80", "port         = 80\n  gateway      = \"192.168.10.99\"").Replace(anyMode)
	_, ds := judge(t, config, nil)
	if diff := cmp.Diff([]string{`LVS003 error: module "web" {`}, shown(t, config, ds)); diff != "" {
		t.Errorf("%s\n%+v", diff, ds)
	}
}

// A retired host, and what is declared on it, is no part of the cluster.
func TestRetiredHostsTakeNoPart(t *testing.T) {
	config := strings.Replace(natted, "  address = \"192.168.10.1\"\n  gateway = \"192.168.10.254\"\n", "  address = \"192.168.10.1\"\n  gateway = \"192.168.10.253\"\n  retired = true\n", 1)
	if _, ds := judge(t, config, nil); len(ds) > 0 {
		t.Errorf("%+v", ds)
	}
}

// In NAT the director becomes the default gateway. Whether the reader reaches
// the host by the old one is not known: a note says it.
func TestGatewayThatMovesToTheDirectorIsANote(t *testing.T) {
	live := observed(t, natted)
	_, ds := judge(t, natted, live)
	if diff := cmp.Diff([]string{`LVS022 info: route "gateway" {`}, shown(t, natted, ds)); diff != "" {
		t.Errorf("%s\n%+v", diff, ds)
	}
}

// What selection leaves out does not make a cluster that is declared well a
// wrong one, and what it leaves in may still cut off the run.
func TestSelectionChangesOnlyWhatCutsOff(t *testing.T) {
	topo, _ := judge(t, natted, nil)
	for target, want := range map[string]int{"address.vip": 0, "route.gateway": 1} {
		p := planner.Build(planner.Input{Topology: topo, Live: observed(t, natted), Target: []string{target}})
		if len(p.Checks) != want {
			t.Errorf("--target %s: %+v", target, p.Checks)
		}
	}
}

func TestDestroyIsNotHeldUp(t *testing.T) {
	config := edit(t, direct, `  address   = "192.0.2.100"`, `  address   = "192.0.2.101"`)
	topo, _ := judge(t, config, nil)
	if p := planner.Build(planner.Input{Topology: topo, Live: observed(t, config), Destroy: true}); len(p.Checks) > 0 {
		t.Errorf("%+v", p.Checks)
	}
}

// The plan knows what the checks rest on, and is stale when that changes.
func TestPlanRestsOnWhatChecksSaw(t *testing.T) {
	topo, _ := judge(t, direct, nil)
	live := observed(t, direct)
	p := planner.Build(planner.Input{Topology: topo, Live: live})
	if d := p.Stale(live); len(d) > 0 {
		t.Fatalf("stale at once: %v", d)
	}
	for name, tc := range map[string]struct {
		change change
		stale  bool
	}{
		"the NIC's arp_ignore":  {with(sysctl("net.ipv4.conf.eth0.arp_ignore", "3")), true},
		"the default route":     {with(route("default", "192.0.2.7")), true},
		"a sysctl of no matter": {with(sysctl("net.ipv4.conf.eth1.arp_ignore", "3")), false},
		"another route":         {with(route("198.51.100.0/24", "192.0.2.7")), false},
		"an address":            {with(address("eth0", "192.0.2.77/24")), false},
	} {
		now := map[string]planner.Live{"dir1": live["dir1"], "rs1": tc.change(live["rs1"])}
		if got := len(p.Stale(now)) > 0; got != tc.stale {
			t.Errorf("%s: stale is %v", name, got)
		}
	}
	for _, h := range p.Redacted().Hosts {
		if len(h.Facts) > 0 {
			t.Errorf("%s: facts are shown", h.Name)
		}
	}
}

// What the checks ask for is no part of what is claimed.
func TestQueriesClaimNothing(t *testing.T) {
	topo, _ := judge(t, direct, nil)
	names := planner.Queries(topo)["rs1"]
	if diff := cmp.Diff([]string{"net.ipv4.conf.*.arp_announce", "net.ipv4.conf.*.arp_ignore"}, names.Checked); diff != "" {
		t.Error(diff)
	}
	live := observed(t, direct)
	for _, c := range planner.Build(planner.Input{Topology: topo, Live: live}).Changes {
		if s, ok := c.After.(state.Sysctl); ok && s.Name != "net.ipv4.conf.all.arp_ignore" && s.Name != "net.ipv4.conf.all.arp_announce" {
			t.Errorf("%s is claimed", s.Name)
		}
	}
	if got := check.Sysctls(&topology.Topology{}); len(got) > 0 {
		t.Errorf("of nothing: %v", got)
	}
}
