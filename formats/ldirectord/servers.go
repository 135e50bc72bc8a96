package ldirectord

import (
	"net/netip"
	"slices"
	"strings"
)

// maxRange is how many real servers one line may stand for.
const maxRange = 256

// fallback reads ADDRESS[:PORT] [FORWARD]; nil: it cannot be carried over.
func (p *parser) fallback(at sourceLine, six bool) *Fallback {
	keyword := "fallback"
	if six {
		keyword = "fallback6"
	}
	fields := strings.Fields(at.value)
	if len(fields) == 0 {
		p.mistakeAt(at.line, "%s: it names no server", keyword)
		return nil
	}
	f := &Fallback{Forward: "gate"}
	switch {
	case len(fields) > 2 || len(fields) == 2 && fields[1][0] == '#':
		p.issueAt(at.line, keyword, "ldirectord does not read %q as it stands there: write the address and the forwarding method alone", clip(at.value))
		return nil
	case len(fields) == 2 && !slices.Contains(forwards, fields[1]):
		p.mistakeAt(at.line, "%s: %q is none of gate, masq and ipip", keyword, clip(fields[1]))
		return nil
	case len(fields) == 2:
		f.Forward = fields[1]
	}
	host, port, withPort := cutPort(fields[0])
	var ok bool
	if f.Address, ok = p.server(at.line, keyword, host, six); !ok {
		return nil
	}
	if withPort {
		if f.Port, ok = p.port(at.line, keyword, port); !ok {
			return nil
		}
	}
	return f
}

// server reads the address of a real server or a fallback.
func (p *parser) server(line int, keyword, host string, six bool) (netip.Addr, bool) {
	a, ok := parseAddress(host, six)
	inner, brackets := bracketed(host)
	other, err := netip.ParseAddr(inner)
	switch {
	case ok:
		if err := address(a); err != nil {
			p.issueAt(line, keyword, "the address %s", err)
			return a, false
		}
	case err == nil && other.Is6() && !brackets:
		p.issueAt(line, keyword, "an IPv6 address stands in brackets: [%s]; the server is left out", inner)
	case err == nil || brackets:
		p.mistakeAt(line, "%s: %q is no address of the service's family", keyword, clip(host))
	case strings.Trim(host, letters+".-") != "" || host == "":
		p.issueAt(line, keyword, "%q is no address: the server is left out", clip(host))
	default:
		p.issueAt(line, keyword, "%q is a name: lvsform does not look names up, so the server is left out; write its address", clip(host))
	}
	return a, ok
}

// real reads ADDRESS[->ADDRESS][:PORT] FORWARD [WEIGHT] ["REQUEST", "RECEIVE"]
// [l:NUMBER] [u:NUMBER].
func (p *parser) real(d *draft, at sourceLine) {
	keyword := "real"
	if d.six() {
		keyword = "real6"
	}
	p.line, p.keyword = at.line, keyword
	end := strings.IndexAny(at.value, blanks)
	if end < 0 {
		p.mistake("%s: it names no forwarding method", keyword)
		return
	}
	host, port, withPort := cutPort(at.value[:end])
	r := Real{Weight: 1}
	ok := true
	if withPort {
		r.Port, ok = p.port(at.line, keyword, port)
	}
	ok = p.realFlags(&r, at.value[end:]) && ok
	first, last, isRange := strings.Cut(host, "->")
	var to netip.Addr
	if isRange {
		if d.six() {
			p.mistake("%s: ldirectord takes no range of IPv6 addresses", keyword)
			return
		}
		var read bool
		to, read = p.server(at.line, keyword, last, false)
		ok = ok && read
	}
	from, read := p.server(at.line, keyword, first, d.six())
	if !read || !ok {
		return
	}
	r.Address = from
	if !isRange {
		d.Reals = append(d.Reals, r)
		return
	}
	p.realRange(d, r, to)
}

func (p *parser) realRange(d *draft, r Real, to netip.Addr) {
	if to.Less(r.Address) {
		p.mistake("real: the range from %s to %s has no address", r.Address, to)
		return
	}
	var all []Real
	for a := r.Address; a.IsValid() && !to.Less(a); a = a.Next() {
		if len(all) == maxRange {
			p.issue("the range from %s to %s has more than %d addresses: the servers are left out", r.Address, to, maxRange)
			return
		}
		next := r
		next.Address = a
		if r.Check != nil {
			own := *r.Check
			next.Check = &own
		}
		all = append(all, next)
	}
	d.Reals = append(d.Reals, all...)
}

