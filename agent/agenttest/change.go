package agenttest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

func (k *Kernel) change(c state.Change) error {
	live := k.get(c.Key())
	switch {
	case c.After == nil && live == nil:
		return nil
	case c.Before == nil && live != nil && !adoptable(live):
		return ErrExist
	case c.Before != nil && c.After != nil && live == nil:
		return ErrNotFound
	}
	switch o := pick(c).(type) {
	case state.Module:
		return k.changeModule(c, o)
	case state.Sysctl:
		return k.changeSysctl(c, o)
	case state.Link:
		return k.changeLink(c, o)
	case state.Address:
		return k.changeAddress(c, o)
	case state.Route:
		return k.changeRoute(c, o)
	case state.Rule:
		return k.putOrDrop(c)
	case state.FOU:
		return k.changeFOU(c, o)
	case state.Mark, state.Masquerade:
		return k.changePacketRule(c)
	case state.Timeouts:
		return k.changeTimeouts(c, o)
	case state.Sync:
		return k.changeSync(c, o)
	case state.Package:
		return k.changePackage(c, o)
	case state.Config:
		return k.changeConfig(c, o)
	case state.Unit:
		return k.changeUnit(c, o)
	case state.Service:
		return k.changeService(c, o)
	case state.Destination:
		return k.changeDestination(c, o)
	}
	return ErrInvalid
}

