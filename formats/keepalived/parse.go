package keepalived

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/lvsform/lvsform/state"
)

// Issue is something in a text that a Config cannot carry, or that keepalived
// itself would not take.
type Issue struct {
	Line    int    // from 1
	Keyword string // whose statement it is
	Why     string
}

func (i Issue) String() string { return fmt.Sprintf("line %d: %s: %s", i.Line, i.Keyword, i.Why) }

// Parse reads a configuration of keepalived 2.2, hand-written ones too. What it
// cannot carry over is in the issues, by line; the error is for a text of which
// the blocks cannot be told. Included files are not read, and a
// virtual_server_group becomes a virtual server for each of its members.
func Parse(text string) (Config, []Issue, error) {
	p, _, err := parse(text)
	if err != nil {
		return Config{}, nil, err
	}
	return p.config.canonical(), slices.Compact(p.issues), nil
}

func parse(text string) (*parser, []*statement, error) {
	statements, err := lex(text)
	if err != nil {
		return nil, nil, err
	}
	p := &parser{groups: map[string]*statement{}, where: map[string]*statement{}}
	for _, s := range statements { // a group may stand after who uses it
		if s.keyword() == "virtual_server_group" && len(s.words) == 2 && s.odd == "" {
			p.groups[s.words[1]] = s
		}
	}
	p.block("top", statements, p.top())
	p.scripts()
	for i := range p.config.Instances {
		p.settle(&p.config.Instances[i])
	}
	p.writable()
	slices.SortStableFunc(p.issues, func(a, b Issue) int { return a.Line - b.Line })
	return p, statements, nil
}

type parser struct {
	config  Config
	issues  []Issue
	groups  map[string]*statement // virtual_server_group by name
	where   map[string]*statement // of the config's objects, by their name in errors
	version int                   // vrrp_version of global_defs
	user    []string              // script_user of global_defs, its group after it
}

// writable leaves out what Render would refuse.
func (p *parser) writable() {
	c := &p.config
	refused := func(write func(*writer)) bool {
		probe := &writer{}
		write(probe)
		if len(probe.errs) > 0 {
			p.issue(p.where[probe.object], "is left out: %s", probe.errs[0])
		}
		return len(probe.errs) > 0
	}
	c.Instances = slices.DeleteFunc(c.Instances, func(i Instance) bool { return refused(func(w *writer) { w.instance(i) }) })
	c.Services = slices.DeleteFunc(c.Services, func(s VirtualServer) bool {
		return refused(func(w *writer) {
			w.service(s)
			w.object = "virtual_server " + s.ServiceID.String()
		})
	})
	c.SyncGroups = slices.DeleteFunc(c.SyncGroups, func(g SyncGroup) bool {
		return refused(func(w *writer) {
			w.syncGroup(g, c.Instances)
			w.must(len(g.Instances) > 1, "group", "has one instance")
		})
	})
	if c.Global.RouterID != "" && refused(func(w *writer) {
		w.object = "global_defs"
		w.phrase("router_id", c.Global.RouterID)
	}) {
		c.Global.RouterID = ""
	}
}

type keywords map[string]func(*statement)

func (p *parser) issue(s *statement, format string, args ...any) {
	p.issues = append(p.issues, Issue{s.line, clip(s.keyword()), fmt.Sprintf(format, args...)})
}

