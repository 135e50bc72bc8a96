package hcl

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/modules"
	"github.com/lvsform/lvsform/sources"
	"github.com/zclconf/go-cty/cty"
)

// moduleArguments are the arguments of a module block that are no variables.
var moduleArguments = map[string]bool{"source": true, "for_each": true, "count": true, "depends_on": true}

func builtin() fs.FS { return modules.FS }

// evaluate computes everything that the module declares, so that every mistake
// is found, used or not.
func (m *module) evaluate() {
	if m.l.done() {
		return
	}
	m.l.b.grant(stepsPerModule)
	for _, name := range slices.Sorted(maps.Keys(m.c.variables)) {
		m.variable(m.c.variables[name], m.c.variables[name].rng)
	}
	for _, name := range slices.Sorted(maps.Keys(m.c.locals)) {
		m.lookup("local", name, m.c.locals[name].rng)
	}
	for _, key := range m.c.order {
		if m.l.done() {
			return
		}
		b := m.c.blocks[key]
		m.dependsOn(b)
		if b.kind != "module" {
			m.lookup(b.kind, b.name, b.rng)
			continue
		}
		for _, child := range m.childModules(b) {
			child.evaluate()
		}
	}
	m.publish()
	m.checks()
	m.remove()
}

// childModules creates the instances of a module call, once.
func (m *module) childModules(b *block) []*module {
	if children, ok := m.children[b.name]; ok {
		return children
	}
	m.children[b.name] = nil
	x := m.expand(b)
	attrs, diags := b.body.JustAttributes()
	m.l.r.take(diags)
	d, ok := m.sourceOf(b, attrs["source"])
	if !ok || !m.nestable(b, d, attrs["source"]) {
		x.bad = true
		return nil
	}
	c := m.l.config(d)
	m.checkArguments(c, attrs)
	if c.topology != nil {
		m.l.r.error(c.topology.rng, "topology block in a module", "Only the root directory names its topology. Remove the block.")
	}
	for _, inst := range x.insts {
		child := m.l.newModule(m, c, m.at(b.path()+inst.suffix))
		child.call = b
		for name, attr := range attrs {
			if !moduleArguments[name] && c.variables[name] != nil {
				child.inputs[name] = given{in: x, inst: inst, expr: attr.Expr, rng: attr.Expr.Range(), origin: "the value of " + name}
			}
		}
		m.children[b.name] = append(m.children[b.name], child)
	}
	return m.children[b.name]
}

func (m *module) checkArguments(c *config, attrs hcl.Attributes) {
	for name, attr := range attrs {
		if moduleArguments[name] || c.variables[name] != nil || c.broken {
			continue
		}
		names := slices.Sorted(maps.Keys(c.variables))
		hint := didYouMean(name, names)
		if hint == "" && len(names) > 0 {
			hint = " It has " + strings.Join(names, ", ") + "."
		}
		m.l.r.error(attr.NameRange, fmt.Sprintf("Unsupported argument %q", name), "Module %s declares no variable %q.%s", c.dir.name, name, hint)
	}
}

// sourceOf finds the directory of a module call.
func (m *module) sourceOf(b *block, attr *hcl.Attribute) (directory, bool) {
	if attr == nil {
		m.l.r.error(b.rng, "Missing source", "A module block says where the module is: source = \"lvsform://dr\" or source = \"./path\".")
		return directory{}, false
	}
	v, diags := attr.Expr.Value(nil)
	if m.l.r.take(diags) {
		return directory{}, false
	}
	if v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		m.l.r.error(attr.Expr.Range(), "Invalid source", "source is a text in quotes.")
		return directory{}, false
	}
	source := v.AsString()
	switch {
	case strings.HasPrefix(source, embeddedScheme):
		return m.embedded(strings.TrimPrefix(source, embeddedScheme), attr.Expr.Range())
	case strings.HasPrefix(source, "./"), strings.HasPrefix(source, "../"), source == ".", source == "..":
		return m.local(source, attr.Expr.Range())
	case strings.HasPrefix(source, sources.GitPrefix):
		return m.git(source, attr.Expr.Range())
	default:
		m.l.r.error(attr.Expr.Range(), "Invalid source", "%q is no module source. A module of this project begins with ./ or ../, one from git with %s, a built-in one with %s: %s.", clip(source), sources.GitPrefix, embeddedScheme, oneOf(m.l.embeddedNames()))
	}
	return directory{}, false
}

