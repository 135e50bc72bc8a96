package hcl

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// EnvironPrefix begins the names of environment variables that hold values of
// the root's variables.
const EnvironPrefix = "LVSFORM_VAR_"

// rootInputs gathers the values of the root's variables; later ones win:
// environment, lvsform.vars.hcl, *.auto.vars.hcl, the command line.
func (l *loader) rootInputs(c *config) map[string]given {
	in := map[string]given{}
	for _, entry := range l.opts.Environ {
		name, text, _ := strings.Cut(entry, "=")
		if name, ok := strings.CutPrefix(name, EnvironPrefix); ok && c.variables[name] != nil {
			in[name] = given{raw: true, text: text, origin: "the value in the environment, " + EnvironPrefix + name + ","}
		}
	}
	for _, name := range l.valuesFiles(c) {
		src, err := c.dir.read(name)
		l.values(c, in, c.dir.shown(name), src, err)
	}
	for _, i := range l.opts.Inputs {
		if i.File != "" {
			name := i.File
			if !filepath.IsAbs(name) {
				name = filepath.Join(l.opts.Dir, name)
			}
			src, err := readFile(name)
			l.values(c, in, i.File, src, err)
			continue
		}
		if c.variables[i.Name] == nil {
			l.undeclaredInput(c, i.Name)
			continue
		}
		in[i.Name] = given{raw: true, text: i.Value, origin: "the value of --var " + i.Name}
	}
	return in
}

func (l *loader) undeclaredInput(c *config, name string) {
	if c.broken {
		return
	}
	names := slices.Sorted(maps.Keys(c.variables))
	hint := didYouMean(name, names)
	if hint == "" {
		hint = " " + declareHint("var", name)
	}
	l.r.error(hcl.Range{}, fmt.Sprintf("Undeclared variable %q", name), "--var sets %q, which the configuration does not declare.%s", clip(name), hint)
}

// valuesFiles are the files that are read without being asked for.
func (l *loader) valuesFiles(c *config) []string {
	names, err := c.dir.list()
	if err != nil {
		return nil // reported when the configuration was read
	}
	var first, auto []string
	for _, n := range names {
		switch stem := strings.TrimSuffix(n, ".json"); {
		case strings.HasPrefix(n, "."), strings.HasPrefix(n, "#"):
		case stem == "lvsform.vars.hcl":
			first = append(first, n)
		case strings.HasSuffix(stem, ".auto.vars.hcl"):
			auto = append(auto, n)
		}
	}
	slices.Sort(first)
	slices.Sort(auto)
	return append(first, auto...)
}

// values reads one values file.
func (l *loader) values(c *config, in map[string]given, shown string, src []byte, err error) {
	if err != nil {
		l.r.error(hcl.Range{}, fmt.Sprintf("Values file %s cannot be read", shown), "%v.", err)
		return
	}
	f := l.parse(shown, src)
	if f == nil {
		l.hideFile(c, shown)
		return
	}
	attrs, diags := f.Body.JustAttributes()
	for name, attr := range attrs {
		if v := c.variables[name]; v != nil && v.sensitive {
			l.r.hide(attr.Expr.Range())
		}
	}
	if l.r.take(diags) {
		l.hideFile(c, shown)
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		l.valueOf(c, in, attrs[name])
	}
}

func (l *loader) valueOf(c *config, in map[string]given, attr *hcl.Attribute) {
	v := c.variables[attr.Name]
	if v == nil {
		if !c.broken {
			l.r.warn(attr.NameRange, fmt.Sprintf("Undeclared variable %q", attr.Name),
				"The configuration declares no variable %q, so the value is not used.%s", attr.Name, didYouMean(attr.Name, slices.Sorted(maps.Keys(c.variables))))
		}
		return
	}
	value, diags := attr.Expr.Value(nil)
	if l.r.take(diags) {
		value = cty.DynamicVal
	}
	if v.sensitive {
		l.hideValue(value)
	}
	in[attr.Name] = given{value: value, rng: attr.Expr.Range(), origin: fmt.Sprintf("the value at %s", place(attr.Range))}
}

// hideFile keeps a values file that could not be read out of the messages when
// it may hold secrets.
func (l *loader) hideFile(c *config, shown string) {
	for _, v := range c.variables {
		if v.sensitive {
			l.r.hide(hcl.Range{Filename: shown, End: hcl.Pos{Byte: len(l.r.sources[shown])}})
			return
		}
	}
}

// parseInput reads a text from the environment or the command line: for a
// variable of a primitive type, or of none, it is the value; else it is an
// expression.
func (l *loader) parseInput(v *variable, g given) cty.Value {
	if v.sensitive {
		l.r.hideWord(g.text)
	}
	if len(g.text) > maxString {
		l.r.error(g.rng, fmt.Sprintf("Invalid value for variable %q", v.name), "A text may have %d bytes.", maxString)
		return cty.DynamicVal
	}
	if v.ty.IsPrimitiveType() || v.ty == cty.DynamicPseudoType {
		return cty.StringVal(g.text)
	}
	tokens, diags := hclsyntax.LexExpression([]byte(g.text), "", hcl.InitialPos)
	diags = append(diags, checkTokens(tokens)...)
	if !diags.HasErrors() {
		expr, more := hclsyntax.ParseExpression([]byte(g.text), "", hcl.InitialPos)
		diags = append(diags, more...)
		if !diags.HasErrors() {
			value, more := metering{l.b, l.r}.expr(expr).Value(nil)
			diags = append(diags, more...)
			if !diags.HasErrors() {
				return value
			}
		}
	}
	l.r.error(g.rng, fmt.Sprintf("Invalid value for variable %q", v.name), "%s is no valid expression: %s %s", upperFirst(g.origin), diags[0].Summary+".", diags[0].Detail)
	return cty.DynamicVal
}
