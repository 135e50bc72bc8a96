package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// render is the README of the module in dir: what its main.hcl says at its head,
// the module block of its example, and tables of resources, variables and
// outputs.
func render(dir string) (string, error) {
	blocks, err := read(dir)
	if err != nil {
		return "", err
	}
	head, err := os.ReadFile(filepath.Join(dir, "main.hcl"))
	if err != nil {
		return "", err
	}
	usage, err := usage(filepath.Join(dir, "example", "main.hcl"))
	if err != nil {
		return "", err
	}
	name := filepath.Base(dir)
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Written by `make readmes` from the module's HCL. -->\n\n# lvsform://%s\n\n%s\n", name, strings.Join(leading(head), "\n"))
	fmt.Fprintf(&b, "\n```hcl\n%s```\n\nWith hosts: [example/main.hcl](example/main.hcl). Which mode for what: [modules](../../docs/modules.md).\n", usage)
	for _, table := range []func([]block) (string, error){resources, variables, outputs} {
		text, err := table(blocks)
		if err != nil {
			return "", fmt.Errorf("module %s: %w", name, err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// usage is the example's module block.
func usage(file string) (string, error) {
	blocks, err := parse(file)
	if err != nil {
		return "", err
	}
	for _, b := range blocks {
		if b.kind == "module" {
			return b.source + "\n", nil
		}
	}
	return "", fmt.Errorf("%s has no module block", file)
}

// resources says what the module declares, in the order of the source.
func resources(blocks []block) (string, error) {
	var b strings.Builder
	b.WriteString("\n## What it declares\n\nBy the addresses that plans show:\n\n| resource | on | what for |\n|---|---|---|\n")
	for _, r := range blocks {
		if len(r.labels) == 0 || slices.Contains([]string{"variable", "output", "check", "module"}, r.kind) {
			continue
		}
		if len(r.comment) == 0 {
			return "", fmt.Errorf("%s %q has no comment that says what it is for", r.kind, r.name())
		}
		on := "each director"
		if isMode(blocks) {
			on = "the director"
		}
		if strings.Contains(r.text["for_each"], "real_servers") {
			on = "each real server"
		}
		fmt.Fprintf(&b, "| `%s.%s` | %s | %s |\n", r.kind, r.name(), on, cell(strings.Join(r.comment, " ")))
	}
	return b.String(), nil
}

// isMode tells whether the module is one of the modes of forwarding: those
// declare a service.
func isMode(blocks []block) bool {
	return slices.ContainsFunc(blocks, func(b block) bool { return b.kind == "virtual_service" })
}

func variables(blocks []block) (string, error) {
	var b strings.Builder
	b.WriteString("\n## Variables\n\n")
	if isMode(blocks) {
		b.WriteString("The same in every mode.\n\n")
	}
	b.WriteString("| variable | type | default | meaning |\n|---|---|---|---|\n")
	for _, v := range blocks {
		if v.kind != "variable" {
			continue
		}
		description, err := v.constant("description")
		if err != nil {
			return "", err
		}
		fallback := "required"
		if text, ok := v.text["default"]; ok {
			fallback = "`" + cell(text) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", v.name(), cell(v.text["type"]), fallback, cell(description))
	}
	return b.String(), nil
}

func outputs(blocks []block) (string, error) {
	var b strings.Builder
	b.WriteString("\n## Outputs\n\n| output | meaning |\n|---|---|\n")
	for _, o := range blocks {
		if o.kind != "output" {
			continue
		}
		description, err := o.constant("description")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.name(), cell(description))
	}
	return b.String(), nil
}

// cell keeps a text inside its table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// block is a block of the module with its attributes as the source has them.
type block struct {
	kind    string
	labels  []string
	comment []string // the lines right above it
	source  string
	text    map[string]string
	exprs   map[string]hcl.Expression
}

func (b block) name() string { return strings.Join(b.labels, ".") }

// constant is an attribute that has to be a plain string.
func (b block) constant(attribute string) (string, error) {
	expr, ok := b.exprs[attribute]
	if !ok {
		return "", fmt.Errorf("%s %q has no %s", b.kind, b.name(), attribute)
	}
	v, diags := expr.Value(nil)
	if diags.HasErrors() {
		return "", diags
	}
	return v.AsString(), nil
}

// read returns the blocks of a module's files, in their order.
func read(dir string) ([]block, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
	if err != nil {
		return nil, err
	}
	var all []block
	for _, file := range files {
		blocks, err := parse(file)
		if err != nil {
			return nil, err
		}
		all = append(all, blocks...)
	}
	return all, nil
}

func parse(file string) ([]block, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, diags := hclsyntax.ParseConfig(source, file, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	body := parsed.Body.(*hclsyntax.Body)
	slices.SortFunc(body.Blocks, func(a, b *hclsyntax.Block) int {
		return cmp.Compare(a.TypeRange.Start.Byte, b.TypeRange.Start.Byte)
	})
	var blocks []block
	for _, b := range body.Blocks {
		whole := source[b.TypeRange.Start.Byte:b.CloseBraceRange.End.Byte]
		one := block{kind: b.Type, labels: b.Labels, comment: above(source[:b.TypeRange.Start.Byte]), source: string(whole),
			text: map[string]string{}, exprs: map[string]hcl.Expression{}}
		for name, a := range b.Body.Attributes {
			one.text[name] = onOneLine(a.Expr.Range().SliceBytes(source))
			one.exprs[name] = a.Expr
		}
		blocks = append(blocks, one)
	}
	return blocks, nil
}

// leading is the comment at the head of a file.
func leading(source []byte) []string {
	var out []string
	for line := range strings.Lines(string(source)) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		out = append(out, uncomment(line))
	}
	return out
}

// above is the comment that ends right where source ends.
func above(source []byte) []string {
	lines := strings.Split(strings.TrimSuffix(string(source), "\n"), "\n")
	var out []string
	for _, line := range slices.Backward(lines) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		out = append(out, uncomment(line))
	}
	slices.Reverse(out)
	return out
}

func uncomment(line string) string {
	return strings.TrimPrefix(strings.TrimPrefix(strings.TrimRight(line, "\r\n"), "#"), " ")
}

// onOneLine joins the lines of an expression, with commas between attributes.
func onOneLine(source []byte) string {
	var parts []string
	for line := range bytes.Lines(source) {
		parts = append(parts, strings.Join(strings.Fields(string(line)), " "))
	}
	joined := strings.Join(parts, ", ")
	return strings.NewReplacer("{, ", "{ ", ", }", " }", "(, ", "(", ", )", ")").Replace(joined)
}
