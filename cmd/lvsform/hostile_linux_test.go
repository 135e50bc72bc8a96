package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
)

// attack is what a host may put into any text: sequences of both kinds of
// control characters, a change of the writing direction, line ends.
const attack = "\x1b[2J\x1b]0;owned\x07\u009b31m\u202eevil\u2066\r\nrs9: done\u2028`|\x7f"

// hostileConfig has a resource of every kind that looks at its host.
const hostileConfig = `
topology "t" {}
host "dir1" { address = "192.0.2.1" }
host "rs1"  { address = "192.0.2.11" }
package "tools" {
  host  = host.dir1
  names = ["ipvsadm"]
}
service "firewall" {
  host    = host.rs1
  name    = "firewalld"
  running = false
}
sysctl "arp" {
  host     = host.rs1
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
link "d" {
  host = host.rs1
  name = "d0"
  kind = "dummy"
}
address "lo" {
  host   = host.rs1
  ip     = "192.0.2.100/32"
  device = "lo"
  label  = "lo:0"
}
route "lo" {
  host   = host.rs1
  to     = "192.0.2.100/32"
  device = "lo"
}
rule "r" {
  host     = host.rs1
  from     = "192.0.2.100/32"
  table    = 100
  priority = 1000
}
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
}
mark "m" {
  host     = host.dir1
  protocol = "tcp"
  address  = "192.0.2.100"
  ports    = [8080]
  mark     = 7
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "wlc"
  real_server "rs1" {
    host    = host.rs1
    forward = "dr"
  }
}
`

