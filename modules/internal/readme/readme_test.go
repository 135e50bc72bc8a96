package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dir = "../.."

func TestReadmesAreWhatTheHCLSays(t *testing.T) {
	names, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 4 {
		t.Fatalf("modules: %v", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			want, err := render(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			have, err := os.ReadFile(filepath.Join(dir, name, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(have)); diff != "" {
				t.Errorf("README.md is stale: run make readmes\n%s", diff)
			}
		})
	}
}

const small = `# What the module is about,
# in two lines.

# The service.
virtual_service "web" {
  for_each = toset(["a | b"])
}

# On each of them.
address "vip" {
  for_each = var.real_servers
}

output "vip" {
  value       = 1
  description = "The VIP."
}

variable "servers" {
  type = map(object({
    port = optional(number)
  }))
  default     = {}
  description = "a|b"
}
`

const smallReadme = "<!-- Written by `make readmes` from the module's HCL. -->\n\n# lvsform://m\n\n" + `What the module is about,
in two lines.

` + "```hcl" + `
module "web" {
  source = "x"
}
` + "```" + `

With hosts: [example/main.hcl](example/main.hcl). Which mode for what: [modules](../../docs/modules.md).

## What it declares

By the addresses that plans show:

| resource | on | what for |
|---|---|---|
| ` + "`virtual_service.web`" + ` | the director | The service. |
| ` + "`address.vip`" + ` | each real server | On each of them. |

## Variables

The same in every mode.

| variable | type | default | meaning |
|---|---|---|---|
| ` + "`servers` | `map(object({ port = optional(number) }))` | `{}`" + ` | a\|b |

## Outputs

| output | meaning |
|---|---|
| ` + "`vip`" + ` | The VIP. |
`

func TestRenderOfASmallModule(t *testing.T) {
	for name, tc := range map[string]struct {
		main, example string
		wantError     string
	}{
		"a whole one":                      {small, "topology \"t\" {}\n\nmodule \"web\" {\n  source = \"x\"\n}\n", ""},
		"a resource without its reason":    {strings.Replace(small, "# The service.\n", "", 1), "module \"web\" {\n}\n", "virtual_service \"web\" has no comment"},
		"an output without a description":  {strings.Replace(small, `  description = "The VIP."`, "", 1), "module \"web\" {\n}\n", `output "vip" has no description`},
		"an example that does not show it": {small, "topology \"t\" {}\n", "has no module block"},
		"HCL that is none":                 {"variable {", "module \"web\" {\n}\n", "main.hcl:1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "m")
			if err := os.MkdirAll(filepath.Join(dir, "example"), 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{"main.hcl": tc.main, "example/main.hcl": tc.example} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			have, err := render(dir)
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Errorf("render = %v, want an error with %q", err, tc.wantError)
				}
				return
			}
			if diff := cmp.Diff(smallReadme, have); err != nil || diff != "" {
				t.Errorf("render: %v (-want +have):\n%s", err, diff)
			}
			if err := run(filepath.Dir(dir)); err != nil {
				t.Fatal(err)
			}
			if written, err := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || string(written) != have {
				t.Errorf("run wrote %q, %v", written, err)
			}
		})
	}
}
