package hcl

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// newFunctions are the functions that expressions may call.
func newFunctions(l *loader) map[string]function.Function {
	all := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc,
		"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,
		"parseint": bounded(stdlib.ParseIntFunc, shortText),

		"chomp": stdlib.ChompFunc, "format": bounded(stdlib.FormatFunc, narrowFormat), "formatlist": bounded(stdlib.FormatListFunc, narrowFormat),
		"indent": bounded(stdlib.IndentFunc, narrowIndent), "join": bounded(stdlib.JoinFunc, shortJoin),
		"lower": stdlib.LowerFunc, "upper": stdlib.UpperFunc, "title": stdlib.TitleFunc,
		"regex": bounded(stdlib.RegexFunc, l.shortRegex), "regexall": bounded(stdlib.RegexAllFunc, l.shortRegex), "replace": bounded(replaceFunc(), l.shortReplace),
		"split": bounded(stdlib.SplitFunc, fewParts), "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc,
		"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc, "trimsuffix": stdlib.TrimSuffixFunc, "trimspace": stdlib.TrimSpaceFunc,
		"startswith": startsWithFunc(), "endswith": endsWithFunc(), "strcontains": containsTextFunc(),

		"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
		"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": bounded(stdlib.DistinctFunc, l.fewElements), "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
		"index": stdlib.IndexFunc, "keys": stdlib.KeysFunc, "length": lengthFunc(), "lookup": stdlib.LookupFunc,
		"merge": stdlib.MergeFunc, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc, "setproduct": bounded(stdlib.SetProductFunc, smallProduct),
		"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc,
		"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
		"sum": sumFunc(), "one": oneFunc(), "alltrue": allTrueFunc(), "anytrue": anyTrueFunc(),

		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": bounded(stdlib.JSONDecodeFunc, shallowJSON), "jsonencode": stdlib.JSONEncodeFunc,
		"yamldecode": yamlDecodeFunc(), "yamlencode": yamlEncodeFunc(),
		"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc,

		"can": tryfunc.CanFunc, "try": tryfunc.TryFunc, "sensitive": sensitiveFunc(l), "nonsensitive": nonsensitiveFunc(), "issensitive": isSensitiveFunc(),
		"tobool": toFunc(l, cty.Bool), "tonumber": toFunc(l, cty.Number), "tostring": toFunc(l, cty.String),
		"tolist": toFunc(l, cty.List(cty.DynamicPseudoType)), "tomap": toFunc(l, cty.Map(cty.DynamicPseudoType)), "toset": toFunc(l, cty.Set(cty.DynamicPseudoType)),
	}
	maps.Copy(all, networkFunctions())
	maps.Copy(all, fileFunctions(l))
	return all
}

func sensitiveFunc(l *loader) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{anyParam("value")},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			l.hideValue(args[0])
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
func toFunc(l *loader, want cty.Type) function.Function {
	param := anyParam("v")
	param.AllowUnknown, param.AllowDynamicType = false, false
	return function.New(&function.Spec{
		Params: []function.Parameter{param},
		Type: func(args []cty.Value) (cty.Type, error) {
			target := want
			if elem, uniform := uniformType(args[0].Type()); !want.IsPrimitiveType() && uniform {
				target = withElement(want, elem)
			} else if msg := l.b.chargeUnify(args[0]); msg != "" {
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
