package hcl

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// meter evaluates an expression and charges a budget for it. The library
// itself knows no bound: three nested for expressions can fill any memory.
type meter struct {
	hclsyntax.Expression // always parentheses, which pass a walk on to their inside
	inner                hclsyntax.Expression
	charge               func(cty.Value) string
	b                    *budget
}

func (m *meter) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if m.b.exhausted {
		return cty.DynamicVal, m.b.diagnostics(m.Range(), exhaustedText)
	}
	v, diags := m.inner.Value(ctx)
	if msg := m.charge(v); msg != "" {
		return cty.DynamicVal, m.b.diagnostics(m.Range(), msg)
	}
	return v, diags
}

// UnwrapExpression lets static analysis see the expression itself.
func (m *meter) UnwrapExpression() hcl.Expression { return m.inner }

// metering puts meters into syntax trees.
type metering struct {
	b *budget
	r *reporter
}

func (t metering) wrap(e hclsyntax.Expression, charge func(cty.Value) string) hclsyntax.Expression {
	if e == nil {
		return nil
	}
	parens := &hclsyntax.ParenthesesExpr{Expression: e, SrcRange: e.Range()}
	return &meter{Expression: parens, inner: e, charge: charge, b: t.b}
}

// item charges a turn of a loop, whatever it yields.
func (t metering) item(cty.Value) string {
	if !t.b.spend(stepsPerItem) {
		return exhaustedText
	}
	return ""
}

func (t metering) body(body *hclsyntax.Body) {
	for _, attr := range body.Attributes {
		attr.Expr = t.expr(attr.Expr)
	}
	for _, block := range body.Blocks {
		t.body(block.Body)
	}
}

// expr returns the expression with meters inside and, where its own result may
// be large, around it.
func (t metering) expr(e hclsyntax.Expression) hclsyntax.Expression {
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		for i, part := range e.Parts {
			if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
				e.Parts[i] = t.wrap(t.expr(part), t.b.chargePart)
			}
		}
		if len(e.Parts) > 1 {
			return t.wrap(e, t.b.chargeNew)
		}
	case *hclsyntax.TemplateWrapExpr:
		e.Wrapped = t.expr(e.Wrapped)
	case *hclsyntax.TemplateJoinExpr:
		e.Tuple = t.wrap(t.expr(e.Tuple), t.b.chargeNew)
		return t.wrap(e, t.b.chargeNew)
	case *hclsyntax.ForExpr:
		e.CollExpr = t.expr(e.CollExpr)
		e.KeyExpr = t.expr(e.KeyExpr)
		e.CondExpr = t.expr(e.CondExpr)
		// The condition is there on every turn, the value only on some.
		if e.CondExpr != nil {
			e.CondExpr = t.wrap(e.CondExpr, t.item)
		}
		e.ValExpr = t.wrap(t.expr(e.ValExpr), t.item)
	case *hclsyntax.FunctionCallExpr:
		return t.call(e)
	default:
		t.operator(e)
		if b, ok := e.(*hclsyntax.BinaryOpExpr); ok {
			return t.wrap(b, t.b.chargeNew)
		}
	}
	return e
}

// unifying are the functions whose parameters are collections of any one type.
var unifying = map[string]bool{
	"distinct": true, "chunklist": true, "setunion": true, "setintersection": true, "setsubtract": true,
}

// numeric are the functions with parameters that are numbers: a text like
// "1e1000000" becomes one there.
var numeric = map[string]bool{
	"abs": true, "ceil": true, "floor": true, "log": true, "max": true, "min": true, "pow": true, "signum": true,
	"range": true, "element": true, "slice": true, "substr": true, "chunklist": true, "indent": true, "sum": true,
	"cidrhost": true, "cidrsubnet": true, "cidrsubnets": true,
}

func (t metering) call(e *hclsyntax.FunctionCallExpr) hclsyntax.Expression {
	for i, arg := range e.Args {
		if e.Name == "sensitive" {
			t.r.hide(arg.Range())
		}
		arg = t.expr(arg)
		switch {
		case unifying[e.Name]:
			arg = t.wrap(arg, t.b.chargeUnify)
		case numeric[e.Name]:
			arg = t.wrap(arg, t.b.chargeNumber)
		case e.Name != "try" && e.Name != "can":
			arg = t.wrap(arg, t.b.chargeUse)
		}
		e.Args[i] = arg
	}
	if e.Name == "range" {
		return t.wrap(e, t.b.chargeRange)
	}
	return t.wrap(e, t.b.chargeNew)
}

// operator handles the expressions whose own result is no larger than what
// they are made of.
func (t metering) operator(e hclsyntax.Expression) {
	switch e := e.(type) {
	case *hclsyntax.ConditionalExpr:
		e.Condition = t.expr(e.Condition)
		e.TrueResult = t.wrap(t.expr(e.TrueResult), t.b.chargeUnify)
		e.FalseResult = t.wrap(t.expr(e.FalseResult), t.b.chargeUnify)
	case *hclsyntax.IndexExpr:
		e.Collection = t.expr(e.Collection)
		e.Key = t.expr(e.Key)
	case *hclsyntax.RelativeTraversalExpr:
		if _, anonymous := e.Source.(*hclsyntax.AnonSymbolExpr); !anonymous {
			e.Source = t.expr(e.Source)
		}
	case *hclsyntax.SplatExpr:
		e.Source = t.expr(e.Source)
		if _, anonymous := e.Each.(*hclsyntax.AnonSymbolExpr); !anonymous {
			e.Each = t.wrap(t.expr(e.Each), t.item)
		}
	case *hclsyntax.ObjectConsExpr:
		for i := range e.Items {
			t.objectKey(e.Items[i].KeyExpr)
			e.Items[i].ValueExpr = t.expr(e.Items[i].ValueExpr)
		}
	case *hclsyntax.TupleConsExpr:
		for i, x := range e.Exprs {
			e.Exprs[i] = t.expr(x)
		}
	case *hclsyntax.BinaryOpExpr:
		e.LHS = t.wrap(t.expr(e.LHS), t.b.chargeNumber)
		e.RHS = t.wrap(t.expr(e.RHS), t.b.chargeNumber)
	case *hclsyntax.UnaryOpExpr:
		e.Val = t.expr(e.Val)
	case *hclsyntax.ParenthesesExpr:
		e.Expression = t.expr(e.Expression)
	}
}

// objectKey leaves a bare name alone: the library looks at its form.
func (t metering) objectKey(key hclsyntax.Expression) {
	k, ok := key.(*hclsyntax.ObjectConsKeyExpr)
	if !ok {
		return
	}
	if _, name := k.Wrapped.(*hclsyntax.ScopeTraversalExpr); !name {
		k.Wrapped = t.expr(k.Wrapped)
	}
}
