package hcl

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func fileFunctions(l *loader) map[string]function.Function {
	return map[string]function.Function{
		"file": function.New(&function.Spec{
			Params: []function.Parameter{textParam("path")},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				s, err := l.readText(args[0].AsString())
				return cty.StringVal(s), err
			},
		}),
		"fileexists": function.New(&function.Spec{
			Params: []function.Parameter{textParam("path")},
			Type:   function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return cty.BoolVal(l.isFile(args[0].AsString())), nil
			},
		}),
		"templatefile": templateFileFunc(l),
		"basename":     pathFunc(filepath.Base),
		"dirname":      pathFunc(filepath.Dir),
	}
}

func pathFunc(f func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{textParam("path")},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(f(args[0].AsString())), nil
		},
	})
}

// onMachine resolves a path relative to the root directory, and ~ as shells do.
func (l *loader) onMachine(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.opts.Dir, name)
}

func (l *loader) readText(name string) (string, error) {
	var src []byte
	var err error
	if inside, ok := strings.CutPrefix(name, embeddedScheme); ok {
		src, err = readRegular(l.opts.Embedded, path.Clean(inside))
	} else {
		src, err = readFile(l.onMachine(name))
	}
	switch {
	case err != nil:
		return "", function.NewArgErrorf(0, "cannot read %s: %w", clip(name), err)
	case len(src) > maxString:
		return "", function.NewArgErrorf(0, "%s has more than %d bytes", clip(name), maxString)
	case !utf8.Valid(src):
		return "", function.NewArgErrorf(0, "%s is not UTF-8 text", clip(name))
	}
	return string(src), nil
}

func (l *loader) isFile(name string) bool {
	var info fs.FileInfo
	var err error
	if inside, ok := strings.CutPrefix(name, embeddedScheme); ok {
		info, err = fs.Stat(l.opts.Embedded, path.Clean(inside))
	} else {
		info, err = os.Stat(l.onMachine(name))
	}
	return err == nil && info.Mode().IsRegular()
}

// templateFileFunc renders a file as a template that sees only the variables
// given, and every function but itself.
func templateFileFunc(l *loader) function.Function {
	render := func(args []cty.Value) (cty.Value, error) {
		src, err := l.readText(args[0].AsString())
		if err != nil {
			return cty.NilVal, err
		}
		vars, marks := args[1].Unmark()
		if ty := vars.Type(); !ty.IsObjectType() && !ty.IsMapType() {
			return cty.NilVal, function.NewArgErrorf(1, "a map of variables is required")
		}
		ctx := &hcl.EvalContext{Variables: vars.AsValueMap(), Functions: map[string]function.Function{}}
		for name, f := range l.functions {
			if name != "templatefile" {
				ctx.Functions[name] = f
			}
		}
		v, err := l.template(src, args[0].AsString(), ctx)
		return v.WithMarks(marks), err
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{textParam("path"), {Name: "vars", Type: cty.DynamicPseudoType, AllowMarked: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if !args[0].IsKnown() || !args[1].IsKnown() {
				return cty.DynamicPseudoType, nil
			}
			v, err := render(args)
			return v.Type(), err
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return render(args) },
	})
}

func (l *loader) template(src, name string, ctx *hcl.EvalContext) (cty.Value, error) {
	if !l.b.spend(5 * len(src)) {
		return cty.NilVal, exhaustedError{}
	}
	tokens, diags := hclsyntax.LexTemplate([]byte(src), name, hcl.InitialPos)
	diags = append(diags, checkTokens(tokens)...)
	if diags.HasErrors() {
		return cty.NilVal, templateError(diags)
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(src), name, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, templateError(diags)
	}
	for _, t := range expr.Variables() {
		if _, ok := ctx.Variables[t.RootName()]; !ok {
			return cty.NilVal, fmt.Errorf("%s uses %s, which the variables given do not hold", place(t.SourceRange()), t.RootName())
		}
	}
	v, diags := metering{l.b, l.r}.expr(expr).Value(ctx)
	if diags.HasErrors() {
		return cty.NilVal, templateError(diags)
	}
	return v, nil
}

func templateError(diags hcl.Diagnostics) error {
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			return fmt.Errorf("%s: %s; %s", place(*d.Subject), d.Summary, d.Detail)
		}
	}
	return diags
}
