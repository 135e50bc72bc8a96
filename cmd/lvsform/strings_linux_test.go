package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/formats/runbook"
	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
)

// sites are the places of a configuration whose text reaches a host, or becomes
// part of a file or a script there; var.s is the text.
var sites = map[string]string{
	"package":           `package "x" { names = [var.s] }`,
	"service":           `service "x" { name = var.s, running = true }`,
	"parameter":         `sysctl "x" { settings = { (var.s) = 1 } }`,
	"part of parameter": `sysctl "x" { settings = { "net.ipv4.conf.${var.s}.rp_filter" = 1 } }`,
	"link":              `link "x" { name = var.s, kind = "dummy" }`,
	"kind of link":      `link "x" { name = "d0", kind = var.s }`,
	"device":            `address "x" { ip = "192.0.2.9/32", device = var.s }`,
	"label":             `address "x" { ip = "192.0.2.9/32", device = "lo", label = "lo:${var.s}" }`,
	"device of route":   `route "x" { to = "198.51.100.0/24", device = var.s }`,
	"protocol of mark":  `mark "x" { protocol = var.s, address = "192.0.2.9", ports = [80], mark = 1 }`,
	"ports of mark":     `mark "x" { protocol = "tcp", address = "192.0.2.9", ports = [var.s], mark = 1 }`,
	"scheduler":         `virtual_service "x" { protocol = "tcp", address = "192.0.2.9", port = 80, scheduler = var.s }`,
	"scheduler's flags": `virtual_service "x" { protocol = "tcp", address = "192.0.2.9", port = 80, scheduler = "sh", scheduler_flags = [var.s] }`,
	"protocol":          `virtual_service "x" { protocol = var.s, address = "192.0.2.9", port = 80, scheduler = "rr" }`,
}

// strange are texts that mean something to a shell, to systemd, to a package
// manager, to the kernel's file names or to a terminal.
var strange = []string{"a\nb", "a\rb", "a\x00b", "a b", "a\tb", `a"b`, "a'b", "a`b`", "$(a)", "$a", "${a}", "a;b", "a&b", "a|b", "a>b", "a<b", "a!b", "a#b", "#a",
	"a@b", "@a", "~a", "a~b", "{a}", "a{b,c}", "a}", "*", "a?", "[a]", "a\\b", "%n", "%i", "-a", "--all", "-", "..", "../../etc/passwd", "/etc/passwd", "a/../b",
	".", "", "\x1b[2J", "\u202ea", "a\u2028b", "\xff\xfe", "é", strings.Repeat("a", 5000), "a=b", "a,b", "a:b:c", "a.service", "a+", "a-"}

// tame are the characters that mean nothing to any of them where a word stands.
const tame = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+,"

// quoted are the sites that take what the kernel takes as the name of an
// interface: to it they are sent as they are, in a runbook they stand between
// quotes.
var quoted = []string{"link", "device", "device of route", "label"}

const printable = tame + "!\"#$&'()*;<=>?@[\\]^`{|}~%"

// Texts of a configuration that would mean something else on a host are
// refused; what is not refused is one tame word, or one that is quoted.
func TestStrangeTextsReachNoHost(t *testing.T) {
	dir := t.TempDir()
	taken := map[string][]string{}
	for site, text := range sites {
		text = strings.ReplaceAll(text, `"x" { `, "\"x\" {\n  host = host.h\n  ")
		text = strings.ReplaceAll(strings.ReplaceAll(text, ", ", "\n  "), " }", "\n}")
		text = strings.ReplaceAll(text, "{ \"net.ipv4.conf.${var.s}.rp_filter\" = 1\n}\n}", "{ \"net.ipv4.conf.${var.s}.rp_filter\" = 1 }\n}")
		text = strings.ReplaceAll(text, "{ (var.s) = 1\n}\n}", "{ (var.s) = 1 }\n}")
		config := "topology \"t\" {}\nvariable \"s\" { type = string }\nhost \"h\" { address = \"192.0.2.1\" }\n" + text + "\n"
		if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, s := range strange {
			top, ds := hcl.Load(hcl.Options{Dir: dir, Environ: []string{"LVSFORM_VAR_s=" + s}})
			shown := said(t, func(c *cli) { c.diagnose(ds) })
			if found := unsafeRune(shown); found != "" {
				t.Errorf("%s = %q: the message holds %s", site, s, found)
			}
			if ds.HasErrors() {
				if strings.Contains(shown, "Unsupported argument") || strings.Contains(shown, "Missing") {
					t.Fatalf("%s: the test's own configuration is wrong: %s", site, shown)
				}
				continue
			}
			taken[site] = append(taken[site], s)
			objects, err := planner.Desired(top, "h")
			if err != nil {
				t.Fatal(err)
			}
			book := runbook.Host{Name: "h", Topology: "t", OS: "linux"}
			for _, o := range objects {
				allowed := tame
				if site == "service" {
					allowed += "@" // an instance of a systemd template
				}
				if slices.Contains(quoted, site) {
					allowed = printable
				}
				if bad := untame(t, o.Object, allowed); bad != "" {
					t.Errorf("%s = %q is taken, and %s holds %q", site, s, o.Object.Key(), bad)
				}
				book.Steps = append(book.Steps, runbook.Step{Object: o.Object, Addresses: o.Addresses})
			}
			script, err := runbook.Render(book)
			if err != nil {
				t.Errorf("%s = %q is taken, and no runbook can be written: %v", site, s, err)
			}
			sh := exec.Command("sh", "-n")
			sh.Stdin = strings.NewReader(script)
			if out, err := sh.CombinedOutput(); err != nil {
				t.Errorf("%s = %q is taken, and sh cannot read the runbook: %s", site, s, out)
			}
		}
	}
	for site, texts := range taken {
		if site == "label" || site == "part of parameter" {
			continue // something stands before it
		}
		for _, never := range []string{"", "-a", "--all", "-", "..", "../../etc/passwd", "/etc/passwd", "a/../b"} {
			if slices.Contains(texts, never) {
				t.Errorf("%s: %q is taken", site, never)
			}
		}
	}
}

// untame is a text of an object that holds other characters.
func untame(t *testing.T, o any, allowed string) string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for _, value := range v {
		if s := fmt.Sprint(value); strings.Trim(s, allowed) != "" && !strings.HasPrefix(s, "map[") {
			return s
		}
	}
	return ""
}
