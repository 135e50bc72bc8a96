package hcl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// settings reads what the topology block says beside its name.
func (l *loader) settings(c *config, t *topology.Topology) {
	if c.topology == nil {
		return
	}
	content, diags := c.topology.body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "required_version"}, {Name: "persist"}}})
	l.r.take(diags)
	if attr := content.Attributes["required_version"]; attr != nil {
		l.checkVersion(attr)
	}
	if attr := content.Attributes["persist"]; attr != nil {
		t.Persist, t.PersistRange = l.constantBool(attr), toRange(attr.Range)
	}
}

// constantBool is an attribute that is known before anything is evaluated; nil
// with a mistake, or where it is null.
func (l *loader) constantBool(attr *hcl.Attribute) *bool {
	v, diags := attr.Expr.Value(nil)
	if l.r.take(diags) || v.IsNull() {
		return nil
	}
	if !v.IsKnown() || v.Type() != cty.Bool {
		l.r.error(attr.Expr.Range(), "Invalid "+attr.Name, "It must be true or false.")
		return nil
	}
	on := v.True()
	return &on
}

// checkVersion compares required_version with the running program.
func (l *loader) checkVersion(attr *hcl.Attribute) {
	v, diags := attr.Expr.Value(nil)
	if l.r.take(diags) {
		return
	}
	if v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		l.r.error(attr.Expr.Range(), "Invalid required_version", "It must be a text like \">= 0.1.0\".")
		return
	}
	ok, err := satisfies(l.opts.Version, v.AsString())
	switch {
	case err != nil:
		l.r.error(attr.Expr.Range(), "Invalid required_version", "%v. Write for example \">= 0.1.0, < 2.0.0\".", err)
	case !ok:
		l.r.error(attr.Expr.Range(), "Unsuitable version of lvsform",
			"This topology requires lvsform %s, and this is lvsform %s. Use a suitable version, or change required_version.", v.AsString(), l.opts.Version)
	}
}

// satisfies tells whether a version meets all constraints of a list with
// commas: =, !=, >, >=, <, <= and ~> (the last number given may grow).
func satisfies(version, constraints string) (bool, error) {
	have, _, haveErr := parseVersion(version)
	ok := true
	for constraint := range strings.SplitSeq(constraints, ",") {
		constraint = strings.TrimSpace(constraint)
		rest := strings.TrimLeft(constraint, "=!<>~")
		op := constraint[:len(constraint)-len(rest)]
		want, parts, err := parseVersion(strings.TrimSpace(rest))
		if err != nil {
			return false, err
		}
		met, err := compareVersions(op, have, want, parts)
		if err != nil {
			return false, err
		}
		ok = ok && met
	}
	return ok || haveErr != nil, nil
}

func compareVersions(op string, have, want [3]int, parts int) (bool, error) {
	order := 0
	for i := range have {
		if order == 0 {
			order = have[i] - want[i]
		}
	}
	switch op {
	case "", "=":
		return order == 0, nil
	case "!=":
		return order != 0, nil
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case "~>":
		for i := range max(parts-1, 1) {
			if have[i] != want[i] {
				return false, nil
			}
		}
		return order >= 0, nil
	}
	return false, fmt.Errorf("%q is no comparison", op)
}

// parseVersion reads 1, 1.2 or 1.2.3, a v before it and a suffix after it
// aside, and returns how many numbers there were.
func parseVersion(s string) (v [3]int, parts int, err error) {
	core, _, _ := strings.Cut(strings.TrimPrefix(s, "v"), "-")
	core, _, _ = strings.Cut(core, "+")
	numbers := strings.Split(core, ".")
	if len(numbers) > 3 {
		return v, 0, fmt.Errorf("%q is no version", s)
	}
	for i, n := range numbers {
		v[i], err = strconv.Atoi(n)
		if err != nil || v[i] < 0 {
			return v, 0, fmt.Errorf("%q is no version", s)
		}
	}
	return v, len(numbers), nil
}
