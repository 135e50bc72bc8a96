package ldirectord

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of ipvsadm, which ldirectord runs: it would only log its refusal.
const (
	maxSeconds    = 1<<31 - 1
	maxPersistent = 31 * 24 * 3600 // seconds
	maxWeight     = 65535
	maxConnection = 1<<31 - 1
)

var (
	checks = []string{"", CheckNegotiate, CheckConnect, CheckPing, CheckExternal, CheckExternalPerl, CheckOn, CheckOff, CheckCombined}
	spoken = []string{"", "dns", "ftp", "http", "https", "http_proxy", "imap", "imaps", "ldap", "ldaps", "mysql", "nntp",
		"none", "oracle", "pgsql", "pop", "pops", "radius", "simpletcp", "sip", "smtp", "submission"}
	forwards = []string{"gate", "masq", "ipip"}
	alerts   = []string{"all", "starting", "running", "stopping", "reloading"}
)

// ID names a service as ldirectord tells them apart: tcp/192.0.2.1:80.
func (v Virtual) ID() string {
	if v.FWMark != 0 {
		return fmt.Sprintf("mark %d/%s", v.FWMark, v.Family)
	}
	return v.Protocol + "/" + endpoint(v.Address, v.Port)
}

func (v Virtual) six() bool { return v.Family == "ipv6" || v.Address.Is6() }

// faults collects what an object's attributes have wrong.
type faults struct {
	object string
	all    []error
}

func (f *faults) add(attribute string, err error) {
	if err != nil {
		f.all = append(f.all, fmt.Errorf("%s: %s %w", f.object, attribute, err))
	}
}

