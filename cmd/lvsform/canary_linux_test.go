package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/state"
)

// The canaries: a text whose quoting differs from form to form, and a number.
const (
	canary       = `kanarie"7 \$é` // any form of it holds bird
	bird         = "kanarie"
	canaryNumber = "31337"
)

const canaryConfig = `
topology "t" {}
variable "secret" {
  type      = string
  sensitive = true
}
variable "number" {
  type      = number
  sensitive = true
}
variable "fallback" {
  sensitive = true
  default   = "kanarie-default"
}
host "dir1" { address = "192.0.2.1" }
host "rs1"  { address = "192.0.2.11" }
locals {
  copied = "${var.secret}!"
  deep   = { list = [var.secret, var.fallback] }
}
sysctl "text" {
  host     = host.rs1
  settings = { "net.ipv4.ip_local_port_range" = var.secret }
}
sysctl "copy" {
  host     = host.dir1
  settings = { "net.ipv4.ip_local_port_range" = local.deep.list[0] }
}
sysctl "arp" {
  host     = host.rs1
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
address "lo" {
  host   = host.rs1
  ip     = "192.0.2.100/32"
  device = "lo"
}
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.100/32"
  device = "eth0"
}
virtual_service "web" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.100"
  port      = 80
  scheduler = "wrr"
  real_server "rs1" {
    host    = host.rs1
    forward = "dr"
    weight  = var.number
  }
}
output "all" {
  value     = { text = var.secret, number = var.number, copied = local.copied, deep = local.deep }
  sensitive = true
}
output "marked" {
  value     = sensitive("kanarie-marked")
  sensitive = true
}
`

// mistakes are configurations in which a secret is part of what is wrong; each
// is added to canaryConfig.
var mistakes = map[string]string{
	"conversion":         `locals { x = tonumber("x${var.secret}") }`,
	"of a list":          `locals { x = [1, 2][var.secret] }`,
	"key":                `locals { x = { a = 1 }[var.secret] }`,
	"file":               `locals { x = file("/nowhere/${var.secret}") }`,
	"template":           `locals { x = templatefile("none.tpl", { s = var.secret }) }`,
	"JSON":               `locals { x = jsondecode(var.secret) }`,
	"YAML":               `locals { x = yamldecode("{${var.secret}") }`,
	"regex":              `locals { x = regex("(${var.secret}", "a") }`,
	"address":            `address "h" { host = host.dir1, ip = var.secret, device = "lo" }`,
	"lines of address":   "address \"h\" {\n  host = host.dir1\n  ip = var.secret\n  device = \"lo\"\n}",
	"label":              "address \"h\" {\n  host = host.dir1\n  ip = \"192.0.2.9/32\"\n  device = \"lo\"\n  label = var.secret\n}",
	"host":               `host "x" { address = var.secret }`,
	"user":               "host \"x\" {\n  address = \"192.0.2.5\"\n  user = var.secret\n}",
	"capitals":           `locals { x = regex("(${upper(var.secret)}", "a") }`,
	"a file in capitals": `locals { x = file("/nowhere/${upper(var.secret)}") }`,
	"base64":             `locals { x = file("/nowhere/${base64encode(var.secret)}") }`,
	"a long text":        "address \"h\" {\n  host = host.dir1\n  ip = join(\"\", [for i in range(9) : upper(var.secret)])\n  device = \"lo\"\n}",
	"a text that is cut": "address \"h\" {\n  host = host.dir1\n  ip = \"${join(\"\", [for i in range(75) : \"x\"])}${var.fallback}\"\n  device = \"lo\"\n}",
	"a key in capitals":  `locals { x = { a = 1 }[upper(var.secret)] }`,
	"JSON in capitals":   `locals { x = jsondecode(upper(var.secret)) }`,
	"YAML in capitals":   `locals { x = yamldecode("{${upper(var.secret)}") }`,
	"an attribute":       `locals { x = var.secret.nothing }`,
	"a template's text":  `locals { x = templatestring("$${${upper(var.secret)}", {}) }`,
	"for_each":           "sysctl \"x\" {\n  for_each = toset([var.secret])\n  host = host.dir1\n  settings = { (each.key) = 1 }\n}",
	"count":              "sysctl \"x\" {\n  count = var.secret\n  host = host.dir1\n  settings = { \"net.ipv4.ip_forward\" = 1 }\n}",
	"sysctl name":        "sysctl \"x\" {\n  host = host.dir1\n  settings = { (var.secret) = 1 }\n}",
	"sysctl value":       "sysctl \"x\" {\n  host = host.dir1\n  settings = { \"net.ipv4.ip_forward\" = \"a\\n${var.secret}\" }\n}",
	"weight":             "sysctl \"x\" {\n  host = host.dir1\n  settings = { \"net.ipv4.ip_forward\" = [var.secret] }\n}",
	"timeout":            "ipvs \"x\" {\n  host = host.dir1\n  tcp_timeout = var.secret\n}",
	"module":             "module \"m\" {\n  source = var.secret\n}",
	"module input":       "module \"m\" {\n  source = \"lvsform/dr\"\n  vip = var.secret\n}",
	"output":             `output "x" { value = var.secret }`,
	"check":              "check \"c\" {\n  assert {\n    condition = var.secret == \"\"\n    error_message = \"not ${var.secret}\"\n  }\n}",
	"validation": "variable \"v\" {\n  default = 1\n  validation {\n    condition = var.secret == \"\"\n" +
		"    error_message = \"not ${var.secret}\"\n  }\n}",
	"syntax": "locals { x = \"${var.fallback\" }\nvariable \"z\" {\n  sensitive = true\n  default = \"kanarie-z\" \"\n}",
}

