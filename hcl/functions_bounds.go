package hcl

import (
	"errors"
	"fmt"
	"math/big"
	"regexp/syntax"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

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

// narrowFormat refuses wide columns, numbers with endless digits, and texts that
// a short format repeats often.
func narrowFormat(args []cty.Value) error {
	format, ok := known(args, 0, cty.String)
	if !ok {
		return nil
	}
	widest, ok := widestColumn(format.AsString())
	if !ok {
		return function.NewArgErrorf(0, "a width or precision may have four digits")
	}
	lines := 1
	for i, arg := range args[1:] {
		s, msg := measure(arg)
		if msg != "" {
			return function.NewArgErrorf(i+1, "%s", msg)
		}
		lines, widest = max(lines, s.leaves), max(widest, s.bytes)
		if hugeInside(arg) {
			return function.NewArgErrorf(i+1, "a number may have %d digits", maxExponent)
		}
	}
	verbs := strings.Count(format.AsString(), "%")
	return fits(lines, len(format.AsString())+verbs*widest)
}

// widestColumn is the largest number in a format; ok is false when it has more
// than four digits.
func widestColumn(format string) (widest int, ok bool) {
	n := 0
	for _, c := range format {
		if c < '0' || c > '9' {
			n = 0
			continue
		}
		if n = 10*n + int(c-'0'); n > 9999 {
			return 0, false
		}
		widest = max(widest, n)
	}
	return widest, true
}

// hugeInside looks for texts that are numbers with endless digits.
func hugeInside(v cty.Value) bool {
	found := false
	v, _ = v.UnmarkDeep()
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && hugeExponent(v.AsString()) {
			found = true
		}
		return !found, nil
	})
	return found
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
	return fits(int(n)+1, len(text.AsString()))
}

func shortJoin(args []cty.Value) error {
	sep, ok := known(args, 0, cty.String)
	if !ok {
		return nil
	}
	total := 0
	for _, list := range args[1:] {
		s, msg := measure(list)
		if msg != "" {
			return errors.New(msg)
		}
		total += s.bytes + s.leaves*len(sep.AsString())
	}
	return fits(1, total)
}

// shortReplace bounds the result and, for patterns, the work.
func (l *loader) shortReplace(args []cty.Value) error {
	text, ok1 := known(args, 0, cty.String)
	pattern, ok2 := known(args, 1, cty.String)
	by, ok3 := known(args, 2, cty.String)
	if !ok1 || !ok2 || !ok3 {
		return nil
	}
	if err := l.shortRegex([]cty.Value{pattern, text}); err != nil {
		return err
	}
	return fits(len(text.AsString())+1, len(by.AsString())+1)
}

// shortRegex pays for the search: the size of the pattern's program for every
// character.
func (l *loader) shortRegex(args []cty.Value) error {
	pattern, ok1 := known(args, 0, cty.String)
	text, ok2 := known(args, 1, cty.String)
	if !ok1 || !ok2 {
		return nil
	}
	re, err := syntax.Parse(pattern.AsString(), syntax.Perl)
	if err != nil {
		return nil // the function itself says so
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil
	}
	if !l.b.spend(len(prog.Inst) * (len(text.AsString()) + 16) / 4) {
		return exhaustedError{}
	}
	return nil
}

func fewParts(args []cty.Value) error {
	sep, ok1 := known(args, 0, cty.String)
	text, ok2 := known(args, 1, cty.String)
	if ok1 && ok2 && strings.Count(text.AsString(), sep.AsString()) > maxValue/8 {
		return function.NewArgErrorf(1, "it has more than %d parts", maxValue/8)
	}
	return nil
}

// fits refuses the result of a text function that may be too long. The bound is
// far above maxString, because the estimates are rough.
func fits(times, bytes int) error {
	if bytes > 0 && times > 16*maxString/bytes {
		return fmt.Errorf("the result may be too long: a text may have %d bytes", maxString)
	}
	return nil
}

// fewElements pays for comparing all elements with all.
func (l *loader) fewElements(args []cty.Value) error {
	for _, v := range args {
		v, _ = v.Unmark()
		if v.IsKnown() && !v.IsNull() && v.CanIterateElements() && !l.b.spend(v.LengthInt()*v.LengthInt()) {
			return exhaustedError{}
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
