package hcl

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// object is the evaluated content of one block.
type object struct {
	l      *loader
	label  string
	header hcl.Range
	vals   map[string]cty.Value // without marks; null and absent are not in it
	ranges map[string]hcl.Range // of the values; also of poisoned ones
	bad    map[string]bool      // given, but of no use: reported already
	blocks map[string][]*object
	marks  *marks
	under  string // of attribute names in marks and ranges: `real_server.a.`
}

// marks collects what the arguments of one resource carried.
type marks struct {
	deps      map[string]bool
	sensitive map[string]bool // attribute names
	ranges    map[string]hcl.Range
}

func newMarks() *marks {
	return &marks{deps: map[string]bool{}, sensitive: map[string]bool{}, ranges: map[string]hcl.Range{}}
}

// places are the ranges as the topology has them.
func (mk *marks) places() map[string]topology.Range {
	out := map[string]topology.Range{}
	for name, rng := range mk.ranges {
		out[name] = toRange(rng)
	}
	return out
}

// decode evaluates a block by its schema.
func (m *module) decode(body hcl.Body, s *schema, ctx *hcl.EvalContext, header hcl.Range, mk *marks) *object {
	check := dynblock.OptCheckForEach(func(v cty.Value, e hcl.Expression, _ *hcl.EvalContext) hcl.Diagnostics {
		if msg := m.l.b.chargeUse(v); msg != "" {
			return m.l.b.diagnostics(e.Range(), msg)
		}
		return nil
	})
	return m.object(dynblock.Expand(body, ctx, check), s, ctx, header, mk)
}

func (m *module) object(body hcl.Body, s *schema, ctx *hcl.EvalContext, header hcl.Range, mk *marks) *object {
	content, diags := body.Content(s.body())
	m.l.r.takeContent(diags, s.body())
	return m.fill(&object{l: m.l, header: header, marks: mk}, content, s, ctx)
}

func (m *module) fill(o *object, content *hcl.BodyContent, s *schema, ctx *hcl.EvalContext) *object {
	o.vals, o.ranges, o.bad = map[string]cty.Value{}, map[string]hcl.Range{}, map[string]bool{}
	o.blocks = map[string][]*object{}
	for _, name := range slices.Sorted(maps.Keys(content.Attributes)) {
		if spec, ok := s.attrs[name]; ok {
			o.set(content.Attributes[name], spec, ctx)
		}
	}
	for name := range s.attrs {
		if s.attrs[name].required && content.Attributes[name] == nil {
			o.bad[name] = true // reported by the library
		}
	}
	// The library expands one level of dynamic blocks at a time, so that the
	// bill comes before the next level.
	if !m.l.b.spend(stepsPerBlock * len(content.Blocks)) {
		m.l.r.take(m.l.b.diagnostics(o.header, exhaustedText))
	}
	for _, b := range content.Blocks {
		if m.l.b.exhausted {
			break
		}
		m.addBlock(o, b, s.blocks[b.Type], ctx)
	}
	return o
}

func (m *module) addBlock(o *object, b *hcl.Block, n nested, ctx *hcl.EvalContext) {
	if old := o.blocks[b.Type]; !n.many && len(old) > 0 {
		o.l.r.error(b.DefRange, fmt.Sprintf("Duplicate %s block", b.Type), "Only one %s block is allowed here; the first is at %s.", b.Type, place(old[0].header))
		return
	}
	child := &object{l: o.l, header: b.DefRange, marks: o.marks, under: o.under + b.Type + "."}
	if len(b.Labels) > 0 {
		child.label = b.Labels[0]
		child.under += child.label + "."
		for _, old := range o.blocks[b.Type] {
			if old.label == child.label {
				o.l.r.error(b.DefRange, fmt.Sprintf("Duplicate %s %q", b.Type, child.label), "%s %q was declared already at %s. Give one of the two another name.", b.Type, child.label, place(old.header))
				return
			}
		}
	}
	o.marks.ranges[o.under+trimDot(child.under[len(o.under):])] = b.DefRange
	content, diags := b.Body.Content(n.schema.body())
	o.l.r.takeContent(diags, n.schema.body())
	o.blocks[b.Type] = append(o.blocks[b.Type], m.fill(child, content, n.schema, ctx))
}

func trimDot(s string) string { return s[:len(s)-1] }