// wrongInputs are values of variables that cannot be taken.
var wrongInputs = map[string][]string{
	"a number that is none": {"LVSFORM_VAR_number=" + canary},
	"an expression":         {"LVSFORM_VAR_fallback=" + canary, "LVSFORM_VAR_number=[" + bird + ","},
	"control characters":    {"LVSFORM_VAR_secret=" + bird + "\x1b[1m\n" + bird},
	"too long":              {"LVSFORM_VAR_secret=" + strings.Repeat(bird, 9000)},
}

// expressions are asked of the console.
var expressions = []string{"var.secret", `"x${var.secret}"`, "[var.secret]", "{ a = var.secret }", "local.deep", `tonumber("${var.secret}")`,
	`{ (var.secret) = 1 }`, "keys({ (var.secret) = 1 })", "var.number + 1", "jsonencode(local.deep)", `regex("(", var.secret)`, "var.secret.x", "var.secret[5]",
	`file(upper(var.secret))`, `regex("(${upper(var.secret)}", "x")`, `{ a = 1 }[upper(var.secret)]`, `jsondecode(upper(var.secret))`,
	`[for s in [var.secret] : file(upper(s))]`, `{ a = 1 }[var.secret]`, "host.dir1", "sysctl.text", "virtual_service.web", `error(var.secret)`,
	`file(var.secret)`, "sha256(var.secret)", `formatdate(upper(var.secret), "x")`, `cidrhost(upper(var.secret), 1)`, `parseint(upper(var.secret), 10)`}

// leaks finds a canary as it is, in capitals, and in base64.
func leaks(text string) bool {
	return strings.Contains(strings.ToLower(text), bird) || strings.Contains(text, canaryNumber) || strings.Contains(text, "a2FuYXJp")
}

