package ldirectord

import (
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// globals reads what stands outside of services.
var globals = map[string]func(p *parser, value string){
	"checkinterval":  func(p *parser, v string) { p.global.CheckInterval = p.seconds(v) },
	"autoreload":     func(p *parser, v string) { p.global.AutoReload = p.yesNo(v) },
	"readdquiescent": func(p *parser, v string) { p.global.ReaddQuiescent = p.yesNo(v) },
	"fork":           func(p *parser, v string) { p.global.Fork = p.yesNo(v) },
	"supervised":     func(p *parser, v string) { p.global.Supervised = p.yesNo(v) },
	"maintenancedir": func(p *parser, v string) { p.global.MaintenanceDir = p.loose(v, path) },
	"logfile":        func(p *parser, v string) { p.global.LogFile = p.quotedOrEmpty(v, logFile) },
	"callback":       func(p *parser, v string) { p.global.Callback = p.quotedOrEmpty(v, path) },
	"emailalertfrom": func(p *parser, v string) { p.global.EmailFrom = p.words(strings.TrimRight(v, blanks), text) },
	"execute": func(p *parser, v string) {
		p.issue("starts ldirectord for %q too: import that file on its own", clip(v))
	},

	"checktimeout":     func(p *parser, v string) { p.defaults.CheckTimeout = p.seconds(v) },
	"negotiatetimeout": func(p *parser, v string) { p.defaults.NegotiateTimeout = p.seconds(v) },
	"checkcount":       func(p *parser, v string) { p.defaults.CheckCount = p.number(v) },
	"failurecount":     func(p *parser, v string) { p.defaults.FailureCount = p.number(v) },
	"quiescent":        func(p *parser, v string) { p.defaults.Quiescent = p.yesNo(v) },
	"cleanstop":        func(p *parser, v string) { p.defaults.CleanStop = p.yesNo(v) },
	"fallback":         func(p *parser, v string) { p.defaults.fallback4 = p.fallback(sourceLine{p.line, v}, false) },
	"fallback6":        func(p *parser, v string) { p.defaults.fallback6 = p.fallback(sourceLine{p.line, v}, true) },
	"fallbackcommand":  func(p *parser, v string) { p.defaults.FallbackCommand = p.loose(v, path) },
	"emailalert":       func(p *parser, v string) { p.defaults.EmailAlert = p.loose(v, text) },
	"emailalertfreq":   func(p *parser, v string) { p.defaults.EmailAlertEvery = p.alertEvery(v) },
	"emailalertstatus": func(p *parser, v string) { p.defaults.EmailAlertStates = p.alertStates(v) },
	"smtp":             func(p *parser, v string) { p.defaults.SMTP = p.mailServer(v) },
}

// directives reads the lines of a service.
var directives = map[string]func(p *parser, d *draft, value string){
	"real":      func(p *parser, d *draft, v string) { p.familyLine(d, false, &d.reals, v) },
	"real6":     func(p *parser, d *draft, v string) { p.familyLine(d, true, &d.reals, v) },
	"fallback":  func(p *parser, d *draft, v string) { p.fallbackLine(d, false, v) },
	"fallback6": func(p *parser, d *draft, v string) { p.fallbackLine(d, true, v) },

	"protocol":   (*parser).protocol,
	"scheduler":  (*parser).scheduler,
	"schedflags": (*parser).schedulerFlags,
	"persistent": (*parser).persistent,
	"netmask":    (*parser).netmask,
	"ops":        func(p *parser, d *draft, v string) { d.OnePacket = p.yesNo(v).Value },

	"checktype":        (*parser).checkType,
	"service":          (*parser).service,
	"checkcommand":     func(p *parser, d *draft, v string) { d.CheckCommand = p.loose(v, path) },
	"checkport":        (*parser).checkPort,
	"checktimeout":     func(p *parser, d *draft, v string) { d.CheckTimeout = p.seconds(v) },
	"negotiatetimeout": func(p *parser, d *draft, v string) { d.NegotiateTimeout = p.seconds(v) },
	"checkinterval": func(p *parser, d *draft, v string) {
		d.CheckInterval, d.interval = p.seconds(v), sourceLine{p.line, v}
	},
	"checkcount":   func(p *parser, d *draft, v string) { d.CheckCount = p.number(v) },
	"failurecount": func(p *parser, d *draft, v string) { d.FailureCount = p.number(v) },
	"request":      func(p *parser, d *draft, v string) { d.Request = p.quoted(v, text) },
	"receive":      func(p *parser, d *draft, v string) { d.Receive = p.quoted(v, expression) },
	"httpmethod":   (*parser).httpMethod,
	"virtualhost":  (*parser).virtualHost,
	"login":        func(p *parser, d *draft, v string) { d.Login = p.quoted(v, text) },
	"passwd":       func(p *parser, d *draft, v string) { d.Password = p.quoted(v, secretText) },
	"database":     func(p *parser, d *draft, v string) { d.Database = p.quoted(v, text) },
	"secret":       func(p *parser, d *draft, v string) { d.Secret = p.quoted(v, secretText) },
	"load":         (*parser).load,

	"quiescent":        func(p *parser, d *draft, v string) { d.Quiescent = p.yesNo(v) },
	"cleanstop":        func(p *parser, d *draft, v string) { d.CleanStop = p.yesNo(v) },
	"fallbackcommand":  func(p *parser, d *draft, v string) { d.FallbackCommand = p.loose(v, path) },
	"monitorfile":      func(p *parser, d *draft, v string) { d.MonitorFile = p.loose(v, path) },
	"emailalert":       func(p *parser, d *draft, v string) { d.EmailAlert = p.loose(v, text) },
	"emailalertfreq":   func(p *parser, d *draft, v string) { d.EmailAlertEvery = p.alertEvery(v) },
	"emailalertstatus": func(p *parser, d *draft, v string) { d.EmailAlertStates = p.alertStates(v) },
	"smtp":             func(p *parser, d *draft, v string) { d.SMTP = p.mailServer(v) },
	"servicename":      func(p *parser, d *draft, v string) { d.Name = p.free(v) },
	"comment":          func(p *parser, d *draft, v string) { d.Comment = p.free(v) },
}

// defaults are the globals that a service may say itself.
type defaults struct {
	Virtual   // of which only those fields are in use
	fallback4 *Fallback
	fallback6 *Fallback
}

// apply gives a service what it does not say. Of the two timeouts each one is
// the other's default, and a service that says one of them takes no global one.
func (g defaults) apply(p *parser, d *draft) {
	if d.CheckTimeout == 0 && d.NegotiateTimeout == 0 {
		d.CheckTimeout, d.NegotiateTimeout = g.CheckTimeout, g.NegotiateTimeout
	}
	orElse(&d.CheckCount, g.CheckCount)
	orElse(&d.FailureCount, g.FailureCount)
	orElse(&d.Quiescent, g.Quiescent)
	orElse(&d.CleanStop, g.CleanStop)
	orElse(&d.FallbackCommand, g.FallbackCommand)
	orElse(&d.EmailAlert, g.EmailAlert)
	orElse(&d.EmailAlertEvery, g.EmailAlertEvery)
	orElse(&d.EmailAlertStates, g.EmailAlertStates)
	orElse(&d.SMTP, g.SMTP)
	fallback := g.fallback4
	if d.six() {
		fallback = g.fallback6
	}
	switch {
	case d.Virtual.Fallback != nil || fallback == nil:
	case d.FWMark != 0:
		p.issueAt(d.line, "fallback", "a global fallback does not work for a firewall mark: write it in the service")
	default:
		own := *fallback
		d.Virtual.Fallback = &own
	}
}

func orElse[T comparable](field *T, other T) {
	var zero T
	if *field == zero {
		*field = other
	}
}

// familyLine keeps a line of which the keyword must fit to the service's.
func (p *parser) familyLine(d *draft, six bool, to *[]sourceLine, value string) {
	if (d.Family == "ipv6") != six {
		p.mistake("%s: a service of virtual takes real and fallback, one of virtual6 real6 and fallback6", p.keyword)
		return
	}
	*to = append(*to, sourceLine{p.line, value})
}

func (p *parser) fallbackLine(d *draft, six bool, value string) {
	var lines []sourceLine
	p.familyLine(d, six, &lines, value)
	if len(lines) > 0 {
		d.fallback = lines[0]
	}
}

func (p *parser) protocol(d *draft, value string) {
	word := p.first(value, letters+"_")
	switch {
	case d.Protocol == "" && word == "fwm":
	case d.Protocol == "":
		p.mistake("protocol: a service of a firewall mark takes fwm")
	case word != "tcp" && word != "udp":
		p.mistake("protocol: a service of an address takes tcp or udp")
	default:
		d.Protocol = word
	}
}

func (p *parser) scheduler(d *draft, value string) {
	if d.Scheduler = p.first(value, "abcdefghijklmnopqrstuvwxyz"); d.Scheduler == "" {
		p.mistake("scheduler: %q has no lower-case letter", clip(value))
	}
}

func (p *parser) schedulerFlags(d *draft, value string) {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		p.mistake("schedflags: it has no value")
		return
	}
	if len(fields) > 1 {
		p.issue("ldirectord reads %q in %q", clip(fields[0]), clip(value))
	}
	d.SchedulerFlags = p.words(fields[0], func(s string) error { return lowerCase(s, "0123456789-,") })
}

