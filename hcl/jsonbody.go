package hcl

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// jsonBody gives the expressions of a JSON file the syntax trees that native
// files have, so that bounds and meters hold for both.
type jsonBody struct {
	hcl.Body
	t metering
}

func (b jsonBody) Content(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Diagnostics) {
	content, diags := b.Body.Content(schema)
	return b.content(content, diags)
}

func (b jsonBody) PartialContent(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Body, hcl.Diagnostics) {
	content, rest, diags := b.Body.PartialContent(schema)
	content, diags = b.content(content, diags)
	return content, jsonBody{rest, b.t}, diags
}

func (b jsonBody) JustAttributes() (hcl.Attributes, hcl.Diagnostics) {
	attrs, diags := b.Body.JustAttributes()
	return b.attributes(attrs, diags)
}

func (b jsonBody) content(content *hcl.BodyContent, diags hcl.Diagnostics) (*hcl.BodyContent, hcl.Diagnostics) {
	if content == nil {
		return nil, diags
	}
	out := *content
	out.Attributes, diags = b.attributes(content.Attributes, diags)
	out.Blocks = make(hcl.Blocks, len(content.Blocks))
	for i, block := range content.Blocks {
		wrapped := *block
		wrapped.Body = jsonBody{block.Body, b.t}
		out.Blocks[i] = &wrapped
	}
	return &out, diags
}

func (b jsonBody) attributes(attrs hcl.Attributes, diags hcl.Diagnostics) (hcl.Attributes, hcl.Diagnostics) {
	out := make(hcl.Attributes, len(attrs))
	for name, attr := range attrs {
		expr, exprDiags := b.t.jsonExpression(attr.Expr)
		wrapped := *attr
		wrapped.Expr = jsonExpression{built: expr, raw: attr.Expr}
		if exprDiags.HasErrors() {
			// The raw text may be what kills a parser: leave nothing of it.
			diags = append(diags, exprDiags...)
			wrapped.Expr = &hclsyntax.LiteralValueExpr{Val: cty.DynamicVal, SrcRange: attr.Expr.Range()}
		}
		out[name] = &wrapped
	}
	return out, diags
}

// jsonExpression evaluates as a native expression; static analysis (type
// constraints, traversals in strings) looks at the raw one.
type jsonExpression struct {
	built hclsyntax.Expression
	raw   hcl.Expression
}

func (e jsonExpression) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	return e.built.Value(ctx)
}
func (e jsonExpression) Variables() []hcl.Traversal       { return e.built.Variables() }
func (e jsonExpression) Range() hcl.Range                 { return e.raw.Range() }
func (e jsonExpression) StartRange() hcl.Range            { return e.raw.StartRange() }
func (e jsonExpression) UnwrapExpression() hcl.Expression { return e.raw }

// jsonExpression builds the native tree of a JSON value.
func (t metering) jsonExpression(raw hcl.Expression) (hclsyntax.Expression, hcl.Diagnostics) {
	rng := raw.Range()
	if list, diags := hcl.ExprList(raw); !diags.HasErrors() {
		out := &hclsyntax.TupleConsExpr{SrcRange: rng, OpenRange: raw.StartRange()}
		return out, t.jsonList(list, out)
	}
	if pairs, diags := hcl.ExprMap(raw); !diags.HasErrors() {
		out := &hclsyntax.ObjectConsExpr{SrcRange: rng, OpenRange: raw.StartRange()}
		return out, t.jsonObject(pairs, out)
	}
	v, diags := raw.Value(nil)
	if diags.HasErrors() {
		return nil, diags
	}
	if !v.IsNull() && v.Type() == cty.String {
		return t.jsonString(v.AsString(), rng)
	}
	if _, msg := measure(v); msg != "" {
		return nil, t.b.diagnostics(rng, msg)
	}
	return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: rng}, nil
}

func (t metering) jsonList(list []hcl.Expression, out *hclsyntax.TupleConsExpr) (diags hcl.Diagnostics) {
	for _, e := range list {
		built, more := t.jsonExpression(e)
		diags = append(diags, more...)
		if !more.HasErrors() {
			out.Exprs = append(out.Exprs, built)
		}
	}
	return diags
}

func (t metering) jsonObject(pairs []hcl.KeyValuePair, out *hclsyntax.ObjectConsExpr) (diags hcl.Diagnostics) {
	for _, p := range pairs {
		key, keyDiags := t.jsonExpression(p.Key)
		value, valueDiags := t.jsonExpression(p.Value)
		diags = append(append(diags, keyDiags...), valueDiags...)
		if !keyDiags.HasErrors() && !valueDiags.HasErrors() {
			out.Items = append(out.Items, hclsyntax.ObjectConsItem{
				KeyExpr:   &hclsyntax.ObjectConsKeyExpr{Wrapped: key, ForceNonLiteral: true},
				ValueExpr: value,
			})
		}
	}
	return diags
}

// jsonString parses a text as the template that it is in JSON syntax.
func (t metering) jsonString(s string, rng hcl.Range) (hclsyntax.Expression, hcl.Diagnostics) {
	start := rng.Start
	start.Column++
	start.Byte++
	if diags := checkTemplateText(s, rng.Filename, start); diags.HasErrors() {
		return nil, diags
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(s), rng.Filename, start)
	if diags.HasErrors() {
		return nil, diags
	}
	return t.expr(expr), diags
}

// checkTemplateText bounds the nesting of a text both as a template and, for
// types and traversals, as an expression.
func checkTemplateText(s, filename string, start hcl.Pos) hcl.Diagnostics {
	tokens, _ := hclsyntax.LexTemplate([]byte(s), filename, start)
	if diags := checkTokens(tokens); diags.HasErrors() {
		return diags
	}
	if len(s) < maxNesting {
		return nil
	}
	tokens, _ = hclsyntax.LexExpression([]byte(s), filename, start)
	return checkTokens(tokens)
}
