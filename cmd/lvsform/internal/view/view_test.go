package view_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

var (
	vip  = netip.MustParseAddr("192.0.2.10")
	addr = state.Address{Device: "lo", IP: netip.PrefixFrom(vip, 32), Label: "lo:0", Broadcast: vip, Scope: "global"}
	id   = state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}
	svc  = state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32}
	dest = state.Destination{Service: id, Address: netip.MustParseAddr("192.0.2.21"), Port: 80, Weight: 1, Forward: "dr"}
)

func change(host string, action planner.Action, before, after state.Object, addresses ...string) planner.Change {
	c := planner.Change{Host: host, Action: action, Before: before, After: after, Addresses: addresses}
	c.ID = host + ":" + c.Key().String()
	return c
}

func plan(changes ...planner.Change) *planner.Plan {
	p := &planner.Plan{Topology: "web", Changes: changes}
	hosts := map[string]bool{}
	for _, c := range changes {
		if !hosts[c.Host] {
			hosts[c.Host] = true
			p.Hosts = append(p.Hosts, planner.Host{Name: c.Host})
		}
		switch c.Action {
		case planner.Create:
			p.Summary.Add++
		case planner.Update:
			p.Summary.Change++
		case planner.Delete:
			p.Summary.Remove++
		case planner.Adopt:
			p.Summary.Adopt++
		case planner.Forget:
			p.Summary.Forget++
		}
	}
	p.Summary.Hosts = len(hosts)
	return p
}

func text(p *planner.Plan) string {
	var b strings.Builder
	view.Style{}.Plan(&b, p)
	return b.String()
}

