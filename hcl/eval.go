package hcl

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// Config is a loaded configuration, in whose root module expressions can be
// evaluated. It is not safe for concurrent use.
type Config struct {
	// Topology is what Load returns.
	Topology *topology.Topology
	l        *loader
	root     *module
}

// LoadConfig is Load for callers that evaluate expressions afterwards.
func LoadConfig(opts Options) (*Config, topology.Diagnostics) {
	l := newLoader(opts)
	c := &Config{Topology: &topology.Topology{}, l: l}
	l.guard("The configuration cannot be evaluated", func() { c.Topology, c.root = l.load() })
	return c, l.r.finish()
}

// guard turns panics into a message. The libraries underneath panic on some odd
// values, and a configuration must not take down the program, which may hold
// locks on hosts.
func (l *loader) guard(summary string, do func()) {
	defer func() {
		if cause := recover(); cause != nil {
			l.r.error(hcl.Range{}, summary, "This is a fault in lvsform; please report it with the configuration. The cause: %v.", cause)
		}
	}()
	do()
}

// expressionFile is the name of the file that messages about an expression give.
const expressionFile = "expression"

// Eval evaluates one expression in the root module and returns its value as
// text in the form of the language. Sensitive parts are not shown.
func (c *Config) Eval(expression string) (string, topology.Diagnostics) {
	if c.root == nil {
		return "", topology.Diagnostics{{Severity: topology.Error, Summary: "The configuration cannot be evaluated", Detail: "Correct it first: lvsform validate"}}
	}
	l := c.l
	l.r.found, l.stack = nil, nil
	l.r.sources[expressionFile] = []byte(expression)
	*l.b = *newBudget() // an expression has the work of a whole configuration
	text := ""
	l.guard("The expression cannot be evaluated", func() {
		if expr := l.parseExpression(expression); expr != nil {
			if v := c.root.eval(expr); !l.r.found.HasErrors() {
				text = l.show(v, expr.Range())
			}
		}
	})
	diags := l.r.finish()
	if diags.HasErrors() {
		return "", diags
	}
	return text, diags
}

func (l *loader) parseExpression(text string) hclsyntax.Expression {
	if len(text) > maxFileSize {
		l.r.error(hcl.Range{}, "The expression is too large", "An expression may have %d bytes.", maxFileSize)
		return nil
	}
	tokens, diags := hclsyntax.LexExpression([]byte(text), expressionFile, hcl.InitialPos)
	if l.r.take(checkTokens(tokens)) || l.r.take(diags) {
		return nil
	}
	if len(tokens) > maxTokens {
		l.r.take(tooManyTokens(expressionFile))
		return nil
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), expressionFile, hcl.InitialPos)
	if l.r.take(diags) {
		return nil
	}
	return metering{l.b, l.r}.expr(expr)
}

// show writes a value as people read it.
func (l *loader) show(v cty.Value, rng hcl.Range) string {
	if _, msg := measure(v); msg != "" {
		l.r.error(rng, "Value too large", "%s", msg)
		return ""
	}
	var b strings.Builder
	showValue(&b, v, "")
	return b.String()
}

func showValue(b *strings.Builder, v cty.Value, indent string) {
	v, found := v.Unmark()
	if _, secret := found[sensitive]; secret {
		b.WriteString("(sensitive value)")
		return
	}
	switch ty := v.Type(); {
	case !v.IsKnown():
		b.WriteString("(unknown)")
	case v.IsNull():
		b.WriteString("null")
	case ty == cty.String:
		b.WriteString(quoteText(v.AsString()))
	case ty == cty.Number:
		b.WriteString(v.AsBigFloat().Text('f', -1))
	case ty == cty.Bool:
		fmt.Fprint(b, v.True())
	case ty.IsMapType(), ty.IsObjectType():
		showMap(b, v, indent)
	case ty.IsSetType():
		b.WriteString("toset(")
		showList(b, v, indent)
		b.WriteString(")")
	case v.CanIterateElements():
		showList(b, v, indent)
	default:
		b.WriteString("(" + ty.FriendlyName() + ")")
	}
}

func showList(b *strings.Builder, v cty.Value, indent string) {
	if v.LengthInt() == 0 {
		b.WriteString("[]")
		return
	}
	b.WriteString("[\n")
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		b.WriteString(indent + "  ")
		showValue(b, e, indent+"  ")
		b.WriteString(",\n")
	}
	b.WriteString(indent + "]")
}

func showMap(b *strings.Builder, v cty.Value, indent string) {
	if v.LengthInt() == 0 {
		b.WriteString("{}")
		return
	}
	b.WriteString("{\n")
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		name := key.AsString()
		if !hclsyntax.ValidIdentifier(name) {
			name = quoteText(name)
		}
		b.WriteString(indent + "  " + name + " = ")
		showValue(b, e, indent+"  ")
		b.WriteString("\n")
	}
	b.WriteString(indent + "}")
}

// quoteText writes a text in quotes, with nothing in it that a terminal obeys.
func quoteText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case misleads(c):
			fmt.Fprintf(&b, `\u%04x`, c)
		case (c == '$' || c == '%') && strings.HasPrefix(s[i+1:], "{"):
			b.WriteRune(c)
			b.WriteRune(c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
