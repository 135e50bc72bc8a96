package hcl

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// link checks what is only known when everything is evaluated: host names,
// dependencies, and what removed blocks name.
func (l *loader) link() {
	l.checkHosts()
	byPath := map[string]*resource{}
	for _, r := range l.resources {
		byPath[r.Path] = r
	}
	for _, r := range l.resources {
		if !l.order(r) {
			l.r.error(r.rng, "Too many dependencies", "The blocks of this configuration depend on each other in more ways than a topology can use.")
			return
		}
	}
	l.checkOrder(byPath)
	l.checkRemoved(byPath)
	if l.poisoned && !l.r.found.HasErrors() {
		l.r.error(hcl.Range{}, "A value could not be computed", "The configuration leaves a value unknown.")
	}
}

// What one entry of a list of dependencies costs: to walk one that the instances
// of a block share, and to make one of its own.
const (
	stepsPerShared = 10
	stepsPerOwn    = 20
)

// order lists what a resource waits for, and tells whether there was work left
// for that.
func (l *loader) order(r *resource) bool {
	shared := r.m.waits(r.b)
	if l.b.exhausted {
		return false
	}
	if len(r.deps) == 0 {
		r.DependsOn = shared
		return l.b.spend(stepsPerShared * len(shared))
	}
	if !l.b.spend(stepsPerOwn * (len(shared) + len(r.deps))) {
		return false
	}
	all := slices.Concat(r.deps, shared)
	slices.Sort(all)
	r.DependsOn = slices.Compact(all)
	return true
}

// waits lists the resources that depends_on of a block and of the module calls
// around it names, sorted.
func (m *module) waits(b *block) []string {
	if out, ok := m.waiting[b.path()]; ok {
		return out
	}
	own, out := m.dependsOn(b), m.inherited()
	if len(own) > 0 && m.l.b.spend(stepsPerOwn*(len(own)+len(out))) {
		all := slices.Concat(own, out)
		slices.Sort(all)
		out = slices.Clip(slices.Compact(all))
	}
	m.waiting[b.path()] = out
	return out
}

func (l *loader) checkHosts() {
	byName := map[string]*topology.Host{}
	for _, h := range l.hosts {
		if old := byName[h.Name]; old != nil {
			d := topology.Diagnostic{
				Severity: topology.Error, Host: h.Name, Summary: fmt.Sprintf("Duplicate host name %q", h.Name), Range: &h.Range,
				Detail: fmt.Sprintf("%s and %s have the same name; the first is at %s:%d. Set name to another in one of them.", old.Path, h.Path, old.Range.File, old.Range.Start.Line),
			}
			l.r.add(d)
			continue
		}
		byName[h.Name] = h
	}
	names := slices.Sorted(maps.Keys(byName))
	for _, ref := range l.hostRefs {
		if byName[ref.name] != nil {
			continue
		}
		hint := ""
		if len(l.r.found) < 20 { // to look for the nearest name takes a while
			hint = didYouMean(ref.name, names)
		}
		l.r.error(ref.rng, fmt.Sprintf("Unknown host %q", clip(ref.name)), "No host block has this name.%s", hint)
	}
}

// dependsOn lists the resources that depends_on of a block names.
func (m *module) dependsOn(b *block) []string {
	if out, ok := m.ordered[b.path()]; ok {
		return out
	}
	out := m.readDependsOn(b)
	m.ordered[b.path()] = out
	return out
}

func (m *module) readDependsOn(b *block) []string {
	content, _, _ := b.body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "depends_on"}}})
	attr := content.Attributes["depends_on"]
	if attr == nil {
		return nil
	}
	list, diags := hcl.ExprList(attr.Expr)
	if diags.HasErrors() {
		m.l.r.error(attr.Expr.Range(), "Invalid depends_on", "depends_on is a list of addresses: [address.vip, module.web].")
		return nil
	}
	var out []string
	seen := map[string]bool{}
	for _, e := range list {
		t, diags := hcl.AbsTraversalForExpr(e)
		if diags.HasErrors() {
			m.l.r.error(e.Range(), "Invalid depends_on", "An address of a resource or module is expected here, like address.vip or module.web, without an index that is computed.")
			continue
		}
		text := showTraversal(t)
		if seen[text] {
			continue
		}
		seen[text] = true
		named := m.named(t)
		out = append(out, named...)
		if !m.l.b.spend(stepsPerShared * len(named)) {
			m.l.r.error(attr.Expr.Range(), "Too many dependencies", "The list names more resources than a topology can use, or the same ones in many ways.")
			return nil
		}
	}
	return out
}

// named lists the resources that an address stands for.
func (m *module) named(t hcl.Traversal) []string {
	root, rng := t.RootName(), t.SourceRange()
	name, ok := stepName(t)
	if !ok || root != "module" && (root == "host" || m.l.schemas[root] == nil) {
		m.l.r.error(rng, "Invalid depends_on", "An address of a resource or module is expected here, like address.vip or module.web.")
		return nil
	}
	b := m.c.blocks[root+"."+name]
	if b == nil {
		m.undeclared(root, name, rng)
		return nil
	}
	suffix := ""
	if len(t) > 2 {
		suffix = indexSuffix(t[2])
	}
	if root == "module" {
		var out []string
		for _, child := range m.childModules(b) {
			if suffix == "" || child.path == m.at(b.path()+suffix) {
				out = append(out, child.everything()...)
			}
		}
		return out
	}
	var out []string
	for _, inst := range m.expand(b).insts {
		if suffix == "" || inst.suffix == suffix {
			out = append(out, m.at(b.path()+inst.suffix))
		}
	}
	if len(out) == 0 && suffix != "" && !m.expand(b).bad {
		m.l.r.error(rng, "No such instance", "%s has no instance %s.", b.path(), suffix)
	}
	return out
}

