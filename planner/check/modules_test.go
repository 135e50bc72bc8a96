package check_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/topology"
)

// anyMode is a cluster in which every mode works: the director has a NIC in the
// clients' network and one in that of the real servers, and a router has both.
const anyMode = `topology "t" {}
host "dir1" {
  address = "INSIDE254"
  gateway = "OUTSIDE1"
  interface "eth0" { addresses = ["OUTSIDE9/BITS"] }
  interface "eth1" { addresses = ["INSIDE254/BITS"] }
}
host "rs1" {
  address = "INSIDE11"
  gateway = "INSIDE1"
  interface "eth0" { addresses = ["INSIDE11/BITS"] }
}
module "web" {
  source       = "lvsform://MODE"
  vip          = "OUTSIDE110"
  port         = 80
  directors    = { dir1 = { host = host.dir1, device = "eth0", interfaces = ["eth0", "eth1"] } }
  real_servers = { rs1 = { host = host.rs1 } }
}
`

func TestModulesHaveNoFault(t *testing.T) {
	for family, replace := range map[string]*strings.Replacer{
		"IPv4": strings.NewReplacer("OUTSIDE", "203.0.113.", "INSIDE", "192.168.10.", "BITS", "24"),
		"IPv6": strings.NewReplacer("OUTSIDE", "2001:db8:a::", "INSIDE", "2001:db8:b::", "BITS", "64"),
	} {
		for _, mode := range []string{"nat", "dr", "tun", "fullnat"} {
			t.Run(mode+" "+family, func(t *testing.T) {
				config := strings.Replace(replace.Replace(anyMode), "MODE", mode, 1)
				if mode == "tun" { // the headers around each packet take room
					config = strings.Replace(config, "{ host = host.rs1 }", replace.Replace("{ host = host.rs1, gateway = \"INSIDE1\" }"), 1)
					config = strings.Replace(config, "port         = 80", "port         = 80\n  advmss       = 1400", 1)
				}
				_, ds := judge(t, config, nil)
				_, live := judge(t, config, observed(t, config))
				for _, d := range slices.Concat(ds, live) {
					if d.Severity != topology.Info {
						t.Errorf("%s %s: %s: %s", d.Check, d.Severity, d.Summary, d.Detail)
					}
				}
			})
		}
	}
}

// anyPair is a pair of directors in front of anyMode's real server.
const anyPair = `topology "t" {}
host "dir1" {
  address = "INSIDE252"
  gateway = "OUTSIDE1"
  interface "eth0" { addresses = ["OUTSIDE9/BITS"] }
  interface "eth1" { addresses = ["INSIDE252/BITS"] }
}
host "dir2" {
  address = "INSIDE253"
  gateway = "OUTSIDE1"
  interface "eth0" { addresses = ["OUTSIDE8/BITS"] }
  interface "eth1" { addresses = ["INSIDE253/BITS"] }
}
host "rs1" {
  address = "INSIDE11"
  gateway = "INSIDE1"
  interface "eth0" { addresses = ["INSIDE11/BITS"] }
}
module "web" {
  source       = "lvsform://MODE"
  vip          = "OUTSIDE110"
  port         = 80
  persistence  = { timeout = "60s" }
  health_check = { type = "http" }
  quiescent    = true
  gateway      = "INSIDE254"
  directors    = {
    dir1 = { host = host.dir1, device = "eth0", interfaces = ["eth0", "eth1"] }
    dir2 = { host = host.dir2, device = "eth0", interfaces = ["eth0", "eth1"] }
  }
  vrrp         = { virtual_router_id = 7, priorities = { dir1 = 10, dir2 = 20 } }
  real_servers = { rs1 = { host = host.rs1 } }
}
`

func TestPairsOfModulesHaveNoFault(t *testing.T) {
	for family, replace := range map[string]*strings.Replacer{
		"IPv4": strings.NewReplacer("OUTSIDE", "203.0.113.", "INSIDE", "192.168.10.", "BITS", "24"),
		"IPv6": strings.NewReplacer("OUTSIDE", "2001:db8:a::", "INSIDE", "2001:db8:b::", "BITS", "64"),
	} {
		for _, mode := range []string{"nat", "dr", "fullnat"} {
			t.Run(mode+" "+family, func(t *testing.T) {
				config := strings.Replace(replace.Replace(anyPair), "MODE", mode, 1)
				_, ds := judge(t, config, nil)
				_, live := judge(t, config, observed(t, config))
				for _, d := range slices.Concat(ds, live) {
					if d.Severity != topology.Info {
						t.Errorf("%s %s: %s: %s", d.Check, d.Severity, d.Summary, d.Detail)
					}
				}
			})
		}
	}
}

func TestExamplesHaveNoFault(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/main.hcl")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			topo, ds := hcl.Load(hcl.Options{Dir: withLocalModules(t, dir)})
			if ds.HasErrors() {
				t.Fatalf("it does not load: %s: %s", ds[0].Summary, ds[0].Detail)
			}
			for name, live := range map[string]map[string]planner.Live{"offline": nil, "live": reported(topo)} {
				for _, d := range planner.Build(planner.Input{Topology: topo, Live: live}).Checks {
					if d.Severity != topology.Info {
						t.Errorf("%s: %s %s on %s: %s: %s", name, d.Check, d.Severity, d.Host, d.Summary, d.Detail)
					}
				}
			}
		})
	}
}

// withLocalModules is a copy of an example that takes its modules from its own
// folders, where the repository that it names has them from.
func withLocalModules(t *testing.T, example string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(dir, "main.hcl")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`"git::[^"]*//([a-z]+)\?ref=[^"]*"`).ReplaceAll(text, []byte(`"./$1"`))
	if err := os.WriteFile(main, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
