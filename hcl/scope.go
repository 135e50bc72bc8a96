package hcl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// sensitive marks a value that must not be shown.
const sensitive = markKind("sensitive")

type markKind string

// dependency marks a value that comes from a resource; it is the resource's
// path. So what an argument depends on is known exactly, however the value
// travelled.
type dependency string

// module is one instance of a module, or the root. Its values are evaluated
// when something asks for them, once.
type module struct {
	l        *loader
	c        *config
	parent   *module // nil for the root
	call     *block  // nil for the root
	path     string  // "" for the root
	inputs   map[string]given
	nodes    map[string]*node
	expanded map[string]*expansion
	children map[string][]*module        // by the name of the call
	contexts map[string]*hcl.EvalContext // by block path
	ordered  map[string][]string         // what depends_on of a block names
	waiting  map[string][]string         // the same with that of the calls around
	ignoring map[string][]string         // what ignore_changes of a block names
	// validating counts the validation rules being evaluated: they see
	// values that have not passed their own rules yet.
	validating int
}

// outermostCall is the module block of the root that leads here.
func (m *module) outermostCall() topology.Range {
	if m.parent == nil {
		return topology.Range{}
	}
	for m.parent.parent != nil {
		m = m.parent
	}
	return toRange(m.call.rng)
}

// given is a value for a variable from outside of its module: an expression of
// the calling module, a text from the command line, or a value from a file.
type given struct {
	in     *expansion // not nil: expr is evaluated in the parent, for inst
	inst   *instance
	expr   hcl.Expression
	raw    bool // text is read by the variable's type
	text   string
	value  cty.Value
	rng    hcl.Range
	origin string // as messages name it
}

// node is one value, or the one being computed.
type node struct {
	running bool
	value   cty.Value
}

func (l *loader) newModule(parent *module, c *config, path string) *module {
	return &module{
		l: l, c: c, parent: parent, path: path,
		inputs:   map[string]given{},
		nodes:    map[string]*node{},
		expanded: map[string]*expansion{},
		children: map[string][]*module{},
		contexts: map[string]*hcl.EvalContext{},
		ordered:  map[string][]string{},
		waiting:  map[string][]string{},
		ignoring: map[string][]string{},
	}
}

// at returns the address of something inside the module.
func (m *module) at(path string) string {
	if m.path == "" {
		return path
	}
	return m.path + "." + path
}

// resolve computes a value once. A value that failed is unknown: whatever
// depends on it stays silent.
func (m *module) resolve(key string, rng hcl.Range, compute func() cty.Value) cty.Value {
	return m.resolveAs(false, key, rng, compute)
}

// resolveAs is resolve for a value that was measured already, or was not.
func (m *module) resolveAs(measured bool, key string, rng hcl.Range, compute func() cty.Value) cty.Value {
	if n := m.nodes[key]; n != nil {
		if n.running {
			m.l.cycle(m.at(key), rng)
			return cty.DynamicVal
		}
		return n.value
	}
	if m.l.b.exhausted {
		return cty.DynamicVal
	}
	if len(m.l.stack) > maxReferences {
		m.l.r.error(rng, "Values depend on each other in too long a chain", "A chain may have %d links.", maxReferences)
		return cty.DynamicVal
	}
	n := &node{running: true}
	m.nodes[key] = n
	m.l.stack = append(m.l.stack, m.at(key))
	n.value = compute()
	m.l.stack = m.l.stack[:len(m.l.stack)-1]
	n.running = false
	if measured {
		return n.value
	}
	if msg := m.l.b.chargeName(n.value); msg != "" {
		m.l.r.error(rng, "Value too large", "%s", msg)
		n.value = cty.DynamicVal
	}
	return n.value
}

// isReference tells whether an expression yields a value that has a name, or a
// part of one.
func isReference(expr hcl.Expression) bool {
	_, ok := expr.(*hclsyntax.ScopeTraversalExpr)
	return ok
}

