package hcl

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// hostValues evaluates a host block and returns what references see.
func (m *module) hostValues(b *block) cty.Value {
	x, s := m.expand(b), m.l.schemas["host"]
	if len(x.insts) == 0 {
		m.inspect(b, s, x)
	}
	var values []cty.Value
	for _, inst := range x.insts {
		if m.l.done() {
			return cty.DynamicVal
		}
		m.l.b.grant(stepsPerInstance)
		ctx := m.instanceContext(b, s, x, inst)
		before := len(m.l.r.found)
		mk := newMarks()
		o := m.decode(b.body, s, ctx, b.rng, mk)
		h := o.hostOf(m.at(b.path()+inst.suffix), m.at(b.name+inst.suffix))
		h.Attributes = mk.places()
		m.l.r.since(before, h.Path, h.Name)
		m.l.hosts = append(m.l.hosts, h)
		if !h.Address.IsValid() || o.bad["name"] {
			values = append(values, cty.DynamicVal)
			continue
		}
		values = append(values, cty.ObjectVal(map[string]cty.Value{
			"name":    cty.StringVal(h.Name),
			"address": cty.StringVal(h.Address.String()),
		}))
	}
	return x.value(values)
}

func (o *object) hostOf(path, name string) *topology.Host {
	h := &topology.Host{
		Name:    name,
		Path:    path,
		Address: o.address("address"),
		Gateway: o.address("gateway"),
		Managed: o.isTrue("managed", true),
		Retired: o.isTrue("retired", false),
		OS:      o.choice("os", "linux", "windows", "freebsd", "openbsd", "netbsd", "macos", "solaris", "other"),
		Range:   toRange(o.header),
	}
	if name := o.text("name"); name != "" {
		h.Name = name
	}
	if o.vals["name"] != cty.NilVal && (h.Name != o.text("name") || len(h.Name) > 255 || strings.ContainsFunc(h.Name, misleads)) {
		o.fail("name", "Invalid host name", "A host's name has from 1 to 255 characters and no control characters.")
	}
	for _, i := range o.blocks["interface"] {
		h.Interfaces = append(h.Interfaces, i.interfaceOf(h.OS))
	}
	if s := o.block("ssh"); s != nil {
		h.SSH = s.sshOf()
	}
	if h.Managed && h.OS != "" && h.OS != "linux" {
		o.fail("os", fmt.Sprintf("Host %s cannot be managed", h.Name), "lvsform configures Linux hosts. Add managed = false: the host is then checked, and never connected to.")
	}
	return h
}

func isControl(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 }

// misleads tells whether a character makes a terminal show other text than
// there is: control characters, and those that turn the direction of writing.
func misleads(c rune) bool {
	return isControl(c) || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == '\ufffd'
}

func (o *object) interfaceOf(system string) topology.Interface {
	i := topology.Interface{Name: o.label, Range: toRange(o.header)}
	why := ""
	switch {
	case system == "" || system == "linux":
		why = badDevice(o.label)
	case o.label == "" || len(o.label) > 255 || strings.ContainsFunc(o.label, misleads):
		why = "a name has from 1 to 255 characters and no control characters"
	}
	if why != "" {
		o.l.r.error(o.header, "Invalid interface name", "%q cannot name an interface: %s.", clip(o.label), why)
	}
	list, ok := o.vals["addresses"]
	if !ok {
		return i
	}
	seen := map[netip.Prefix]bool{}
	for it := list.ElementIterator(); it.Next(); {
		_, v := it.Element()
		if v.IsNull() {
			o.fail("addresses", "Invalid addresses", "An address is null. Leave it out.")
			return i
		}
		p, err := parsePrefix(v.AsString())
		switch {
		case err != nil:
			o.fail("addresses", "Invalid addresses", "%s", prefixHelp(v.AsString()))
			return i
		case seen[p]:
			o.fail("addresses", "Duplicate address", "%s stands twice in the list.", p)
			return i
		}
		seen[p] = true
		i.Addresses = append(i.Addresses, p)
	}
	return i
}

func (o *object) sshOf() topology.SSH {
	port, _ := o.whole("port", 1, 65535)
	return topology.SSH{
		Address:      o.sshWord("address"),
		Port:         int(port),
		User:         o.sshWord("user"),
		IdentityFile: o.sshWord("identity_file"),
		Jump:         o.sshWord("jump"),
		Sudo:         o.isTrue("sudo", false),
	}
}

// sshWord returns a text that may stand as an argument of ssh: nothing that it
// would take for an option, and nothing that ends a line of its configuration.
func (o *object) sshWord(name string) string {
	s := o.text(name)
	spaces := name != "identity_file"
	bad := strings.ContainsFunc(s, func(c rune) bool { return isControl(c) || spaces && c == ' ' || c == '"' })
	if bad || strings.HasPrefix(s, "-") || s == "" && o.vals[name] != cty.NilVal {
		o.fail(name, "Invalid ssh "+name, "%q cannot be used: it is empty, begins with -, or holds a quote, a space or a control character.", clip(s))
		return ""
	}
	return s
}

// hostRef is a reference to a host that is checked when all hosts are known.
type hostRef struct {
	name string
	rng  hcl.Range
}

// host returns the name and address of the host that an argument names.
func (o *object) host(name string) (string, netip.Addr) {
	v, ok := o.vals[name]
	if !ok {
		return "", netip.Addr{}
	}
	host, addr, _ := o.hostValue(name, v)
	return host, addr
}

// hostValue is host for a value inside an argument.
func (o *object) hostValue(name string, v cty.Value) (string, netip.Addr, bool) {
	ty := v.Type()
	if !ty.IsObjectType() || !ty.HasAttribute("name") || ty.AttributeType("name") != cty.String {
		hint := "Write host = host.NAME."
		switch {
		case ty == cty.String:
			hint = fmt.Sprintf("Write host = host.%s, without quotes.", strings.TrimPrefix(clip(v.AsString()), "host."))
		case ty.IsObjectType() || ty.IsTupleType():
			hint = "A host block with for_each or count has several: write host = host.NAME[\"key\"], or host.NAME[each.key]."
		}
		o.fail(name, "Invalid host", "A host is expected here, not %s. %s", ty.FriendlyName(), hint)
		return "", netip.Addr{}, false
	}
	hostName := v.GetAttr("name")
	if hostName.IsNull() {
		o.fail(name, "Invalid host", "The host's name is null.")
		return "", netip.Addr{}, false
	}
	o.l.hostRefs = append(o.l.hostRefs, hostRef{hostName.AsString(), o.rangeOf(name)})
	var addr netip.Addr
	if ty.HasAttribute("address") && ty.AttributeType("address") == cty.String && !v.GetAttr("address").IsNull() {
		addr, _ = netip.ParseAddr(v.GetAttr("address").AsString())
	}
	return hostName.AsString(), addr, true
}
