package keepalived

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// named reads the name of a block that has one.
func (p *parser) named(s *statement) (string, bool) {
	if len(s.words) != 2 || !s.opened {
		p.issue(s, "needs a name of one word and a block")
		return "", false
	}
	return s.words[1], true
}

func (p *parser) syncGroup(s *statement) {
	name, ok := p.named(s)
	if !ok {
		return
	}
	g := SyncGroup{Name: name}
	p.block("vrrp_sync_group", s.block, p.groupKeywords(&g))
	if slices.ContainsFunc(p.config.SyncGroups, func(o SyncGroup) bool { return o.Name == name }) {
		p.issue(s, "has the name of another group: keepalived takes the first alone")
		return
	}
	if len(g.Instances) == 0 {
		p.issue(s, "has no group of instances")
		return
	}
	p.config.SyncGroups = append(p.config.SyncGroups, g)
	p.where["vrrp_sync_group "+name] = s
}

func (p *parser) groupKeywords(g *SyncGroup) keywords {
	return keywords{
		"group": func(s *statement) {
			p.lines(s, func(l *statement) { g.Instances = append(g.Instances, l.words...) })
		},
	}
}

// lines hands the lines of a block of values on.
func (p *parser) lines(s *statement, each func(*statement)) {
	if len(s.words) > 1 || !s.opened {
		p.issue(s, "needs a block of values and nothing else")
		return
	}
	for _, l := range s.block {
		switch {
		case l.odd != "":
			p.issue(l, "%s", l.odd)
		case l.opened:
			p.issue(l, "takes no block")
		default:
			each(l)
		}
	}
}

func (p *parser) instance(s *statement) {
	name, ok := p.named(s)
	if !ok {
		return
	}
	i := Instance{Name: name}
	p.block("vrrp_instance", s.block, p.instanceKeywords(&i))
	switch {
	case slices.ContainsFunc(p.config.Instances, func(o Instance) bool { return o.Name == name }):
		p.issue(s, "has the name of another instance: keepalived takes the first alone")
	case len(i.Addresses) == 0:
		p.issue(s, "has no virtual_ipaddress that can be carried over")
	case i.Interface == "" || i.VirtualRouterID == 0:
		p.issue(s, "has no interface, or no virtual_router_id")
	default:
		p.config.Instances = append(p.config.Instances, i)
		p.where["vrrp_instance "+name] = s
	}
}

func (p *parser) instanceKeywords(i *Instance) keywords {
	return keywords{
		"state":             func(s *statement) { p.oneOf(s, &i.State, "MASTER", "BACKUP") },
		"interface":         func(s *statement) { p.word(s, &i.Interface) },
		"virtual_router_id": func(s *statement) { p.integer(s, &i.VirtualRouterID, 1, 255) },
		"priority":          func(s *statement) { p.integer(s, &i.Priority, 1, 255) },
		"version":           func(s *statement) { p.integer(s, &i.Version, 2, 3) },
		"advert_int":        func(s *statement) { p.seconds(s, &i.AdvertInterval, 10*time.Millisecond, 255*time.Second) },
		"nopreempt":         func(s *statement) { p.bare(s, &i.NoPreempt) },
		"preempt_delay":     func(s *statement) { p.seconds(s, &i.PreemptDelay, 0, 1000*time.Second) },
		"authentication": func(s *statement) {
			p.block("authentication", s.block, p.authenticationKeywords(&i.Authentication))
		},
		"unicast_src_ip": func(s *statement) {
			if v := p.values(s, 1, 1); v != nil {
				p.address(s, v[0], &i.UnicastSource)
			}
		},
		"unicast_peer":               func(s *statement) { p.lines(s, func(l *statement) { p.peer(l, i) }) },
		"track_interface":            func(s *statement) { p.lines(s, func(l *statement) { p.tracked(l, i) }) },
		"virtual_ipaddress":          func(s *statement) { p.lines(s, func(l *statement) { p.virtualAddress(l, &i.Addresses) }) },
		"virtual_ipaddress_excluded": func(s *statement) { p.lines(s, func(l *statement) { p.virtualAddress(l, &i.Excluded) }) },
		"preempt":                    func(s *statement) { i.NoPreempt = false },
		"accept":                     p.neutral("it takes no value", ""),
		"native_ipv6":                p.neutral("it takes no value", ""),
		"strict_mode":                p.neutral("it forbids much of what operators need", "off", "false", "no"),
		"smtp_alert":                 p.neutral(whyMail, "off", "false", "no"),
	}
}

func (p *parser) authenticationKeywords(a *Authentication) keywords {
	return keywords{
		"auth_type": func(s *statement) { p.oneOf(s, &a.Type, "PASS", "AH") },
		"auth_pass": func(s *statement) { p.password(s, &a.Password) },
	}
}

