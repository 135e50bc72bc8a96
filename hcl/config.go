package hcl

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// block is one declaration: a host, a module call or a resource.
type block struct {
	kind, name string
	body       hcl.Body
	rng        hcl.Range // the header
}

// path is the block's address inside its module.
func (b *block) path() string { return b.kind + "." + b.name }

// named is one expression with a name: a local value or a variable's value.
type named struct {
	name string
	expr hcl.Expression
	rng  hcl.Range
}

// config is what the files of one directory declare.
type config struct {
	dir       directory
	topology  *block
	variables map[string]*variable
	locals    map[string]named
	outputs   map[string]*output
	blocks    map[string]*block // hosts, modules and resources by path
	checks    []*block
	removed   []*block
	order     []string // keys of blocks as they were declared
	broken    bool     // a file could not be used: what is missing may be in it
}

func (s schemas) file() *hcl.BodySchema {
	out := &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "topology", LabelNames: []string{"name"}},
		{Type: "variable", LabelNames: []string{"name"}},
		{Type: "output", LabelNames: []string{"name"}},
		{Type: "module", LabelNames: []string{"name"}},
		{Type: "host", LabelNames: []string{"name"}},
		{Type: "check", LabelNames: []string{"name"}},
		{Type: "locals"},
		{Type: "removed"},
	}}
	for _, name := range s.resourceTypes() {
		out.Blocks = append(out.Blocks, hcl.BlockHeaderSchema{Type: name, LabelNames: []string{"name"}})
	}
	return out
}

// config reads a directory, once however many modules use it.
func (l *loader) config(d directory) *config {
	id := d.identity()
	if c := l.configs[id]; c != nil {
		return c
	}
	c := &config{
		dir:       d,
		variables: map[string]*variable{},
		locals:    map[string]named{},
		outputs:   map[string]*output{},
		blocks:    map[string]*block{},
	}
	l.configs[id] = c
	files, ok := l.configFiles(d)
	c.broken = !ok
	if ok && len(files) == 0 {
		c.broken = true
		l.r.error(hcl.Range{}, fmt.Sprintf("No configuration in %s", d.name),
			"The directory holds no *.hcl or *.hcl.json file. Values files (*.vars.hcl) are not configuration.")
	}
	for _, f := range files {
		content, diags := f.Body.Content(l.schemas.file())
		l.r.takeContent(diags, l.schemas.file())
		for _, b := range content.Blocks {
			l.declare(c, b)
		}
	}
	return c
}

func (l *loader) declare(c *config, b *hcl.Block) {
	d := &block{kind: b.Type, body: b.Body, rng: b.DefRange}
	if len(b.Labels) > 0 {
		d.name = b.Labels[0]
		if !l.validName(d, b) {
			return
		}
	}
	switch b.Type {
	case "topology":
		if c.topology != nil {
			l.duplicate(d, c.topology.rng)
			return
		}
		c.topology = d
	case "variable":
		l.declareVariable(c, d)
	case "output":
		l.declareOutput(c, d)
	case "locals":
		l.declareLocals(c, d)
	case "check":
		c.checks = append(c.checks, d)
	case "removed":
		c.removed = append(c.removed, d)
	default:
		if old := c.blocks[d.path()]; old != nil {
			l.duplicate(d, old.rng)
			return
		}
		c.blocks[d.path()] = d
		c.order = append(c.order, d.path())
	}
}

func (l *loader) validName(d *block, b *hcl.Block) bool {
	rng := b.LabelRanges[0]
	switch {
	case d.kind == "topology" && !validTopologyName(d.name):
		l.r.error(rng, "Invalid topology name", "%q cannot name a topology. Use letters, digits, - , _ and dots, at most 64, beginning with a letter or digit.", d.name)
	case d.kind != "topology" && !hclsyntax.ValidIdentifier(d.name):
		l.r.error(rng, fmt.Sprintf("Invalid %s name", d.kind), "%q cannot be a name. A name begins with a letter and holds letters, digits, - and _.", d.name)
	case len(d.name) > 64:
		l.r.error(rng, fmt.Sprintf("Invalid %s name", d.kind), "A name may have 64 characters; this one has %d.", len(d.name))
	default:
		return true
	}
	return false
}

func validTopologyName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return true
}

func (l *loader) duplicate(d *block, first hcl.Range) {
	what := d.kind
	if d.kind == "topology" {
		what = "topology block"
	} else if d.name != "" {
		what = fmt.Sprintf("%s %q", d.kind, d.name)
	}
	l.r.error(d.rng, fmt.Sprintf("Duplicate %s", what), "%s was declared already at %s. Remove one of the two.", upperFirst(what), place(first))
}

func (l *loader) declareLocals(c *config, d *block) {
	attrs, diags := d.body.JustAttributes()
	l.r.take(diags)
	for name, attr := range attrs {
		if old, ok := c.locals[name]; ok {
			first, second := old.rng, attr.NameRange
			if first.Filename == second.Filename && first.Start.Byte > second.Start.Byte {
				first, second = second, first
			}
			l.r.error(second, fmt.Sprintf("Duplicate local value %q", name), "local.%s was declared already at %s. Remove one of the two.", name, place(first))
			continue
		}
		c.locals[name] = named{name, attr.Expr, attr.NameRange}
	}
}

func place(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }

func fileRange(name string) hcl.Range {
	return hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
}
