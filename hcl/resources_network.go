package hcl

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

var scopes = []string{"global", "site", "link", "host"}

func (o *object) link() *topology.Link {
	k := &topology.Link{
		Name:   o.device("name"),
		Kind:   o.choice("kind", "dummy", "ipip", "ip6tnl", "sit", "gre", "existing"),
		Mode:   o.choice("mode", "ip6ip6", "ipip6", "any"),
		Local:  o.address("local"),
		Remote: o.address("remote"),
		Up:     o.boolean("up"),
		MTU:    o.wholePointer("mtu", 68, 65535),
	}
	if k.Mode != "" && k.Kind != "" && k.Kind != "ip6tnl" {
		o.fail("mode", "mode without ip6tnl", "Only a link of kind ip6tnl has a mode. Take it out.")
	}
	tunnel := k.Kind == "ipip" || k.Kind == "sit" || k.Kind == "gre" || k.Kind == "ip6tnl"
	for _, end := range []struct {
		name string
		addr netip.Addr
	}{{"local", k.Local}, {"remote", k.Remote}} {
		switch {
		case !end.addr.IsValid():
		case k.Kind != "" && !tunnel:
			o.fail(end.name, end.name+" without a tunnel", "A link of kind %s has no %s address. Take it out.", k.Kind, end.name)
		case k.Kind != "" && end.addr.Is4() == (k.Kind == "ip6tnl"):
			o.fail(end.name, "Wrong address family", "The ends of a link of kind %s are %s addresses.", k.Kind, familyName(k.Kind != "ip6tnl"))
		}
	}
	if b := o.block("fou"); b != nil {
		if k.FOU = b.fou(); k.Kind == "dummy" {
			o.l.r.error(b.header, "fou without a tunnel", "A dummy link receives no tunnelled packets. Put the block into the link of the tunnel, or take it out.")
			b.bad["port"] = true
		}
	}
	return k
}

func familyName(four bool) string {
	if four {
		return "IPv4"
	}
	return "IPv6"
}

func (o *object) addressBody(defaults map[string]cty.Value) *topology.Address {
	a := &topology.Address{
		IP:        o.prefix("ip"),
		Device:    o.device("device"),
		Label:     o.text("label"),
		Broadcast: o.address("broadcast"),
		Scope:     o.choice("scope", scopes...),
		NoDAD:     o.boolean("nodad"),
		Announce:  o.boolean("announce"),
	}
	if a.Scope == "" {
		a.Scope = "global"
	}
	defaults["scope"] = cty.StringVal(a.Scope)
	a.PreferredLifetime = o.lifetime()
	o.checkAddress(a)
	return a
}

func (o *object) checkAddress(a *topology.Address) {
	if !a.IP.IsValid() {
		return
	}
	ip := a.IP.Addr()
	if ip.IsUnspecified() || ip.IsMulticast() {
		o.fail("ip", "Invalid ip", "%s cannot be an interface's address.", ip)
		return
	}
	if ip.Is4() {
		o.refuse("nodad", "an IPv6 address")
		o.refuse("preferred_lifetime", "an IPv6 address")
	} else {
		o.refuse("label", "an IPv4 address")
		o.refuse("broadcast", "an IPv4 address")
	}
	if a.Broadcast.IsValid() && !a.Broadcast.Is4() && ip.Is4() {
		o.fail("broadcast", "Invalid broadcast", "%s is no IPv4 address.", a.Broadcast)
	}
	if o.has("label") && !o.bad["label"] {
		o.checkLabel(a)
	}
}

// checkLabel holds the rule of ip-address(8): a label is the device's name, or
// that with a colon and more after it.
func (o *object) checkLabel(a *topology.Address) {
	rest, ok := strings.CutPrefix(a.Label, a.Device)
	switch {
	case a.Device == "":
	case !ok || rest != "" && (rest[0] != ':' || len(rest) == 1):
		o.fail("label", "Invalid label", "The label %q of an address on %s must be %q, or begin with %q.", clip(a.Label), a.Device, a.Device, a.Device+":")
	case len(a.Label) > maxDeviceName:
		o.fail("label", "Invalid label", "The label %q has %d characters, and the kernel takes %d.", clip(a.Label), len(a.Label), maxDeviceName)
	case strings.ContainsFunc(a.Label, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '/' }):
		o.fail("label", "Invalid label", "A label holds printable ASCII without spaces and slashes.")
	}
}

// refuse reports an argument that does not go with the others.
func (o *object) refuse(name, only string) {
	if _, ok := o.vals[name]; ok {
		o.fail(name, name+" has no place here", "%s belongs to %s. Take it out.", upperFirst(name), only)
	}
}

