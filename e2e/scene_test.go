//go:build lab

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/lab"
	"github.com/lvsform/lvsform/topology"
)

// scene is a configuration, and the lab that its first version declared.
type scene struct {
	t   *testing.T
	dir string
	lab *lab.Lab
	ssh string // the ssh_config in place of the lab's own; "": that
}

// cliTime bounds one command; the hosts are emulated.
const cliTime = 3 * time.Minute

// newScene writes main.hcl and builds the hosts that it declares. IPVS is
// loaded, so that hosts can be compared with what they were.
func newScene(t *testing.T, config string) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir()}
	s.write(config)
	s.build()
	return s
}

// newExample is a scene of a directory below examples.
func newExample(t *testing.T, name string) *scene {
	t.Helper()
	s := &scene{t: t, dir: filepath.Join("..", "examples", name)}
	s.build()
	return s
}

func (s *scene) build() {
	s.t.Helper()
	config, err := lab.New(s.topology())
	if err != nil {
		s.t.Fatal(err)
	}
	inMachine(s.t, "modprobe -a ip_vs ip_vs_rr ip_vs_wrr ip_vs_wlc ip_vs_lc ip_vs_pe_sip ipip ip6_tunnel sit ip_gre fou nf_conntrack nft_masq")
	if s.lab, err = machine.Build(s.t.Context(), config); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := s.lab.Down(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
}

// inMachine runs shell lines beside the hosts.
func inMachine(t *testing.T, lines string) string {
	t.Helper()
	r, err := machine.Exec(t.Context(), "sh", "-ec", lines)
	if err != nil || r.Code != 0 {
		t.Fatalf("machine: exit %d, %v: %s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	return string(r.Stdout)
}

func (s *scene) topology() *topology.Topology {
	s.t.Helper()
	t, ds := hcl.Load(hcl.Options{Dir: s.dir, Environ: os.Environ(), Version: "0.1.0"})
	for _, d := range ds {
		if d.Severity == topology.Error {
			s.t.Fatalf("%s: %s: %s", d.Range, d.Summary, d.Detail)
		}
	}
	return t
}

// write replaces the configuration.
func (s *scene) write(config string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "main.hcl"), []byte(config), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// other is a second configuration for the same hosts.
func (s *scene) other(config string) *scene {
	s.t.Helper()
	o := s.empty()
	o.write(config)
	return o
}

// empty is a second configuration for the same hosts that is still to be written.
func (s *scene) empty() *scene {
	s.t.Helper()
	return &scene{t: s.t, dir: s.t.TempDir(), lab: s.lab}
}

// in is the scene inside a subtest.
func (s *scene) in(t *testing.T) *scene { return &scene{t: t, dir: s.dir, lab: s.lab, ssh: s.ssh} }

// said is what a run of lvsform came to.
type said struct {
	out, err string
	code     int
}

// lvsform runs the command line on the scene's configuration, natively, over
// SSH connections to the lab.
func (s *scene) lvsform(args ...string) said {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), cliTime)
	defer cancel()
	cmd := s.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("lvsform %v: %v", args, err)
	}
	return said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// command is lvsform on the scene's configuration and hosts.
func (s *scene) command(ctx context.Context, args ...string) *exec.Cmd {
	config := s.ssh
	if config == "" {
		config = s.lab.SSHConfig()
	}
	remote := []string{"--ssh-config", config, "--timeout", "2m", "--parallelism", "8"}
	c := exec.CommandContext(ctx, cliPath(), append(args, remote...)...)
	c.Dir = s.dir
	c.Env = append(os.Environ(), "NO_COLOR=1", "SSH_AUTH_SOCK=")
	return c
}

// must runs lvsform and expects an exit code.
func (s *scene) must(code int, args ...string) said {
	s.t.Helper()
	got := s.lvsform(args...)
	if got.code != code {
		s.t.Fatalf("lvsform %v: exit %d, want %d\n%s%s", args, got.code, code, got.out, got.err)
	}
	return got
}

func (s *scene) apply() { s.t.Helper(); s.must(0, "apply", "--auto-approve") }
func (s *scene) destroy() {
	s.t.Helper()
	s.must(0, "destroy", "--auto-approve")
}

// planned is the plan's changes, a line each: host, action, kind, key.
func (s *scene) planned(args ...string) []string {
	s.t.Helper()
	got := s.lvsform(append([]string{"plan", "--json", "--detailed-exitcode"}, args...)...)
	if got.code != 0 && got.code != 2 {
		s.t.Fatalf("plan: exit %d\n%s%s", got.code, got.out, got.err)
	}
	var plan struct {
		Changes []struct {
			Host, Kind, Key string
			Actions         []string
		}
	}
	if err := json.Unmarshal([]byte(got.out), &plan); err != nil {
		s.t.Fatalf("plan --json: %v\n%s", err, got.out)
	}
	lines := []string{}
	for _, c := range plan.Changes {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", c.Host, strings.Join(c.Actions, "+"), c.Kind, c.Key))
	}
	slices.Sort(lines)
	if (len(lines) == 0) != (got.code == 0) {
		s.t.Errorf("plan: exit %d with changes %q", got.code, lines)
	}
	return lines
}

// wantPlan compares the plan's changes.
func (s *scene) wantPlan(want ...string) {
	s.t.Helper()
	slices.Sort(want)
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, s.planned()); diff != "" {
		s.t.Errorf("changes of the plan (-want +got):\n%s", diff)
	}
}