// run executes lvsform in a directory and returns what it said.
func (f *testFleet) run(args ...string) (code int, stdout, stderr string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args = slices.Clone(args)
	if slices.Contains([]string{"plan", "apply", "destroy", "explain", "status", "verify"}, args[0]) {
		args = append(args, "--ssh-config", filepath.Join(f.dir, "ssh_config"), "--agent-dir", filepath.Join(f.dir, "agents"))
	}
	cmd := exec.CommandContext(ctx, "lvsform", args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Stdin = f.dir, &out, &errs, strings.NewReader(f.stdin)
	cmd.Env = append(os.Environ(), f.environ...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// newFleet makes hosts and the files that lvsform finds them by.
func newFleet(t testing.TB, config string, hosts map[string]string) *testFleet {
	t.Helper()
	f := &testFleet{t: t, dir: t.TempDir(), hosts: map[string]*testHost{}}
	for _, dir := range []string{"agents", "hosts"} {
		if err := os.Mkdir(filepath.Join(f.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"agents/lvsform-agent-linux-amd64": "stands for the agent", "main.hcl": config} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, where := range hosts {
		f.add(name, where)
	}
	if err := f.writeSSHConfig(); err != nil {
		t.Fatal(err)
	}
	return f
}

// observe is what the host's agent says to a plan.
func (h *testHost) observe(t testing.TB, o wire.Observe) []byte {
	t.Helper()
	var in, out bytes.Buffer
	if err := errors.Join(wire.Write(&in, wire.Request{Observe: &o}), h.agent().Serve(&in, &out)); err != nil {
		t.Fatal(err)
	}
	var hello wire.Hello
	var r wire.Response
	if err := errors.Join(wire.Read(&out, &hello), wire.Read(&out, &r)); err != nil || r.Observation == nil {
		t.Fatal(err, r.Error)
	}
	body, err := json.Marshal(r.Observation)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// hostile is a topology in which every host has said something, and the hosts'
// words again to be twisted.
type hostile struct {
	top   *topology.Topology
	words map[string][]byte // observations as JSON
}

func newHostile(t testing.TB) *hostile {
	t.Helper()
	f := newFleet(t, hostileConfig, map[string]string{"dir1": "192.0.2.1/24,192.0.2.254", "rs1": "192.0.2.11/24,192.0.2.254"})
	f.hosts["rs1"].kernel.Set(state.Unit{Name: "firewalld", Running: state.Some(true), Enabled: state.Some(true)})
	if code, out, errs := f.run("apply", "--auto-approve"); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	top, ds := hcl.Load(hcl.Options{Dir: f.dir})
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	x := &hostile{top: top, words: map[string][]byte{}}
	for _, m := range topologyMachines(top) {
		h := f.hosts[m.name]
		// Drift, and things of others, so that there is something to show.
		h.kernel.Set(state.Sysctl{Name: "net.ipv4.conf.all.arp_ignore", Value: "0"})
		foreign := state.ServiceID{Protocol: "udp", Address: netip.MustParseAddr(h.address), Port: 53, Family: "ipv4"}
		h.kernel.Set(state.Service{ServiceID: foreign, Scheduler: "rr", Netmask: 32})
		h.kernel.SetFacts(state.Facts{
			Boot: []state.BootOwner{{File: "/etc/sysctl.conf", Sysctl: "net.ipv4.conf.all.arp_ignore", Value: "0"},
				{File: "/etc/network/interfaces", Address: netip.MustParseAddr("192.0.2.100"), Device: "lo"}, {File: "/etc/ipvsadm.rules"}},
			Programs:  []string{"kube-proxy"},
			Listeners: []state.Listener{{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Port: 80}},
			Filters: []state.Filter{{Family: "inet", Table: "filter", Chain: "input", Hook: "input", Drops: true,
				Verdicts: []state.Verdict{{Protocol: 6, Ports: [][2]uint16{{80, 80}}}}}},
		})
		x.words[m.name] = h.observe(t, wire.Observe{Sysctls: slices.Concat(m.query.Sysctls, m.query.Checked), Modules: m.query.Modules,
			Packages: m.query.Packages, Units: m.query.Units, Facts: true})
	}
	return x
}

// plan makes the plan of hosts with these words. An error says that they are
// refused.
func (x *hostile) plan(words map[string][]byte) (*planner.Plan, map[string]planner.Live, error) {
	live := map[string]planner.Live{}
	for name, text := range words {
		var o wire.Observation
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			return nil, nil, err
		}
		l := planner.Live{Objects: o.Objects, Ledger: o.Ledger, MissingModules: o.MissingModules}
		if o.Facts != nil {
			l.Facts = *o.Facts
		}
		live[name] = l
	}
	return planner.Build(planner.Input{Topology: x.top, Live: live}), live, nil
}

// outputs are all forms in which a plan is shown.
func (x *hostile) outputs(t testing.TB, p *planner.Plan, live, before map[string]planner.Live) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, f := range map[string]flags{"text": {foreign: true}, "JSON": {foreign: true, json: true}, "Markdown": {markdown: true}} {
		out[name] = said(t, func(c *cli) {
			c.flags = f
			c.showPlan(p, live)
		})
	}
	out["stream"] = said(t, func(c *cli) {
		stream{c}.planned(p)
		for _, change := range p.Changes {
			stream{c}.Done(change)
		}
	})
	out["progress"] = said(t, func(c *cli) {
		f := newFollower(p, &lines{out: c.stderr})
		for _, change := range p.Changes {
			f.Done(change)
		}
	})
	out["stale"] = said(t, func(c *cli) {
		q, _, err := x.plan(x.words)
		if err != nil {
			t.Fatal(err)
		}
		if differences := q.Stale(live); len(differences) > 0 {
			c.exit(staleError(q, differences))
		}
	})
	return out
}

// said is what a piece of the program prints, on both ways.
func said(t testing.TB, do func(*cli)) string {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(out)
		text <- string(b)
	}()
	do(&cli{stdout: in, stderr: in})
	in.Close()
	return <-text
}

// unsafeRune finds what could move a cursor or reorder what is read.
func unsafeRune(text string) string {
	i := strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028')
	})
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("%q in %q", text[i:min(len(text), i+12)], text[max(0, i-80):min(len(text), i+80)])
}

// twist calls use with every variant of a JSON text in which one value, or one
// name of a member, is another.
func twist(t *testing.T, text []byte, other func(any) []any, use func(path string, twisted []byte)) {
	t.Helper()
	var root any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		t.Fatal(err)
	}
	emit := func(path string) {
		twisted, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		use(path, twisted)
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		for _, o := range other(v) {
			set(o)
			emit(path)
		}
		set(v)
		switch v := v.(type) {
		case []any:
			for i := range v {
				if i == 2 {
					break // the rest is of the same form
				}
				walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(o any) { v[i] = o })
			}
		case map[string]any:
			for i, name := range slices.Sorted(maps.Keys(v)) {
				if i == 20 {
					break
				}
				kept := v[name]
				for _, o := range other(name) {
					if o, ok := o.(string); ok && o != name {
						delete(v, name)
						v[o] = kept
						emit(path + "." + name + " (its name)")
						delete(v, o)
						v[name] = kept
					}
				}
				walk(path+"."+name, kept, func(o any) { v[name] = o })
			}
		}
	}
	walk("", root, func(o any) { root = o })
}