// cycle reports that a value depends on itself, with the whole way.
func (l *loader) cycle(path string, rng hcl.Range) {
	way := slices.Clone(l.stack[slices.Index(l.stack, path):])
	for i, s := range way {
		way[i], _, _ = strings.Cut(s, " (")
	}
	way = slices.Compact(append(way, way[0]))
	if len(way) == 1 {
		way = append(way, way[0])
	}
	l.r.error(rng, "Values depend on each other in a circle", "%s. One of them must not need the next.", strings.Join(way, " → "))
}

// eval evaluates an expression outside of any instance.
func (m *module) eval(expr hcl.Expression) cty.Value {
	return m.evalIn(m.context(expr.Variables(), nil), expr)
}

func (m *module) evalIn(ctx *hcl.EvalContext, expr hcl.Expression) cty.Value {
	v, diags := expr.Value(ctx)
	if m.l.r.take(diags) {
		return cty.DynamicVal
	}
	return v
}

// wanted is what the references of an expression name.
type wanted struct {
	m       *module
	repeats *expansion
	roots   map[string]map[string]cty.Value
	outputs map[string]map[string]bool // of modules; "" is all
}

// context resolves references and returns a context that holds them. repeats
// tells whether each or count is there.
func (m *module) context(traversals []hcl.Traversal, repeats *expansion) *hcl.EvalContext {
	w := &wanted{m: m, repeats: repeats, roots: map[string]map[string]cty.Value{}, outputs: map[string]map[string]bool{}}
	vars := map[string]cty.Value{}
	for _, t := range traversals {
		w.add(t, vars)
	}
	for name, outputs := range w.outputs {
		w.set("module", name, m.moduleValue(name, outputs))
	}
	for root, names := range w.roots {
		vars[root] = cty.ObjectVal(names)
	}
	return &hcl.EvalContext{Variables: vars, Functions: m.l.functions}
}

func (w *wanted) set(root, name string, v cty.Value) {
	if w.roots[root] == nil {
		w.roots[root] = map[string]cty.Value{}
	}
	w.roots[root][name] = v
}

// add resolves one reference.
func (w *wanted) add(t hcl.Traversal, vars map[string]cty.Value) {
	root, rng := t.RootName(), t.SourceRange()
	switch root {
	case "path":
		vars["path"] = w.m.pathValue()
		return
	case "each", "count":
		if w.repeats == nil || w.repeats.root != root {
			w.m.l.wrongRepeat(root, rng)
			vars[root] = cty.DynamicVal
		}
		return
	}
	if !w.m.isRoot(root) {
		w.m.unknownRoot(t)
		vars[root] = cty.DynamicVal
		return
	}
	name, ok := stepName(t)
	if !ok {
		w.m.l.r.error(rng, "Incomplete reference", "%s must be followed by a dot and a name, like %s.", root, w.m.example(root))
		vars[root] = cty.DynamicVal
		return
	}
	if _, done := w.roots[root][name]; done {
		return
	}
	if root == "module" {
		w.module(name, t)
		return
	}
	v := w.m.lookup(root, name, rng)
	if b := w.m.c.blocks[root+"."+name]; b != nil && !w.m.knownAttribute(b, t) {
		v = cty.DynamicVal
	}
	w.set(root, name, v)
}

// knownAttribute checks the attribute that a reference to a host or resource
// names.
func (m *module) knownAttribute(b *block, t hcl.Traversal) bool {
	at := 2
	if m.expand(b).root != "" {
		at = 3
	}
	if len(t) <= at {
		return true
	}
	step, ok := t[at].(hcl.TraverseAttr)
	if _, indexed := t[at-1].(hcl.TraverseSplat); !ok || indexed {
		return true
	}
	names := []string{"name", "address"}
	if b.kind != "host" {
		s := m.l.schemas[b.kind]
		names = slices.Sorted(maps.Keys(s.attrs))
		for _, n := range slices.Sorted(maps.Keys(s.blocks)) {
			if n != "lifecycle" {
				names = append(names, n)
			}
		}
	}
	if slices.Contains(names, step.Name) {
		return true
	}
	hint := didYouMean(step.Name, names)
	if hint == "" {
		hint = " There can be " + strings.Join(names, ", ") + "."
	}
	m.l.r.error(t.SourceRange(), fmt.Sprintf("Unsupported attribute %q", step.Name), "A reference to %s has no attribute %q.%s", b.kind, step.Name, hint)
	return false
}

