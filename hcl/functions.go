package hcl

import (
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// newFunctions are the functions that expressions of a module may call.
func newFunctions(m *module) map[string]function.Function {
	all := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc,
		"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,
		"parseint": bounded(stdlib.ParseIntFunc, shortText),

		"chomp": stdlib.ChompFunc, "format": bounded(stdlib.FormatFunc, narrowFormat), "formatlist": bounded(stdlib.FormatListFunc, narrowFormat),
		"indent": bounded(stdlib.IndentFunc, narrowIndent), "join": bounded(stdlib.JoinFunc, shortJoin),
		"lower": stdlib.LowerFunc, "upper": stdlib.UpperFunc, "title": stdlib.TitleFunc,
		"regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "replace": bounded(replaceFunc(), shortReplace),
		"split": stdlib.SplitFunc, "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc,
		"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc, "trimsuffix": stdlib.TrimSuffixFunc, "trimspace": stdlib.TrimSpaceFunc,
		"startswith": startsWithFunc(), "endswith": endsWithFunc(), "strcontains": containsTextFunc(),

		"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
		"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": bounded(stdlib.DistinctFunc, fewElements), "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
		"index": stdlib.IndexFunc, "keys": stdlib.KeysFunc, "length": lengthFunc(), "lookup": stdlib.LookupFunc,
		"merge": stdlib.MergeFunc, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc, "setproduct": bounded(stdlib.SetProductFunc, smallProduct),
		"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc,
		"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
		"sum": sumFunc(), "one": oneFunc(), "alltrue": allTrueFunc(), "anytrue": anyTrueFunc(),

		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": bounded(stdlib.JSONDecodeFunc, shallowJSON), "jsonencode": stdlib.JSONEncodeFunc,
		"yamldecode": yamlDecodeFunc(), "yamlencode": yamlEncodeFunc(),
		"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc,

		"can": tryfunc.CanFunc, "try": tryfunc.TryFunc, "sensitive": sensitiveFunc(m), "nonsensitive": nonsensitiveFunc(), "issensitive": isSensitiveFunc(),
		"tobool": toFunc(m, cty.Bool), "tonumber": toFunc(m, cty.Number), "tostring": toFunc(m, cty.String),
		"tolist": toFunc(m, cty.List(cty.DynamicPseudoType)), "tomap": toFunc(m, cty.Map(cty.DynamicPseudoType)), "toset": toFunc(m, cty.Set(cty.DynamicPseudoType)),
	}
	maps.Copy(all, networkFunctions())
	maps.Copy(all, fileFunctions(m))
	return all
}

// bounded refuses arguments whose result would be far larger than they are.
func bounded(f function.Function, check func(args []cty.Value) error) function.Function {
	spec := &function.Spec{
		Params:   f.Params(),
		VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args); err != nil {
				return cty.DynamicPseudoType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	}
	return function.New(spec)
}

// known returns a text argument, unmarked; ok is false when it has none yet.
func known(args []cty.Value, i int, ty cty.Type) (cty.Value, bool) {
	if i >= len(args) {
		return cty.NilVal, false
	}
	v, _ := args[i].Unmark()
	return v, v.IsKnown() && !v.IsNull() && v.Type() == ty
}

func shortText(args []cty.Value) error {
	if v, ok := known(args, 0, cty.String); ok && len(v.AsString()) > maxExponent {
		return function.NewArgErrorf(0, "a number may have %d digits", maxExponent)
	}
	return nil
}

// narrowFormat refuses wide columns and numbers with endless digits.
func narrowFormat(args []cty.Value) error {
	if v, ok := known(args, 0, cty.String); ok {
		digits := 0
		for _, c := range v.AsString() {
			if c < '0' || c > '9' {
				digits = 0
				continue
			}
			if digits++; digits > 4 {
				return function.NewArgErrorf(0, "a width or precision may have four digits")
			}
		}
	}
	for i := range args {
		if v, ok := known(args, i, cty.String); ok && hugeExponent(v.AsString()) {
			return function.NewArgErrorf(i, "a number may have %d digits", maxExponent)
		}
	}
	return nil
}

func narrowIndent(args []cty.Value) error {
	spaces, ok1 := known(args, 0, cty.Number)
	text, ok2 := known(args, 1, cty.String)
	if !ok1 || !ok2 {
		return nil
	}
	n, accuracy := spaces.AsBigFloat().Int64()
	if accuracy != big.Exact || n < 0 || n > 1000 {
		return function.NewArgErrorf(0, "an indentation is a whole number from 0 to 1000")
	}
	return fits(int(n)*len(text.AsString()) + len(text.AsString()))
}