// Whatever text of a host holds escapes, no output does; and what another host
// is told stays the same.
func TestHostileTextsReachNoOutput(t *testing.T) {
	t.Parallel()
	x := newHostile(t)
	honest, before, err := x.plan(x.words)
	if err != nil {
		t.Fatal(err)
	}
	attacked := func(v any) []any {
		if s, ok := v.(string); ok {
			return []any{s + attack}
		}
		return nil
	}
	passed := 0
	for _, name := range slices.Sorted(maps.Keys(x.words)) {
		twist(t, x.words[name], attacked, func(path string, twisted []byte) {
			words := maps.Clone(x.words)
			words[name] = twisted
			p, live, err := x.plan(words)
			if err != nil {
				return // what it says to that is checked with the session
			}
			passed++
			for form, text := range x.outputs(t, p, live, before) {
				if found := unsafeRune(text); found != "" {
					t.Errorf("%s of %s: the %s holds %s", path, name, form, found)
				}
			}
			others := func(p *planner.Plan) []wire.Step {
				return steps(slices.DeleteFunc(slices.Clone(p.Changes), func(c planner.Change) bool { return c.Host == name }))
			}
			if want, got := mustJSON(t, others(honest)), mustJSON(t, others(p)); want != got {
				t.Errorf("%s of %s: other hosts are told something else: %s", path, name, cmp.Diff(want, got))
			}
		})
	}
	if passed < 60 {
		t.Errorf("only %d texts came through: the hosts say too little", passed)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Values that no kernel has are refused, or planned with like any other.
func TestHostileValuesDoNoHarm(t *testing.T) {
	t.Parallel()
	x := newHostile(t)
	_, before, err := x.plan(x.words)
	if err != nil {
		t.Fatal(err)
	}
	other := func(v any) []any {
		switch v := v.(type) {
		case json.Number:
			return []any{-1, 0, json.Number("9223372036854775807"), json.Number("-9223372036854775808"), json.Number("1e300"), "1"}
		case string:
			return []any{"", "0", "::", "0.0.0.0/0", "tcp/[::]:0", strings.Repeat("x", 5000), nil}
		case bool:
			return []any{!v, nil}
		case []any:
			return []any{[]any{}, append(slices.Clone(v), v...), nil}
		case map[string]any:
			return []any{map[string]any{}, nil}
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(x.words)) {
		twist(t, x.words[name], other, func(path string, twisted []byte) {
			words := maps.Clone(x.words)
			words[name] = twisted
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("%s of %s: panic: %v", path, name, r)
				}
			}()
			p, live, err := x.plan(words)
			if err != nil {
				return
			}
			x.outputs(t, p, live, before)
			var file bytes.Buffer
			if err := p.Save(&file); err != nil {
				t.Errorf("%s of %s: the plan cannot be saved: %v", path, name, err)
			} else if _, err := planner.Open(&file); err != nil {
				t.Errorf("%s of %s: the plan that was saved cannot be read: %v", path, name, err)
			}
		})
	}
}

// FuzzHostileObservation looks for words of a host that crash a plan, or that
// reach an output with their escapes.
func FuzzHostileObservation(f *testing.F) {
	x := newHostile(f)
	f.Add(x.words["dir1"])
	f.Add([]byte(`{"objects":{},"ledger":{"version":1,"before":{},"topologies":{}}}`))
	f.Fuzz(func(t *testing.T, words []byte) {
		_, before, _ := x.plan(x.words)
		p, live, err := x.plan(map[string][]byte{"dir1": words, "rs1": x.words["rs1"]})
		if err != nil {
			return
		}
		for form, text := range x.outputs(t, p, live, before) {
			if found := unsafeRune(text); found != "" {
				t.Errorf("the %s holds %s", form, found)
			}
		}
	})
}
