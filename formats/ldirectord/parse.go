package ldirectord

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Limits of a text that Parse reads.
const (
	MaxSize     = 1 << 20 // bytes
	maxMistakes = 20
)

// Mistake is a line that ldirectord refuses.
type Mistake struct {
	Line  int // from 1; 0: the whole text
	Cause string
}

// Mistakes are all that were found in a text, by line.
type Mistakes []Mistake

func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Cause
		if m.Line != 0 {
			lines[i] = fmt.Sprintf("line %d: %s", m.Line, m.Cause)
		}
	}
	return strings.Join(lines, "\n")
}

// Parse reads a whole ldirectord.cf as ldirectord 4.12.0 does, also one that was
// written by hand. What the globals say is said by every service that does not
// say it itself. Issues are the lines that mean something which the Config does
// not say, by line; a service of which the address cannot be read is missing.
// Render takes the Config back. The error is of type Mistakes: ldirectord
// refuses such a file.
func Parse(text string) (Config, []Issue, error) {
	if len(text) > MaxSize {
		return Config{}, nil, Mistakes{{Cause: fmt.Sprintf("the text has more than %d bytes: is it an ldirectord.cf?", MaxSize)}}
	}
	p := parser{seen: map[string]int{}}
	for raw := range strings.Lines(text) {
		p.line++
		p.read(strings.TrimSuffix(raw, "\n"))
	}
	if p.open != nil && !p.open.said {
		p.mistake("virtual: ldirectord does not take a service without directives at the file's end")
	}
	p.close()
	p.inherit()
	slices.SortStableFunc(p.mistakes, func(a, b Mistake) int { return a.Line - b.Line })
	slices.SortStableFunc(p.issues, func(a, b Issue) int { return cmp.Compare(a.Line, b.Line) })
	if len(p.mistakes) > maxMistakes {
		p.mistakes = append(p.mistakes[:maxMistakes], Mistake{Cause: "there are more such lines: is it an ldirectord.cf?"})
	}
	if len(p.mistakes) > 0 {
		return Config{}, nil, p.mistakes
	}
	c := Config{Global: p.global}
	for _, d := range p.done {
		c.Services = append(c.Services, d.Virtual)
	}
	return c, p.issues, nil
}

type parser struct {
	line     int
	keyword  string // of the line
	global   Global
	defaults defaults
	open     *draft // the service whose lines are read
	done     []*draft
	seen     map[string]int // where each service stands
	issues   []Issue
	mistakes Mistakes
}

// draft is a service while it is read.
type draft struct {
	Virtual
	line     int
	last     int    // of its directives
	host     string // not resolved yet
	port     string
	unread   bool // its address cannot be carried over
	said     bool // a line follows
	reals    []sourceLine
	fallback sourceLine
	interval sourceLine // of checkinterval
}

type sourceLine struct {
	line  int
	value string
}

// blanks are what \s means to Perl.
const blanks = " \t\n\v\f\r"

func (p *parser) mistake(format string, args ...any) { p.mistakeAt(p.line, format, args...) }

func (p *parser) mistakeAt(line int, format string, args ...any) {
	p.mistakes = append(p.mistakes, Mistake{line, fmt.Sprintf(format, args...)})
}

func (p *parser) issue(format string, args ...any) { p.issueAt(p.line, p.keyword, format, args...) }

func (p *parser) issueAt(line int, keyword, format string, args ...any) {
	p.issues = append(p.issues, Issue{line, keyword, fmt.Sprintf(format, args...)})
}

func (p *parser) read(line string) {
	if p.open != nil {
		if strings.HasPrefix(strings.TrimLeft(line, blanks), "#") {
			p.open.said = true
			return
		}
		content, _, _ := strings.Cut(line, "#")
		content = strings.ReplaceAll(content, "\t", "    ")
		if len(content) > 4 && strings.HasPrefix(content, "    ") {
			p.open.said, p.open.last = true, p.line
			p.directive(strings.TrimLeft(content, " "))
			return
		}
		p.close()
	}
	p.outside(line)
}

// outside reads a line that belongs to no service.
func (p *parser) outside(line string) {
	keyword, value, found := split(line)
	p.keyword = keyword
	trimmed := strings.TrimLeft(line, blanks)
	switch set, ok := globals[keyword]; {
	case found && (keyword == "virtual" || keyword == "virtual6"):
		p.begin(value)
	case trimmed == "" || trimmed[0] == '#':
	case found && ok:
		set(p, value)
	case strings.TrimRight(line, blanks) == "supervised":
		p.global.Supervised = yes
	default:
		p.unknown(line)
	}
}

// directive reads a line of a service.
func (p *parser) directive(line string) {
	keyword, value, found := split(line)
	p.keyword = keyword
	if set, ok := directives[keyword]; found && ok {
		set(p, p.open, value)
		return
	}
	p.unknown(line)
}

func (p *parser) unknown(line string) {
	switch p.keyword {
	case "timeout", "connecttimeout":
		p.mistake("%s: ldirectord no longer takes it: write checktimeout or negotiatetimeout", p.keyword)
	default:
		p.mistake("%q is nothing that ldirectord knows here", clip(Mask(line)))
	}
}