// password reads no more than keepalived does, and keeps its value out of the
// issue.
func (p *parser) password(s *statement, to *string) {
	v := p.values(&statement{line: s.line, words: s.words[:min(len(s.words), 2)], opened: s.opened}, 1, 1)
	if v == nil {
		return
	}
	*to = v[0]
	if len(v[0]) > 8 {
		p.issue(s, "has more than 8 bytes: keepalived takes the first 8, and so does lvsform")
		*to = v[0][:8]
	}
	if len(s.words) > 2 {
		p.issue(s, "has more values than keepalived reads: the first counts")
	}
}

func (p *parser) peer(s *statement, i *Instance) {
	var a netip.Addr
	switch {
	case len(s.words) > 1:
		p.issue(s, "has limits of the hop count, which lvsform does not write: taken without")
		fallthrough
	default:
		if p.address(s, s.words[0], &a) {
			i.UnicastPeers = append(i.UnicastPeers, a)
		}
	}
}

func (p *parser) tracked(s *statement, i *Instance) {
	if len(s.words) > 1 {
		p.issue(s, "has a weight, which lvsform does not write: an interface that is down is a fault")
		return
	}
	i.TrackInterfaces = append(i.TrackInterfaces, s.words[0])
}

// virtualAddress reads ADDRESS[/BITS] [dev NAME] [scope NAME] [label NAME].
func (p *parser) virtualAddress(s *statement, to *[]Address) {
	text := s.words[0]
	if !strings.Contains(text, "/") {
		if a, err := netip.ParseAddr(text); err == nil {
			text = netip.PrefixFrom(a, a.BitLen()).String()
		}
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		p.issue(s, "is no address")
		return
	}
	a := Address{IP: prefix}
	for rest := s.words[1:]; len(rest) > 0; {
		field := map[string]*string{"dev": &a.Device, "scope": &a.Scope, "label": &a.Label}[rest[0]]
		if field == nil || len(rest) < 2 {
			p.issue(s, "has %q, which lvsform does not write: the address is left out", clip(rest[0]))
			return
		}
		*field, rest = rest[1], rest[2:]
	}
	if (a.Scope != "" || a.Label != "") && a.IP.Addr().Is6() {
		p.issue(s, "has a scope or a label, which keepalived ignores for IPv6")
		a.Scope, a.Label = "", ""
	}
	if a.Scope == "global" {
		a.Scope = ""
	}
	*to = append(*to, a)
}

// settle fills in what keepalived fills in, and corrects what it corrects, and
// says so.
func (p *parser) settle(i *Instance) {
	s := p.where["vrrp_instance "+i.Name]
	correct := func(wrong bool, why string, by func()) {
		if wrong {
			p.issue(s, "%s", why)
			by()
		}
	}
	if i.Version == 0 && !i.ipv6() {
		i.Version = p.version
	}
	if i.Priority == 0 { // keepalived's own
		i.Priority = 100
		if i.State == "MASTER" {
			i.Priority = 255
		}
	}
	auth := &i.Authentication
	correct(auth.Type == "" && auth.Password != "", "has a password without auth_type: keepalived uses none", func() { *auth = Authentication{} })
	correct(auth.Type != "" && auth.Password == "", "has no password: keepalived uses no authentication", func() { *auth = Authentication{} })
	correct(auth.Type != "" && i.v3(), "has an authentication, which version 3 has not: keepalived ignores it", func() { *auth = Authentication{} })
	correct(auth.Type == "AH" && i.ipv6(), "has the authentication AH, which is for IPv4: keepalived ignores it", func() { *auth = Authentication{} })
	correct(auth.Type == "AH" && i.master() && i.Priority != 255, "begins as master, which AH does not allow: keepalived takes BACKUP",
		func() { i.State = "BACKUP" })
	master := i.master()
	correct(i.NoPreempt && master, "has nopreempt, yet begins as master: keepalived ignores nopreempt", func() { i.NoPreempt = false })
	correct(i.NoPreempt && i.Priority == 255, "has nopreempt with the priority 255: keepalived ignores nopreempt", func() { i.NoPreempt = false })
	correct(i.PreemptDelay != 0 && (master || i.NoPreempt), "has a preempt_delay that does nothing: keepalived ignores it", func() { i.PreemptDelay = 0 })
	correct(i.UnicastSource.IsValid() && len(i.UnicastPeers) == 0, "has unicast_src_ip without a peer: keepalived uses multicast",
		func() { i.UnicastSource = netip.Addr{} })
	unit := time.Second
	if i.v3() {
		unit = 10 * time.Millisecond
	}
	correct(i.AdvertInterval%unit != 0, "has an advert_int that its version cannot tell: keepalived rounds it",
		func() { i.AdvertInterval = max(i.AdvertInterval.Round(unit), unit) })
}
