package ldirectord

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// Render writes a section of ldirectord.cf: lines of its own, the last one ended,
// which have one meaning wherever they stand behind other services. The error
// names every object and attribute that cannot be written.
func (c Config) Render() (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	var w writer
	w.global(c.Global)
	for _, v := range c.Services {
		if w.Len() > 0 {
			w.WriteByte('\n')
		}
		w.virtual(v)
	}
	return w.String(), nil
}

// writer writes values that have been checked.
type writer struct {
	strings.Builder
	indent string
}

func (w *writer) line(keyword, value string) {
	w.WriteString(w.indent + keyword + " = " + value + "\n")
}

// word writes a value that is not empty as it stands.
func (w *writer) word(keyword, value string) {
	if value != "" {
		w.line(keyword, value)
	}
}

// quoted writes a value that is not empty between quotes, where blanks mean
// what they are.
func (w *writer) quoted(keyword, value string) {
	if value != "" {
		w.line(keyword, `"`+value+`"`)
	}
}

func (w *writer) number(keyword string, n int) {
	if n != 0 {
		w.line(keyword, strconv.Itoa(n))
	}
}

func (w *writer) seconds(keyword string, d time.Duration) {
	w.number(keyword, int(d/time.Second))
}

func (w *writer) yesNo(keyword string, o state.Opt[bool]) {
	if o.Set {
		w.line(keyword, map[bool]string{true: "yes", false: "no"}[o.Value])
	}
}

func (w *writer) global(g Global) {
	w.seconds("checkinterval", g.CheckInterval)
	w.yesNo("autoreload", g.AutoReload)
	w.yesNo("readdquiescent", g.ReaddQuiescent)
	w.yesNo("fork", g.Fork)
	w.yesNo("supervised", g.Supervised)
	w.word("maintenancedir", g.MaintenanceDir)
	w.quoted("logfile", g.LogFile)
	w.quoted("callback", g.Callback)
	w.word("emailalertfrom", g.EmailFrom)
}

func (w *writer) virtual(v Virtual) {
	six := ""
	if v.six() {
		six = "6"
	}
	if v.FWMark != 0 {
		w.line("virtual"+six, strconv.FormatUint(uint64(v.FWMark), 10))
	} else {
		w.line("virtual"+six, endpoint(v.Address, v.Port))
	}
	w.indent = "    "
	protocol := v.Protocol
	if v.FWMark != 0 {
		protocol = "fwm"
	}
	w.line("protocol", protocol)
	w.word("scheduler", v.Scheduler)
	w.word("schedflags", v.SchedulerFlags)
	w.seconds("persistent", v.Persistent)
	if v.Netmask != 0 {
		w.line("netmask", netmask(v.Netmask, v.six()))
	}
	if v.OnePacket {
		w.line("ops", "yes")
	}
	for _, r := range v.Reals {
		w.line("real"+six, real(r))
	}
	if f := v.Fallback; f != nil {
		w.line("fallback"+six, endpoint(f.Address, f.Port)+" "+f.Forward)
	}
	w.checks(v)
	w.rest(v)
	w.indent = ""
}

func (w *writer) checks(v Virtual) {
	if v.Check == CheckCombined {
		w.number("checktype", v.ConnectsPerCheck)
	} else {
		w.word("checktype", v.Check)
	}
	w.word("service", v.Service)
	w.quoted("checkcommand", v.CheckCommand)
	w.number("checkport", int(v.CheckPort))
	w.seconds("checktimeout", v.CheckTimeout)
	w.seconds("negotiatetimeout", v.NegotiateTimeout)
	w.seconds("checkinterval", v.CheckInterval)
	w.number("checkcount", v.CheckCount)
	w.number("failurecount", v.FailureCount)
	w.quoted("request", v.Request)
	w.quoted("receive", v.Receive)
	w.word("httpmethod", v.HTTPMethod)
	w.quoted("virtualhost", v.VirtualHost)
	w.quoted("login", v.Login)
	w.quoted("passwd", v.Password)
	w.quoted("database", v.Database)
	w.quoted("secret", v.Secret)
}

func (w *writer) rest(v Virtual) {
	w.yesNo("quiescent", v.Quiescent)
	w.yesNo("cleanstop", v.CleanStop)
	w.quoted("fallbackcommand", v.FallbackCommand)
	w.quoted("monitorfile", v.MonitorFile)
	w.quoted("emailalert", v.EmailAlert)
	w.seconds("emailalertfreq", v.EmailAlertEvery)
	w.word("emailalertstatus", v.EmailAlertStates)
	w.word("smtp", v.SMTP)
	w.word("servicename", v.Name)
	w.word("comment", v.Comment)
}

// real always says the weight: without one ldirectord takes the first number
// of the request for it.
func real(r Real) string {
	s := fmt.Sprintf("%s %s %d", endpoint(r.Address, r.Port), r.Forward, r.Weight)
	if r.Check != nil {
		s += fmt.Sprintf(` "%s", "%s"`, r.Check.Request, r.Check.Receive)
	}
	if r.Lower != 0 { // before the upper one, which ldirectord overlooks otherwise
		s += fmt.Sprintf(" l:%d", r.Lower)
	}
	if r.Upper != 0 {
		s += fmt.Sprintf(" u:%d", r.Upper)
	}
	return s
}

func endpoint(a netip.Addr, port uint16) string {
	s := a.String()
	if a.Is6() {
		s = "[" + s + "]"
	}
	if port != 0 {
		s += ":" + strconv.Itoa(int(port))
	}
	return s
}

func netmask(ones int, six bool) string {
	if six {
		return strconv.Itoa(ones)
	}
	all, err := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(ones)
	if err != nil {
		return "" // refused
	}
	return all.Addr().String()
}
