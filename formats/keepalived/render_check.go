package keepalived

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

func records() []string { return []string{"A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA"} }

// check writes the checker; an attribute of another kind of checker is refused.
func (w *writer) check(s VirtualServer, r RealServer) {
	c := r.Check
	var rest Check
	switch c.Type {
	case "":
		w.must(equalChecks(c, Check{}), "check", "has attributes but no type")
		return
	case TCPCheck, PingCheck:
	case HTTPGet, SSLGet:
		rest.Path, rest.VirtualHost, rest.SNI, rest.Status, rest.Digest, rest.Regex = c.Path, c.VirtualHost, c.SNI, c.Status, c.Digest, c.Regex
		w.must(!c.SNI || c.Type == SSLGet, "enable_sni", "is for SSL_GET")
	case DNSCheck:
		rest.Name, rest.Record = c.Name, c.Record
	case SMTPCheck:
		rest.HELO = c.HELO
	case UDPCheck:
		rest.Payload, rest.RequireReply, rest.Reply, rest.MinReply, rest.MaxReply = c.Payload, c.RequireReply, c.Reply, c.MinReply, c.MaxReply
	case MiscCheck:
		rest.Command, rest.User, rest.Group = c.Command, c.User, c.Group
	default:
		w.refuse("check", fmt.Sprintf("is %q, which is none that lvsform writes", c.Type))
		return
	}
	rest.Type, rest.Timeout, rest.Retries, rest.RetryDelay, rest.Port = c.Type, c.Timeout, c.Retries, c.RetryDelay, c.Port
	w.must(equalChecks(c, rest), "check", "has attributes that %s does not take", c.Type)
	w.open(c.Type)
	w.connection(s, r)
	w.particulars(c)
	w.close()
}