func TestPlanText(t *testing.T) {
	weight2 := dest
	weight2.Weight = 2
	persistent := svc
	persistent.Timeout, persistent.Netmask = 50*time.Second, 24
	wide := addr
	wide.IP = netip.PrefixFrom(vip, 24)
	arp := func(host, value string) planner.Change {
		return change(host, planner.Update, state.Sysctl{Name: "net.ipv4.conf.all.arp_ignore", Value: "0"},
			state.Sysctl{Name: "net.ipv4.conf.all.arp_ignore", Value: value}, `module.web.sysctl.arp["`+host+`"]`)
	}
	for name, tc := range map[string]struct {
		plan *planner.Plan
		want string
	}{
		"created, with what goes without saying left out": {
			plan(change("rs1", planner.Create, nil, addr, `module.web.address.vip_lo["rs1"]`)),
			`  # module.web.address.vip_lo["rs1"] on rs1 will be created
  + address "192.0.2.10/32" { device = "lo"  label = "lo:0"  broadcast = "192.0.2.10" }

Plan: 1 to add, 0 to change, 0 to remove on 1 host.
`},
		"updated in place": {
			plan(change("dir1", planner.Update, dest, weight2, "virtual_service.web.real_server.rs2")),
			`  # virtual_service.web.real_server.rs2 on dir1 will be updated in place
  ~ weight = 1 -> 2

Plan: 0 to add, 1 to change, 0 to remove on 1 host.
`},
		"an attribute that was unset": {
			plan(change("dir1", planner.Update, svc, persistent, "virtual_service.web")),
			`  # virtual_service.web on dir1 will be updated in place
  + timeout = "50s"
  ~ netmask = 32 -> 24

Plan: 0 to add, 1 to change, 0 to remove on 1 host.
`},
		"hosts with equal changes together": {
			plan(arp("rs1", "1"), arp("rs2", "1")),
			`  # module.web.sysctl.arp[*] on rs1, rs2 will be updated in place
  ~ "net.ipv4.conf.all.arp_ignore" = 0 -> 1

Plan: 0 to add, 2 to change, 0 to remove on 2 hosts.
`},
		"hosts with other values apart": {
			plan(arp("rs1", "1"), arp("rs2", "2")),
			`  # module.web.sysctl.arp["rs1"] on rs1 will be updated in place
  ~ "net.ipv4.conf.all.arp_ignore" = 0 -> 1

  # module.web.sysctl.arp["rs2"] on rs2 will be updated in place
  ~ "net.ipv4.conf.all.arp_ignore" = 0 -> 2

Plan: 0 to add, 2 to change, 0 to remove on 2 hosts.
`},
		"replaced, with the title's own attribute": {
			plan(change("rs1", planner.Replace, wide, addr, "address.vip")),
			`  # address.vip on rs1 will be replaced
  -/+ address "192.0.2.10/32"
  ~ address "192.0.2.10/24" -> address "192.0.2.10/32"

Plan: 0 to add, 0 to change, 0 to remove on 1 host.
`},
		"removed, with hazards in words": {
			func() *planner.Plan {
				c := change("dir1", planner.Delete, dest, nil, "virtual_service.web")
				c.Hazards = []planner.Hazard{planner.HazardConnections, planner.HazardExistedBefore}
				return plan(c)
			}(),
			`  # virtual_service.web on dir1 will be removed (connections through it end; it was there before lvsform)
  - real_server "192.0.2.21:80" { weight = 1  forward = "dr" }

Plan: 0 to add, 0 to change, 1 to remove on 1 host.
`},
		"adopted and forgotten": {
			plan(change("rs1", planner.Adopt, addr, addr, "address.a"), change("rs1", planner.Forget, svc, svc, "virtual_service.s")),
			`  # address.a on rs1 will be adopted (already there)
  = address "192.0.2.10/32" { device = "lo"  label = "lo:0"  broadcast = "192.0.2.10" }

  # virtual_service.s on rs1 will be forgotten (left as it is)
  = virtual_service "tcp/192.0.2.10:80" { scheduler = "wlc" }

Plan: 0 to add, 0 to change, 0 to remove, 1 to adopt, 1 to forget on 1 host.
`},
		"sensitive values hidden": {
			func() *planner.Plan {
				c := change("dir1", planner.Update, dest, weight2, "virtual_service.web.real_server.rs2")
				c.Sensitive = []string{"weight"}
				return plan(c)
			}(),
			`  # virtual_service.web.real_server.rs2 on dir1 will be updated in place
  ~ weight = (sensitive) -> (sensitive)

Plan: 0 to add, 1 to change, 0 to remove on 1 host.
`},
		"what a host sent cannot reach the terminal": {
			plan(change("rs1", planner.Update, state.Sysctl{Name: "kernel.x", Value: "\x1b[2J\x1b]0;owned\x07a\u202eb"},
				state.Sysctl{Name: "kernel.x", Value: "1"}, "sysctl.x")),
			`  # sysctl.x on rs1 will be updated in place
  ~ "kernel.x" = "ab" -> 1

Plan: 0 to add, 1 to change, 0 to remove on 1 host.
`},
		"nothing to do":           {&planner.Plan{Hosts: make([]planner.Host, 3)}, "No changes. 3 hosts match the configuration.\n"},
		"nothing to do on one":    {&planner.Plan{Hosts: make([]planner.Host, 1)}, "No changes. 1 host matches the configuration.\n"},
		"nothing left to destroy": {&planner.Plan{Topology: "web", Destroy: true, Hosts: make([]planner.Host, 2)}, "No changes. Nothing of web is left on 2 hosts.\n"},
		"a host that is not there": {
			&planner.Plan{Hosts: []planner.Host{{Name: "a"}, {Name: "b", Error: "connect to 192.0.2.1:22: refused\x1b[0m"}}},
			"1 host could not be read:\n  b  connect to 192.0.2.1:22: refused\n\nNo changes. 1 host matches the configuration; 1 could not be read.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, text(tc.plan)); d != "" {
				t.Error(d)
			}
		})
	}
}