// oneOf complains about a word that is not in the list.
func (f *faults) oneOf(attribute, value string, list []string) {
	if !slices.Contains(list, value) {
		f.add(attribute, fmt.Errorf("is %q: choose one of %s", value, strings.Join(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" }), ", ")))
	}
}

func (c Config) check() error {
	g := c.Global
	f := faults{object: "globals"}
	f.add("checkinterval", seconds(g.CheckInterval, maxSeconds))
	f.add("maintenancedir", path(g.MaintenanceDir))
	if strings.HasPrefix(g.LogFile, "/") {
		f.add("logfile", path(g.LogFile))
	} else {
		f.add("logfile", lowerCase(g.LogFile, "0123456789"))
	}
	f.add("callback", path(g.Callback))
	f.add("emailalertfrom", text(g.EmailFrom))
	errs := f.all
	seen := map[string]bool{}
	for _, v := range c.Services {
		errs = append(errs, v.check()...)
		if v.CheckInterval != 0 && !g.Fork.Value {
			errs = append(errs, fmt.Errorf("virtual %s: checkinterval has no effect in a service unless fork is yes: leave it out", v.ID()))
		}
		if seen[v.ID()] {
			errs = append(errs, fmt.Errorf("virtual %s: is there twice: leave one", v.ID()))
		}
		seen[v.ID()] = true
	}
	return errors.Join(errs...)
}

func (v Virtual) check() []error {
	f := faults{object: "virtual " + v.ID()}
	v.checkIdentity(&f)
	v.checkTable(&f)
	v.checkChecks(&f)
	f.add("fallbackcommand", path(v.FallbackCommand))
	f.add("monitorfile", path(v.MonitorFile))
	f.add("emailalert", text(v.EmailAlert))
	f.add("emailalertfreq", seconds(v.EmailAlertEvery, maxSeconds))
	f.add("emailalertstatus", alertStates(v.EmailAlertStates))
	f.add("smtp", hostName(v.SMTP))
	f.add("servicename", text(v.Name))
	f.add("comment", text(v.Comment))
	return f.all
}

func (v Virtual) checkIdentity(f *faults) {
	if v.FWMark == 0 {
		f.add("address", address(v.Address))
		f.oneOf("protocol", v.Protocol, []string{"tcp", "udp"})
		if v.Port == 0 {
			f.add("port", errors.New("is 0: a service without a port has a firewall mark"))
		}
		if v.Family != "" {
			f.add("family", errors.New("is for a firewall mark: leave it out"))
		}
		return
	}
	f.oneOf("family", v.Family, []string{"ipv4", "ipv6"})
	if v.Address.IsValid() || v.Port != 0 || v.Protocol != "" {
		f.add("address", errors.New("stands beside a firewall mark: leave one of them"))
	}
}

func (v Virtual) checkTable(f *faults) {
	f.add("scheduler", lowerCase(v.Scheduler, ""))
	f.add("schedflags", lowerCase(v.SchedulerFlags, "0123456789-,"))
	f.add("persistent", seconds(v.Persistent, maxPersistent))
	most := 32
	if v.six() {
		most = 128
	}
	switch {
	case v.Netmask < 0 || v.Netmask > most:
		f.add("netmask", fmt.Errorf("is %d: it is a prefix length up to %d", v.Netmask, most))
	case v.Netmask != 0 && v.Persistent == 0:
		f.add("netmask", errors.New("is for persistent services: declare persistent, or leave it out"))
	}
	if v.OnePacket && v.Protocol != "udp" {
		f.add("ops", errors.New("is for udp alone: leave it out"))
	}
	for _, r := range v.Reals {
		of := faults{object: fmt.Sprintf("virtual %s: real %s", v.ID(), endpoint(r.Address, r.Port))}
		r.check(v.six(), &of)
		of.add("port", v.delivers(r.Forward, r.Port))
		f.all = append(f.all, of.all...)
	}
	if b := v.Fallback; b != nil {
		f.add("fallback", sameFamily(b.Address, v.six()))
		f.oneOf("fallback's forward", b.Forward, forwards)
		if b.Port != 0 {
			f.add("fallback's port", v.delivers(b.Forward, b.Port))
		}
	}
}

// delivers refuses a port that is not the one in the kernel's table then: a
// server that ldirectord does not find there it deletes at every reload.
func (v Virtual) delivers(forward string, port uint16) error {
	switch {
	case v.FWMark != 0 || port == v.Port:
	case port == 0:
		return errors.New("is missing: write the port of the real server")
	case forward != "masq":
		return fmt.Errorf("is %d, where the kernel delivers to %d: only masq can change the port", port, v.Port)
	}
	return nil
}

func (r Real) check(six bool, f *faults) {
	f.add("address", sameFamily(r.Address, six))
	f.oneOf("forward", r.Forward, forwards)
	if r.Weight < 0 || r.Weight > maxWeight {
		f.add("weight", fmt.Errorf("is %d: it is a number from 0 to %d", r.Weight, maxWeight))
	}
	if r.Check != nil {
		if r.Check.Request == "" {
			f.add("request", errors.New("is empty: write what is asked for, / at least"))
		}
		f.add("request", text(r.Check.Request))
		f.add("receive", expression(r.Check.Receive))
	}
	switch {
	case r.Upper > maxConnection || r.Lower > maxConnection:
		f.add("threshold", fmt.Errorf("is above %d", maxConnection))
	case r.Lower > r.Upper:
		f.add("lower threshold", fmt.Errorf("is %d, above the upper one, which is %d: the kernel refuses it", r.Lower, r.Upper))
	}
}

func (v Virtual) checkChecks(f *faults) {
	f.oneOf("checktype", v.Check, checks)
	if combined := v.Check == CheckCombined; v.ConnectsPerCheck < 0 || v.ConnectsPerCheck > maxSeconds || combined != (v.ConnectsPerCheck != 0) {
		f.add("checktype", fmt.Errorf("is %q with %d connects: a number of connects is for combined checks, and they need one", v.Check, v.ConnectsPerCheck))
	}
	f.oneOf("service", v.Service, spoken)
	f.oneOf("httpmethod", v.HTTPMethod, []string{"", "GET", "HEAD"})
	f.add("checkcommand", path(v.CheckCommand))
	f.add("checktimeout", seconds(v.CheckTimeout, maxSeconds))
	f.add("negotiatetimeout", seconds(v.NegotiateTimeout, maxSeconds))
	f.add("checkinterval", seconds(v.CheckInterval, maxSeconds))
	f.add("checkcount", count(v.CheckCount))
	f.add("failurecount", count(v.FailureCount))
	f.add("request", text(v.Request))
	f.add("receive", expression(v.Receive))
	f.add("virtualhost", text(v.VirtualHost))
	f.add("login", text(v.Login))
	f.add("passwd", hideWords(text(v.Password)))
	f.add("secret", hideWords(text(v.Secret)))
	f.add("database", text(v.Database))
}

// text refuses what would end a line, a string or a directive: ldirectord cuts
// a line at #, also within quotes, and knows no escape.
func text(s string) error {
	switch {
	case !utf8.ValidString(s):
		return errors.New("is no valid UTF-8: ldirectord.cf can only hold text")
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("begins or ends with a blank: %q", s)
	}
	for _, r := range s {
		switch {
		case r == '"' || r == '#':
			return fmt.Errorf("has a %c, which ldirectord cannot read in a value: %q", r, s)
		case !unicode.IsPrint(r):
			return fmt.Errorf("has the character %U, which is not printable: %q", r, s)
		}
	}
	return nil
}

// hideWords keeps a secret out of the complaint about it.
func hideWords(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("has a quote, a #, a character that is not printable, or a blank at an end: ldirectord cannot read it")
}

// expression refuses a regular expression that Perl might not compile: that
// ends ldirectord at the first answer, and nothing tells before.
func expression(s string) error {
	if err := text(s); err != nil {
		return err
	}
	if _, err := syntax.Parse(s, syntax.Perl); err != nil {
		return fmt.Errorf("is no regular expression that can be relied on (%w): %q", err, s)
	}
	if strings.Contains(s, `\C`) || ungreedy(s) {
		return fmt.Errorf("has \\C or the flag U, which Perl does not know: %q", s)
	}
	return nil
}

// ungreedy tells whether a group sets the flag U, as in (?U) or (?i-U:…).
func ungreedy(s string) bool {
	for {
		_, after, found := strings.Cut(s, "(?")
		if !found {
			return false
		}
		flags := strings.TrimLeft(after, "imnsx-^")
		if strings.HasPrefix(flags, "U") {
			return true
		}
		s = after
	}
}

// path takes what has one meaning for a shell too, which runs some of them.
func path(s string) error {
	if s == "" {
		return nil
	}
	if !strings.HasPrefix(s, "/") || strings.Trim(s, letters+"/._+-@:,=%") != "" {
		return fmt.Errorf("is %q: it is an absolute path of letters, digits and /._+-@:,=%%, without arguments", s)
	}
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func hostName(s string) error {
	if strings.Trim(s, letters+"._+-") != "" {
		return fmt.Errorf("is %q: it is a host's name or IPv4 address", s)
	}
	return nil
}

func lowerCase(s, others string) error {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz"+others) != "" {
		return fmt.Errorf("is %q: only a-z%s may be in it", s, others)
	}
	return nil
}

func alertStates(s string) error {
	if s == "" || s == "none" {
		return nil
	}
	for word := range strings.SplitSeq(s, ",") {
		if !slices.Contains(alerts, word) {
			return fmt.Errorf("is %q: it is none, or a list of %s", s, strings.Join(alerts, ","))
		}
	}
	return nil
}

// address refuses addresses that ldirectord would not find again in the list
// of ipvsadm, which writes those that embed an IPv4 address with dots.
func address(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return errors.New("is missing")
	case a.Zone() != "":
		return fmt.Errorf("is %s: ldirectord takes no zone", a)
	case a.Is6() && embedsIPv4(a.As16()):
		return fmt.Errorf("is %s, which embeds an IPv4 address: ldirectord cannot read it", a)
	}
	return nil
}

func embedsIPv4(b [16]byte) bool {
	for _, octet := range b[:10] {
		if octet != 0 {
			return false
		}
	}
	mapped := b[10] == 0xff && b[11] == 0xff
	compatible := b[10] == 0 && b[11] == 0 && (b[12] != 0 || b[13] != 0)
	return mapped || compatible
}

func sameFamily(a netip.Addr, six bool) error {
	if err := address(a); err != nil {
		return err
	}
	if a.Is6() != six {
		return fmt.Errorf("%s is of the other address family: ldirectord takes that of the service alone", a)
	}
	return nil
}

func seconds(d time.Duration, most int64) error {
	if d < 0 || d%time.Second != 0 || int64(d/time.Second) > most {
		return fmt.Errorf("is %s: it is a whole number of seconds up to %d", d, most)
	}
	return nil
}

func count(n int) error {
	if n < 0 || n > maxSeconds {
		return fmt.Errorf("is %d: it is a number from 1", n)
	}
	return nil
}
