package hcl

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// output is one output block.
type output struct {
	name, description string
	expr              hcl.Expression
	sensitive         bool
	rng               hcl.Range
}

func (l *loader) declareOutput(c *config, d *block) {
	if old := c.outputs[d.name]; old != nil {
		l.duplicate(d, old.rng)
		return
	}
	content, diags := d.body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "value", Required: true}, {Name: "description"}, {Name: "sensitive"},
	}})
	o := &output{name: d.name, rng: d.rng}
	c.outputs[d.name] = o
	if l.r.take(diags) {
		return
	}
	o.expr = content.Attributes["value"].Expr
	o.sensitive = l.literalBool(content.Attributes["sensitive"], false)
	o.description = l.literalText(content.Attributes["description"])
}

// output evaluates an output of the module.
func (m *module) output(o *output, rng hcl.Range) cty.Value {
	return m.resolveAs(o.expr != nil && isReference(o.expr), "output."+o.name, rng, func() cty.Value {
		if o.expr == nil {
			return cty.DynamicVal
		}
		v := m.eval(o.expr)
		if o.sensitive {
			m.l.hideValue(v)
			v = v.Mark(sensitive)
		}
		return v
	})
}

// publish adds the outputs of the root to the topology.
func (m *module) publish() {
	for _, name := range slices.Sorted(maps.Keys(m.c.outputs)) {
		o := m.c.outputs[name]
		v := m.output(o, o.rng)
		if m.parent != nil {
			continue
		}
		if msg := m.l.b.chargeOutput(v); msg != "" {
			m.l.r.error(o.rng, "Value too large", "%s", msg)
			return
		}
		plain, found := v.UnmarkDeep()
		if _, secret := found[sensitive]; secret && !o.sensitive {
			m.l.r.error(o.expr.Range(), fmt.Sprintf("Output %q holds a sensitive value", name),
				"Add sensitive = true to the output, or use nonsensitive() if the value may be shown.")
			continue
		}
		if !plain.IsWhollyKnown() {
			continue
		}
		src, err := ctyjson.Marshal(plain, plain.Type())
		if err != nil {
			m.l.r.error(o.rng, fmt.Sprintf("Output %q cannot be written", name), "%v.", err)
			continue
		}
		m.l.outputs = append(m.l.outputs, topology.Output{Name: name, Value: src, Sensitive: o.sensitive, Description: o.description})
	}
}

func hasSensitive(v cty.Value) bool {
	_, all := v.UnmarkDeep()
	_, ok := all[sensitive]
	return ok
}

// checks evaluates the check blocks; one that does not hold is a warning.
func (m *module) checks() {
	for _, b := range m.c.checks {
		content, diags := b.body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "assert"}}})
		m.l.r.take(diags)
		if len(content.Blocks) == 0 {
			m.l.r.error(b.rng, fmt.Sprintf("Check %q asserts nothing", b.name), "Write: assert { condition = … error_message = \"…\" }")
		}
		for _, a := range content.Blocks {
			if r, ok := m.l.rule(a); ok {
				if message, failed := m.fails(r); failed {
					m.l.r.warn(r.condition.Range(), fmt.Sprintf("Check %q does not hold", m.at(b.name)), "%s", message)
				}
			}
		}
	}
}