// wantNoChanges expects the words and the exit code of an empty plan.
func (s *scene) wantNoChanges() {
	s.t.Helper()
	if got := s.lvsform("plan", "--detailed-exitcode"); got.code != 0 || !strings.Contains(got.out, "No changes.") {
		s.t.Errorf("plan: exit %d\n%s%s", got.code, got.out, got.err)
	}
}

// wantDrift expects exit code 2 and the words in the plan's text.
func (s *scene) wantDrift(words ...string) {
	s.t.Helper()
	got := s.lvsform("plan", "--detailed-exitcode")
	if got.code != 2 {
		s.t.Errorf("plan: exit %d, want 2\n%s%s", got.code, got.out, got.err)
	}
	for _, w := range words {
		if !strings.Contains(got.out, w) {
			s.t.Errorf("the plan lacks %q:\n%s", w, got.out)
		}
	}
}

// on runs shell lines on a host, each of which has to succeed, and returns what
// they print.
func (s *scene) on(host, lines string) string {
	s.t.Helper()
	out, err := s.try(host, lines)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// try is on for what runs beside others.
func (s *scene) try(host, lines string) (string, error) {
	r, err := s.lab.Exec(s.t.Context(), host, "sh", "-ec", lines)
	if err != nil || r.Code != 0 {
		return "", fmt.Errorf("%s: exit %d, %v: %s\n%s%s", host, r.Code, err, lines, r.Stdout, r.Stderr)
	}
	return string(r.Stdout), nil
}

// wantOn compares what shell lines print on a host. Spaces count once.
func (s *scene) wantOn(host, lines, want string) {
	s.t.Helper()
	if diff := cmp.Diff(tidy(want), tidy(s.on(host, lines))); diff != "" {
		s.t.Errorf("%s: %s (-want +got):\n%s", host, lines, diff)
	}
}

// tidy makes output comparable that is laid out for a screen.
func tidy(text string) []string {
	out := []string{}
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// serve starts servers on the real servers of every service.
func (s *scene) serve() {
	s.t.Helper()
	for _, v := range lab.Services(s.topology()) {
		if err := s.lab.ServeFor(s.t.Context(), v); err != nil {
			s.t.Fatal(err)
		}
	}
}

// wantAnswers sends requests to every service, and expects the shares that
// weights and scheduler promise.
func (s *scene) wantAnswers() {
	s.t.Helper()
	for _, v := range lab.Services(s.topology()) {
		if err := v.Judge(s.request(v.Protocol, v.Target(), v.Sample())); err != nil {
			s.t.Error(err)
		}
	}
}

// request sends requests from the right client.
func (s *scene) request(network, target string, count int) lab.Answers {
	s.t.Helper()
	a, err := s.lab.Request(s.t.Context(), s.client(target), lab.Requests{Network: network, Target: target, Count: count})
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *scene) client(target string) string {
	s.t.Helper()
	for _, v := range lab.Services(s.topology()) {
		if v.Target() == target {
			return s.lab.Config.ClientFor(v.Address)
		}
	}
	s.t.Fatalf("no service %s", target)
	return ""
}