func indexSuffix(step hcl.Traverser) string {
	index, ok := step.(hcl.TraverseIndex)
	if !ok {
		return ""
	}
	switch {
	case !index.Key.IsKnown() || index.Key.IsNull():
		return ""
	case index.Key.Type() == cty.String:
		return keySuffix(index.Key.AsString())
	case index.Key.Type() == cty.Number:
		return "[" + index.Key.AsBigFloat().Text('f', -1) + "]"
	}
	return ""
}

// everything lists the resources of a module and the modules inside it.
func (m *module) everything() []string {
	var out []string
	for _, key := range m.c.order {
		b := m.c.blocks[key]
		switch b.kind {
		case "host":
		case "module":
			for _, child := range m.childModules(b) {
				out = append(out, child.everything()...)
			}
		default:
			for _, inst := range m.expand(b).insts {
				out = append(out, m.at(b.path()+inst.suffix))
			}
		}
	}
	return out
}

// inherited lists what depends_on of the module calls around names. All
// instances of a call share it.
func (m *module) inherited() []string {
	if m.parent == nil {
		return nil
	}
	return m.parent.waits(m.call)
}

// checkOrder reports resources that wait for each other in a circle.
func (l *loader) checkOrder(byPath map[string]*resource) {
	const active, done = 1, 2
	state := map[string]int{}
	var way []string
	var visit func(r *resource) bool
	visit = func(r *resource) bool {
		state[r.Path] = active
		way = append(way, r.Path)
		for _, d := range r.DependsOn {
			next := byPath[d]
			if next == nil || state[d] == done {
				continue
			}
			if state[d] == active {
				circle := append(slices.Clone(way[slices.Index(way, d):]), d)
				l.r.error(r.rng, "Resources depend on each other in a circle", "%s. Take one of the dependencies out.", strings.Join(circle, " → "))
				return false
			}
			if !visit(next) {
				return false
			}
		}
		way = way[:len(way)-1]
		state[r.Path] = done
		return true
	}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		if state[path] == 0 && !visit(byPath[path]) {
			return
		}
	}
}

// remove reads the removed blocks of the module.
func (m *module) remove() {
	for _, b := range m.c.removed {
		content, diags := b.body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "from", Required: true}}})
		if m.l.r.take(diags) {
			continue
		}
		expr := content.Attributes["from"].Expr
		t, diags := hcl.AbsTraversalForExpr(expr)
		if diags.HasErrors() {
			t, diags = traversalInText(expr)
		}
		root := ""
		if !diags.HasErrors() {
			root = t.RootName()
		}
		if _, ok := stepName(t); !ok || root != "module" && (root == "host" || m.l.schemas[root] == nil) {
			m.l.r.error(expr.Range(), "Invalid from", "from is the address of a resource or module that is no longer declared, like address.vip or module.web[\"a\"].")
			continue
		}
		m.l.removed = append(m.l.removed, topology.Removed{From: m.at(showTraversal(t)), Range: toRange(expr.Range())})
	}
}

// traversalInText reads an address that stands in quotes.
func traversalInText(expr hcl.Expression) (hcl.Traversal, hcl.Diagnostics) {
	v, diags := expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String || len(v.AsString()) > 1000 {
		return nil, append(diags, &hcl.Diagnostic{Severity: hcl.DiagError})
	}
	return hclsyntax.ParseTraversalAbs([]byte(v.AsString()), expr.Range().Filename, expr.Range().Start)
}

func showTraversal(t hcl.Traversal) string {
	out := t.RootName()
	for _, step := range t[1:] {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			out += "." + s.Name
		case hcl.TraverseIndex:
			out += indexSuffix(s)
		}
	}
	return out
}

// declaredPaths are the addresses of resources and of the real servers in them.
func (l *loader) declaredPaths(byPath map[string]*resource) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path, r := range byPath {
			if !yield(path) {
				return
			}
			s, ok := r.Body.(*topology.VirtualService)
			if !ok {
				continue
			}
			for _, rs := range s.RealServers {
				if !yield(path + ".real_server." + rs.Name) {
					return
				}
			}
		}
	}
}

// checkRemoved refuses to forget what is still declared.
func (l *loader) checkRemoved(byPath map[string]*resource) {
	if len(l.removed) == 0 {
		return
	}
	declared := map[string]bool{} // of what removed blocks name
	for _, removed := range l.removed {
		declared[removed.From] = false
	}
	note := func(prefix string) {
		if _, named := declared[prefix]; named {
			declared[prefix] = true
		}
	}
	for path := range l.declaredPaths(byPath) {
		for i, c := range path {
			if c == '.' || c == '[' {
				note(path[:i])
			}
		}
		note(path)
	}
	for _, removed := range l.removed {
		if !declared[removed.From] {
			continue
		}
		rng := removed.Range
		l.r.add(topology.Diagnostic{
			Severity: topology.Error, Summary: "Removed but still declared", Range: &rng, Object: removed.From,
			Detail: fmt.Sprintf("%s is still declared. Take its block out, or this one.", removed.From),
		})
	}
}