// The directors that drain one server are one entry, with the connections of all.
func TestADrainTellsTheConnectionsThatItConcerns(t *testing.T) {
	drain := func(host string, connections *int) planner.Change {
		resting := dest
		resting.Weight = 0
		c := change(host, planner.Update, dest, resting, "virtual_service.web.real_server.rs1")
		c.Drain, c.Connections = time.Minute, connections
		return c
	}
	many, one := 36, 1
	for _, tc := range []struct {
		first, second *int
		want          string
	}{
		{&many, &one, "drained: no new connections, up to 1m0s for the others (37 connections)\n"},
		{&many, nil, "drained: no new connections, up to 1m0s for the others\n"}, // one did not say
	} {
		p := plan(drain("dir1", tc.first), drain("dir2", tc.second))
		var comment strings.Builder
		view.Markdown(&comment, p, nil)
		for _, got := range []string{text(p), comment.String()} {
			if want := "# virtual_service.web.real_server.rs1 on dir1, dir2 will be " + tc.want; !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
}

func TestColourOnlyMarksText(t *testing.T) {
	p := plan(change("rs1", planner.Create, nil, addr, "address.a"))
	var b strings.Builder
	view.Style{Color: true}.Plan(&b, p)
	if !strings.Contains(b.String(), "\x1b[32m+ address") {
		t.Errorf("no green addition in %q", b.String())
	}
	if d := cmp.Diff(text(p), view.Clean(b.String())); d != "" {
		t.Error(d)
	}
}

func TestDiagnostics(t *testing.T) {
	at := func(line, from, to int) *topology.Range {
		return &topology.Range{File: "main.hcl", Start: topology.Pos{Line: line, Column: from}, End: topology.Pos{Line: line, Column: to}}
	}
	for name, tc := range map[string]struct {
		d    topology.Diagnostic
		want string
	}{
		"a place in a file": {
			topology.Diagnostic{Severity: topology.Error, Summary: "Port out of range", Detail: "Use 1 to 65535.", Range: at(12, 10, 15), Source: "  port = 99999 # é"},
			"Error: Port out of range\n\n  main.hcl, line 12:\n  12:   port = 99999 # é\n               ^^^^^\n\nUse 1 to 65535.\n\n"},
		"tabs stay in step": {
			topology.Diagnostic{Severity: topology.Warning, Check: "LVS012", Summary: "s", Range: at(3, 2, 4), Source: "\tab"},
			"Warning: s (LVS012)\n\n  main.hcl, line 3:\n   3: \tab\n      \t^^\n\n"},
		"without a file": {
			topology.Diagnostic{Severity: topology.Error, Summary: "s", Host: "rs1", Object: "address.a"},
			"Error: s\n\n  in address.a on rs1\n\n"},
		"escapes in a source line": {
			topology.Diagnostic{Severity: topology.Error, Summary: "s\x1b[1m", Range: at(1, 1, 3), Source: "a\x1b[31mb"},
			"Error: s\n\n  main.hcl, line 1:\n   1: ab\n\n"},
		"a place outside its line": {
			topology.Diagnostic{Severity: topology.Info, Summary: "s", Range: at(1, 90, 95), Source: "short"},
			"Note: s\n\n  main.hcl, line 1:\n   1: short\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			view.Style{}.Diagnostics(&b, topology.Diagnostics{tc.d})
			if d := cmp.Diff(tc.want, b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMarkdownCannotBeBrokenOut(t *testing.T) {
	hostile := "```\n</details><script>"
	c := change("rs1", planner.Update, state.Sysctl{Name: "x", Value: hostile}, state.Sysctl{Name: "x", Value: "````"}, "sysctl.x")
	p := plan(c)
	p.Hosts = append(p.Hosts, planner.Host{Name: "`b`", Error: "` <b>"})
	var b strings.Builder
	view.Markdown(&b, p, topology.Diagnostics{{Severity: topology.Warning, Summary: "w", Detail: hostile}})
	want := "**lvsform `web`**: Plan: 0 to add, 1 to change, 0 to remove on 1 host; 1 could not be read.\n\n" +
		"````\nWarning: w\n\n```\n</details><script>\n````\n" +
		"- `'b'` could not be read: `' <b>`\n\n" +
		"<details><summary>Changes</summary>\n\n`````diff\n" +
		"# sysctl.x on rs1 will be updated in place\n! \"x\" = \"``` </details><script>\" -> \"````\"\n" +
		"`````\n\n</details>\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestMarkdownFitsIntoAComment(t *testing.T) {
	var changes []planner.Change
	for i := range 2000 {
		a := addr
		a.Device = "lo" + strings.Repeat("x", i%7)
		a.IP = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		changes = append(changes, change("rs1", planner.Create, nil, a, "address.a"+strings.Repeat("b", i%5)))
	}
	var b strings.Builder
	view.Markdown(&b, plan(changes...), nil)
	if n := len([]rune(b.String())); n > 60_000 || n < 50_000 {
		t.Errorf("%d characters", n)
	}
	if !strings.Contains(b.String(), "cut here") || !strings.HasSuffix(b.String(), "```\n\n</details>\n") {
		t.Errorf("the end is %q", b.String()[b.Len()-200:])
	}
}

func TestForeignIsWhatNobodyDeclaredOrClaimed(t *testing.T) {
	other := addr
	other.IP = netip.MustParsePrefix("192.0.2.99/32")
	claimed := addr
	claimed.IP = netip.MustParsePrefix("192.0.2.98/32")
	p := &planner.Plan{Hosts: []planner.Host{{Name: "rs1", Observed: state.Objects{addr}}}}
	live := map[string]planner.Live{"rs1": {
		Objects: state.Objects{addr, other, claimed, state.Sysctl{Name: "x", Value: "1"},
			state.Route{To: netip.MustParsePrefix("192.0.2.0/24"), Table: 254, Device: "eth0", Protocol: 2},
			state.Rule{Family: "ipv4", Priority: 32766, Table: 254}, state.Rule{Family: "ipv4", Priority: 7, Table: 9}},
		Ledger: state.Ledger{Entries: []state.Entry{{Claims: []state.Claim{{Topology: "other", Value: state.Boxed{Object: claimed}}}}}},
	}}
	want := []view.Foreign{{Host: "rs1", Objects: state.Objects{other, state.Rule{Family: "ipv4", Priority: 7, Table: 9}}}}
	got := view.ForeignObjects(p, live)
	a, _ := json.Marshal(want)
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(a), string(b)); d != "" {
		t.Error(d)
	}
}

func TestStaleDifferencesHideWhatMayBeSecret(t *testing.T) {
	weight9 := dest
	weight9.Weight = 9
	p := plan(change("dir1", planner.Update, state.Sysctl{Name: "x", Value: "1"}, state.Sysctl{Name: "x", Value: "2"}, "sysctl.x"))
	var b strings.Builder
	view.Differences(&b, p, []planner.Difference{
		{Host: "dir1", Key: state.Key{Kind: state.KindSysctl, ID: "x"}, Then: state.Sysctl{Name: "x", Value: "1"}, Now: state.Sysctl{Name: "x", Value: "7"}},
		{Host: "dir1", Key: dest.Key(), Then: dest, Now: weight9},
		{Host: "dir1", Key: addr.Key(), Now: addr},
		{Host: "dir1", Key: svc.Key(), Then: svc},
		{Host: "rs1", Ledger: true},
	})
	want := `  dir1: sysctl "x" changed: "x" = 1 -> 7
  dir1: real_server "192.0.2.21:80" has another value of weight
  dir1: address "192.0.2.10/32" was not there, and is now
  dir1: virtual_service "tcp/192.0.2.10:80" was there, and is gone
  rs1: what lvsform has recorded there changed
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestReport(t *testing.T) {
	p := plan(change("dir1", planner.Create, nil, addr, "address.a"), change("rs1", planner.Create, nil, addr, "address.b"),
		change("rs2", planner.Create, nil, addr, "address.c"))
	status := func(a, b, c apply.Status) *apply.Report {
		r := &apply.Report{Changes: map[string]apply.Status{}}
		for i, s := range []apply.Status{a, b, c} {
			r.Changes[p.Changes[i].ID] = s
			r.Hosts = append(r.Hosts, apply.HostReport{Name: p.Changes[i].Host, Counts: map[apply.Status]int{s: 1}})
		}
		return r
	}
	failed := status(apply.Done, apply.RolledBack, apply.Skipped)
	failed.Hosts[1].Err = errors.New("rs1: rolled back:\x1b[5m no such device")
	interrupted := status(apply.Done, apply.NotStarted, apply.NotStarted)
	interrupted.Interrupted = true
	for name, tc := range map[string]struct {
		o    view.Outcome
		want string
	}{
		"complete": {view.Outcome{Plan: p, Report: status(apply.Done, apply.Done, apply.Done)},
			"Apply complete: 3 added, 0 changed, 0 removed on 3 hosts.\n"},
		"rolled back": {view.Outcome{Plan: p, Report: failed, Continue: "lvsform apply"},
			`Apply incomplete: 1 of 3 changes done.
  dir1  1 done
  rs1  1 rolled back
    rs1: rolled back: no such device
    rolled back: address.b (address "192.0.2.10/32")
  rs2  1 skipped
    skipped: address.c (address "192.0.2.10/32")

To go on, run:
  lvsform apply
`},
		"interrupted": {view.Outcome{Plan: p, Report: interrupted, Continue: "lvsform apply"},
			`Apply incomplete: 1 of 3 changes done; interrupted, so nothing further was begun.
  dir1  1 done
  rs1  1 not started
    not started: address.b (address "192.0.2.10/32")
  rs2  1 not started
    not started: address.c (address "192.0.2.10/32")

To go on, run:
  lvsform apply
`},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			view.Style{}.Report(&b, tc.o)
			if d := cmp.Diff(tc.want, b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHostsThatForgetAreOneLine(t *testing.T) {
	p := plan(change("a", planner.Create, nil, addr, "address.vip"), change("b", planner.Create, nil, addr, "address.vip"))
	p.Fleeting = []string{"a", "b"}
	want := "What is applied on a, b will not survive a reboot there: systemd would put it back, and does not run."
	var markdown strings.Builder
	view.Markdown(&markdown, p, nil)
	for name, got := range map[string]string{"the plan": text(p), "the comment": markdown.String()} {
		if strings.Count(got, want) != 1 || strings.Count(got, "reboot") != 1 {
			t.Errorf("%s says %s", name, got)
		}
	}
}
