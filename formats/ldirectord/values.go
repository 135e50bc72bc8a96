package ldirectord

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

var yes = state.Some(true)

const digit = "0123456789"

// ports are the services' names of which a file may make use: those by which
// ldirectord chooses a check, as IANA and /etc/services have them.
var ports = map[string]uint16{"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "tftp": 69, "http": 80, "www": 80,
	"pop3": 110, "pop-3": 110, "nntp": 119, "ntp": 123, "imap": 143, "imap2": 143, "snmp": 161, "ldap": 389, "https": 443,
	"submissions": 465, "syslog": 514, "submission": 587, "ldaps": 636, "imaps": 993, "pop3s": 995, "radius": 1812,
	"mysql": 3306, "sip": 5060, "sip-tls": 5061, "postgresql": 5432, "http-alt": 8080}

func family(six bool) string {
	if six {
		return "ipv6"
	}
	return "ipv4"
}

// cutPort cuts HOST:PORT; the host of an IPv6 address keeps its brackets.
func cutPort(word string) (host, port string, found bool) {
	i := strings.LastIndexByte(word, ':')
	if i < 0 || strings.HasSuffix(word, "]") {
		return word, "", false
	}
	host, port = word[:i], word[i+1:]
	if port == "" || strings.Trim(port, letters+"-_") != "" {
		return word, "", false
	}
	return host, port, true
}

// validHost tells whether ldirectord takes the host of a service.
func validHost(host string, six bool) bool {
	if inner, ok := bracketed(host); ok {
		return six && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:") == ""
	}
	return host != "" && strings.Trim(host, letters+"._+-") == ""
}

func bracketed(host string) (string, bool) {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") && len(host) > 1 {
		return host[1 : len(host)-1], true
	}
	return host, false
}

// parseAddress reads an address of the family; false: it may be a name.
func parseAddress(host string, six bool) (netip.Addr, bool) {
	inner, brackets := bracketed(host)
	a, err := netip.ParseAddr(inner)
	return a, err == nil && a.Is6() == six && brackets == six
}

func leadingDigits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, digit))]
}

func parseUint(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil
}

// port reads a port's number or name.
func (p *parser) port(line int, keyword, word string) (uint16, bool) {
	if strings.Trim(word, digit) == "" {
		n, ok := parseUint(word, 16)
		if !ok {
			p.mistakeAt(line, "%s: %s is no port", keyword, clip(word))
		}
		return uint16(n), ok
	}
	n, ok := ports[word]
	if !ok {
		p.issueAt(line, keyword, "%q is the name of a port: lvsform does not look it up; write its number", clip(word))
	}
	return n, ok
}

// first finds the first run of characters of a set, as ldirectord does, and
// tells what else stands in the value.
func (p *parser) first(value, set string) string {
	start := strings.IndexAny(value, set)
	if start < 0 {
		return ""
	}
	rest := strings.TrimLeft(value[start:], set)
	word := value[start : len(value)-len(rest)]
	rest = strings.Trim(rest, blanks)
	if value[:start] != "" || rest != "" && rest[0] != '#' {
		p.issue("ldirectord reads %q in %q", clip(word), clip(value))
	}
	return word
}

// number reads a whole number from 1.
func (p *parser) number(value string) int {
	word := p.first(value, digit)
	n, ok := parseUint(word, 31)
	switch {
	case word == "" || strings.Trim(word, "0") == "":
		p.mistake("%s: %q is no number from 1", p.keyword, clip(value))
	case !ok:
		p.issue("%s is too large", clip(word))
	}
	if !ok {
		return 0
	}
	return int(n)
}

func (p *parser) seconds(value string) time.Duration {
	return time.Duration(p.number(value)) * time.Second
}

// numberOrZero reads a whole number of which 0 has the meaning of none.
func (p *parser) numberOrZero(value string) int {
	if word := strings.TrimRight(value, blanks); word != "" && strings.Trim(word, "0") == "" {
		return 0
	}
	return p.number(value)
}

// yesNo reads a word behind which nothing may stand, not even a blank.
func (p *parser) yesNo(value string) state.Opt[bool] {
	if value != "yes" && value != "no" {
		p.mistake("%s: %q is neither yes nor no, alone in its line", p.keyword, clip(value))
		return state.Opt[bool]{}
	}
	return state.Some(value == "yes")
}

// inQuotes takes what stands between the first quote and the last one.
func inQuotes(value string) (string, bool) {
	last := strings.LastIndexByte(value, '"')
	if last < 1 || value[0] != '"' {
		return value, false
	}
	return value[1:last], true
}

// quoted reads a value that must have quotes.
func (p *parser) quoted(value string, valid func(string) error) string {
	inner, ok := inQuotes(value)
	if !ok {
		p.mistake("%s: its value must stand in quotes", p.keyword)
		return ""
	}
	return p.words(inner, valid)
}

// quotedOrEmpty reads a value that must have quotes and may be empty.
func (p *parser) quotedOrEmpty(value string, valid func(string) error) string {
	if inner, ok := inQuotes(value); ok && inner == "" {
		p.issue("it has no value")
		return ""
	}
	return p.quoted(value, valid)
}

// free reads text for people, which may be missing.
func (p *parser) free(value string) string {
	if value = strings.TrimRight(value, blanks); value == "" {
		return ""
	}
	return p.words(value, text)
}

// words reads a value that may not be empty, as it stands.
func (p *parser) words(value string, valid func(string) error) string {
	if value == "" {
		p.mistake("%s: it has no value", p.keyword)
		return ""
	}
	if err := valid(value); err != nil {
		p.issue("%s", err)
		return ""
	}
	return value
}

// loose reads a value of which quotes around it may be left out.
func (p *parser) loose(value string, valid func(string) error) string {
	if inner, ok := inQuotes(value); ok {
		return p.words(inner, valid)
	}
	return p.words(strings.TrimRight(value, blanks), valid)
}

func secretText(s string) error { return hideWords(text(s)) }