// lifetime reads preferred_lifetime: 0 or "forever".
func (o *object) lifetime() *time.Duration {
	v, ok := o.vals["preferred_lifetime"]
	if !ok {
		return nil
	}
	d, ok := parseDuration(v)
	if v.Type() == cty.String && v.AsString() == "forever" {
		d, ok = topology.Forever, true
	}
	if !ok || d != 0 && d != topology.Forever {
		o.fail("preferred_lifetime", "Invalid preferred_lifetime", "preferred_lifetime is 0, which keeps the address from being a source address, or \"forever\".")
		return nil
	}
	return &d
}

func (o *object) route() *topology.Route {
	r := &topology.Route{
		Via:    o.address("via"),
		Device: o.device("device"),
		Source: o.address("source"),
		Metric: o.wholePointer("metric", 0, math.MaxInt32),
		Table:  o.table("table"),
		Scope:  o.choice("scope", scopes...),
		OnLink: o.isTrue("onlink", false),
	}
	mtu, _ := o.whole("mtu", 68, 65535)
	mss, _ := o.whole("advmss", 1, 65535)
	r.MTU, r.AdvMSS = int(mtu), int(mss)
	r.To = o.destination(r)
	o.checkRoute(r)
	return r
}

// destination reads to: a network or "default", whose family the other
// addresses give, IPv4 without any.
func (o *object) destination(r *topology.Route) netip.Prefix {
	if o.text("to") == "default" {
		if r.Via.Is6() || r.Source.Is6() {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	p := o.prefix("to")
	if p.IsValid() && p.Masked() != p {
		o.fail("to", "Invalid to", "%s has bits beyond its prefix length. Write %q, or %q for one host.", p, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		return netip.Prefix{}
	}
	return p
}

func (o *object) checkRoute(r *topology.Route) {
	if !o.has("via") && !o.has("device") {
		o.l.r.error(o.header, "Route leads nowhere", "A route needs via (a gateway), device, or both.")
		o.bad["via"] = true
	}
	if !r.To.IsValid() {
		return
	}
	four := r.To.Addr().Is4()
	if r.Via.IsValid() && r.Via.Is4() != four {
		o.fail("via", "Wrong address family", "The route is %s and its gateway %s is not.", familyName(four), r.Via)
	}
	if r.Source.IsValid() && r.Source.Is4() != four {
		o.fail("source", "Wrong address family", "The route is %s and its source %s is not.", familyName(four), r.Source)
	}
	if !four {
		o.refuse("scope", "an IPv4 route")
	}
	if r.OnLink && (!o.has("via") || !o.has("device")) {
		o.fail("onlink", "onlink without a gateway", "onlink says that via is reached through device: give both.")
	}
}

// table reads a routing table: a number, or main, local or default.
func (o *object) table(name string) int {
	v, ok := o.vals[name]
	if !ok {
		return 0
	}
	if v.Type() == cty.String {
		named := map[string]int{"main": 254, "local": 255, "default": 253}
		if n, ok := named[v.AsString()]; ok {
			return n
		}
	}
	if _, err := convert.Convert(v, cty.Number); err != nil {
		o.fail(name, "Invalid "+name, "%s is a number, or main, local or default.", name)
		return 0
	}
	o.number(name)
	n, _ := o.whole(name, 1, math.MaxUint32)
	return int(n)
}

func (o *object) ruleBody(defaults map[string]cty.Value) *topology.Rule {
	r := &topology.Rule{
		Family: o.choice("family", "ipv4", "ipv6"),
		From:   o.network("from"),
		To:     o.network("to"),
		Table:  o.table("table"),
	}
	mark, ok := o.whole("fwmark", 1, math.MaxUint32)
	r.FWMark = uint32(mark)
	priority, _ := o.whole("priority", 1, 32765)
	r.Priority = int(priority)
	if !r.From.IsValid() && !r.To.IsValid() && !ok && o.clean() {
		o.l.r.error(o.header, "Rule matches everything", "A rule needs from, to or fwmark.")
		o.bad["from"] = true
	}
	for _, p := range []struct {
		name string
		net  netip.Prefix
	}{{"from", r.From}, {"to", r.To}} {
		family := "ipv6"
		if p.net.Addr().Is4() {
			family = "ipv4"
		}
		switch {
		case !p.net.IsValid():
		case r.Family == "":
			r.Family = family
		case r.Family != family:
			o.fail(p.name, "Wrong address family", "The rule is %s and %s is not.", familyName(r.Family == "ipv4"), p.net)
		}
	}
	if r.Family == "" {
		r.Family = "ipv4"
	}
	defaults["family"] = cty.StringVal(r.Family)
	return r
}

// network returns an address or network without host bits; an address alone is
// itself.
func (o *object) network(name string) netip.Prefix {
	s := o.text(name)
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen())
	}
	p := o.prefix(name)
	if p.IsValid() && p.Masked() != p {
		o.fail(name, "Invalid "+name, "%s has bits beyond its prefix length. Write %q.", p, p.Masked())
		return netip.Prefix{}
	}
	return p
}
