package planner

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// Attribute is one attribute of an object as a reader sees it.
type Attribute struct {
	Name  string // as in the plan's JSON
	Value string // in HCL notation: quoted text, bare numbers
}

// Attributes lists an object's set attributes in the order of its type, without
// the ones that Title already shows.
func Attributes(o state.Object) []Attribute {
	var out []Attribute
	if c, ok := o.(state.Config); ok { // many lines, and secrets in them
		return []Attribute{{"lines", literal(strings.Count(c.Text, "\n"))}}
	}
	collect(reflect.ValueOf(o), titleAttributes(o.Key().Kind), &out)
	return out
}

func titleAttributes(k state.Kind) []string {
	switch k {
	case state.KindPackage, state.KindModule, state.KindSysctl, state.KindLink, state.KindUnit:
		return []string{"name"}
	case state.KindFOU:
		return []string{"family", "port"}
	case state.KindMark:
		return []string{"protocol", "address", "ports"}
	case state.KindMasquerade:
		return []string{"protocol", "vip", "port", "to"}
	case state.KindSync:
		return []string{"role"}
	case state.KindAddress:
		return []string{"ip"}
	case state.KindRoute:
		return []string{"to"}
	case state.KindService:
		return []string{"protocol", "address", "port", "fwmark", "family"}
	case state.KindDestination:
		return []string{"service", "address", "port"}
	}
	return nil
}

func collect(v reflect.Value, skip []string, out *[]Attribute) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			collect(v.Field(i), skip, out)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if contains(skip, name) || (options != "" && v.Field(i).IsZero()) {
			continue
		}
		*out = append(*out, Attribute{name, literal(v.Field(i).Interface())})
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// literal writes a value in HCL notation.
func literal(v any) string {
	switch v := v.(type) {
	case netip.Addr:
		return fmt.Sprintf("%q", v.String())
	case netip.Prefix:
		return fmt.Sprintf("%q", v.String())
	case time.Duration:
		return fmt.Sprintf("%q", v.String())
	case state.ServiceID:
		return fmt.Sprintf("%q", v.String())
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
	return string(b)
}

// Title names an object as the plan's text does: its type and identity.
func Title(o state.Object) string {
	switch o := o.(type) {
	case state.Address:
		return fmt.Sprintf("address %q", o.IP)
	case state.Route:
		if o.To.Bits() == 0 {
			return `route "default"`
		}
		return fmt.Sprintf("route %q", o.To)
	case state.Rule:
		return "rule"
	case state.Config:
		if o.Topology == "" {
			return fmt.Sprintf("config %q", o.Program)
		}
	case state.Timeouts:
		return "ipvs_timeouts"
	case state.Service:
		return fmt.Sprintf("virtual_service %q", o.ServiceID)
	case state.Destination:
		return fmt.Sprintf("real_server %q", netip.AddrPortFrom(o.Address, o.Port))
	}
	return fmt.Sprintf("%s %q", o.Key().Kind, o.Key().ID)
}

// Describe writes an object on one line.
func Describe(o state.Object) string {
	if o == nil {
		return "nothing"
	}
	var b strings.Builder
	b.WriteString(Title(o))
	attrs := Attributes(o)
	if len(attrs) == 0 {
		return b.String()
	}
	b.WriteString(" {")
	for i, a := range attrs {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, " %s = %s", a.Name, a.Value)
	}
	b.WriteString(" }")
	return b.String()
}
