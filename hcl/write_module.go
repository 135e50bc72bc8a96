package hcl

import (
	"fmt"
	"strings"
)

// Call is a module block that Write writes.
type Call struct {
	Name, Source string
	Arguments    []Argument // in their order
}

// Argument is an argument of a module. The value is a string, an int, a bool,
// []int, []string, a Reference, or []Argument, which is an object.
type Argument struct {
	Name  string
	Value any
}

// Reference is what an expression refers to, as "host.rs1".
type Reference string

// call writes a module block. Objects inside of objects stand on one line.
func (w *writer) call(c Call) error {
	w.line("\nmodule %s {\nsource = %s", quoted(c.Name), quoted(c.Source))
	for _, a := range c.Arguments {
		members, ok := a.Value.([]Argument)
		if !ok {
			text, err := expression(a.Value)
			if err != nil {
				return fmt.Errorf("module.%s: %s: %w", c.Name, a.Name, err)
			}
			w.line("%s = %s", a.Name, text)
			continue
		}
		w.line("%s = {", a.Name)
		for _, m := range members {
			text, err := expression(m.Value)
			if err != nil {
				return fmt.Errorf("module.%s: %s.%s: %w", c.Name, a.Name, m.Name, err)
			}
			w.line("%s = %s", key(m.Name), text)
		}
		w.line("}")
	}
	w.line("}")
	return nil
}

// key is a name in an object, where `for` would begin an expression.
func key(name string) string {
	if name == "for" {
		return quoted(name)
	}
	return name
}

func expression(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return quoted(v), nil
	case int, bool, Reference:
		return fmt.Sprint(v), nil
	case []int:
		return "[" + joined(v, func(n int) string { return fmt.Sprint(n) }) + "]", nil
	case []string:
		return "[" + joined(v, quoted) + "]", nil
	case []Argument:
		var parts []string
		for _, a := range v {
			text, err := expression(a.Value)
			if err != nil {
				return "", err
			}
			parts = append(parts, key(a.Name)+" = "+text)
		}
		return "{ " + strings.Join(parts, ", ") + " }", nil
	}
	return "", fmt.Errorf("a %T cannot be written", value)
}

func joined[T any](list []T, text func(T) string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = text(v)
	}
	return strings.Join(parts, ", ")
}
