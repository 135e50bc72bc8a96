package keepalived

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// maxRange is the most addresses of a range that become virtual servers.
const maxRange = 256

// identities are what a virtual server stands for: itself, or the members of
// its group.
func (p *parser) identities(s *statement, v *service) []state.ServiceID {
	if s.words[1] != "group" {
		return p.member(s, s.words[1:], v)
	}
	if len(s.words) != 3 || p.groups[s.words[2]] == nil {
		p.issue(s, "names a virtual_server_group that is not there")
		return nil
	}
	var ids []state.ServiceID
	p.lines(&statement{line: s.line, words: s.words[:1], block: p.groups[s.words[2]].block, opened: true}, func(l *statement) {
		ids = append(ids, p.member(l, l.words, v)...)
	})
	return ids
}

// member reads ADDRESS [PORT], a range of addresses, or fwmark MARK [FAMILY].
func (p *parser) member(s *statement, words []string, v *service) []state.ServiceID {
	if words[0] == "fwmark" {
		return p.marked(s, words[1:], v)
	}
	protocol := v.protocol
	if protocol == "" {
		p.issue(s, "has no protocol: keepalived takes udp")
		protocol = "udp"
	}
	addresses, ok := addressRange(words[0])
	if !ok {
		p.issue(s, "%q is no address, or a range of more than %d", clip(words[0]), maxRange)
		return nil
	}
	var ids []state.ServiceID
	for _, a := range addresses {
		id := state.ServiceID{Protocol: protocol, Family: familyOf(a)}
		values := append([]string{a.String()}, words[1:]...)
		if !p.at(s, values, &id.Address, &id.Port) {
			return nil
		}
		ids = append(ids, id)
	}
	if want := map[string]string{"inet": "ipv4", "inet6": "ipv6"}[v.family]; want != "" && len(ids) > 0 && ids[0].Family != want {
		p.issue(s, "is not of the family that ip_family says: keepalived ignores that")
	}
	return ids
}

func (p *parser) marked(s *statement, words []string, v *service) []state.ServiceID {
	if len(words) == 0 || len(words) > 2 {
		p.issue(s, "needs a mark")
		return nil
	}
	mark, err := strconv.ParseUint(words[0], 10, 31)
	if err != nil || mark == 0 {
		p.issue(s, "%q is no firewall mark", clip(words[0]))
		return nil
	}
	if v.protocol != "" {
		p.issue(s, "has a protocol: for a mark keepalived ignores it")
	}
	family := v.family
	if len(words) == 2 {
		family = words[1]
	}
	switch family {
	case "inet":
		family = "ipv4"
	case "inet6":
		family = "ipv6"
	case "":
		family = v.markFamily()
	default:
		p.issue(s, "%q is no address family", clip(family))
		return nil
	}
	return []state.ServiceID{{FWMark: uint32(mark), Family: family}}
}

// markFamily is what keepalived takes for a mark without a family: that of the
// mask, else of a server that is not behind a tunnel, else the one that all
// have, else IPv4.
func (v *service) markFamily() string {
	if v.mask != nil && len(v.mask.words) > 1 {
		if strings.Contains(v.mask.words[1], ".") {
			return "ipv4"
		}
		return "ipv6"
	}
	family := ""
	for _, r := range v.servers {
		own := familyOf(r.Address)
		if r.defaults.method.Or(v.defaults.method).Value.Forward != "tun" {
			return own
		}
		if family != "" && family != own {
			return "ipv4"
		}
		family = own
	}
	if family == "" {
		return "ipv4"
	}
	return family
}

// addressRange reads A, A-LAST, A-B and A/BITS.
func addressRange(text string) ([]netip.Addr, bool) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return upTo(prefix.Masked().Addr(), func(a netip.Addr) bool { return prefix.Contains(a.Next()) })
	}
	first, last, found := strings.Cut(text, "-")
	a, err := netip.ParseAddr(first)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return nil, false
	}
	if !found {
		return []netip.Addr{a}, true
	}
	b, err := netip.ParseAddr(last)
	if err != nil { // the last part alone
		cut := strings.LastIndexAny(first, ".:")
		if b, err = netip.ParseAddr(first[:cut+1] + last); err != nil {
			return nil, false
		}
	}
	if b.Less(a) || a.Is4() != b.Is4() {
		return nil, false
	}
	return upTo(a, func(a netip.Addr) bool { return a.Less(b) })
}

func upTo(a netip.Addr, more func(netip.Addr) bool) ([]netip.Addr, bool) {
	out := []netip.Addr{a}
	for more(a) {
		if len(out) == maxRange {
			return nil, false
		}
		a = a.Next()
		out = append(out, a)
	}
	return out, true
}
