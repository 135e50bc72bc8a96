package hcl

import (
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func textParam(name string) function.Parameter {
	return function.Parameter{Name: name, Type: cty.String}
}

func textTest(a, b string, test func(a, b string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{textParam(a), textParam(b)},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(test(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func startsWithFunc() function.Function   { return textTest("str", "prefix", strings.HasPrefix) }
func endsWithFunc() function.Function     { return textTest("str", "suffix", strings.HasSuffix) }
func containsTextFunc() function.Function { return textTest("str", "substr", strings.Contains) }

// replaceFunc takes a pattern between slashes as a regular expression.
func replaceFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{textParam("str"), textParam("substr"), textParam("replace")},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			pattern := args[1].AsString()
			if len(pattern) > 1 && pattern[0] == '/' && pattern[len(pattern)-1] == '/' {
				return stdlib.RegexReplace(args[0], cty.StringVal(pattern[1:len(pattern)-1]), args[2])
			}
			return stdlib.Replace(args[0], args[1], args[2])
		},
	})
}

// lengthFunc counts elements, attributes or characters.
func lengthFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowMarked: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			ty := args[0].Type()
			if ty == cty.String || ty.IsObjectType() || ty.IsTupleType() || ty.IsCollectionType() {
				return cty.Number, nil
			}
			return cty.NilType, function.NewArgErrorf(0, "a text, list, set, map or object is required")
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, marks := args[0].Unmark()
			switch {
			case v.Type() == cty.String:
				n, err := stdlib.Strlen(v)
				return n.WithMarks(marks), err
			case v.Type().IsObjectType():
				return cty.NumberIntVal(int64(len(v.Type().AttributeTypes()))).WithMarks(marks), nil
			}
			return v.Length().WithMarks(marks), nil
		},
	})
}

// listFunc is a function of the elements of one list or set.
func listFunc(result function.TypeFunc, impl func(elems []cty.Value) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type: func(args []cty.Value) (cty.Type, error) {
			ty := args[0].Type()
			if !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType() {
				return cty.NilType, function.NewArgErrorf(0, "a list or set is required, not %s", ty.FriendlyName())
			}
			return result(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].IsWhollyKnown() {
				return cty.DynamicVal, nil
			}
			return impl(args[0].AsValueSlice())
		},
	})
}

func sumFunc() function.Function {
	return listFunc(function.StaticReturnType(cty.Number), func(elems []cty.Value) (cty.Value, error) {
		if len(elems) == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "the list is empty")
		}
		total := cty.Zero
		for _, e := range elems {
			n, err := convert.Convert(e, cty.Number)
			if err != nil || n.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "an element is no number")
			}
			total = total.Add(n)
		}
		return total, nil
	})
}

func boolsFunc(name string, all bool) function.Function {
	return listFunc(function.StaticReturnType(cty.Bool), func(elems []cty.Value) (cty.Value, error) {
		for _, e := range elems {
			b, err := convert.Convert(e, cty.Bool)
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%s takes a list of bools", name)
			}
			if (!b.IsNull() && b.True()) != all {
				return cty.BoolVal(!all), nil
			}
		}
		return cty.BoolVal(all), nil
	})
}

func allTrueFunc() function.Function { return boolsFunc("alltrue", true) }
func anyTrueFunc() function.Function { return boolsFunc("anytrue", false) }

// oneFunc returns the only element, or null for none. Marks stay with the
// element.
func oneFunc() function.Function {
	element := func(v cty.Value) (cty.Value, error) {
		v, marks := v.Unmark()
		ty := v.Type()
		if !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType() {
			return cty.NilVal, function.NewArgErrorf(0, "a list or set is required, not %s", ty.FriendlyName())
		}
		if !v.IsKnown() {
			return cty.DynamicVal, nil
		}
		switch v.LengthInt() {
		case 0:
			return cty.NullVal(cty.DynamicPseudoType).WithMarks(marks), nil
		case 1:
			it := v.ElementIterator()
			it.Next()
			_, e := it.Element()
			return e.WithMarks(marks), nil
		}
		return cty.NilVal, function.NewArgErrorf(0, "it has %d elements, and one may be taken only from none or one", v.LengthInt())
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType, AllowMarked: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			v, err := element(args[0])
			if err != nil {
				return cty.NilType, err
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
			v, err := element(args[0])
			if err != nil {
				return cty.NilVal, err
			}
			return v, nil
		},
	})
}
