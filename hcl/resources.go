package hcl

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// resource is one instance with what linking needs.
type resource struct {
	topology.Resource
	m    *module
	b    *block
	rng  hcl.Range
	deps []string // from references
}

// resourceValues evaluates all instances of a resource block and returns what
// references see: the declared values after defaults.
func (m *module) resourceValues(b *block) cty.Value {
	x := m.expand(b)
	if len(x.insts) == 0 {
		m.inspect(b, m.l.schemas[b.kind], x)
	}
	var values []cty.Value
	for _, inst := range x.insts {
		if m.l.done() {
			return cty.DynamicVal
		}
		r, v := m.resource(b, x, inst)
		m.l.resources = append(m.l.resources, r)
		values = append(values, v.Mark(dependency(r.Path)))
	}
	return x.value(values)
}

func (m *module) resource(b *block, x *expansion, inst *instance) (*resource, cty.Value) {
	m.l.b.grant(stepsPerInstance)
	s, mk := m.l.schemas[b.kind], newMarks()
	ctx := m.instanceContext(b, s, x, inst)
	before := len(m.l.r.found)
	o := m.decode(b.body, s, ctx, b.rng, mk)
	r := &resource{m: m, b: b, rng: b.rng}
	r.Path = m.at(b.path() + inst.suffix)
	r.Host, _ = o.host("host")
	r.Range = toRange(b.rng)
	defaults := map[string]cty.Value{}
	r.Body = o.body(b.kind, defaults)
	o.lifecycle(r, s)
	for _, dep := range x.deps {
		mk.deps[dep] = true
	}
	r.deps = slices.Sorted(maps.Keys(mk.deps))
	r.Sensitive = slices.Sorted(maps.Keys(mk.sensitive))
	m.secretIdentity(b.kind, mk, r.Sensitive)
	m.secretText(r.Body, mk, r.Sensitive)
	r.Attributes, r.Call = mk.places(), m.outermostCall()
	m.l.r.since(before, r.Path, r.Host)
	m.l.r.calledAt(before, r.Call)
	return r, o.value(s, defaults)
}

func (o *object) body(kind string, defaults map[string]cty.Value) topology.Body {
	switch kind {
	case "sysctl":
		return o.sysctl()
	case "link":
		return o.link()
	case "address":
		return o.addressBody(defaults)
	case "route":
		return o.route()
	case "rule":
		return o.ruleBody(defaults)
	case "mark":
		return o.mark()
	case "masquerade":
		return o.masquerade()
	case "ipvs":
		return o.ipvs(defaults)
	case "package":
		return o.packages()
	case "service":
		return o.unit()
	case "vrrp_instance":
		return o.vrrpInstance(defaults)
	default:
		return o.virtualService(defaults)
	}
}

// value is the object that references to the resource see.
func (o *object) value(s *schema, defaults map[string]cty.Value) cty.Value {
	attrs := map[string]cty.Value{}
	for name, spec := range s.attrs {
		switch v, ok := o.vals[name]; {
		case ok:
			attrs[name] = v
		case o.bad[name]:
			attrs[name] = cty.DynamicVal
		case defaults[name] != cty.NilVal:
			attrs[name] = defaults[name]
		default:
			attrs[name] = cty.NullVal(spec.ty)
		}
		if o.marks.sensitive[o.under+name] {
			attrs[name] = attrs[name].Mark(sensitive)
		}
	}
	for name, n := range s.blocks {
		if name == "lifecycle" {
			continue
		}
		named := map[string]cty.Value{}
		for _, b := range o.blocks[name] {
			named[b.label] = b.value(n.schema, nil)
		}
		switch {
		case n.many:
			attrs[name] = cty.ObjectVal(named)
		case len(named) > 0:
			attrs[name] = named[""]
		default:
			attrs[name] = cty.NullVal(cty.DynamicPseudoType)
		}
	}
	return cty.ObjectVal(attrs)
}

func (o *object) lifecycle(r *resource, s *schema) {
	b := o.block("lifecycle")
	if b == nil {
		return
	}
	r.PreventDestroy = b.isTrue("prevent_destroy", false)
	r.IgnoreChanges = r.m.ignored(r.b, s)
}

// ignored lists what ignore_changes of a block names. It is no expression, and
// so the same for all instances.
func (m *module) ignored(b *block, s *schema) []string {
	if out, ok := m.ignoring[b.path()]; ok {
		return out
	}
	var out []string
	content, _, _ := b.body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "lifecycle"}}})
	for _, block := range content.Blocks {
		attrs, _, _ := block.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "ignore_changes"}}})
		if attr := attrs.Attributes["ignore_changes"]; attr != nil {
			out = m.l.ignoredNames(attr.Expr, ignorable(s))
		}
	}
	m.ignoring[b.path()] = out
	return out
}

// unignorable are attributes of no object, or of a checker's text.
var unignorable = [...]string{"host", "drain_timeout", "lifecycle", "checker", "health_check", "fallback", "quorum", "quiescent"}

// ignorable are the attributes whose changes lifecycle may ignore.
func ignorable(s *schema) []string {
	names := map[string]bool{}
	add := func(s *schema) {
		for name := range s.attrs {
			names[name] = !slices.Contains(unignorable[:], name)
		}
		for name := range s.blocks {
			names[name] = !slices.Contains(unignorable[:], name)
		}
	}
	if _, ok := s.attrs["virtual_router_id"]; ok {
		return nil // a part of a text, in which nothing can be told apart
	}
	add(s)
	if n, ok := s.blocks["real_server"]; ok {
		add(n.schema)
	}
	maps.DeleteFunc(names, func(_ string, ok bool) bool { return !ok })
	return slices.Sorted(maps.Keys(names))
}

func (l *loader) ignoredNames(expr hcl.Expression, names []string) []string {
	list, diags := hcl.ExprList(expr)
	if l.r.take(diags) {
		return nil
	}
	var out []string
	for _, e := range list {
		name := hcl.ExprAsKeyword(e)
		if name == "" {
			if v, diags := e.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				name = v.AsString()
			}
		}
		if len(names) == 0 {
			l.r.error(e.Range(), "Invalid ignore_changes", "The attributes of this block become one text on the host, of which nothing can be ignored. Take ignore_changes out.")
			continue
		}
		if !slices.Contains(names, name) {
			l.r.error(e.Range(), "Invalid ignore_changes", "ignore_changes lists attributes of this block: %s.%s", strings.Join(names, ", "), didYouMean(name, names))
			continue
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Clip(out)
}