func equalChecks(a, b Check) bool {
	statuses := slices.Equal(a.Status, b.Status)
	a.Status, b.Status = nil, nil
	return statuses && fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

// connection is what most checkers have in common.
func (w *writer) connection(s VirtualServer, r RealServer) {
	c := r.Check
	ported := c.Type != MiscCheck && c.Type != PingCheck
	if c.Port != 0 {
		w.must(ported, "connect_port", "is not for %s", c.Type)
		w.number("connect_port", int(c.Port), 1, math.MaxUint16)
	}
	w.must(!ported || c.Port != 0 || r.Port != 0 || s.Port != 0, "connect_port", "is needed: the real server has no port")
	if c.Timeout != 0 && c.Type == MiscCheck {
		w.must(c.Timeout%time.Second == 0, "misc_timeout", "is %s: it must be whole seconds", c.Timeout)
		w.seconds("misc_timeout", c.Timeout, time.Second, maxTimer)
	} else if c.Timeout != 0 {
		w.seconds("connect_timeout", c.Timeout, time.Microsecond, maxTimer)
	}
	if c.Retries.Set {
		w.number("retry", c.Retries.Value, 0, math.MaxInt32)
	}
	if c.RetryDelay != 0 {
		w.seconds("delay_before_retry", c.RetryDelay, time.Microsecond, maxTimer)
	}
}

func (w *writer) particulars(c Check) {
	switch c.Type {
	case HTTPGet, SSLGet:
		w.url(c)
	case DNSCheck:
		if c.Record != "" {
			w.must(slices.Contains(records(), c.Record), "type", "is %q: keepalived knows %s", c.Record, strings.Join(records(), ", "))
			w.word("type", c.Record)
		}
		if c.Name != "" {
			w.must(c.Name == "." || !strings.HasPrefix(c.Name, ".") && !strings.Contains(c.Name, ".."), "name", "%q has an empty label", c.Name)
			w.word("name", c.Name)
		}
	case SMTPCheck:
		if c.HELO != "" {
			w.word("helo_name", c.HELO)
		}
	case UDPCheck:
		w.datagrams(c)
	case MiscCheck:
		w.script(c)
	}
}

func (w *writer) url(c Check) {
	if c.SNI {
		w.line("enable_sni")
	}
	w.open("url")
	w.must(strings.HasPrefix(c.Path, "/"), "path", "is %q: it must begin with /", c.Path)
	w.must(strings.IndexFunc(c.Path, func(r rune) bool { return r > '~' }) < 0, "path", "%q has a character that is not ASCII: write it as %%XX", c.Path)
	w.word("path", c.Path)
	if len(c.Status) > 0 {
		words := []string{"status_code"}
		for _, s := range c.Status {
			w.must(s.From >= 100 && s.From <= s.To && s.To <= 599, "status_code", "has %d to %d: codes are from 100 to 599", s.From, s.To)
			words = append(words, s.String())
		}
		w.line(words...)
	}
	if c.VirtualHost != "" {
		w.word("virtualhost", c.VirtualHost)
	}
	if c.Digest != "" {
		_, err := hex.DecodeString(c.Digest)
		w.must(err == nil && len(c.Digest) == 32, "digest", "%q is no MD5 in hexadecimal", c.Digest)
		w.word("digest", c.Digest)
	}
	if c.Regex != "" {
		w.line("regex", w.escaped("regex", c.Regex))
	}
	w.close()
}

// String is 200 or 200-299.
func (s StatusRange) String() string {
	if s.From == s.To {
		return strconv.Itoa(s.From)
	}
	return strconv.Itoa(s.From) + "-" + strconv.Itoa(s.To)
}

// escaped is the quoted form of the few keywords that know escapes: whatever is
// not surely harmless is written as three octal digits.
func (w *writer) escaped(attribute, value string) string {
	out := []byte{'"'}
	for _, c := range []byte(value) {
		switch {
		case c < ' ' || c == 0x7f:
			w.refuse(attribute, "has a control character: use the regular expression's own escapes")
			return `""`
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(" _./:=,;()*+?|^[]<>%&-", c) >= 0:
			out = append(out, c)
		default:
			out = fmt.Appendf(out, "\\%03o", c)
		}
	}
	return string(append(out, '"'))
}

func (w *writer) datagrams(c Check) {
	w.must(len(c.Payload) <= 255, "payload", "has %d bytes, at most 255 are sent", len(c.Payload))
	w.must(len(c.Reply) <= 255, "require_reply", "has %d bytes, at most 255 are compared", len(c.Reply))
	for keyword, octets := range map[string]string{"payload": c.Payload, "require_reply": c.Reply} {
		w.must(!strings.HasSuffix(octets, "\xff"), keyword, "ends with the byte ff, which keepalived 2.2 takes for a mistake")
	}
	w.must(c.Reply == "" || c.RequireReply, "require_reply", "is off, yet a reply is given")
	if c.Payload != "" {
		w.line("payload", hex.EncodeToString([]byte(c.Payload)))
	}
	if c.RequireReply && c.Reply != "" {
		w.line("require_reply", hex.EncodeToString([]byte(c.Reply)))
	} else if c.RequireReply {
		w.line("require_reply")
	}
	most := 255
	if c.MaxReply != 0 {
		most = c.MaxReply
		w.number("max_reply_length", c.MaxReply, 1, math.MaxUint16)
	}
	if c.MinReply != 0 {
		w.number("min_reply_length", c.MinReply, 1, most)
	}
}

// script runs a program without a shell: keepalived splits the command at
// blanks.
func (w *writer) script(c Check) {
	w.must(strings.HasPrefix(c.Command, "/"), "misc_path", "%q does not begin with /: name the program by its absolute path", c.Command)
	w.must(strings.Join(strings.Fields(c.Command), " ") == c.Command, "misc_path", "%q has more than one blank between arguments", c.Command)
	w.phrase("misc_path", c.Command)
	if c.Group != "" {
		w.line("user", w.checked("user", c.User), w.checked("user", c.Group))
	} else {
		w.word("user", c.User)
	}
}
