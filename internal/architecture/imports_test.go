// Package architecture tests which room may import which, and what binaries weigh.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lvsform/lvsform/"

// rooms says what each top-level folder may import of the others. "cmd" stands
// in two lines because its two binaries have nothing in common.
var rooms = map[string][]string{
	"topology":          nil,
	"state":             nil,
	"wire":              {"state"},
	"formats":           {"state"},
	"sources":           nil,
	"hcl":               {"topology", "modules", "sources"},
	"planner":           {"topology", "state", "formats"},
	"apply":             {"planner", "state"},
	"remote":            {"state", "wire"},
	"agent":             {"state", "wire", "formats"},
	"modules":           nil,
	"examples":          nil,
	"lab":               {"topology"},
	"cmd/lvsform":       {"topology", "state", "wire", "formats", "hcl", "planner", "apply", "remote", "modules", "sources", "lab"},
	"cmd/lvsform-agent": {"agent", "wire", "state"},
	"internal":          nil,
	// Neither has code in the binaries.
	"e2e":   {"topology", "state", "wire", "formats", "hcl", "planner", "apply", "remote", "modules", "lab", "examples"},
	"bench": {"topology", "state", "wire", "formats", "hcl", "planner", "apply", "remote", "agent", "modules", "lab", "examples"},
}

// thirdParty says which rooms may import a module, or any package below a path.
// The first prefix that fits counts; a module that is missing here is refused.
var thirdParty = []struct {
	prefix string
	rooms  []string
}{
	// The README files of modules are made from their syntax.
	{"github.com/hashicorp/hcl/", []string{"hcl", "modules"}},
	{"github.com/zclconf/go-cty/", []string{"hcl"}},
	{"github.com/agext/levenshtein", []string{"hcl"}},
	{"gopkg.in/yaml.v3", []string{"hcl"}},
	{"golang.org/x/crypto/ssh", []string{"remote"}},
	{"github.com/kevinburke/ssh_config", []string{"remote"}},
	{"github.com/vishvananda/netlink", []string{"agent", "lab"}},
	{"github.com/moby/ipvs", []string{"agent"}},
	{"github.com/google/nftables", []string{"agent"}},
	{"github.com/sergi/go-diff/", []string{"cmd/lvsform"}},
	{"github.com/spf13/", []string{"cmd/lvsform"}},
	{"golang.org/x/term", []string{"cmd/lvsform", "remote"}},
	{"golang.org/x/sys/", []string{"agent", "cmd/lvsform-agent", "remote", "lab", "cmd/lvsform"}},
}

// benchAll lets bench measure with the libraries that the peers would use.
const benchAll = "bench"

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImportsKeepToTheTable(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			packages := list(t, goos)
			if len(packages) < 5 {
				t.Fatalf("go list found only %d packages", len(packages))
			}
			for _, p := range packages {
				for _, imported := range p.Imports {
					if why := refuse(p.ImportPath, imported); why != "" {
						t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
					}
				}
			}
		})
	}
}

// The table itself is tested: a rule that refuses nothing would pass in silence.
func TestTableRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ from, imported, want string }{
		"a leaf that imports a room":      {"state", module + "wire", "state may import nothing of ours"},
		"a room outside the table's line": {"planner", module + "remote", "planner may import topology, state, formats"},
		"the CLI and the agent":           {"cmd/lvsform", module + "agent/ipvs", "cmd/lvsform may import"},
		"HCL outside hcl":                 {"planner", "github.com/hashicorp/hcl/v2", "only hcl, modules may"},
		"SSH outside remote":              {"lab", "golang.org/x/crypto/ssh/agent", "only remote may"},
		"IPVS outside the agent":          {"remote", "github.com/moby/ipvs", "only agent may"},
		"a folder that has no line":       {"util", module + "state", "util has no line in the table"},
		"a module that has no line":       {"remote", "example.org/x", "no line in the table"},
		"nothing about the standard library": {
			"state", "net/netip", ""},
		"nothing about a room's own folders": {"agent/txn", module + "agent/ipvs", ""},
		"nothing about an allowed room":      {"remote/sshtest", module + "wire", ""},
		"nothing about an allowed module":    {"agent/network", "github.com/vishvananda/netlink/nl", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := refuse(module+tc.from, tc.imported)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("refuse = %q, want %q", got, tc.want)
			}
		})
	}
}

// What a configuration says must not depend on a network or on other programs,
// whatever the libraries underneath could do.
func TestLoadingAndPlanningRunNothing(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./hcl", "./planner")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"hcl") {
		t.Fatal("go list does not name hcl")
	}
	for _, refused := range []string{"os/exec", "net", "net/http"} {
		if slices.Contains(deps, refused) {
			t.Errorf("hcl or planner come to %s", refused)
		}
	}
}

// refuse says why a package may not import another, or "".
func refuse(from, imported string) string {
	room := roomOf(strings.TrimPrefix(from, module))
	if ours, ok := strings.CutPrefix(imported, module); ok {
		allowed, known := rooms[room]
		switch target := roomOf(ours); {
		case !known:
			return room + " has no line in the table"
		case target == room || slices.Contains(allowed, target):
			return ""
		case len(allowed) == 0:
			return room + " may import nothing of ours"
		default:
			return room + " may import " + strings.Join(allowed, ", ")
		}
	}
	if !strings.Contains(strings.Split(imported, "/")[0], ".") || room == benchAll {
		return "" // the standard library
	}
	for _, rule := range thirdParty {
		if !strings.HasPrefix(imported, rule.prefix) {
			continue
		}
		if slices.Contains(rule.rooms, room) {
			return ""
		}
		return "only " + strings.Join(rule.rooms, ", ") + " may"
	}
	return "the module has no line in the table"
}

// roomOf is the top-level folder of a path, and the binary's below cmd.
func roomOf(path string) string {
	parts := strings.SplitN(path, "/", 3)
	if parts[0] == "cmd" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func list(t *testing.T, goos string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v: %s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