// clip makes a foreign word fit to be shown.
func clip(word string) string {
	const most = 60
	runes := []rune(strings.ToValidUTF8(word, "?"))
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

// block hands each statement to its keyword.
func (p *parser) block(section string, statements []*statement, known keywords) {
	for _, s := range statements {
		handle, ok := known[s.keyword()]
		switch why := reason(section, s.keyword()); {
		case s.odd != "":
			p.issue(s, "%s", s.odd)
		case ok:
			handle(s)
		case why != "":
			p.issue(s, "%s", why)
		default:
			p.issue(s, "is no keyword that keepalived 2.2 knows there")
		}
	}
}

func (p *parser) top() keywords {
	return keywords{
		"global_defs":          func(s *statement) { p.block("global_defs", s.block, p.global()) },
		"vrrp_sync_group":      p.syncGroup,
		"vrrp_instance":        p.instance,
		"virtual_server":       p.virtualServer,
		"virtual_server_group": func(*statement) {}, // read where it is used
	}
}

func (p *parser) global() keywords {
	return keywords{
		"router_id": func(s *statement) {
			p.word(s, &p.config.Global.RouterID)
			p.where["global_defs"] = s
		},
		"enable_script_security": p.neutral("it takes no value", ""), // written where a check needs it
		"script_user": func(s *statement) {
			if v := p.values(s, 1, 2); v != nil {
				p.user = v
			}
		},
		"vrrp_version": func(s *statement) { p.integer(s, &p.version, 2, 3) },
	}
}

// values are the words after the keyword, at most n of them; nil: there is an
// issue.
func (p *parser) values(s *statement, least, most int) []string {
	if s.opened {
		p.issue(s, "takes no block")
		return nil
	}
	values := s.words[1:]
	if len(values) < least {
		p.issue(s, "needs a value")
		return nil
	}
	if len(values) > most {
		p.issue(s, "has more values than keepalived reads: %s", clip(strings.Join(values[most:], " ")))
		return nil
	}
	return values
}

func (p *parser) word(s *statement, to *string) {
	if v := p.values(s, 1, 1); v != nil {
		*to = v[0]
	}
}

// oneOf reads a word that is one of a few.
func (p *parser) oneOf(s *statement, to *string, known ...string) {
	v := p.values(s, 1, 1)
	switch {
	case v == nil:
	case !slices.Contains(known, v[0]):
		p.issue(s, "is %q: keepalived knows %s", clip(v[0]), strings.Join(known, ", "))
	default:
		*to = v[0]
	}
}

func (p *parser) integer(s *statement, to *int, low, high int) bool {
	v := p.values(s, 1, 1)
	if v == nil {
		return false
	}
	n, err := strconv.Atoi(v[0])
	if err != nil || n < low || n > high {
		p.issue(s, "is %q: it must be a number from %d to %d", clip(v[0]), low, high)
		return false
	}
	*to = n
	return true
}

func (p *parser) seconds(s *statement, to *time.Duration, low, high time.Duration) bool {
	v := p.values(s, 1, 1)
	if v == nil {
		return false
	}
	d, ok := parseSeconds(v[0])
	if !ok || d < low || d > high {
		p.issue(s, "is %q: it must be seconds from %s to %s", clip(v[0]), decimal(low), decimal(high))
		return false
	}
	*to = d
	return true
}

// parseSeconds reads seconds with up to six decimals.
func parseSeconds(text string) (time.Duration, bool) {
	whole, fraction, point := strings.Cut(text, ".")
	if len(fraction) > 6 || point && fraction == "" && whole == "" {
		return 0, false
	}
	if whole == "" {
		whole = "0"
	}
	n, err := strconv.ParseUint(whole, 10, 32)
	micro, err2 := strconv.ParseUint((fraction + "000000")[:6], 10, 32)
	return time.Duration(n)*time.Second + time.Duration(micro)*time.Microsecond, err == nil && err2 == nil
}

// flag reads a keyword that may be followed by on or off.
func (p *parser) flag(s *statement, to *bool) {
	v := p.values(s, 0, 1)
	switch {
	case v == nil:
	case len(v) == 0, slices.Contains([]string{"on", "true", "yes"}, v[0]):
		*to = true
	case slices.Contains([]string{"off", "false", "no"}, v[0]):
		*to = false
	default:
		p.issue(s, "is %q: it must be on or off", clip(v[0]))
	}
}

// bare reads a keyword without a value.
func (p *parser) bare(s *statement, to *bool) {
	if p.values(s, 0, 0) != nil {
		*to = true
	}
}

func (p *parser) address(s *statement, text string, to *netip.Addr) bool {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		p.issue(s, "%q is no address that lvsform knows", clip(text))
		return false
	}
	*to = a
	return true
}

// at reads ADDRESS [PORT].
func (p *parser) at(s *statement, values []string, address *netip.Addr, port *uint16) bool {
	if len(values) == 0 || len(values) > 2 {
		p.issue(s, "needs an address and a port")
		return false
	}
	if !p.address(s, values[0], address) {
		return false
	}
	if len(values) == 2 {
		n, err := strconv.ParseUint(values[1], 10, 16)
		if err != nil {
			p.issue(s, "%q is no port number", clip(values[1]))
			return false
		}
		*port = uint16(n)
	}
	return true
}

// neutral takes a keyword whose value says what lvsform's text says by silence.
func (p *parser) neutral(why string, values ...string) func(*statement) {
	return func(s *statement) {
		if !slices.Contains(values, strings.Join(s.words[1:], " ")) || s.opened {
			p.issue(s, "is not carried over: %s", why)
		}
	}
}

func whole(family string) int {
	if family == "ipv6" {
		return 128
	}
	return 32
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

func opt[T comparable](own, inherited state.Opt[T], further ...state.Opt[T]) state.Opt[T] {
	own = own.Or(inherited)
	for _, f := range further {
		own = own.Or(f)
	}
	return own
}
