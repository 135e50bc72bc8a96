package hcl

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// expansion is the instances of a block.
type expansion struct {
	root  string // each, count, or "" for a single instance
	insts []*instance
	deps  []string // resources that for_each or count was computed from
	bad   bool     // for_each or count is wrong; there are no instances
}

// instance is one repetition of a block.
type instance struct {
	suffix string // `["a"]`, `[0]` or ""
	key    string
	value  cty.Value // each.value; cty.NilVal without for_each
	index  int64     // count.index
}

// vars returns what each or count is for the instance.
func (x *expansion) vars(i *instance) map[string]cty.Value {
	switch x.root {
	case "each":
		return map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(i.key), "value": i.value})}
	case "count":
		return map[string]cty.Value{"count": cty.ObjectVal(map[string]cty.Value{"index": cty.NumberIntVal(i.index)})}
	}
	return nil
}

// value puts the values of all instances together as references see them.
func (x *expansion) value(values []cty.Value) cty.Value {
	switch {
	case x.bad:
		return cty.DynamicVal
	case x.root == "":
		return values[0]
	case x.root == "count":
		return cty.TupleVal(values)
	}
	named := map[string]cty.Value{}
	for i, inst := range x.insts {
		named[inst.key] = values[i]
	}
	return cty.ObjectVal(named)
}

// count expands every block, so that too many instances are found before the
// first one takes time and memory.
func (m *module) count() {
	var calls []*block
	for _, key := range m.c.order {
		if m.l.done() {
			return
		}
		b := m.c.blocks[key]
		m.expand(b)
		if b.kind == "module" {
			calls = append(calls, b)
		}
	}
	for _, b := range calls {
		for _, child := range m.childModules(b) {
			child.count()
		}
	}
}

// expand evaluates for_each or count of a block, once.
func (m *module) expand(b *block) *expansion {
	m.resolve(b.path()+" (instances)", b.rng, func() cty.Value {
		x := &expansion{bad: true}
		if !m.l.b.exhausted {
			x = m.newExpansion(b)
		}
		weight := 1
		if b.kind == "module" {
			weight = weightOfModule
		}
		if m.l.b.instances += weight * len(x.insts); m.l.b.instances > maxTotal && !m.l.b.exhausted {
			m.l.b.exhausted = true // so that nothing more is begun
			m.l.r.error(b.rng, "Too many instances", "A topology may have %d hosts and resources together; a module counts for %d.", maxTotal, weightOfModule)
			x = &expansion{root: x.root, bad: true}
		}
		m.expanded[b.path()] = x
		return cty.True
	})
	if x := m.expanded[b.path()]; x != nil {
		return x
	}
	return &expansion{bad: true} // a cycle, reported already
}

func (m *module) newExpansion(b *block) *expansion {
	content, _, _ := b.body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "for_each"}, {Name: "count"}}})
	each, count := content.Attributes["for_each"], content.Attributes["count"]
	switch {
	case each != nil && count != nil:
		m.l.r.error(count.NameRange, "Both for_each and count", "%s has both. Keep one of the two.", m.at(b.path()))
		return &expansion{bad: true}
	case each != nil:
		return m.expandEach(each)
	case count != nil:
		return m.expandCount(count)
	}
	return &expansion{insts: []*instance{{}}}
}

// repeatValue evaluates for_each or count without its marks; ok is false when
// it cannot be used, which has been reported.
func (m *module) repeatValue(attr *hcl.Attribute, x *expansion) (cty.Value, bool) {
	v, marks := m.eval(attr.Expr).Unmark()
	for mark := range marks {
		if dep, ok := mark.(dependency); ok {
			x.deps = append(x.deps, string(dep))
			continue
		}
		m.l.r.error(attr.Expr.Range(), "Sensitive "+attr.Name, "The keys of instances are shown in every plan, so they cannot come from a sensitive value. Use nonsensitive() if they may be shown.")
		return v, false
	}
	if !v.IsKnown() {
		return v, false
	}
	if v.IsNull() {
		m.l.r.error(attr.Expr.Range(), attr.Name+" is null", "Give %s a value, or leave it out.", attr.Name)
		return v, false
	}
	return v, true
}

func (m *module) expandEach(attr *hcl.Attribute) *expansion {
	x := &expansion{root: "each"}
	v, ok := m.repeatValue(attr, x)
	if !ok || !m.validForEach(v, attr.Expr.Range()) {
		x.bad = true
		return x
	}
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if v.Type().IsSetType() {
			key = value
		}
		if !key.IsKnown() {
			x.bad = true
			return x
		}
		text := key.AsString()
		if strings.ContainsFunc(text, misleads) || len(text) > 255 {
			m.l.r.error(attr.Expr.Range(), "Invalid for_each key", "%q cannot be a key: a key has at most 255 characters and no control characters.", clip(text))
			x.bad = true
			return x
		}
		x.insts = append(x.insts, &instance{
			suffix: keySuffix(text),
			key:    text,
			value:  value,
		})
	}
	return x
}

func (m *module) validForEach(v cty.Value, rng hcl.Range) bool {
	ty := v.Type()
	switch {
	case ty.IsMapType(), ty.IsObjectType(), ty.IsSetType() && ty.ElementType() == cty.String:
	case ty.IsSetType() && v.LengthInt() == 0:
	default:
		hint := ""
		if ty.IsTupleType() || ty.IsListType() {
			hint = " Make a set of a list of texts: toset([…])."
		}
		m.l.r.error(rng, "Invalid for_each", "for_each takes a map, an object or a set of texts, not %s.%s", ty.FriendlyName(), hint)
		return false
	}
	if v.LengthInt() > maxInstances {
		m.l.r.error(rng, "Too many instances", "One block may have %d instances.", maxInstances)
		return false
	}
	if ty.IsSetType() {
		if !v.IsWhollyKnown() {
			return false
		}
		for it := v.ElementIterator(); it.Next(); {
			if _, e := it.Element(); e.IsNull() {
				m.l.r.error(rng, "Invalid for_each", "The set holds null. Leave it out.")
				return false
			}
		}
	}
	return true
}

func (m *module) expandCount(attr *hcl.Attribute) *expansion {
	x := &expansion{root: "count"}
	v, ok := m.repeatValue(attr, x)
	if !ok {
		x.bad = true
		return x
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil {
		m.l.r.error(attr.Expr.Range(), "Invalid count", "count takes a whole number, not %s.", v.Type().FriendlyName())
		x.bad = true
		return x
	}
	whole, accuracy := n.AsBigFloat().Int64()
	if accuracy != big.Exact || whole < 0 || whole > maxInstances {
		m.l.r.error(attr.Expr.Range(), "Invalid count", "count is a whole number from 0 to %d.", maxInstances)
		x.bad = true
		return x
	}
	for i := range whole {
		x.insts = append(x.insts, &instance{
			suffix: fmt.Sprintf("[%d]", i),
			index:  i,
		})
	}
	return x
}

// keySuffix writes an instance key as the language does.
func keySuffix(key string) string {
	s := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{").Replace(key)
	return `["` + s + `"]`
}
