package hcl

import (
	"strings"

	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

func (o *object) sysctl() *topology.Sysctl {
	s := &topology.Sysctl{Settings: map[string]string{}}
	v, ok := o.vals["settings"]
	if !ok {
		return s
	}
	if ty := v.Type(); !ty.IsObjectType() && !ty.IsMapType() {
		o.fail("settings", "Invalid settings", "settings is a map: { \"net.ipv4.ip_forward\" = 1 }.")
		return s
	}
	if v.LengthInt() == 0 {
		o.fail("settings", "Empty settings", "Name at least one parameter: { \"net.ipv4.ip_forward\" = 1 }.")
		return s
	}
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		o.setting(s, key.AsString(), value)
	}
	return s
}

func (o *object) setting(s *topology.Sysctl, key string, v cty.Value) {
	name, why := sysctlName(key)
	if why != "" {
		o.fail("settings", "Invalid kernel parameter", "%q: %s. Write it as sysctl(8) does, like \"net.ipv4.conf.eth0/10.arp_ignore\".", clip(key), why)
		return
	}
	if _, twice := s.Settings[name]; twice {
		o.fail("settings", "Duplicate kernel parameter", "%s is set twice, once with other separators.", name)
		return
	}
	text, why := sysctlValue(v)
	if why != "" {
		o.fail("settings", "Invalid kernel parameter value", "%s: %s.", name, why)
		return
	}
	s.Settings[name] = text
}

// sysctlName brings a name to the form with dots between the parts. A name
// whose first separator is a slash has its parts separated by slashes, as
// sysctl(8) has it.
func sysctlName(s string) (name, why string) {
	slash, dot := strings.IndexByte(s, '/'), strings.IndexByte(s, '.')
	if slash > 0 && (dot < 0 || slash < dot) {
		s = strings.NewReplacer("/", ".", ".", "/").Replace(s)
	}
	parts := strings.Split(s, ".")
	if len(s) > 255 || len(parts) < 2 {
		return "", "it is no name of a kernel parameter"
	}
	for _, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("_./-", c) {
			return "", "it holds a character that no kernel parameter has"
		}
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "/") == "" || strings.HasPrefix(part, "/") || strings.HasSuffix(part, "/") || strings.Contains(part, "//") {
			return "", "a part of it is empty"
		}
	}
	return s, ""
}

func sysctlValue(v cty.Value) (text, why string) {
	switch {
	case v.IsNull():
		return "", "it is null; leave it out instead"
	case v.Type() == cty.Bool && v.True():
		return "1", ""
	case v.Type() == cty.Bool:
		return "0", ""
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil {
		return "", "it must be a number, a text or a bool"
	}
	text = strings.Join(strings.Fields(strings.ReplaceAll(s.AsString(), "\t", " ")), " ")
	if strings.ContainsFunc(s.AsString(), func(c rune) bool { return c != '\t' && isControl(c) }) {
		return "", "it holds a newline or another control character"
	}
	if text == "" {
		return "", "it is empty"
	}
	if len(text) > 4095 {
		return "", "it is longer than a kernel parameter can be"
	}
	return text, ""
}
