package keepalived

import (
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// checker is a check while it is read.
type checker struct {
	Check
	defaults
	urls, hosts int
	urlHost     state.Opt[string]
}

// checkers adds the keywords of the checkers to those of a real server.
func (p *parser) checkers(known keywords, r *server) {
	for _, kind := range []string{TCPCheck, HTTPGet, SSLGet, DNSCheck, SMTPCheck, UDPCheck, PingCheck, MiscCheck} {
		known[kind] = func(s *statement) {
			if r.checker != nil {
				p.issue(s, "is a further checker of the server: lvsform writes one, the first is taken")
				return
			}
			r.checker = &checker{Check: Check{Type: kind}}
			p.block(kind, s.block, p.checkKeywords(r.checker, r))
		}
	}
}

func (p *parser) checkKeywords(c *checker, r *server) keywords {
	known := c.defaults.keywords(p)
	known["alpha"] = p.neutral(whyAlive, "off", "false", "no")
	known["log_all_failures"] = p.neutral(whyDefaults, "off", "false", "no")
	if c.Type == MiscCheck {
		delete(known, "connect_timeout")
	} else {
		known["connect_ip"] = func(s *statement) { p.connectIP(s, r) }
	}
	if c.Type != MiscCheck && c.Type != PingCheck {
		known["connect_port"] = func(s *statement) { p.connectPort(s, c) }
	}
	switch c.Type {
	case HTTPGet, SSLGet:
		known["url"] = func(s *statement) { p.url(s, c) }
		known["virtualhost"] = func(s *statement) { c.defaults.host(p, s) }
		known["nb_get_retry"] = known["retry"]
		if c.Type == SSLGet {
			known["enable_sni"] = func(s *statement) { p.flag(s, &c.SNI) }
		}
	case DNSCheck:
		known["type"] = func(s *statement) { p.oneOf(s, &c.Record, records()...) }
		known["name"] = func(s *statement) { p.word(s, &c.Name) }
	case SMTPCheck:
		known["helo_name"] = func(s *statement) { p.word(s, &c.HELO) }
		known["host"] = func(s *statement) { p.host(s, c, r) }
	case UDPCheck:
		known["payload"] = func(s *statement) { p.octets(s, &c.Payload) }
		known["require_reply"] = func(s *statement) {
			c.RequireReply = true
			if len(s.words) > 1 {
				p.octets(s, &c.Reply)
			}
		}
		known["min_reply_length"] = func(s *statement) { p.integer(s, &c.MinReply, 0, math.MaxUint16) }
		known["max_reply_length"] = func(s *statement) { p.integer(s, &c.MaxReply, 0, math.MaxUint16) }
	case MiscCheck:
		known["misc_path"] = func(s *statement) { p.command(s, &c.Command) }
		known["misc_timeout"] = func(s *statement) {
			n := 0
			if p.integer(s, &n, 0, int(maxTimer/time.Second)) {
				c.Timeout = time.Duration(n) * time.Second
			}
		}
		known["user"] = func(s *statement) {
			if v := p.values(s, 1, 2); v != nil {
				c.User, c.Group = v[0], strings.Join(v[1:], "")
			}
		}
	}
	return known
}

func (p *parser) connectIP(s *statement, r *server) {
	var a netip.Addr
	if v := p.values(s, 1, 1); v != nil && p.address(s, v[0], &a) && a != r.Address {
		p.issue(s, "is not the real server's own address: lvsform checks that one")
	}
}

func (p *parser) connectPort(s *statement, c *checker) {
	n := 0
	if p.integer(s, &n, 1, math.MaxUint16) {
		c.Port = uint16(n)
	}
}

// host is a block that a SMTP_CHECK may have many of.
func (p *parser) host(s *statement, c *checker, r *server) {
	if c.hosts++; c.hosts > 1 {
		p.issue(s, "is a further host of the check: lvsform writes none, the first is taken")
		return
	}
	known := c.defaults.keywords(p)
	known["connect_ip"] = func(s *statement) { p.connectIP(s, r) }
	known["connect_port"] = func(s *statement) { p.connectPort(s, c) }
	p.block(SMTPCheck, s.block, known)
}

func (p *parser) url(s *statement, c *checker) {
	if c.urls++; c.urls > 1 {
		p.issue(s, "is a further url of the check: lvsform writes one, the first is taken")
		return
	}
	host := &defaults{}
	p.block("url", s.block, p.urlKeywords(c, host))
	c.urlHost = host.virtualHost
}

func (p *parser) urlKeywords(c *checker, host *defaults) keywords {
	return keywords{
		"path":        func(s *statement) { p.word(s, &c.Path) },
		"virtualhost": func(s *statement) { host.host(p, s) },
		"digest":      func(s *statement) { p.digest(s, &c.Digest) },
		"status_code": func(s *statement) { p.statuses(s, &c.Status) },
		"regex":       func(s *statement) { p.regex(s, &c.Regex) },
	}
}

func (p *parser) digest(s *statement, to *string) {
	v := p.values(s, 1, 1)
	if v == nil {
		return
	}
	if _, err := hex.DecodeString(v[0]); err != nil || len(v[0]) != 32 {
		p.issue(s, "%q is no MD5 in hexadecimal", clip(v[0]))
		return
	}
	*to = v[0]
}

func (p *parser) statuses(s *statement, to *[]StatusRange) {
	for _, word := range p.values(s, 1, math.MaxInt) {
		first, last, found := strings.Cut(word, "-")
		if !found {
			last = first
		}
		from, err := strconv.Atoi(first)
		until, err2 := strconv.Atoi(last)
		if err != nil || err2 != nil || from < 100 || from > until || until > 599 {
			p.issue(s, "%q is no status code", clip(word))
			continue
		}
		*to = append(*to, StatusRange{from, until})
	}
}

func (p *parser) regex(s *statement, to *string) {
	values, err := unescaped(s.raw)
	switch {
	case err != nil:
		p.issue(s, "%s", err)
	case len(values) != 2 || values[1] == "":
		p.issue(s, "needs one expression: write it in double quotes")
	default:
		*to = values[1]
	}
}

// command reads a program with its arguments. keepalived takes quotes and escapes
// twice; what needs them is left out.
func (p *parser) command(s *statement, to *string) {
	values, err := unescaped(s.raw)
	if err != nil {
		p.issue(s, "%s", err)
		return
	}
	if len(values) > 2 {
		p.issue(s, "has arguments outside the quotes, which keepalived ignores")
	}
	if len(values) < 2 || strings.ContainsAny(values[1], `'"\`) {
		p.issue(s, "has arguments in quotes, which lvsform does not write")
		return
	}
	*to = strings.Join(strings.Fields(values[1]), " ")
}

// octets reads hexadecimal digits, in pairs or alone, between blanks.
func (p *parser) octets(s *statement, to *string) {
	var out []byte
	for _, word := range s.words[1:] {
		for _, field := range strings.Fields(word) {
			for i := 0; i < len(field); i += 2 {
				pair := field[i:min(i+2, len(field))]
				n, err := strconv.ParseUint(pair, 16, 8)
				if err != nil {
					p.issue(s, "%q is no hexadecimal number that lvsform reads", clip(pair))
					return
				}
				out = append(out, byte(n))
			}
		}
	}
	if len(out) == 0 || s.opened {
		p.issue(s, "needs hexadecimal digits")
		return
	}
	*to = string(out)
}

// resolve fills in what the real server and the virtual server say.
func (c *checker) resolve(p *parser, v *service, r *server) Check {
	out := c.Check
	if c.Type != MiscCheck {
		out.Timeout = opt(c.timeout, r.timeout, v.timeout).Value
	}
	out.Retries = opt(c.retries, r.retries, v.retries)
	out.RetryDelay = opt(c.retryDelay, r.retryDelay, v.retryDelay).Value
	switch c.Type {
	case HTTPGet, SSLGet:
		out.VirtualHost = opt(c.urlHost, c.virtualHost, r.virtualHost, v.virtualHost).Value
		if c.Path == "" {
			p.issue(r.at, "has a %s without a path, which keepalived leaves out", c.Type)
			return Check{}
		}
	case MiscCheck:
		if c.Command == "" {
			p.issue(r.at, "has a MISC_CHECK without a command that can be carried over")
			return Check{}
		}
	case UDPCheck:
		if most := max(out.MaxReply, 255); out.MaxReply == 0 && out.MinReply > most || out.MaxReply != 0 && out.MinReply > out.MaxReply {
			p.issue(r.at, "has a UDP_CHECK that always fails: min_reply_length is above max_reply_length")
			return Check{}
		}
	}
	return out
}

// scripts gives a user to the programs that have none: global_defs may stand
// after them.
func (p *parser) scripts() {
	for _, s := range p.config.Services {
		for i := range s.RealServers {
			c := &s.RealServers[i].Check
			if c.Type != MiscCheck || c.User != "" {
				continue
			}
			if len(p.user) > 0 {
				c.User, c.Group = p.user[0], strings.Join(p.user[1:], "")
				continue
			}
			p.issue(p.where["virtual_server "+s.ServiceID.String()],
				"has a MISC_CHECK without a user: keepalived takes keepalived_script where that user exists, lvsform takes root")
			c.User = "root"
		}
	}
}
