package hcl

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// maxSteps bounds the work of one Load, beside what its instances are given. A
// step is roughly the visit of one leaf of a value.
const maxSteps = 20_000_000

// Every instance brings steps of its own, so that large topologies can be
// loaded while a few lines cannot keep the program busy.
const (
	stepsPerInstance = 2_000  // of a host or resource
	stepsPerModule   = 20_000 // of a module
	weightOfModule   = 20     // instances that a module counts for
)

// stepsPerItem is what one turn of a for expression costs.
const stepsPerItem = 100

// stepsPerBlock is what a block of a dynamic block costs.
const stepsPerBlock = 400

// budget is the work that is left. Its methods return a message when it is
// used up, or when one value is too large.
type budget struct {
	steps     int
	exhausted bool
	instances int
}

func newBudget() *budget { return &budget{steps: maxSteps} }

// spend takes steps and tells whether they were there.
func (b *budget) spend(n int) bool {
	if n > b.steps {
		b.exhausted = true
		return false
	}
	b.steps -= n
	return true
}

// grant adds the steps of an instance that is about to be evaluated.
func (b *budget) grant(n int) {
	if !b.exhausted {
		b.steps += n
	}
}

const exhaustedText = "The expressions of this configuration produce more values than a topology can use. " +
	"Look for for expressions inside each other, and for values that repeat each other."

// exhaustedError is exhaustedText from inside a function; its reader gets it as
// the text of a diagnostic, hence the full sentences.
type exhaustedError struct{}

func (exhaustedError) Error() string { return exhaustedText }

func (b *budget) diagnostics(rng hcl.Range, message string) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Value too large", Detail: message, Subject: &rng}}
}

// size is what measure finds in a value.
type size struct {
	leaves, bytes int
	// unify is what it costs to bring the parts of its tuples and objects to
	// one type: the library compares all with all.
	unify int
}

// measure walks a value and returns its size, or a message when it is beyond
// the bounds. The walk stops there, so that it is always short.
func measure(v cty.Value) (size, string) {
	var s size
	msg := s.add(v, 0)
	return s, msg
}

func (s *size) add(v cty.Value, depth int) string {
	v, _ = v.Unmark()
	s.leaves++
	switch {
	case depth > maxValueDepth:
		return fmt.Sprintf("Lists and objects may stand inside each other %d deep.", maxValueDepth)
	case s.leaves > maxValue:
		return fmt.Sprintf("One value may hold %d elements.", maxValue)
	case v.IsNull() || !v.IsKnown():
		return ""
	}
	switch ty := v.Type(); {
	case ty == cty.String:
		return s.addString(v.AsString())
	case ty == cty.Number:
		if hugeNumber(v.AsBigFloat()) {
			return fmt.Sprintf("A number may have %d digits.", maxExponent)
		}
		return ""
	case ty.IsObjectType():
		s.addUnify(v)
		for name := range ty.AttributeTypes() {
			s.bytes += len(name)
			if msg := s.add(v.GetAttr(name), depth+1); msg != "" {
				return msg
			}
		}
	case ty.IsMapType():
		for name, e := range v.AsValueMap() {
			s.bytes += len(name)
			if msg := s.add(e, depth+1); msg != "" {
				return msg
			}
		}
	case ty.IsSetType() && ty.ElementType() == cty.String:
		// To look at the elements of a set sorts them; the texts were
		// measured before they came in.
		if s.leaves += v.LengthInt(); s.leaves > maxValue {
			return fmt.Sprintf("One value may hold %d elements.", maxValue)
		}
	case v.CanIterateElements():
		if v.LengthInt() > maxValue {
			return fmt.Sprintf("One value may hold %d elements.", maxValue)
		}
		s.addUnify(v)
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			if msg := s.add(e, depth+1); msg != "" {
				return msg
			}
		}
	}
	return ""
}

func (s *size) addUnify(v cty.Value) {
	if ty := v.Type(); ty.IsObjectType() || ty.IsTupleType() {
		n := v.LengthInt()
		s.unify = min(s.unify+n*n/20, 2*maxSteps)
	}
}

func (s *size) addString(text string) string {
	s.bytes += len(text)
	switch {
	case len(text) > maxString:
		return fmt.Sprintf("A text may have %d bytes.", maxString)
	case s.bytes > 16*maxString:
		return fmt.Sprintf("The texts of one value may have %d bytes together.", 16*maxString)
	}
	return ""
}

// chargeUse pays for the walk that an operation does over its operand.
func (b *budget) chargeUse(v cty.Value) string {
	s, msg := measure(v)
	if !b.spend(s.leaves+s.bytes/16) && msg == "" {
		msg = exhaustedText
	}
	return msg
}

// stepsPerNamed is what a leaf of a value with a name costs: it is walked over,
// and kept.
const stepsPerNamed = 20

// chargeName pays for a value that gets a name.
func (b *budget) chargeName(v cty.Value) string {
	s, msg := measure(v)
	if !b.spend(stepsPerNamed*s.leaves) && msg == "" {
		msg = exhaustedText
	}
	return msg
}

// stepsPerPublished is what a leaf of an output costs: it is copied and written.
const stepsPerPublished = 300

// chargeOutput pays for a value that is published.
func (b *budget) chargeOutput(v cty.Value) string {
	s, msg := measure(v)
	if !b.spend(stepsPerPublished*s.leaves+s.bytes) && msg == "" {
		msg = exhaustedText
	}
	return msg
}

// chargeUnify is chargeUse for operations that bring all parts to one type.
func (b *budget) chargeUnify(v cty.Value) string {
	s, msg := measure(v)
	if !b.spend(s.leaves+s.bytes/16+s.unify) && msg == "" {
		msg = exhaustedText
	}
	return msg
}

// chargeNumber is chargeUse where a text becomes a number.
func (b *budget) chargeNumber(v cty.Value) string {
	if v, _ := v.Unmark(); v.IsKnown() && !v.IsNull() && v.Type() == cty.String && hugeExponent(v.AsString()) {
		return fmt.Sprintf("A number may have %d digits.", maxExponent)
	}
	return b.chargeUse(v)
}

// chargeNew pays for a value that an operation made.
func (b *budget) chargeNew(v cty.Value) string {
	s, msg := measure(v)
	if !b.spend(s.leaves+s.bytes/8) && msg == "" {
		msg = exhaustedText
	}
	return msg
}

// stepsPerNumber is what a number costs when it is written out, or made out of
// nothing: it is a large one, of 512 bits.
const stepsPerNumber = 40

// chargePart is chargeNew for a part of a template.
func (b *budget) chargePart(v cty.Value) string {
	if plain, _ := v.Unmark(); plain.Type() == cty.Number && !b.spend(stepsPerNumber) {
		return exhaustedText
	}
	return b.chargeNew(v)
}

// chargeRange is chargeNew for a list of numbers that comes from two of them.
func (b *budget) chargeRange(v cty.Value) string {
	if plain, _ := v.Unmark(); plain.IsKnown() && plain.CanIterateElements() && !b.spend(stepsPerNumber*plain.LengthInt()) {
		return exhaustedText
	}
	return b.chargeNew(v)
}
