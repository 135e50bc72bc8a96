package hcl

import (
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// text returns an argument of type string; "" when absent or unusable.
func (o *object) text(name string) string {
	if v, ok := o.vals[name]; ok {
		return v.AsString()
	}
	return ""
}

// boolean returns nil when absent or unusable.
func (o *object) boolean(name string) *bool {
	v, ok := o.vals[name]
	if !ok {
		return nil
	}
	b := v.True()
	return &b
}

func (o *object) isTrue(name string, otherwise bool) bool {
	if b := o.boolean(name); b != nil {
		return *b
	}
	return otherwise
}

// choice returns an argument that is one of a few words.
func (o *object) choice(name string, words ...string) string {
	s := o.text(name)
	if s == "" && !o.has(name) {
		return ""
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	if !o.bad[name] {
		verb := "is one of"
		if len(words) == 1 {
			verb = "can only be"
		}
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%s %s %s, not %q.%s", name, verb, oneOf(words), clip(s), didYouMean(s, words))
	}
	return ""
}

// whole returns a whole number within bounds; ok is false when absent or
// unusable.
func (o *object) whole(name string, low, high int64) (int64, bool) {
	v, ok := o.vals[name]
	if !ok {
		return 0, false
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact || n < low || n > high {
		o.fail(name, fmt.Sprintf("%s out of range", name), "%s is a whole number from %d to %d, not %s.", name, low, high, shortNumber(v))
		return 0, false
	}
	return n, true
}

func (o *object) wholePointer(name string, low, high int64) *int {
	n, ok := o.whole(name, low, high)
	if !ok {
		return nil
	}
	i := int(n)
	return &i
}

func shortNumber(v cty.Value) string { return v.AsBigFloat().Text('g', 12) }

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// address returns one IP address; the zero Addr when absent or unusable.
func (o *object) address(name string) netip.Addr {
	v, ok := o.vals[name]
	if !ok {
		return netip.Addr{}
	}
	s := v.AsString()
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil && strings.Contains(s, "/"):
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%q has a prefix length; write the address alone, like \"192.0.2.1\".", clip(s))
		return netip.Addr{}
	case err != nil:
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%q is no IP address. Write one like \"192.0.2.1\" or \"2001:db8::1\".", clip(s))
		return netip.Addr{}
	case a.Zone() != "":
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%q has a zone; write the address alone and name the interface in device.", clip(s))
		return netip.Addr{}
	}
	return a.Unmap()
}

// prefix returns an address with a prefix length, host bits kept.
func (o *object) prefix(name string) netip.Prefix {
	v, ok := o.vals[name]
	if !ok {
		return netip.Prefix{}
	}
	s := v.AsString()
	p, err := parsePrefix(s)
	if err != nil {
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%s", prefixHelp(s))
	}
	return p
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("an IPv4 address in IPv6 form")
	}
	return p, err
}

func prefixHelp(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return fmt.Sprintf("%q has no prefix length. Write \"%s/%d\", or another length.", s, a, a.BitLen())
	}
	if addr, _, ok := strings.Cut(s, "/"); ok && strings.Contains(addr, ".") && !strings.Contains(addr, ":") {
		return fmt.Sprintf("%q is no IPv4 address with a prefix length. Write one like \"192.0.2.1/24\"; netmasks and abbreviations are not understood.", clip(s))
	}
	return fmt.Sprintf("%q is no address with a prefix length. Write one like \"192.0.2.1/24\" or \"2001:db8::1/64\".", clip(s))
}

// duration returns a time given as text ("50s", "5m") or as a number of
// seconds; it is whole seconds within bounds. ok is false when absent or
// unusable.
func (o *object) duration(name string, low, high time.Duration) (time.Duration, bool) {
	v, ok := o.vals[name]
	if !ok {
		return 0, false
	}
	d, ok := parseDuration(v)
	if !ok {
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%s is a time like \"50s\" or \"5m\", or a number of seconds.", name)
		return 0, false
	}
	if d%time.Second != 0 || d < low || d > high {
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%s is whole seconds from %s to %s.", name, low, high)
		return 0, false
	}
	return d, true
}

func parseDuration(v cty.Value) (time.Duration, bool) {
	switch v.Type() {
	case cty.Number:
		n, accuracy := v.AsBigFloat().Int64()
		if accuracy != big.Exact || n < 0 || n > int64(1<<62/time.Second) {
			return 0, false
		}
		return time.Duration(n) * time.Second, true
	case cty.String:
		s := v.AsString()
		if s != "" && strings.Trim(s, "0123456789") == "" {
			s += "s" // a number that went through a text
		}
		d, err := time.ParseDuration(s)
		return d, err == nil && d >= 0
	}
	return 0, false
}

// maxDeviceName is IFNAMSIZ of linux/if.h without the final NUL.
const maxDeviceName = 15

// device returns the name of an interface.
func (o *object) device(name string) string {
	s := o.text(name)
	if !o.has(name) || o.bad[name] {
		return ""
	}
	if why := badDevice(s); why != "" {
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%q cannot name an interface: %s.", clip(s), why)
		return ""
	}
	return s
}

func badDevice(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > maxDeviceName:
		return fmt.Sprintf("it has %d characters, and the kernel takes %d", len(s), maxDeviceName)
	case s == "." || s == "..":
		return "the kernel refuses it"
	case s[0] == '-':
		return "programs would take it for an option"
	}
	for _, c := range s {
		switch {
		case strings.ContainsRune("*?[]\\", c):
			return fmt.Sprintf("it holds %q, which stands for other names", c)
		case c == '/':
			return "it holds a slash"
		case c == '%':
			return "it holds a percent sign, which the kernel replaces"
		case c == ':':
			return "it holds a colon; an alias goes to label"
		case c <= ' ' || c >= 0x7f:
			return "it holds a character that is not printable ASCII"
		}
	}
	return ""
}

// number brings an argument of any type to a number.
func (o *object) number(name string) {
	v, ok := o.vals[name]
	if !ok {
		return
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil {
		o.fail(name, fmt.Sprintf("Unsuitable value for %s", name), "%s.", upperFirst(err.Error()))
		return
	}
	if hugeNumber(n.AsBigFloat()) {
		o.fail(name, fmt.Sprintf("Unsuitable value for %s", name), "A number may have %d digits.", maxExponent)
		return
	}
	o.vals[name] = n
}
