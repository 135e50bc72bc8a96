package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner"
)

// savedPlan is a plan's file, and the plan.
func savedPlan(t *testing.T) (*hostile, []byte) {
	t.Helper()
	x := newHostile(t)
	p, _, err := x.plan(x.words)
	if err != nil {
		t.Fatal(err)
	}
	if p.Empty() {
		t.Fatal("the plan is empty")
	}
	var file bytes.Buffer
	if err := p.Save(&file); err != nil {
		t.Fatal(err)
	}
	return x, file.Bytes()
}

// A plan file that lost its end, or has a flipped bit, is refused with an error
// that says what it is.
func TestADamagedPlanFileIsRefused(t *testing.T) {
	_, file := savedPlan(t)
	try := func(what string, at int, damaged []byte) {
		t.Helper()
		if _, err := planner.Open(bytes.NewReader(damaged)); err == nil || !strings.Contains(err.Error(), "plan") {
			t.Errorf("%s at %d: %v", what, at, err)
		}
	}
	head := bytes.IndexByte(file, '\n')
	for i := range file {
		for bit := range 8 {
			if i > head+20 && bit != i%8 {
				continue // the body is all of a kind: its sum is over it
			}
			damaged := slices.Clone(file)
			damaged[i] ^= 1 << bit
			try("a flipped bit", i, damaged)
		}
		try("its end", i, file[:i])
	}
	try("more", len(file), append(slices.Clone(file), '\n'))
	try("twice", len(file), append(slices.Clone(file), file...))
}

// A plan file that somebody else made, with the right sum, is refused or shown
// without its escapes.
func TestAHostilePlanFileIsShownPlainly(t *testing.T) {
	t.Parallel()
	x, file := savedPlan(t)
	body := file[bytes.IndexByte(file, '\n')+1:]
	other := func(v any) []any {
		switch v := v.(type) {
		case string:
			return []any{v + attack, ""}
		case json.Number:
			return []any{-1, json.Number("9223372036854775807")}
		case []any:
			return []any{append(slices.Clone(v), v...), nil}
		case map[string]any:
			return []any{map[string]any{}, nil}
		}
		return nil
	}
	shown := 0
	twist(t, body, other, func(path string, twisted []byte) {
		sum := sha256.Sum256(append([]byte(planner.FormatVersion+"\n"), twisted...))
		forged := fmt.Appendf(nil, "lvsform-plan %s %x\n%s", planner.FormatVersion, sum, twisted)
		p, err := planner.Open(bytes.NewReader(forged))
		if err != nil {
			text := said(t, func(c *cli) { c.exit(err) }) + said(t, func(c *cli) { c.flags.json = true; c.exit(err) })
			if found := unsafeRune(text); found != "" {
				t.Errorf("%s: the error holds %s", path, found)
			}
			return
		}
		shown++
		for form, text := range x.outputs(t, p, nil, nil) {
			if found := unsafeRune(text); found != "" {
				t.Errorf("%s: the %s holds %s", path, form, found)
			}
		}
	})
	if shown < 20 {
		t.Errorf("only %d plans were shown", shown)
	}
}

// What lvsform writes beside a configuration nobody else can change, whatever
// the umask, and a plan, which may hold secrets, nobody else can read: also
// where a file was that everybody could.
func TestFilesBesideTheConfiguration(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	f := newFleet(t, canaryConfig, map[string]string{"dir1": "192.0.2.1/24", "rs1": "192.0.2.11/24"})
	f.environ = []string{"LVSFORM_VAR_secret=" + canary, "LVSFORM_VAR_number=" + canaryNumber}
	open := filepath.Join(f.dir, "open.plan")
	if err := os.WriteFile(open, []byte("everybody's"), 0o666); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(f.dir, "theirs")
	if err := os.WriteFile(theirs, []byte("everybody's"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(theirs, filepath.Join(f.dir, "linked.plan")); err != nil {
		t.Fatal(err)
	}
	repository := gitModule(t)
	if err := os.WriteFile(filepath.Join(f.dir, "more.hcl"), []byte("module \"m\" {\n  source = \"git::file://"+repository+"?ref=v1\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init"}, {"plan", "--out", "new.plan"}, {"plan", "--out", "open.plan"}, {"plan", "--out", "linked.plan"},
		{"graph", "--out", "graph.svg"}} {
		code, stdout, stderr := f.run(args...)
		if code != 0 {
			t.Fatalf("%q: exit code %d: %s%s", args, code, stdout, stderr)
		}
		if args[0] == "plan" && !strings.Contains(stderr, "holds sensitive values") {
			t.Errorf("%q does not say that the file holds secrets: %s", args, stderr)
		}
	}
	got := map[string]string{}
	for _, name := range []string{"new.plan", "open.plan", "linked.plan", "theirs", "graph.svg", ".lvsform.lock.hcl", ".lvsform", ".lvsform/modules"} {
		info, err := os.Lstat(filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = info.Mode().String()
	}
	want := map[string]string{"new.plan": "-rw-------", "open.plan": "-rw-------", "linked.plan": "-rw-------", "theirs": "-rw-rw-rw-",
		"graph.svg": "-rw-r--r--", ".lvsform.lock.hcl": "-rw-r--r--", ".lvsform": "drwxr-xr-x", ".lvsform/modules": "drwxr-xr-x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if text, _ := os.ReadFile(theirs); string(text) != "everybody's" {
		t.Errorf("what a link pointed to was written: %s", text)
	}
	left, err := filepath.Glob(filepath.Join(f.dir, ".lvsform-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("what is left behind: %q, %v", left, err)
	}
	err = filepath.WalkDir(filepath.Join(f.dir, ".lvsform"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// gitModule makes a repository that holds a module, tagged v1.
func gitModule(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "m.git")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte("locals { a = 1 }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x@example.net", "commit", "-qm", "x"}, {"tag", "v1"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	return dir
}

// commandLog collects what SSH servers were asked to run.
type commandLog struct {
	mu   sync.Mutex
	runs int
	all  map[string]bool // with SUM in place of the agent's
}

var agentSum = regexp.MustCompile(`[0-9a-f]{64}`)

func (l *commandLog) add(f *testFleet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range f.hosts {
		for _, command := range h.server.Commands() {
			l.runs++
			l.all[agentSum.ReplaceAllString(command, "SUM")] = true
		}
	}
}

// check wants the two commands, whatever was configured: one that runs the
// agent, and one that places it.
func (l *commandLog) check(t *testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs < 2 {
		return // a single script without a host
	}
	for _, command := range slices.Sorted(maps.Keys(l.all)) {
		serves := strings.HasPrefix(command, "cd /usr/local/libexec/lvsform ") && strings.HasSuffix(command, " exec ./agent-SUM serve; exit 126") &&
			!strings.Contains(command, "'")
		places := strings.HasPrefix(command, "sh -c '") && strings.Contains(command, "lvsform-place") && !strings.Contains(command, "SUM") &&
			strings.Count(command, "'") == 2
		if !serves && !places || strings.ContainsAny(command, "\n!") {
			t.Errorf("a host was asked to run %q", command)
		}
	}
	if len(l.all) > 2 {
		t.Errorf("%d different commands reached the hosts: %v", len(l.all), l.all)
	}
}
