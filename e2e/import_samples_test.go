//go:build lab

package e2e

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// The samples that come with the packages of the two programs.
var samples = map[string]string{
	"keepalived": "usr/share/doc/keepalived/samples/keepalived.conf.*",
	"ldirectord": "usr/share/doc/ldirectord/examples/ldirectord.cf",
}

// Each of them becomes a configuration that is valid, and a host that runs it is
// adopted as it is.
func TestSamplesOfTheProgramsAreImported(t *testing.T) {
	for program, pattern := range samples {
		files, err := filepath.Glob(filepath.Join(unpacked(t, program), pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("the package %s has no samples: %v", program, err)
		}
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				adoptable(t, program, file, string(text))
			})
		}
	}
}

// unpacked is a directory with the files of a package: where it is installed its
// documentation may have been left out.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", `apt-get download -qq "$1"; dpkg-deb -x ./*.deb .`, "sh", name)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unpack the package %s: %v\n%s", name, err, out)
	}
	return dir
}

func adoptable(t *testing.T, program, file, text string) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command(cliPath(), "import", "--from", program, file, "--address", "198.51.100.9", "--out", filepath.Join(dir, "main.hcl")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	written, err := os.ReadFile(filepath.Join(dir, "main.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(out), "\nWarning: ")+strings.Count(string(out[:9]), "Warning: ") != strings.Count(string(written), "\n#   ") {
		t.Errorf("stderr and the comment list different things:\n%s\n%s", out, written)
	}
	var inputs []hcl.Input
	for line := range strings.Lines(string(written)) {
		if name, ok := strings.CutPrefix(line, `variable "`); ok {
			name, _, _ = strings.Cut(name, `"`)
			inputs = append(inputs, hcl.Input{Name: name, Value: secretOf(text)})
		}
	}
	top, diags := hcl.Load(hcl.Options{Dir: dir, Version: "0.1.0", Inputs: inputs})
	if diags.HasErrors() {
		t.Fatalf("%+v\n%s", diags, written)
	}
	p := planner.Build(planner.Input{Topology: top, Live: map[string]planner.Live{"dir1": running(t, top, program, text)}})
	for _, c := range p.Changes {
		if c.Action != planner.Adopt {
			t.Errorf("%s %s, want adoptions alone: %s", c.Action, c.ID, planner.Describe(c.Before))
		}
	}
	if len(p.Changes) == 0 {
		t.Errorf("nothing is adopted: %+v", p.Diagnostics)
	}
}

// secretOf is the password of a sample: all that it has are the same.
func secretOf(text string) string {
	_, after, _ := strings.Cut(text, "auth_pass ")
	word, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(word)
}

// running is a host that runs a file.
func running(t *testing.T, top *topology.Topology, program, text string) planner.Live {
	t.Helper()
	live := planner.Live{Objects: state.Objects{state.Config{Program: program, Text: text}, state.Package{Name: program},
		state.Unit{Name: program, Running: state.Some(true), Enabled: state.Some(true)},
		state.Address{Device: "eth0", IP: netip.MustParsePrefix("198.51.100.9/24"), Label: "eth0", Scope: "global"}}}
	declared, err := planner.Desired(top, "dir1")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range declared {
		if m, ok := d.Object.(state.Module); ok {
			live.Objects = append(live.Objects, m)
		}
	}
	live.Objects.Sort()
	return live
}