func (p *parser) load(_ *draft, value string) {
	if p.quoted(value, text) != "" {
		p.issue("ldirectord reads it but does not use it")
	}
}

func (p *parser) persistent(d *draft, value string) {
	if d.Persistent = time.Duration(p.numberOrZero(value)) * time.Second; d.Persistent == 0 {
		p.issue("ipvsadm refuses 0 seconds")
	}
}

func (p *parser) netmask(d *draft, value string) {
	if d.Family == "ipv6" {
		n, ok := parseUint(value, 8)
		if !ok || n < 1 || n > 128 {
			p.mistake("netmask: %q is no prefix length from 1 to 128, alone in its line", clip(value))
		}
		d.Netmask = int(n)
		return
	}
	octets := strings.Split(value, ".")
	if len(octets) != 4 || slices.ContainsFunc(octets, func(o string) bool { return o == "" || strings.Trim(o, digit) != "" }) {
		p.mistake("netmask: %q is no netmask such as 255.255.255.0, alone in its line", clip(value))
		return
	}
	a, err := netip.ParseAddr(value)
	if err != nil {
		p.issue("%q is no netmask", clip(value))
		return
	}
	b := a.As4()
	mask := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	ones := bits.LeadingZeros32(^mask)
	if mask<<ones != 0 || ones == 0 {
		p.issue("the ones of %s do not stand together at its begin", value)
		return
	}
	d.Netmask = ones
}