// What is sensitive is in no output whatsoever, whatever goes wrong.
func TestNoOutputHoldsASecret(t *testing.T) {
	t.Parallel()
	f := newFleet(t, canaryConfig, map[string]string{"dir1": "192.0.2.1/24,192.0.2.254", "rs1": "192.0.2.11/24,192.0.2.254"})
	f.environ = []string{"LVSFORM_VAR_secret=" + canary, "LVSFORM_VAR_number=" + canaryNumber}
	for _, h := range f.hosts {
		h.kernel.SetFacts(state.Facts{Boot: []state.BootOwner{
			{File: "/etc/sysctl.conf", Sysctl: "net.ipv4.ip_local_port_range", Value: bird + " in a file"}}})
	}
	try := func(name string, want int, args ...string) {
		t.Helper()
		code, stdout, stderr := f.run(args...)
		if want >= 0 && code != want {
			t.Errorf("%s: exit code %d, want %d: %s%s", name, code, want, stdout, stderr)
		}
		for _, text := range []string{stdout, stderr} {
			if leaks(text) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	reads := func() {
		t.Helper()
		try("validate", 0, "validate", "-v")
		try("validate as JSON", 0, "validate", "--json")
		try("plan", 0, "plan", "-v", "--show-foreign", "--out", "p.plan")
		try("plan as JSON", 0, "plan", "-v", "--json", "--show-foreign")
		try("plan as Markdown", 0, "plan", "--markdown")
		try("plan of a part", 0, "plan", "--target", "sysctl.text")
		try("show", 0, "show", "p.plan")
		try("show as JSON", 0, "show", "--json", "p.plan")
		try("show as Markdown", 0, "show", "--markdown", "p.plan")
		try("plan to destroy", 0, "plan", "--destroy")
		try("output", 0, "output")
		try("output as JSON", 0, "output", "--json")
		try("one output", 0, "output", "all")
		for _, address := range []string{"sysctl.text", "sysctl.copy", "virtual_service.web", "virtual_service.web.real_server.rs1", "host.dir1"} {
			try("explain "+address, 0, "explain", "-v", address)
			try("explain "+address+" as JSON", 0, "explain", "--json", address)
		}
		for _, format := range []string{"svg", "dot", "mermaid"} {
			try("graph", 0, "graph", "--format", format)
		}
		try("runbook of a server", 0, "runbook", "rs1")
		try("runbook of a director", 0, "runbook", "dir1")
	}
	reads()

	for name, fault := range map[string]func(*heldKernel){
		"the kernel refuses the value": func(k *heldKernel) {
			k.instead = func(changes []state.Change) error {
				for _, c := range changes {
					if s, ok := c.After.(state.Sysctl); ok && strings.Contains(s.Value, bird) {
						return fmt.Errorf("sysctl %s: the kernel refuses the value %q, that is %s: %w", s.Name, s.Value, s.Value, errors.ErrUnsupported)
					}
				}
				return nil
			}
		},
		"the value is another meanwhile": func(k *heldKernel) {
			k.asked = func() {
				if k.reads++; k.reads > 1 {
					k.Set(state.Sysctl{Name: "net.ipv4.ip_local_port_range", Value: bird + " of somebody else"})
				}
			}
		},
		"the value takes no effect": func(k *heldKernel) {
			k.asked = func() {
				if k.reads++; k.reads > 2 {
					k.Set(state.Sysctl{Name: "net.ipv4.ip_local_port_range", Value: bird + " of the kernel"})
				}
			}
		},
	} {
		for _, form := range [][]string{{"-v"}, {"--json"}} {
			k := f.hosts["rs1"].kernel
			kept := k.Objects().ByKey()[parseKey("sysctl net.ipv4.ip_local_port_range")]
			fault(k)
			try(name, -1, append([]string{"apply", "--auto-approve"}, form...)...)
			k.instead, k.asked, k.reads = nil, nil, 0
			k.Set(kept)
		}
	}

	try("apply", 0, "apply", "-v", "--auto-approve")
	reads()
	f.hosts["rs1"].kernel.Set(state.Sysctl{Name: "net.ipv4.ip_local_port_range", Value: bird + " by hand"})
	try("drift", 0, "plan", "-v")
	try("a stale plan", 4, "apply", "-v", "p.plan")
	try("apply as JSON", 0, "apply", "--json", "--auto-approve")

	lines := strings.Join(expressions, "\n")
	f.stdin = lines
	try("console", 1, "console")
	f.stdin = ""
	values := filepath.Join(f.dir, "lvsform.vars.hcl")
	if err := os.WriteFile(values, []byte("secret=\"kanarie\\\"7 \\\\$é\"\n  number =  31337\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	try("a difference of formats", 2, "fmt", "--check", "--diff")
	if err := os.Remove(values); err != nil {
		t.Fatal(err)
	}
	try("destroy", 0, "destroy", "-v", "--auto-approve")
	f.onlyIn(t, "p.plan")
}

// A configuration with a mistake in what is sensitive is explained without it.
func TestNoMistakeIsExplainedWithASecret(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main.hcl", canaryConfig)
	secrets := []string{"LVSFORM_VAR_secret=" + canary, "LVSFORM_VAR_number=" + canaryNumber}
	try := func(name string, environ ...string) {
		t.Helper()
		for _, form := range []flags{{}, {json: true}} {
			text := said(t, func(c *cli) {
				c.environ, c.flags = slices.Concat(secrets, environ), form
				_ = c.validate()
				_, _, _ = c.load() // as every other command says it
			})
			if !strings.Contains(text, "Error: ") && !strings.Contains(text, "Warning: ") && !strings.Contains(text, `"severity"`) {
				t.Errorf("%s is no mistake: %s", name, text)
			}
			if leaks(text) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	for name, text := range mistakes {
		write("more.hcl", text)
		try(name)
	}
	write("more.hcl", "")
	for name, environ := range wrongInputs {
		try("the environment: "+name, environ...)
	}
	for _, values := range []string{"secret = \"" + bird + "\n", "secret = [" + bird + "]", "number = \"" + bird + "\"", "secret = \"" + bird + "\" \"" + bird + "\""} {
		write("lvsform.vars.hcl", values)
		try("values: " + values)
	}
}

// onlyIn fails for files of the run that hold a secret and are not those named.
func (f *testFleet) onlyIn(t *testing.T, names ...string) {
	t.Helper()
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, f.dir+"/")
		if err != nil || !d.Type().IsRegular() || slices.Contains(append(names, "main.hcl"), name) {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && leaks(string(text)) {
			t.Errorf("%s holds it", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// witness stands for a ProxyCommand: it notes what it was started with, and
// connects.
func witness() {
	note, err := os.OpenFile(os.Args[1], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(note, os.Args, os.Environ())
	}
	if err != nil {
		panic(err)
	}
	conn, err := net.Dial("tcp", os.Args[2])
	if err != nil {
		panic(err)
	}
	go func() { _, _ = io.Copy(conn, os.Stdin) }()
	_, _ = io.Copy(os.Stdout, conn)
}

// No program that lvsform starts is told a secret: neither by its arguments nor
// in its environment, where the variables of the configuration come from.
func TestProgramsThatAreStartedHearNoSecret(t *testing.T) {
	f := newFleet(t, canaryConfig, map[string]string{"dir1": "192.0.2.1/24,192.0.2.254", "rs1": "192.0.2.11/24,192.0.2.254"})
	note := filepath.Join(f.dir, "heard")
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("ssh is not installed: install openssh-client")
	}
	stand := "#!/bin/sh\n{ echo \"$0 $*\"; env; } >>" + note + "\nexec " + ssh + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(f.dir, "ssh"), []byte(stand), 0o700); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(f.dir, "ssh_config"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("witness")
	if err != nil {
		t.Fatal(err)
	}
	proxied := strings.ReplaceAll(string(config), "  User root\n", "  User root\n  ProxyCommand "+program+" "+note+" %h:%p\n")
	if err := os.WriteFile(filepath.Join(f.dir, "ssh_config"), []byte(proxied), 0o600); err != nil {
		t.Fatal(err)
	}
	f.environ = []string{"LVSFORM_VAR_secret=" + canary, "LVSFORM_VAR_number=" + canaryNumber, "PATH=" + f.dir + ":" + os.Getenv("PATH")}
	if code, out, errs := f.run("apply", "--auto-approve"); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	heard, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"witness", "ssh -v -G"} {
		if !strings.Contains(string(heard), name) {
			t.Errorf("%s was not started: %s", name, heard)
		}
	}
	if leaks(string(heard)) {
		t.Errorf("they heard it: %s", heard)
	}
}