// split cuts KEYWORD = VALUE.
func split(line string) (keyword, value string, found bool) {
	keyword, value, found = strings.Cut(line, "=")
	return strings.TrimRight(keyword, blanks), strings.TrimLeft(value, blanks), found
}

// begin reads what follows virtual or virtual6.
func (p *parser) begin(value string) {
	d := &draft{line: p.line}
	p.open = d
	six := p.keyword == "virtual6"
	value, _, _ = strings.Cut(value, "#")
	word, rest := value, ""
	if i := strings.IndexAny(value, blanks); i >= 0 {
		word, rest = value[:i], strings.TrimLeft(value[i:], blanks)
	}
	if rest != "" {
		p.issue("ldirectord does not read %q", clip(rest))
	}
	digits := leadingDigits(word)
	host, port, withPort := cutPort(word)
	switch {
	case withPort && validHost(host, six):
		d.host, d.port = host, port
		d.Protocol = "tcp"
		if port == "53" || port == "domain" {
			d.Protocol = "udp"
		}
		d.Family = family(six)
	case strings.HasPrefix(word, "[") && !six:
		p.mistake("virtual: an IPv6 address belongs to virtual6")
	case strings.Count(word, ":") > 1:
		p.mistake("%s: %q is no address with a port: an IPv6 address stands in brackets", p.keyword, clip(word))
	case digits == "":
		p.mistake("%s: %q is neither an address with a port nor a firewall mark", p.keyword, clip(word))
	default:
		if digits != word {
			p.issue("ldirectord reads the firewall mark %s in %q: is a port missing?", clip(digits), clip(word))
		}
		mark, ok := parseUint(digits, 32)
		if !ok || mark == 0 {
			p.issue("%s is no firewall mark from 1 to 4294967295", clip(digits))
			d.unread = true
		}
		d.FWMark, d.Family = uint32(mark), family(six)
	}
}

// close ends the service that is read.
func (p *parser) close() {
	d := p.open
	if d == nil {
		return
	}
	p.open = nil
	line, keyword := p.line, p.keyword // those that follow the service
	defer func() { p.line, p.keyword = line, keyword }()
	p.resolve(d)
	for _, r := range d.reals {
		p.real(d, r)
	}
	if d.fallback.line != 0 {
		d.Fallback = p.fallback(d.fallback, d.six())
	}
	if d.unread {
		return
	}
	if d.FWMark == 0 {
		d.Family = ""
	}
	if first, ok := p.seen[d.ID()]; ok {
		p.mistakeAt(d.line, "virtual %s stands in line %d already", d.ID(), first)
	}
	p.seen[d.ID()] = d.line
	p.done = append(p.done, d)
}

// resolve reads the address and the port of a service.
func (p *parser) resolve(d *draft) {
	if d.FWMark != 0 || d.host == "" {
		d.unread = d.unread || d.FWMark == 0
		return
	}
	var ok bool
	if d.Address, ok = parseAddress(d.host, d.Family == "ipv6"); !ok {
		p.issueAt(d.line, "virtual", "%q is a name: lvsform does not look names up, so the service is left out; write its address", clip(d.host))
		d.unread = true
	}
	if d.Port, ok = p.port(d.line, "virtual", d.port); !ok {
		d.unread = true
	} else if d.Port == 0 {
		p.issueAt(d.line, "virtual", "a service of all ports is left out: use a firewall mark")
		d.unread = true
	}
}

// inherit lets the services say what the globals say, and checks the result.
func (p *parser) inherit() {
	p.done = slices.DeleteFunc(p.done, func(d *draft) bool {
		p.defaults.apply(p, d)
		p.withoutEffect(d)
		p.delivered(d)
		for _, err := range d.check() {
			p.issueAt(d.line, "virtual", "%s; the service is left out", err)
			d.unread = true
		}
		return d.unread
	})
}

// withoutEffect takes out what ldirectord reads but does not use.
func (p *parser) withoutEffect(d *draft) {
	if d.OnePacket && d.Protocol != "udp" {
		p.issueAt(d.line, "ops", "has no effect but for udp")
		d.OnePacket = false
	}
	if d.Netmask != 0 && d.Persistent == 0 {
		p.issueAt(d.line, "netmask", "has no effect without persistent")
		d.Netmask = 0
	}
	if d.CheckInterval != 0 && !p.global.Fork.Value {
		p.issueAt(d.interval.line, "checkinterval", "has no effect in a service without fork = yes")
		d.CheckInterval = 0
	}
}

// delivered gives servers the port that they have in the kernel's table.
func (p *parser) delivered(d *draft) {
	for i := range d.Reals {
		r := &d.Reals[i]
		if d.delivers(r.Forward, r.Port) != nil {
			p.issueAt(d.line, "real", "%s %s is in the table with port %d, and ldirectord deletes it at every reload: %d is taken",
				endpoint(r.Address, r.Port), r.Forward, d.Port, d.Port)
			r.Port = d.Port
		}
	}
	if b := d.Virtual.Fallback; b != nil && b.Port != 0 && d.delivers(b.Forward, b.Port) != nil {
		p.issueAt(d.line, "fallback", "%s %s is in the table with port %d, which is taken", endpoint(b.Address, b.Port), b.Forward, d.Port)
		b.Port = 0
	}
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
