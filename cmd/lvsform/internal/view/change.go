package view

import (
	"slices"
	"strings"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

const hidden = "(sensitive)"

// Title names an object. A kernel module is called so, because a plan also
// speaks of the configuration's modules.
func Title(o state.Object) string {
	if m, ok := o.(state.Module); ok {
		return "kernel_module " + quote(m.Name)
	}
	return planner.Title(o)
}

// changeRows are the lines below a change's heading.
func changeRows(c planner.Change) []row {
	if _, ok := object(c).(state.Config); ok {
		return configRows(c)
	}
	switch c.Action {
	case planner.Create:
		return []row{{"+", block(c.After, c.Sensitive)}}
	case planner.Delete:
		return []row{{"-", block(c.Before, c.Sensitive)}}
	case planner.Update:
		return differences(c)
	case planner.Replace:
		return append([]row{{"-/+", Title(c.After)}}, differences(c)...)
	}
	return []row{{"=", block(object(c), c.Sensitive)}}
}

// block writes an object on one line as HCL would.
func block(o state.Object, sensitive []string) string {
	attrs := attributes(o, sensitive)
	if len(attrs) == 0 {
		return Title(o)
	}
	pairs := make([]string, len(attrs))
	for i, a := range attrs {
		pairs[i] = a.Name + " = " + a.Value
	}
	return Title(o) + " { " + strings.Join(pairs, "  ") + " }"
}

// attributes are those of the object that a reader has to know: what the kernel
// takes as given and what is sensitive is left out or hidden.
func attributes(o state.Object, sensitive []string) []planner.Attribute {
	var out []planner.Attribute
	for _, a := range planner.Attributes(o) {
		if slices.Contains(sensitive, a.Name) {
			a.Value = hidden
		}
		if !given(o, a) {
			out = append(out, a)
		}
	}
	return out
}

// given tells of an attribute's value that goes without saying.
func given(o state.Object, a planner.Attribute) bool {
	switch o := o.(type) {
	case state.Address:
		return a.Name == "scope" && o.Scope == "global" || a.Name == "label" && o.Label == o.Device
	case state.Route:
		scope := "link"
		if o.Via.IsValid() {
			scope = "global"
		}
		return a.Name == "table" && o.Table == state.TableMain || a.Name == "metric" && o.Metric == 0 ||
			a.Name == "scope" && o.Scope == scope || a.Name == "protocol"
	case state.Service:
		return a.Name == "netmask" && (o.Timeout == 0 || o.Netmask == 32 && o.Family == "ipv4" || o.Netmask == 128)
	}
	return false
}

// differences are the attributes that change. What the title shows is compared
// too: an address may change its prefix length and stay the same object.
func differences(c planner.Change) []row {
	if before, ok := c.Before.(state.Sysctl); ok {
		after := c.After.(state.Sysctl)
		return []row{{"~", quote(after.Name) + " = " + shown("value", before.Value, c.Sensitive) +
			" -> " + shown("value", after.Value, c.Sensitive)}}
	}
	var out []row
	if b, a := Title(c.Before), Title(c.After); b != a {
		out = append(out, row{"~", b + " -> " + a})
	}
	before, after := planner.Attributes(c.Before), planner.Attributes(c.After)
	for _, name := range names(before, after) {
		b, hadIt := find(before, name)
		a, hasIt := find(after, name)
		if b == a && hadIt == hasIt {
			continue
		}
		if slices.Contains(c.Sensitive, name) {
			a, b = hidden, hidden
		}
		switch {
		case !hadIt:
			out = append(out, row{"+", name + " = " + a})
		case !hasIt:
			out = append(out, row{"-", name + " = " + b})
		default:
			out = append(out, row{"~", name + " = " + b + " -> " + a})
		}
	}
	return out
}

// names merges two attribute lists, both in the order of their type.
func names(before, after []planner.Attribute) []string {
	var out []string
	for _, b := range before {
		for len(after) > 0 {
			if _, later := find(before, after[0].Name); later {
				break
			}
			out = append(out, after[0].Name)
			after = after[1:]
		}
		if len(after) > 0 && after[0].Name == b.Name {
			after = after[1:]
		}
		out = append(out, b.Name)
	}
	for _, a := range after {
		out = append(out, a.Name)
	}
	return out
}

func find(attrs []planner.Attribute, name string) (string, bool) {
	for _, a := range attrs {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

func quote(s string) string { return `"` + line(s) + `"` }

// shown writes a sysctl's value as it stands in a configuration.
func shown(attribute, value string, sensitive []string) string {
	if slices.Contains(sensitive, attribute) {
		return hidden
	}
	if value != "" && strings.Trim(value, "0123456789") == "" {
		return value
	}
	return quote(value)
}

// object is the side of a change that its title names.
func object(c planner.Change) state.Object {
	if c.After != nil {
		return c.After
	}
	return c.Before
}
