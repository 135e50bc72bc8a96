package hcl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"gopkg.in/yaml.v3"
)

func yamlDecodeFunc() function.Function {
	decode := func(args []cty.Value) (cty.Value, error) {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(args[0].AsString()), &doc); err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		if doc.Kind == 0 {
			return cty.NullVal(cty.DynamicPseudoType), nil
		}
		left := maxValue
		return fromYAML(&doc, 0, &left)
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{textParam("src")},
		Type: func(args []cty.Value) (cty.Type, error) {
			if !args[0].IsKnown() {
				return cty.DynamicPseudoType, nil
			}
			v, err := decode(args)
			return v.Type(), err
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return decode(args) },
	})
}

// fromYAML converts a document. left counts the values that it may still make:
// aliases inside each other multiply.
func fromYAML(n *yaml.Node, depth int, left *int) (cty.Value, error) {
	if *left--; *left < 0 || depth > maxValueDepth {
		return cty.NilVal, function.NewArgErrorf(0, "line %d: the document is too large or too deeply nested", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return fromYAML(n.Content[0], depth, left)
	case yaml.AliasNode:
		return fromYAML(n.Alias, depth+1, left)
	case yaml.SequenceNode:
		elems := []cty.Value{}
		for _, c := range n.Content {
			v, err := fromYAML(c, depth+1, left)
			if err != nil {
				return v, err
			}
			elems = append(elems, v)
		}
		return cty.TupleVal(elems), nil
	case yaml.MappingNode:
		return yamlMapping(n, depth, left)
	default:
		return yamlScalar(n)
	}
}

func yamlMapping(n *yaml.Node, depth int, left *int) (cty.Value, error) {
	attrs, merged := map[string]cty.Value{}, map[string]cty.Value{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := fromYAML(n.Content[i], depth+1, left)
		if err != nil {
			return key, err
		}
		name, err := convert.Convert(key, cty.String)
		if err != nil || name.IsNull() {
			return cty.NilVal, function.NewArgErrorf(0, "line %d: a key must be a text", n.Content[i].Line)
		}
		v, err := fromYAML(n.Content[i+1], depth+1, left)
		if err != nil {
			return v, err
		}
		if n.Content[i].Tag == "!!merge" {
			if v.Type().IsObjectType() {
				maps.Copy(merged, v.AsValueMap())
			}
			continue
		}
		attrs[name.AsString()] = v
	}
	maps.Copy(merged, attrs)
	return cty.ObjectVal(merged), nil
}

func yamlScalar(n *yaml.Node) (cty.Value, error) {
	switch n.ShortTag() {
	case "!!null":
		return cty.NullVal(cty.DynamicPseudoType), nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err == nil {
			return cty.BoolVal(b), nil
		}
	case "!!int":
		var i int64
		if err := n.Decode(&i); err == nil {
			return cty.NumberIntVal(i), nil
		}
	case "!!float":
		if len(n.Value) > maxExponent || hugeExponent(n.Value) {
			return cty.NilVal, function.NewArgErrorf(0, "line %d: a number may have %d digits", n.Line, maxExponent)
		}
		if v, err := cty.ParseNumberVal(strings.ReplaceAll(n.Value, "_", "")); err == nil {
			return v, nil
		}
	}
	return cty.StringVal(n.Value), nil
}

func yamlEncodeFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(cty.String), nil
			}
			out, err := yaml.Marshal(toYAML(args[0]))
			if err != nil {
				return cty.NilVal, fmt.Errorf("cannot write YAML: %w", err)
			}
			return cty.StringVal(string(out)), nil
		},
	})
}

func toYAML(v cty.Value) *yaml.Node {
	ty := v.Type()
	switch {
	case v.IsNull():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case ty == cty.String:
		n := &yaml.Node{}
		n.SetString(v.AsString())
		return n
	case ty == cty.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(v.True())}
	case ty == cty.Number:
		tag := "!!float"
		if v.AsBigFloat().IsInt() {
			tag = "!!int"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v.AsBigFloat().Text('f', -1)}
	case ty.IsMapType() || ty.IsObjectType():
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		attrs := v.AsValueMap()
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			key := &yaml.Node{}
			key.SetString(name)
			n.Content = append(n.Content, key, toYAML(attrs[name]))
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		n.Content = append(n.Content, toYAML(e))
	}
	return n
}