func (p *parser) checkType(d *draft, value string) {
	d.ConnectsPerCheck = 0
	if strings.ContainsAny(value, digit) {
		d.Check, d.ConnectsPerCheck = CheckCombined, p.numberOrZero(p.first(value, digit))
		if d.ConnectsPerCheck == 0 { // no connects between two negotiations
			d.Check = CheckNegotiate
		}
		return
	}
	d.Check = p.first(value, letters+"_-")
	if d.Check == "" || d.Check == CheckCombined || !slices.Contains(checks, d.Check) {
		p.mistake("checktype: %q is none", clip(value))
	}
}

func (p *parser) service(d *draft, value string) {
	d.Service = p.first(value, letters+"_")
	if d.Service == "" || !slices.Contains(spoken, d.Service) {
		p.mistake("service: %q is none that ldirectord speaks", clip(value))
	}
}

func (p *parser) checkPort(d *draft, value string) {
	n := p.number(value)
	if n > 65535 {
		p.mistake("checkport: %d is no port", n)
		return
	}
	d.CheckPort = uint16(n)
}

func (p *parser) httpMethod(d *draft, value string) {
	d.HTTPMethod = strings.ToUpper(p.first(value, letters+"_"))
	if d.HTTPMethod != "GET" && d.HTTPMethod != "HEAD" {
		p.mistake("httpmethod: %q is neither GET nor HEAD", clip(value))
	}
}

// virtualHost reads up to the next quote, as ldirectord does.
func (p *parser) virtualHost(d *draft, value string) {
	host, rest, _ := strings.Cut(strings.TrimPrefix(value, `"`), `"`)
	if strings.Trim(rest, blanks) != "" {
		p.issue("ldirectord reads %q in %q", clip(host), clip(value))
	}
	if host = strings.Trim(host, blanks); host == "" {
		p.issue("it is empty")
		return
	}
	d.VirtualHost = p.words(host, text)
}

func (p *parser) mailServer(value string) string {
	const set = letters + "._+-"
	if strings.Trim(value[:min(len(value), 1)], set) != "" {
		p.mistake("smtp: %q is no server's name", clip(value))
		return ""
	}
	return p.words(p.first(value, set), hostName)
}

func (p *parser) alertEvery(value string) time.Duration {
	return time.Duration(p.numberOrZero(leadingDigits(value))) * time.Second
}

func (p *parser) alertStates(value string) string {
	if value == "" {
		p.issue("it has no value")
		return ""
	}
	words := strings.Split(strings.TrimRight(value, ","), ",")
	for i := range words {
		if i > 0 {
			words[i] = strings.TrimLeft(words[i], blanks)
		}
		if i < len(words)-1 {
			words[i] = strings.TrimRight(words[i], blanks)
		}
	}
	joined := strings.Join(words, ",")
	if err := alertStates(joined); err != nil {
		p.mistake("emailalertstatus: %s", err)
		return ""
	}
	return joined
}

func logFile(s string) error {
	if strings.HasPrefix(s, "/") {
		return path(s)
	}
	return lowerCase(s, digit)
}