func (l *loader) embeddedNames() []string {
	entries, err := fs.ReadDir(l.opts.Embedded, ".")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func (m *module) embedded(name string, rng hcl.Range) (directory, bool) {
	names := m.l.embeddedNames()
	if !slices.Contains(names, name) {
		m.l.r.error(rng, "No such module", "There is no built-in module %q; there are %s.%s", clip(name), strings.Join(names, ", "), didYouMean(name, names))
		return directory{}, false
	}
	return directory{fsys: m.l.opts.Embedded, dir: name, name: embeddedScheme + name}, true
}

func (m *module) local(source string, rng hcl.Range) (directory, bool) {
	from := m.c.dir
	if from.fsys != nil {
		d := directory{fsys: from.fsys, dir: path.Join(from.dir, source)}
		d.name = embeddedScheme + d.dir
		if info, err := fs.Stat(from.fsys, d.dir); err != nil || !info.IsDir() {
			m.l.r.error(rng, "No such module", "There is no directory %s.", d.name)
			return d, false
		}
		return d, true
	}
	if from.repo != nil {
		return m.besideIn(from, source, rng)
	}
	d := directory{dir: filepath.Join(from.dir, source), name: relativeName(from.name, source)}
	if info, err := fs.Stat(d.root(), "."); err != nil || !info.IsDir() {
		m.l.r.error(rng, "No such module", "There is no directory %s.", d.name)
		return d, false
	}
	return d, true
}

// relativeName joins a directory's name with a relative source and keeps the
// leading ./.
func relativeName(from, source string) string {
	name := path.Join(from, source)
	if name == "." || strings.HasPrefix(name, "../") || name == ".." {
		return name
	}
	return "./" + name
}

// nestable refuses a module that includes itself.
func (m *module) nestable(b *block, d directory, source *hcl.Attribute) bool {
	id, way := d.identity(), []string{d.name}
	depth := 0
	for at := m; at != nil; at = at.parent {
		way = append(way, at.c.dir.name)
		depth++
		if at.c.dir.identity() == id {
			slices.Reverse(way)
			m.l.r.error(source.Expr.Range(), "Module includes itself", "%s. Take the inner module block out.", strings.Join(way, " → "))
			return false
		}
	}
	if depth > maxModules {
		m.l.r.error(b.rng, "Modules are nested too deeply", "Modules may stand inside each other %d deep.", maxModules)
		return false
	}
	return true
}

// module notes which output of a module call a reference needs, so that no
// other is evaluated for it.
func (w *wanted) module(name string, t hcl.Traversal) {
	b := w.m.c.blocks["module."+name]
	if b == nil {
		w.m.undeclared("module", name, t.SourceRange())
		w.set("module", name, cty.DynamicVal)
		return
	}
	children := w.m.childModules(b)
	x := w.m.expand(b)
	if w.outputs[name] == nil {
		w.outputs[name] = map[string]bool{}
	}
	at := 2
	if x.root != "" {
		at = 3
	}
	var output string
	if len(t) > at {
		if step, ok := t[at].(hcl.TraverseAttr); ok {
			output = step.Name
		}
	}
	if output != "" && len(children) > 0 {
		c := children[0].c
		if c.outputs[output] == nil && !c.broken {
			hint := didYouMean(output, slices.Sorted(maps.Keys(c.outputs)))
			w.m.l.r.error(t.SourceRange(), fmt.Sprintf("Undeclared output %q", output), "Module %s declares no output %q.%s", c.dir.name, output, hint)
			x.bad = true
		}
	}
	w.outputs[name][output] = true
}

// moduleValue is what references to a module call see: the outputs asked for,
// "" for all.
func (m *module) moduleValue(name string, outputs map[string]bool) cty.Value {
	b := m.c.blocks["module."+name]
	x := m.expand(b)
	children := m.childModules(b)
	if x.bad || len(children) != len(x.insts) {
		return cty.DynamicVal
	}
	values := make([]cty.Value, len(children))
	for i, child := range children {
		attrs := map[string]cty.Value{}
		for output, o := range child.c.outputs {
			if outputs[output] || outputs[""] {
				attrs[output] = child.output(o, b.rng)
			}
		}
		values[i] = cty.ObjectVal(attrs)
	}
	return x.value(values)
}