func pick(c state.Change) state.Object {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// adoptable objects may be there before they are created: the kernel makes them.
func adoptable(live state.Object) bool {
	switch live := live.(type) {
	case state.Sysctl, state.Module, state.Package, state.Unit, state.Timeouts:
		return true
	case state.Link:
		return live.Fallback
	}
	return false
}

func (k *Kernel) putOrDrop(c state.Change) error {
	if c.After == nil {
		k.drop(c.Key())
	} else {
		k.put(c.After)
	}
	return nil
}

// changePackage installs a package and brings its services; none is removed.
func (k *Kernel) changePackage(c state.Change, p state.Package) error {
	if c.After == nil || k.get(p.Key()) != nil {
		return nil
	}
	k.put(p)
	for _, u := range k.units[p.Name] {
		k.put(u)
	}
	return nil
}

// changeUnit sets a service that its package has brought; it stays when it is
// deleted.
func (k *Kernel) changeUnit(c state.Change, u state.Unit) error {
	live := k.get(u.Key())
	switch {
	case c.After == nil:
		return nil
	case live == nil:
		return ErrNotFound
	}
	k.put(u.Resolve(live))
	return nil
}

// changeConfig refuses a part of a program that is not installed, and a text that
// no line ends.
func (k *Kernel) changeConfig(c state.Change, o state.Config) error {
	switch {
	case c.After == nil:
	case o.Topology == "" && c.Before == nil: // what is written by hand is somebody's own
		return ErrInvalid
	case o.Program != "keepalived" && o.Program != "ldirectord" || o.Topology != "" && !strings.HasSuffix(o.Text, "\n"):
		return ErrInvalid
	case k.get(state.Package{Name: o.Program}.Key()) == nil:
		return fmt.Errorf("%s: %w: install its package", o.Program, ErrNotFound)
	}
	return k.putOrDrop(c)
}

func (k *Kernel) loaded(module string) bool { return k.get(state.Module{Name: module}.Key()) != nil }

func (k *Kernel) changeModule(c state.Change, m state.Module) error {
	if c.After == nil || k.loaded(m.Name) {
		return nil // never unloaded
	}
	if err := k.load(m.Name); err != nil {
		return err
	}
	if m.Parameters != "" {
		k.put(m)
	}
	return nil
}

// load brings a module and what it brings along.
func (k *Kernel) load(module string) error {
	if k.loaded(module) {
		return nil
	}
	if !slices.Contains(k.modules, module) {
		return fmt.Errorf("module %s not found", module)
	}
	k.put(state.Module{Name: module})
	switch module {
	case "ip_vs":
		k.put(state.Module{Name: module, Parameters: "conn_tab_bits=12"})
		k.put(state.DefaultTimeouts)
		for _, name := range []string{"conntrack", "expire_nodest_conn", "expire_quiescent_template"} {
			k.put(state.Sysctl{Name: "net.ipv4.vs." + name, Value: "0"})
		}
	case "ipip", "sit", "ip6_tunnel", "ip_gre":
		l := fallbackOf(module)
		k.put(l)
		k.linkSysctls(l.Name)
	}
	if strings.HasPrefix(module, "ip_vs_") {
		return k.load("ip_vs")
	}
	return nil
}

func fallbackOf(module string) state.Link {
	down := func(name, kind string, mtu int) state.Link {
		return state.Link{Name: name, Kind: kind, Up: state.Some(false), MTU: state.Some(mtu), Fallback: true}
	}
	switch module {
	case "ipip":
		return down("tunl0", "ipip", 1480)
	case "sit":
		return down("sit0", "sit", 1480)
	case "ip_gre":
		return down("gre0", "gre", 1476)
	}
	l := down("ip6tnl0", "ip6tnl", 1452)
	l.Mode = "ip6ip6"
	return l
}

func moduleOf(kind string) string {
	switch kind {
	case "ip6tnl":
		return "ip6_tunnel"
	case "gre":
		return "ip_gre"
	}
	return kind
}

// linkSysctls are those that a new link comes with, a few of many.
func (k *Kernel) linkSysctls(device string) {
	part := strings.ReplaceAll(device, ".", "/")
	for _, name := range []string{"accept_redirects", "arp_announce", "arp_ignore", "forwarding", "rp_filter", "send_redirects"} {
		value := "0"
		if d, ok := k.get(state.Sysctl{Name: "net.ipv4.conf.default." + name}.Key()).(state.Sysctl); ok {
			value = d.Value
		}
		k.put(state.Sysctl{Name: "net.ipv4.conf." + part + "." + name, Value: value})
	}
}

func (k *Kernel) changeSysctl(c state.Change, s state.Sysctl) error {
	if c.After == nil {
		return nil // it stays at its value
	}
	live, ok := k.get(c.Key()).(state.Sysctl)
	if !ok {
		return ErrNotFound
	}
	if s.Value == "" {
		return ErrInvalid
	}
	k.put(s)
	if live.Value == s.Value {
		return nil
	}
	family, all := "", ""
	switch s.Name {
	case "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding":
		family, all = "ipv4", "net.ipv4.ip_forward"
	case "net.ipv6.conf.all.forwarding":
		family, all = "ipv6", s.Name
	default:
		return nil
	}
	for i, o := range k.objects {
		if o, ok := o.(state.Sysctl); ok && (o.Name == all || match("net."+family+".conf.*.forwarding", o.Name)) {
			k.objects[i] = state.Sysctl{Name: o.Name, Value: s.Value}
		}
	}
	return nil
}

func (k *Kernel) changeLink(c state.Change, l state.Link) error {
	live, exists := k.get(c.Key()).(state.Link)
	switch {
	case c.After == nil && live.Fallback:
		k.bringDown(live)
		live.Up, live.MTU = state.Some(false), fallbackOf(moduleOf(live.Kind)).MTU
		k.put(live)
		return nil
	case c.After == nil:
		return k.deleteLink(live)
	case exists && c.Replaces():
		if err := k.deleteLink(live); err != nil {
			return err
		}
		exists = false
	}
	if !exists {
		if l.Kind == "" {
			return ErrNoDevice
		}
		if err := k.load(moduleOf(l.Kind)); err != nil {
			return fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
		live, exists = k.get(c.Key()).(state.Link) // its fallback link, perhaps
	}
	if !exists {
		live = l
		live.Up, live.MTU = state.Some(false), state.Some(1500)
		if live.Kind == "ip6tnl" && live.Mode == "" {
			live.Mode = "ip6ip6"
		}
		k.put(live)
		k.linkSysctls(l.Name)
	}
	want := l.Resolve(live).(state.Link)
	if want.Up.Value == live.Up.Value {
		k.put(want)
		return nil
	}
	if want.Up.Value {
		k.put(want)
		k.bringUp(want)
		return nil
	}
	k.bringDown(want)
	k.put(want)
	return nil
}

func (k *Kernel) deleteLink(l state.Link) error {
	if l.Kind == "device" {
		return ErrUnsupported
	}
	part := strings.ReplaceAll(l.Name, ".", "/")
	k.dropIf(func(o state.Object) bool {
		switch o := o.(type) {
		case state.Link:
			return o.Name == l.Name
		case state.Address:
			return o.Device == l.Name
		case state.Route:
			return o.Device == l.Name
		case state.Sysctl:
			return strings.HasPrefix(o.Name, "net.ipv4.conf."+part+".") || strings.HasPrefix(o.Name, "net.ipv6.conf."+part+".")
		}
		return false
	})
	return nil
}

func (k *Kernel) bringDown(l state.Link) {
	k.dropIf(func(o state.Object) bool {
		switch o := o.(type) {
		case state.Address:
			return o.Device == l.Name && o.IP.Addr().Is6()
		case state.Route:
			return o.Device == l.Name
		}
		return false
	})
}

func (k *Kernel) bringUp(l state.Link) {
	for _, a := range k.addresses(l.Name) {
		k.connect(a)
	}
}

func (k *Kernel) addresses(device string) (out []state.Address) {
	for _, o := range k.objects {
		if a, ok := o.(state.Address); ok && a.Device == device {
			out = append(out, a)
		}
	}
	return out
}

// up is the link of that name, if it is up.
func (k *Kernel) up(device string) (exists, up bool) {
	l, ok := k.get(state.Link{Name: device}.Key()).(state.Link)
	return ok, ok && l.Up.Value
}

// connected is the route that the kernel makes for an address. The network of
// a route is that of a prefix.
func connected(a state.Address) (state.Route, bool) {
	r := state.Route{To: a.IP.Masked(), Table: state.TableMain, Device: a.Device, Protocol: 2}
	if a.IP.Addr().Is6() {
		r.Metric = 256
		return r, true
	}
	r.Source, r.Scope = a.IP.Addr(), "link"
	return r, !a.IP.IsSingleIP()
}

func (k *Kernel) connect(a state.Address) {
	if _, up := k.up(a.Device); !up {
		return
	}
	if r, ok := connected(a); ok && k.get(r.Key()) == nil {
		k.put(r)
	}
}

// sameSubnet tells whether b is a secondary address of a.
func sameSubnet(a, b netip.Prefix) bool {
	return a.Addr().Is4() && b.Addr().Is4() && a.Bits() == b.Bits() && a.Masked() == b.Masked()
}