func shortJoin(args []cty.Value) error {
	sep, ok := known(args, 0, cty.String)
	if !ok {
		return nil
	}
	total := 0
	for _, list := range args[1:] {
		if s, msg := measure(list); msg != "" {
			return fmt.Errorf("%s", msg)
		} else {
			total += s.bytes + s.leaves*len(sep.AsString())
		}
	}
	return fits(total)
}

func shortReplace(args []cty.Value) error {
	text, ok1 := known(args, 0, cty.String)
	by, ok2 := known(args, 2, cty.String)
	if !ok1 || !ok2 {
		return nil
	}
	return fits(len(text.AsString()) * (1 + min(len(by.AsString()), maxString)))
}

// fits refuses the result of a text function that may be too long. The bound is
// far above maxString, because the estimates are rough.
func fits(bytes int) error {
	if bytes > 64*maxString || bytes < 0 {
		return fmt.Errorf("the result may be too long: a text may have %d bytes", maxString)
	}
	return nil
}

// fewElements keeps functions that compare all with all from running long.
func fewElements(args []cty.Value) error {
	for _, v := range args {
		v, _ = v.Unmark()
		if v.IsKnown() && !v.IsNull() && v.CanIterateElements() && v.LengthInt() > 4096 {
			return fmt.Errorf("it may have 4096 elements")
		}
	}
	return nil
}

func smallProduct(args []cty.Value) error {
	product := 1
	for _, v := range args {
		v, _ = v.Unmark()
		if v.IsKnown() && !v.IsNull() && v.CanIterateElements() {
			product *= max(1, v.LengthInt())
		}
		if product*len(args) > maxValue {
			return fmt.Errorf("the product has more than %d elements", maxValue/len(args))
		}
	}
	return nil
}

func shallowJSON(args []cty.Value) error {
	v, ok := known(args, 0, cty.String)
	if ok && checkJSONNesting([]byte(v.AsString()), "").HasErrors() {
		return function.NewArgErrorf(0, "arrays and objects may stand inside each other %d deep", maxNesting)
	}
	return nil
}

func sensitiveFunc(m *module) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{anyParam("value")},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			m.l.hideValue(args[0])
			return args[0].Mark(sensitive), nil
		},
	})
}

func nonsensitiveFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{anyParam("value")},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, marks := args[0].UnmarkDeepWithPaths()
			for i := range marks {
				delete(marks[i].Marks, sensitive)
			}
			marks = slices.DeleteFunc(marks, func(p cty.PathValueMarks) bool { return len(p.Marks) == 0 })
			return v.MarkWithPaths(marks), nil
		},
	})
}

func isSensitiveFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{anyParam("value")},
		Type:   function.StaticReturnType(cty.Bool),
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return cty.BoolVal(hasSensitive(args[0])), nil },
	})
}

func anyParam(name string) function.Parameter {
	return function.Parameter{Name: name, Type: cty.DynamicPseudoType, AllowUnknown: true, AllowNull: true, AllowMarked: true, AllowDynamicType: true}
}

// toFunc converts to a type, null included.
func toFunc(m *module, want cty.Type) function.Function {
	param := anyParam("v")
	param.AllowUnknown, param.AllowDynamicType = false, false
	return function.New(&function.Spec{
		Params: []function.Parameter{param},
		Type: func(args []cty.Value) (cty.Type, error) {
			target := want
			if elem, uniform := uniformType(args[0].Type()); !want.IsPrimitiveType() && uniform {
				target = withElement(want, elem)
			} else if msg := m.l.b.chargeUnify(args[0]); msg != "" {
				return cty.NilType, function.NewArgErrorf(0, "%s", msg)
			}
			v, err := convert.Convert(args[0], target)
			if err != nil {
				return cty.NilType, function.NewArgErrorf(0, "cannot convert %s to %s: %s", args[0].Type().FriendlyName(), want.FriendlyName(), describe(err))
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) { return convert.Convert(args[0], ty) },
	})
}

// uniformType returns the type of all elements of a tuple or object, if they
// have one: to know it spares the library a search for it.
func uniformType(ty cty.Type) (cty.Type, bool) {
	var first cty.Type
	switch {
	case ty.IsTupleType():
		for _, e := range ty.TupleElementTypes() {
			if first != cty.NilType && !first.Equals(e) {
				return first, false
			}
			first = e
		}
	case ty.IsObjectType():
		for _, e := range ty.AttributeTypes() {
			if first != cty.NilType && !first.Equals(e) {
				return first, false
			}
			first = e
		}
	}
	return first, first != cty.NilType
}

func withElement(collection, elem cty.Type) cty.Type {
	switch {
	case collection.IsListType():
		return cty.List(elem)
	case collection.IsSetType():
		return cty.Set(elem)
	}
	return cty.Map(elem)
}
