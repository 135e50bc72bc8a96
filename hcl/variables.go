package hcl

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// variable is one variable block.
type variable struct {
	name        string
	rng         hcl.Range
	ty          cty.Type
	defaults    *typeexpr.Defaults
	fallback    cty.Value // cty.NilVal: none, the variable must be given
	fallbackAt  hcl.Range
	sensitive   bool
	nullable    bool
	validations []rule
}

// rule is a condition with the message for when it does not hold.
type rule struct {
	condition, message hcl.Expression
	rng                hcl.Range
}

func (l *loader) declareVariable(c *config, d *block) {
	if old := c.variables[d.name]; old != nil {
		l.duplicate(d, old.rng)
		return
	}
	if moduleArguments[d.name] {
		l.r.error(d.rng, "Invalid variable name", "%q is an argument of every module block, so no variable can have the name.", d.name)
		return
	}
	v := &variable{name: d.name, rng: d.rng, ty: cty.DynamicPseudoType, nullable: true}
	c.variables[d.name] = v
	content, diags := d.body.Content(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{
			{Name: "type"}, {Name: "default"}, {Name: "description"}, {Name: "sensitive"}, {Name: "nullable"},
		},
		Blocks: []hcl.BlockHeaderSchema{{Type: "validation"}},
	})
	if l.r.take(diags) {
		v.fallback = cty.DynamicVal // what is wrong may be its default
	}
	if attr := content.Attributes["type"]; attr != nil {
		ty, defaults, diags := typeexpr.TypeConstraintWithDefaults(attr.Expr)
		if l.r.take(diags) {
			v.fallback = cty.DynamicVal
		} else {
			v.ty, v.defaults = ty, defaults
		}
	}
	v.sensitive = l.literalBool(content.Attributes["sensitive"], false)
	v.nullable = l.literalBool(content.Attributes["nullable"], true)
	l.literalText(content.Attributes["description"])
	if attr := content.Attributes["default"]; attr != nil {
		l.declareDefault(v, attr)
	}
	for _, b := range content.Blocks {
		if r, ok := l.rule(b); ok {
			v.validations = append(v.validations, r)
		}
	}
}

func (l *loader) declareDefault(v *variable, attr *hcl.Attribute) {
	v.fallbackAt = attr.Expr.Range()
	if v.sensitive {
		l.r.hide(v.fallbackAt)
	}
	value, diags := attr.Expr.Value(nil)
	if l.r.take(diags) {
		v.fallback = cty.DynamicVal
		return
	}
	v.fallback = l.convertVariable(v, value, v.fallbackAt, "The default of variable "+v.name)
	if v.fallback.IsKnown() && v.fallback.IsNull() && !v.nullable {
		l.r.error(v.fallbackAt, "Invalid default", "The variable is not nullable, so its default cannot be null.")
		v.fallback = cty.DynamicVal
	}
}

// rule reads a block with condition and error_message.
func (l *loader) rule(b *hcl.Block) (rule, bool) {
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "condition", Required: true}, {Name: "error_message", Required: true},
	}})
	if l.r.take(diags) {
		return rule{}, false
	}
	return rule{content.Attributes["condition"].Expr, content.Attributes["error_message"].Expr, b.DefRange}, true
}

func (l *loader) literal(attr *hcl.Attribute, ty cty.Type) (cty.Value, bool) {
	if attr == nil {
		return cty.NilVal, false
	}
	v, diags := attr.Expr.Value(nil)
	if l.r.take(diags) {
		return cty.NilVal, false
	}
	v, _ = v.UnmarkDeep()
	v, err := convert.Convert(v, ty)
	if err != nil || v.IsNull() || !v.IsKnown() {
		l.r.error(attr.Expr.Range(), fmt.Sprintf("Invalid %s", attr.Name), "%s must be a literal %s.", attr.Name, ty.FriendlyName())
		return cty.NilVal, false
	}
	return v, true
}

func (l *loader) literalBool(attr *hcl.Attribute, otherwise bool) bool {
	if v, ok := l.literal(attr, cty.Bool); ok {
		return v.True()
	}
	return otherwise
}

func (l *loader) literalText(attr *hcl.Attribute) string {
	if v, ok := l.literal(attr, cty.String); ok {
		return v.AsString()
	}
	return ""
}

// convertVariable brings a value to the variable's type, its optional
// attributes filled in; unknown when it does not fit, which is reported.
func (l *loader) convertVariable(v *variable, value cty.Value, rng hcl.Range, origin string) cty.Value {
	if msg := l.b.chargeUnify(value); msg != "" {
		l.r.take(l.b.diagnostics(rng, msg))
		return cty.DynamicVal
	}
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	out, err := convert.Convert(value, v.ty)
	if err != nil {
		l.r.error(rng, fmt.Sprintf("Invalid value for variable %q", v.name), "%s does not fit its type, %s: %s.", origin, typeexpr.TypeString(v.ty), describe(err))
		return cty.DynamicVal
	}
	return out
}

// describe names the place inside a value at which an error occurred.
func describe(err error) string {
	if path, ok := err.(cty.PathError); ok && len(path.Path) > 0 {
		return fmt.Sprintf("at %s: %v", showPath(path.Path), err)
	}
	return err.Error()
}

