package hcl

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func evalConfig(t *testing.T) *Config {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root(`
variable "password" {
  default   = "hunter2"
  sensitive = true
}
host "rs" {
  for_each = { a = "192.0.2.1", b = "192.0.2.2" }
  address  = each.value
}
rule "r" {
  host     = host.rs["a"]
  fwmark   = 1
  table    = "main"
  priority = 7
}
module "m" { source = "./m" }
locals { ports = [80, 443] }
`)))
	writeFile(t, filepath.Join(dir, "m", "main.hcl"), []byte(`output "vip" { value = "2001:db8::1" }`))
	c, diags := LoadConfig(Options{Dir: dir})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return c
}

func TestEvalPrintsValuesAsTheLanguageWritesThem(t *testing.T) {
	c := evalConfig(t)
	for expression, want := range map[string]string{
		`1 + 1`:                `2`,
		`local.ports`:          "[\n  80,\n  443,\n]",
		`host.rs["b"].address`: `"192.0.2.2"`,
		`{ for k, h in host.rs : k => h.address }`: "{\n  a = \"192.0.2.1\"\n  b = \"192.0.2.2\"\n}",
		`rule.r.family`:                        `"ipv4"`,
		`module.m.vip`:                         `"2001:db8::1"`,
		`toset(["b", "a"])`:                    "toset([\n  \"a\",\n  \"b\",\n])",
		`[]`:                                   `[]`,
		`{}`:                                   `{}`,
		"\"\x00\"":                             `"\u0000"`,
		`null`:                                 `null`,
		`true`:                                 `true`,
		`0.5`:                                  `0.5`,
		`"a\tb\n\"c\" $${x} \u001b[2J"`:        `"a\tb\n\"c\" $${x} \u001b[2J"`,
		`var.password`:                         `(sensitive value)`,
		`{ user = "a", "p w" = var.password }`: "{\n  \"p w\" = (sensitive value)\n  user = \"a\"\n}",
		`"x${var.password}"`:                   `(sensitive value)`,
		`nonsensitive(var.password)`:           `"hunter2"`,
		`cidrhost("192.0.2.0/24", 5) # c`:      `"192.0.2.5"`,
	} {
		got, diags := c.Eval(expression)
		if len(diags) > 0 {
			t.Errorf("%s: %+v", expression, diags)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", expression, diff)
		}
	}
}

func TestEvalSaysWhatIsWrong(t *testing.T) {
	c := evalConfig(t)
	for expression, want := range map[string]string{
		``:                               "Missing expression",
		`1 +`:                            "Missing expression",
		`1 2`:                            "Extra characters",
		`local.prots`:                    `Undeclared local value "prots"`,
		`each.key`:                       "each without for_each",
		`foo`:                            "Invalid reference",
		`module.m.vpi`:                   `Undeclared output "vpi"`,
		`nosuch(1)`:                      "Call to unknown function",
		strings.Repeat("[", 100_000):     "Too deeply nested",
		strings.Repeat("x", maxFileSize): "",
		`[for a in range(1000) : [for b in range(1000) : [for c in range(1000) : c]]]`: "Value too large",
		"var.password == \"hunter2\" ? tonumber(\"hunter2\") : 1":                      "function",
	} {
		got, diags := c.Eval(expression)
		if got != "" || !diags.HasErrors() {
			t.Errorf("%.80q is %.80q, without an error", expression, got)
			continue
		}
		if want != "" {
			wantError(t, diags, want)
		}
		for _, d := range diags {
			if strings.Contains(d.Detail+d.Summary+d.Source, "hunter2") {
				t.Errorf("a message shows the secret: %+v", d)
			}
		}
	}
	// A mistake, and an expression that used up its budget, leave no trace.
	if got, diags := c.Eval(`[for a in range(10) : a][9]`); got != "9" || len(diags) > 0 {
		t.Errorf("afterwards: %q, %v", got, diags)
	}
}

func TestEvalOfABrokenConfiguration(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(root("locals {\n a = 1\n b = nosuch()\n}")))
	c, diags := LoadConfig(Options{Dir: dir})
	wantError(t, diags, "unknown function")
	if got, diags := c.Eval("local.a"); got != "1" || len(diags) > 0 {
		t.Errorf("local.a is %q, %v", got, diags)
	}
	if got, diags := c.Eval("local.b"); got != "(unknown)" || len(diags) > 0 {
		t.Errorf("local.b is %q, %v", got, diags)
	}
}
