package runbook

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// fallback are the links that the kernel makes with a module.
var fallback = map[string]string{"tunl0": "ipip", "sit0": "sit", "gre0": "gre", "ip6tnl0": "ip6tnl"}

// link makes a link, unless it is there, and sets it.
func link(l state.Link) (out []line) {
	if l.Kind != "" && fallback[l.Name] != l.Kind {
		add := words(append([]string{"ip", "link", "add", "name", l.Name, "type", l.Kind}, linkData(l)...)...)
		out = append(out, words("ip", "link", "show", "dev", l.Name).quiet().or(add))
	}
	if set := linkState(l); len(set) > 0 {
		out = append(out, words(append([]string{"ip", "link", "set", "dev", l.Name}, set...)...))
	}
	return out
}

// linkData are the attributes that a link is made with.
func linkData(l state.Link) (out []string) {
	if l.Kind == "ip6tnl" {
		out = append(out, "mode", l.Mode)
		if l.Mode == "" {
			out[1] = "ip6ip6"
		}
		out = append(out, "encaplimit", "none")
	}
	if l.Remote.IsValid() {
		out = append(out, "remote", l.Remote.String())
	}
	if l.Local.IsValid() {
		out = append(out, "local", l.Local.String())
	}
	return out
}

func linkState(l state.Link) (out []string) {
	if l.MTU.Set {
		out = append(out, "mtu", strconv.Itoa(l.MTU.Value))
	}
	if l.Up.Set {
		out = append(out, pick(l.Up.Value, "up", "down"))
	}
	return out
}

// protocols that a fou port unwraps without a GUE header, by their numbers.
var protocols = map[string]string{"ipip": "4", "ipv6": "41", "gre": "47"}

func fou(f state.FOU) line {
	port := strconv.Itoa(int(f.Port))
	what := []string{"gue"}
	if f.Protocol != "gue" {
		what = []string{"ipproto", protocols[f.Protocol]}
	}
	show := words("ip", family(f.Family == "ipv6"), "fou", "show")
	add := words(append([]string{"ip", family(f.Family == "ipv6"), "fou", "add", "port", port}, what...)...)
	return show.then("|", words("grep", "-q", "^port "+port+" ")).or(add)
}

func addressWords(a state.Address) []string {
	out := []string{a.IP.String(), "dev", a.Device}
	if a.IP.Addr().Is6() {
		if a.NoDAD {
			out = append(out, "nodad")
		}
		if a.Deprecated {
			out = append(out, "valid_lft", "forever", "preferred_lft", "0")
		}
		return out
	}
	if a.Broadcast.IsValid() {
		out = append(out, "broadcast", a.Broadcast.String())
	}
	if a.Label != "" {
		out = append(out, "label", a.Label)
	}
	return append(out, "scope", a.Scope)
}

func routeWords(r state.Route) []string {
	out := append(routeID(r), "proto", "static")
	if r.Via.IsValid() {
		out = append(out, "via", r.Via.String())
	}
	if r.Device != "" && r.To.Addr().Is4() {
		out = append(out, "dev", r.Device)
	}
	if r.OnLink {
		out = append(out, "onlink")
	}
	if r.Source.IsValid() {
		out = append(out, "src", r.Source.String())
	}
	if r.Scope != "" {
		out = append(out, "scope", r.Scope)
	}
	if r.MTU != 0 {
		out = append(out, "mtu", strconv.Itoa(r.MTU))
	}
	if r.AdvMSS != 0 {
		out = append(out, "advmss", strconv.Itoa(r.AdvMSS))
	}
	return out
}

// routeID are the words that tell a route from all others.
func routeID(r state.Route) (out []string) {
	if r.Type != "" {
		out = append(out, r.Type)
	}
	to := r.To.String()
	if r.To.Bits() == 0 {
		to = "default"
	}
	out = append(out, to)
	if r.Device != "" && r.To.Addr().Is6() {
		out = append(out, "dev", r.Device)
	}
	if r.Metric != 0 {
		out = append(out, "metric", strconv.Itoa(r.Metric))
	}
	if r.Table != state.TableMain {
		out = append(out, "table", strconv.Itoa(r.Table))
	}
	return out
}

func ruleWords(r state.Rule) []string {
	prefix := func(p netip.Prefix) string {
		if !p.IsValid() {
			return "all"
		}
		return p.String()
	}
	out := []string{"from", prefix(r.From), "to", prefix(r.To)}
	if r.FWMark != 0 {
		out = append(out, "fwmark", strconv.FormatUint(uint64(r.FWMark), 10))
	}
	return append(out, "table", strconv.Itoa(r.Table), "priority", strconv.Itoa(r.Priority))
}

// nftTable replaces lvsform's own table of nftables in one transaction.
func nftTable(steps []Step) string {
	rules := map[string][]string{}
	for _, s := range steps {
		switch o := s.Object.(type) {
		case state.Mark:
			tag := fmt.Sprintf("mark %s %s %s %d", o.Protocol, o.Address, o.Ports, o.Mark)
			for ports := range strings.SplitSeq(o.Ports, ",") {
				text := fmt.Sprintf("%s daddr %s %s dport %s meta mark set %d comment %q", ip(o.Address), o.Address, o.Protocol, ports, o.Mark, tag)
				rules["mark-prerouting"] = append(rules["mark-prerouting"], text)
				rules["mark-output"] = append(rules["mark-output"], text)
			}
		case state.Masquerade:
			rules["masquerade-postrouting"] = append(rules["masquerade-postrouting"], masquerade(o))
		}
	}
	var b strings.Builder
	b.WriteString("add table inet lvsform\ndelete table inet lvsform\ntable inet lvsform {\n")
	for _, c := range []struct{ name, hook string }{
		{"mark-prerouting", "type filter hook prerouting priority mangle; policy accept;"},
		{"mark-output", "type route hook output priority mangle; policy accept;"},
		{"masquerade-postrouting", "type nat hook postrouting priority srcnat; policy accept;"},
	} {
		if len(rules[c.name]) > 0 {
			fmt.Fprintf(&b, "  chain %s {\n    %s\n    %s\n  }\n", c.name, c.hook, strings.Join(rules[c.name], "\n    "))
		}
	}
	b.WriteString("}")
	return b.String()
}

func masquerade(m state.Masquerade) string {
	source, to := "interface", "masquerade"
	if m.Source.IsValid() {
		source = m.Source.String()
		to = fmt.Sprintf("snat %s to %s", ip(m.Source), m.Source)
	}
	port := ""
	if m.Port != 0 {
		port = fmt.Sprintf(" ct original proto-dst %d", m.Port)
	}
	return fmt.Sprintf("%s daddr %s ct original %s daddr %s meta l4proto %s%s %s comment %q", ip(m.To), m.To, ip(m.VIP), m.VIP, m.Protocol, port, to,
		fmt.Sprintf("masquerade %s %s %d %s %s", m.Protocol, m.VIP, m.Port, m.To, source))
}

func ip(a netip.Addr) string { return pick(a.Is4(), "ip", "ip6") }