func showPath(path cty.Path) string {
	out := ""
	for _, step := range path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			out += "." + s.Name
		case cty.IndexStep:
			if s.Key.IsKnown() && !s.Key.IsNull() && s.Key.Type() == cty.String {
				out += keySuffix(s.Key.AsString())
			} else if s.Key.IsKnown() && !s.Key.IsNull() && s.Key.Type() == cty.Number {
				out += "[" + s.Key.AsBigFloat().Text('f', -1) + "]"
			}
		}
	}
	return out
}

// variable returns a variable's value if it passes its validations.
func (m *module) variable(v *variable, rng hcl.Range) cty.Value {
	if m.validating > 0 {
		return m.rawVariable(v)
	}
	return m.resolveAs(true, "var."+v.name, rng, func() cty.Value {
		value := m.rawVariable(v)
		if !m.validate(v) {
			return cty.DynamicVal
		}
		return value
	})
}

func (m *module) rawVariable(v *variable) cty.Value {
	return m.resolveAs(true, "var."+v.name+" (value)", v.rng, func() cty.Value {
		value := m.givenValue(v)
		if v.sensitive {
			m.l.hideValue(value)
			value = value.Mark(sensitive)
		}
		return value
	})
}

func (m *module) givenValue(v *variable) cty.Value {
	g, ok := m.inputs[v.name]
	if !ok {
		if v.fallback == cty.NilVal {
			m.missing(v)
			return cty.DynamicVal
		}
		return v.fallback
	}
	value := m.inputValue(v, g)
	if v.sensitive {
		m.l.hideValue(value)
	}
	value = m.l.convertVariable(v, value, g.rng, upperFirst(g.origin))
	if !v.nullable && value.IsKnown() && value.IsNull() {
		if v.fallback == cty.NilVal {
			m.l.r.error(g.rng, fmt.Sprintf("Variable %q is null", v.name), "The variable is not nullable and has no default. Give it a value.")
			return cty.DynamicVal
		}
		return v.fallback
	}
	return value
}

func (m *module) inputValue(v *variable, g given) cty.Value {
	switch {
	case g.in != nil:
		if v.sensitive {
			m.l.r.hide(g.expr.Range())
		}
		ctx := m.parent.context(g.expr.Variables(), g.in).NewChild()
		ctx.Variables = g.in.vars(g.inst)
		return m.evalIn(ctx, g.expr)
	case g.raw:
		return m.l.parseInput(v, g)
	}
	return g.value
}

func (m *module) missing(v *variable) {
	if m.call != nil {
		m.l.r.error(m.call.rng, fmt.Sprintf("Missing argument %q", v.name), "Module %s needs a value for its variable %q. Write: %s = …", m.c.dir.name, v.name, v.name)
		return
	}
	m.l.r.error(v.rng, fmt.Sprintf("No value for variable %q", v.name),
		"Set it with --var '%[1]s=…', with %[1]s = … in lvsform.vars.hcl, with LVSFORM_VAR_%[1]s in the environment, or give the variable a default.", v.name)
}

// validate evaluates the validation rules of a variable.
func (m *module) validate(v *variable) bool {
	ok := true
	m.validating++
	defer func() { m.validating-- }()
	if !m.rawVariable(v).IsKnown() {
		return true
	}
	for _, r := range v.validations {
		if message, failed := m.fails(r); failed {
			rng := v.rng
			if g := m.inputs[v.name]; g.rng.Filename != "" {
				rng = g.rng
			} else if v.fallbackAt.Filename != "" && g.origin == "" {
				rng = v.fallbackAt
			}
			m.l.r.error(rng, fmt.Sprintf("Invalid value for variable %q", v.name), "%s (The rule is at %s.)", message, place(r.rng))
			ok = false
		}
	}
	return ok
}

// fails evaluates a rule and returns its message when it does not hold.
func (m *module) fails(r rule) (message string, failed bool) {
	v, err := convert.Convert(unmarked(m.eval(r.condition)), cty.Bool)
	switch {
	case err != nil || v.IsNull():
		m.l.r.error(r.condition.Range(), "Invalid condition", "A condition is true or false.")
		return "", false
	case !v.IsKnown() || v.True():
		return "", false
	}
	text := m.eval(r.message)
	if text.IsMarked() && text.HasMark(sensitive) {
		return "The message cannot be shown, because it holds a sensitive value.", true
	}
	s, err := convert.Convert(unmarked(text), cty.String)
	if err != nil || s.IsNull() || !s.IsKnown() {
		return "The condition does not hold.", true
	}
	return s.AsString(), true
}

func unmarked(v cty.Value) cty.Value {
	v, _ = v.UnmarkDeep()
	return v
}

// hideValue keeps the texts and numbers of a value out of every message.
func (l *loader) hideValue(v cty.Value) {
	if _, msg := measure(v); msg != "" {
		return
	}
	_ = cty.Walk(unmarked(v), func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsKnown() && !v.IsNull() && (v.Type() == cty.String || v.Type() == cty.Number) {
			if s, err := convert.Convert(v, cty.String); err == nil {
				l.r.hideWord(s.AsString())
			}
		}
		return true, nil
	})
}