// stepName is the name after the root.
func stepName(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	step, ok := t[1].(hcl.TraverseAttr)
	return step.Name, ok
}

func (m *module) isRoot(root string) bool {
	return root == "var" || root == "local" || root == "module" || m.l.schemas[root] != nil
}

func (m *module) example(root string) string {
	if names := m.names(root); len(names) > 0 {
		return root + "." + names[0]
	}
	return root + ".name"
}

// names are what a root offers in this module, sorted.
func (m *module) names(root string) []string {
	switch root {
	case "var":
		return slices.Sorted(maps.Keys(m.c.variables))
	case "local":
		return slices.Sorted(maps.Keys(m.c.locals))
	}
	var out []string
	for _, path := range slices.Sorted(maps.Keys(m.c.blocks)) {
		if b := m.c.blocks[path]; b.kind == root {
			out = append(out, b.name)
		}
	}
	return out
}

// lookup returns the value of a name that is no module.
func (m *module) lookup(root, name string, rng hcl.Range) cty.Value {
	switch root {
	case "var":
		if v := m.c.variables[name]; v != nil {
			return m.variable(v, rng)
		}
	case "local":
		if e, ok := m.c.locals[name]; ok {
			return m.resolveAs(isReference(e.expr), "local."+name, rng, func() cty.Value { return m.eval(e.expr) })
		}
	case "host":
		if b := m.c.blocks["host."+name]; b != nil {
			return m.resolve(b.path(), rng, func() cty.Value { return m.hostValues(b) })
		}
	default:
		if b := m.c.blocks[root+"."+name]; b != nil {
			return m.resolve(b.path(), rng, func() cty.Value { return m.resourceValues(b) })
		}
	}
	m.undeclared(root, name, rng)
	return cty.DynamicVal
}

func (m *module) undeclared(root, name string, rng hcl.Range) {
	if m.c.broken {
		return // it may be in a file that could not be read
	}
	where := "this configuration"
	if m.path != "" {
		where = "module " + m.c.dir.name
	}
	what := map[string]string{"var": "variable", "local": "local value", "module": "module call"}[root]
	if what == "" {
		what = root
	}
	hint := didYouMean(name, m.names(root))
	if hint == "" {
		hint = " " + declareHint(root, name)
	}
	m.l.r.error(rng, fmt.Sprintf("Undeclared %s %q", what, name), "%s declares no %s %q.%s", upperFirst(where), what, name, hint)
}

func declareHint(root, name string) string {
	switch root {
	case "var":
		return fmt.Sprintf("Declare it: variable %q {}", name)
	case "local":
		return fmt.Sprintf("Declare it: locals { %s = … }", name)
	}
	return fmt.Sprintf("Declare it: %s %q { … }", root, name)
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (l *loader) wrongRepeat(root string, rng hcl.Range) {
	if root == "each" {
		l.r.error(rng, "each without for_each", "each.key and each.value exist only inside a block that has for_each.")
		return
	}
	l.r.error(rng, "count without count", "count.index exists only inside a block that has count.")
}

// unknownRoot reports a reference that begins with no known word.
func (m *module) unknownRoot(t hcl.Traversal) {
	root, rng := t.RootName(), t.SourceRange()
	for _, known := range []string{"var", "local", "host"} {
		if slices.Contains(m.names(known), root) {
			m.l.r.error(rng, "Invalid reference", "There is no %q here. Did you mean %s.%s?", root, known, root)
			return
		}
	}
	words := append([]string{"var", "local", "module", "path", "each", "count", "host"}, m.l.schemas.resourceTypes()...)
	if len(t) == 1 {
		m.l.r.error(rng, "Invalid reference", "A text stands in quotes: %q. A reference needs a dot: var.NAME, local.NAME, host.NAME.%s", root, didYouMean(root, words))
		return
	}
	m.l.r.error(rng, "Invalid reference", "There is no %q here. References begin with %s.%s", root, oneOf(words), didYouMean(root, words))
}

func (m *module) pathValue() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"module": cty.StringVal(m.c.dir.name),
		"root":   cty.StringVal("."),
	})
}