// realFlags reads what follows the address of a real server. false: the server
// cannot be carried over.
func (p *parser) realFlags(r *Real, flags string) bool {
	start := strings.IndexAny(flags, letters+"_")
	if start < 0 {
		p.mistake("%s: it names no forwarding method", p.keyword)
		return false
	}
	rest := strings.TrimLeft(flags[start:], letters+"_")
	r.Forward = flags[start : len(flags)-len(rest)]
	if !slices.Contains(forwards, r.Forward) {
		p.mistake("%s: %q is none of gate, masq and ipip", p.keyword, clip(r.Forward))
		return false
	}
	if strings.Trim(flags[:start], blanks) != "" {
		p.issue("ldirectord does not read %q", clip(flags[:start]))
	}
	ok := true
	if before, number, after, found := numberAfter(rest, ""); found {
		ok = p.skipped(before, "the weight "+number)
		n, valid := parseUint(number, 16)
		if !valid {
			p.issue("the weight %s is above %d", clip(number), maxWeight)
			ok = false
		}
		r.Weight, rest = int(n), after
	}
	rest, exchanged := p.exchange(r, rest)
	return p.thresholds(r, rest) && exchanged && ok
}

// skipped complains about text that ldirectord passes over on its way.
func (p *parser) skipped(text, to string) bool {
	if strings.Trim(text, blanks) == "" {
		return true
	}
	p.issue("ldirectord passes over %q to %s: the server is left out", clip(text), clip(to))
	return false
}

// numberAfter finds the first number that stands behind a blank and a prefix.
func numberAfter(s, prefix string) (before, number, after string, found bool) {
	for i := 0; i < len(s); i++ {
		if !strings.ContainsRune(blanks, rune(s[i])) || !strings.HasPrefix(s[i+1:], prefix) {
			continue
		}
		tail := s[i+1+len(prefix):]
		if number = leadingDigits(tail); number != "" {
			return s[:i], number, tail[len(number):], true
		}
	}
	return "", "", s, false
}

// exchange reads "REQUEST", "RECEIVE".
func (p *parser) exchange(r *Real, flags string) (rest string, ok bool) {
	parts := strings.Split(flags, `"`)
	if len(parts) == 1 {
		return flags, true
	}
	pre := strings.TrimRight(parts[0], blanks)
	switch {
	case len(parts) > 5:
		p.issue("its quotes cannot be told apart: the server is left out")
		return "", false
	case len(parts) < 5 || pre == parts[0] || parts[2] == "" || !strings.Contains(", ", parts[2][:1]) || strings.Trim(parts[2][1:], blanks) != "":
		p.mistake(`%s: a request and what must be received stand as "REQUEST", "RECEIVE"`, p.keyword)
		return "", false
	case !p.skipped(pre, "the request"):
		return parts[4], false
	}
	r.Check = &Exchange{Request: parts[1], Receive: parts[3]}
	if r.Check.Request == "" {
		r.Check.Request = "/" // which ldirectord puts there
	}
	for _, err := range []error{text(r.Check.Request), expression(r.Check.Receive)} {
		if err != nil {
			p.issue("a string of it %s: the server is left out", err)
			return "", false
		}
	}
	return parts[4], true
}

// thresholds reads l:NUMBER u:NUMBER, in this order alone.
func (p *parser) thresholds(r *Real, flags string) bool {
	ok := true
	for _, t := range []struct {
		prefix string
		to     *uint32
	}{{"l:", &r.Lower}, {"u:", &r.Upper}} {
		before, number, after, found := numberAfter(flags, t.prefix)
		if !found {
			continue
		}
		ok = p.skipped(before, t.prefix+number) && ok
		n, valid := parseUint(number, 31)
		if !valid {
			p.issue("the threshold %s is above %d", clip(number), maxConnection)
			ok = false
		}
		*t.to, flags = uint32(n), after
	}
	if strings.Trim(flags, blanks) != "" {
		p.mistake("%s: ldirectord does not know %q there", p.keyword, clip(flags))
		return false
	}
	if r.Lower > r.Upper {
		p.issue("the lower threshold is above the upper one, which the kernel refuses: both are left out")
		r.Lower, r.Upper = 0, 0
	}
	return ok
}