// set evaluates one argument.
func (o *object) set(attr *hcl.Attribute, spec attribute, ctx *hcl.EvalContext) {
	o.ranges[attr.Name] = attr.Expr.Range()
	o.marks.ranges[o.under+attr.Name] = attr.Range
	v, diags := attr.Expr.Value(ctx)
	if o.l.r.take(diags) {
		o.bad[attr.Name] = true
		return
	}
	charge := o.l.b.chargeUse
	if spec.ty.IsCollectionType() {
		charge = o.l.b.chargeUnify // what the conversion below costs
	}
	if msg := charge(v); msg != "" {
		o.l.r.take(o.l.b.diagnostics(attr.Expr.Range(), msg))
		o.bad[attr.Name] = true
		return
	}
	v, found := v.UnmarkDeep()
	if spec.secret {
		o.keepSecret(attr, v)
	}
	o.note(attr.Name, v, found)
	converted, err := convert.Convert(v, spec.ty)
	switch {
	case !v.IsWhollyKnown():
		o.l.poisoned = true
		o.bad[attr.Name] = true
	case err != nil:
		o.fail(attr.Name, fmt.Sprintf("Unsuitable value for %s", attr.Name), "%s", upperFirst(err.Error())+".")
	case converted.IsNull():
		if spec.required {
			o.fail(attr.Name, fmt.Sprintf("%s is null", attr.Name), "%s needs a value here.", attr.Name)
		}
	case converted.Type() == cty.Number && hugeNumber(converted.AsBigFloat()):
		o.fail(attr.Name, fmt.Sprintf("Unsuitable value for %s", attr.Name), "A number may have %d digits.", maxExponent)
	default:
		o.vals[attr.Name] = converted
	}
}

// keepSecret keeps the value of an argument that is secret by its nature out of
// every message, and so what is written for it unless it is a mere reference.
func (o *object) keepSecret(attr *hcl.Attribute, v cty.Value) {
	if _, diags := hcl.AbsTraversalForExpr(attr.Expr); diags.HasErrors() {
		o.l.r.hide(attr.Expr.Range())
	}
	o.marks.sensitive[o.under+attr.Name] = true
	o.l.hideValue(v)
}

func (o *object) note(name string, v cty.Value, found cty.ValueMarks) {
	for mark := range found {
		if dep, ok := mark.(dependency); ok {
			o.marks.deps[string(dep)] = true
			continue
		}
		o.marks.sensitive[o.under+name] = true
		o.l.hideValue(v)
	}
}

// fail reports an argument of no use and remembers it.
func (o *object) fail(name, summary, detail string, args ...any) {
	o.l.r.error(o.rangeOf(name), summary, detail, args...)
	delete(o.vals, name)
	o.bad[name] = true
}

// rangeOf is the argument's place, or the block's where it is not given.
func (o *object) rangeOf(name string) hcl.Range {
	if r, ok := o.ranges[name]; ok {
		return r
	}
	return o.header
}

// has tells whether an argument was given a value, even an unusable one.
func (o *object) has(name string) bool {
	_, ok := o.vals[name]
	return ok || o.bad[name]
}

// clean tells whether everything in the block could be used.
func (o *object) clean() bool {
	if len(o.bad) > 0 {
		return false
	}
	for _, list := range o.blocks {
		for _, b := range list {
			if !b.clean() {
				return false
			}
		}
	}
	return true
}

// block returns the only block of a type, or nil.
func (o *object) block(name string) *object {
	if list := o.blocks[name]; len(list) > 0 {
		return list[0]
	}
	return nil
}

// bodyVariables lists the references in a block and the blocks inside it,
// dynamic ones included, without those of the meta arguments.
func bodyVariables(node dynblock.WalkVariablesNode, s *schema) []hcl.Traversal {
	plain := *s
	plain.meta = nil
	vars, children := node.Visit(plain.build())
	for _, c := range children {
		if n, ok := s.blocks[c.BlockTypeName]; ok {
			vars = append(vars, bodyVariables(c.Node, n.schema)...)
		}
	}
	return vars
}

// inspect checks a block that has no instance as far as that goes.
func (m *module) inspect(b *block, s *schema, x *expansion) {
	m.context(bodyVariables(dynblock.WalkVariables(b.body), s), x)
	plain := s.body()
	extended := *plain
	extended.Blocks = append(slices.Clip(extended.Blocks), hcl.BlockHeaderSchema{Type: "dynamic", LabelNames: []string{"type"}})
	_, diags := b.body.Content(&extended)
	m.l.r.takeContent(diags, plain)
}

// instanceContext returns the context in which a block's arguments are
// evaluated for one instance.
func (m *module) instanceContext(b *block, s *schema, x *expansion, inst *instance) *hcl.EvalContext {
	base := m.contexts[b.path()]
	if base == nil {
		base = m.context(bodyVariables(dynblock.WalkVariables(b.body), s), x)
		m.contexts[b.path()] = base
	}
	ctx := base.NewChild()
	ctx.Variables = x.vars(inst)
	return ctx
}
