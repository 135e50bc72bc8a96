package hcl

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// The programs that keep a table and check its real servers.
const (
	keepalived = "keepalived"
	ldirectord = "ldirectord"
)

const (
	// minCheck is the shortest time between two checks, and for one.
	minCheck   = 100 * time.Millisecond
	maxCheck   = time.Hour
	maxRetries = 100
	// maxCheckText is what fits a line of both programs' files with room to spare.
	maxCheckText = 255
	maxQuorum    = math.MaxInt32
)

// healthTypes are the checks in the order in which messages name them; on and
// off are ldirectord's.
var healthTypes = [...]string{"tcp", "http", "https", "dns", "smtp", "udp", "ping", "script", "on", "off"}

// dnsRecords are those that keepalived.conf(5) takes for a DNS_CHECK.
var dnsRecords = [...]string{"A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA"}

func healthSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"interval":    allow(cty.DynamicPseudoType),
		"timeout":     allow(cty.DynamicPseudoType),
		"retries":     allow(cty.Number),
		"retry_delay": allow(cty.DynamicPseudoType),
		"port":        allow(cty.Number),
		"path":        allow(cty.String),
		"status":      allow(cty.List(cty.Number)),
		"host_header": allow(cty.String),
		"contains":    allow(cty.String),
		"name":        allow(cty.String),
		"record":      allow(cty.String),
		"helo":        allow(cty.String),
		"send":        allow(cty.String),
		"receive":     allow(cty.String),
		"command":     allow(cty.String),
		"user":        allow(cty.String),
	}}
}

func fallbackSchema() *schema {
	return &schema{attrs: map[string]attribute{
		"address": need(cty.String),
		"port":    allow(cty.Number),
		"forward": allow(cty.String),
	}}
}

// checking reads who keeps the table of a service, and how it finds out which
// real servers are alive.
func (o *object) checking(s *topology.VirtualService, forward string, defaults map[string]cty.Value) {
	s.Checker = o.checker()
	for i, b := range o.blocks["health_check"] {
		if i > 0 {
			o.l.r.error(b.header, "Second health_check", "A service has one; the first is at %s. Take one of the two out.", place(o.blocks["health_check"][0].header))
			b.bad["type"] = true
			continue
		}
		s.HealthCheck = b.healthCheck(s)
	}
	if b := o.block("fallback"); b != nil {
		s.Fallback = b.fallback(s, forward)
	}
	quorum, _ := o.whole("quorum", 1, maxQuorum)
	s.Quorum, s.Quiescent = int(quorum), o.boolean("quiescent")
	if !o.bad["checker"] {
		o.checkChecker(s)
	}
	defaults["checker"] = cty.StringVal(s.Checker)
	if s.Checker == "" {
		defaults["checker"] = cty.StringVal("none")
	}
}

// checker is keepalived for a service with a health_check, and none for others.
func (o *object) checker() string {
	c := o.choice("checker", "none", keepalived, ldirectord)
	switch {
	case c == "none":
		return ""
	case c == "" && !o.bad["checker"] && len(o.blocks["health_check"]) > 0:
		return keepalived
	}
	return c
}

// checkChecker holds what needs a checker, and what which checker can do.
func (o *object) checkChecker(s *topology.VirtualService) {
	if s.Checker == "" {
		o.unchecked()
		return
	}
	if s.Checker != ldirectord {
		return
	}
	if s.HealthCheck == nil && len(o.blocks["health_check"]) == 0 {
		o.fail("checker", "ldirectord without a health_check", "ldirectord would ask the real servers something of its own choice. Add a health_check, health_check \"tcp\" {} say; health_check \"on\" {} takes all of them for alive.")
	}
	if o.has("quorum") {
		o.fail("quorum", "quorum under ldirectord", "ldirectord has no quorum: it serves as long as one real server is alive. Take it out, or use checker = \"keepalived\".")
	}
	if s.Protocol == "sctp" {
		o.fail("protocol", "SCTP under ldirectord", "ldirectord knows TCP, UDP and firewall marks. Use checker = \"keepalived\".")
	}
	if b := o.block("persistence"); b != nil && b.has("engine") {
		b.fail("engine", "engine under ldirectord", "ldirectord cannot set a persistence engine. Take it out, or use checker = \"keepalived\".")
	}
	for _, b := range o.blocks["real_server"] {
		if t := b.block("tunnel"); t != nil && t.text("type") != "ipip" {
			t.fail("type", "Tunnel under ldirectord", "ldirectord knows ipip tunnels only. Use checker = \"keepalived\".")
		}
	}
}

// unchecked reports what has no effect without a checker.
func (o *object) unchecked() {
	if len(o.blocks["health_check"]) > 0 {
		o.fail("checker", "health_check without a checker", "With checker = \"none\" nobody makes the check. Take checker out, or the health_check.")
	}
	fix := "needs a program that checks the real servers. Add a health_check \"tcp\" {}, or take it out."
	if b := o.block("fallback"); b != nil {
		o.l.r.check("LVS018", b.header, "fallback without a checker", "Only a checker knows that all real servers are dead: a fallback "+fix)
		b.bad["address"] = true
	}
	for _, name := range []string{"quorum", "quiescent"} {
		if o.has(name) && !o.bad[name] {
			o.l.r.check("LVS018", o.rangeOf(name), name+" without a checker", "%s %s", upperFirst(name), fix)
			o.bad[name] = true
		}
	}
}

// fallback reads where clients go when no real server is alive. The director
// itself is reached as its packets are: unchanged.
func (o *object) fallback(s *topology.VirtualService, forward string) *topology.Fallback {
	f := &topology.Fallback{Address: o.unicast("address"), Port: s.Port, Forward: o.choice("forward", "nat", "dr", "tun")}
	if f.Forward == "" {
		if f.Forward = forward; f.Address.IsLoopback() {
			f.Forward = "dr"
		}
	}
	if port, ok := o.whole("port", 1, math.MaxUint16); ok {
		f.Port = uint16(port)
	}
	a := f.Address
	switch {
	case !a.IsValid() || s.Family == "":
	case a.IsLoopback() && f.Forward != "dr":
		o.l.r.check("LVS018", o.rangeOf("forward"), "Fallback on a loopback address without dr",
			"The kernel drops what it rewrites or sends through a tunnel to %s. Set forward = \"dr\": the packet then reaches the director's own program on the VIP's port.", a)
		o.bad["forward"] = true
	case a.Is4() != (s.Family == "ipv4") && f.Forward != "tun":
		o.l.r.check("LVS021", o.rangeOf("address"), "Mixed address families",
			"The service is %s and the fallback %s is not; only forward = \"tun\" carries one in the other. Use an address of the same family.", familyName(s.Family == "ipv4"), a)
		o.bad["address"] = true
	case f.Forward != "nat" && f.Port != s.Port && s.FWMark == 0:
		o.l.r.check("LVS001", o.rangeOf("port"), "Port mapping without NAT",
			"With forward %q the packet reaches the fallback as the client sent it, to port %d, never to port %d. Leave port out, or use forward = \"nat\".", f.Forward, s.Port, f.Port)
		o.bad["port"] = true
	}
	return f
}

// healthCheck reads the only check of a service.
func (o *object) healthCheck(s *topology.VirtualService) *topology.HealthCheck {
	if !slices.Contains(healthTypes[:], o.label) {
		o.l.r.error(o.header, "Unknown health check", "health_check is one of %s, not %q.%s", oneOf(healthTypes[:]), clip(o.label), didYouMean(o.label, healthTypes[:]))
		o.bad["type"] = true
		return nil
	}
	o.belongs(s.Checker)
	h := &topology.HealthCheck{Type: o.label, Path: o.text("path"), HostHeader: o.text("host_header"), Contains: o.text("contains"),
		Name: o.text("name"), Record: o.choice("record", dnsRecords[:]...), HELO: o.text("helo"),
		Send: o.text("send"), Receive: o.text("receive"), Command: o.text("command"), User: o.text("user")}
	o.checkTimes(h, s.Checker)
	port, _ := o.whole("port", 1, math.MaxUint16)
	h.Port, h.Retries, h.Status = uint16(port), o.wholePointer("retries", 0, maxRetries), o.statuses()
	if h.Port == 0 && s.Port == 0 && s.FWMark == 0 && needsPort(h.Type) && !o.bad["port"] {
		o.l.r.error(o.header, "Health check without a port", "The service has every port: say which one the check asks, port = 80.")
		o.bad["port"] = true
	}
	o.checkTexts()
	if six := s.Family == "ipv6"; six && s.Checker == ldirectord && (h.Type == "ping" || h.Type == "smtp") {
		o.l.r.error(o.header, "Check of IPv4 under ldirectord", "ldirectord makes no %s check of IPv6 servers. Use \"tcp\", \"http\", \"https\", \"dns\" or \"script\", or checker = \"keepalived\".", h.Type)
		o.bad["type"] = true
	}
	if h.Type == "script" && !o.has("command") {
		o.l.r.error(o.header, "Script without a command", "A script check needs command = \"/path/to/program and its arguments\".")
		o.bad["command"] = true
	}
	if h.Type == "dns" && s.Checker == ldirectord && !o.has("name") {
		o.l.r.error(o.header, "DNS check without a name", "ldirectord has to be told what to ask for: name = \"www.example.net\".")
		o.bad["name"] = true
	}
	return h
}

func needsPort(check string) bool {
	return !slices.Contains([]string{"ping", "script", "on", "off"}, check)
}

// owned says which types of check an argument belongs to; others belong to all
// but on and off.
func owned(name string) []string {
	switch name {
	case "path", "host_header", "contains", "status":
		return []string{"http", "https"}
	case "name", "record":
		return []string{"dns"}
	case "helo":
		return []string{"smtp"}
	case "send", "receive":
		return []string{"udp"}
	case "command", "user":
		return []string{"script"}
	case "port":
		return []string{"tcp", "http", "https", "dns", "smtp", "udp"}
	}
	return []string{"tcp", "http", "https", "dns", "smtp", "udp", "ping", "script"}
}

// foreignToLdirectord are the arguments of a check that ldirectord has nothing for.
var foreignToLdirectord = [...]string{"retry_delay", "status", "record", "helo", "user"}

// belongs reports arguments of other types of check, and what the checker cannot do.
func (o *object) belongs(checker string) {
	for _, name := range slices.Sorted(maps.Keys(o.vals)) {
		if types := owned(name); !slices.Contains(types, o.label) {
			o.refuse(name, "a health check of type "+oneOf(types))
		}
	}
	switch checker {
	case keepalived:
		if o.label == "on" || o.label == "off" {
			o.l.r.error(o.header, "Check type of ldirectord", "%q is ldirectord's word for no check; keepalived makes none where there is no health_check block. Take the block out.", o.label)
			o.bad["type"] = true
		}
	case ldirectord:
		if o.label == "udp" {
			o.l.r.error(o.header, "UDP check under ldirectord", "ldirectord sends nothing by UDP of its own. Use \"ping\", \"dns\" or \"script\", or checker = \"keepalived\".")
			o.bad["type"] = true
		}
		for _, name := range foreignToLdirectord {
			o.refuse(name, "checker = \"keepalived\"; ldirectord has nothing for it")
		}
	}
}

// checkTimes reads the times; ldirectord counts in whole seconds, and keepalived
// does so for scripts.
func (o *object) checkTimes(h *topology.HealthCheck, checker string) {
	unit, low := time.Millisecond, minCheck
	if checker == ldirectord {
		unit, low = time.Second, time.Second
	}
	h.Interval, _ = o.durationIn("interval", low, maxCheck, unit)
	h.RetryDelay, _ = o.durationIn("retry_delay", low, maxCheck, unit)
	if h.Type == "script" {
		unit, low = time.Second, time.Second
	}
	h.Timeout, _ = o.durationIn("timeout", low, maxCheck, unit)
}

// statuses are HTTP status codes, sorted.
func (o *object) statuses() []int {
	v, ok := o.vals["status"]
	if !ok {
		return nil
	}
	var out []int
	for _, e := range v.AsValueSlice() {
		n, exact := int64(0), false
		if !e.IsNull() {
			f := e.AsBigFloat()
			n, _ = f.Int64()
			exact = f.IsInt()
		}
		if !exact || n < 100 || n > 599 {
			o.fail("status", "Invalid status", "status lists whole numbers from 100 to 599: [200, 301].")
			return nil
		}
		out = append(out, int(n))
	}
	if len(out) == 0 {
		o.fail("status", "Empty status", "Name at least one status code, or take it out: 200 to 299 are good then.")
		return nil
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// checkTexts refuses what could not be written into the programs' files.
func (o *object) checkTexts() {
	o.plain("path", "", func(s string) string {
		switch {
		case !strings.HasPrefix(s, "/"):
			return "it does not begin with a slash"
		case strings.Contains(s, " "):
			return "it holds a space: write %20"
		}
		return ""
	})
	o.written("contains", func(s string) string { return badPhrase(s, maxCheckText) })
	o.plain("host_header", ".-_:[]", nil)
	o.plain("name", ".-_", nil)
	o.plain("helo", ".-_:[]", nil)
	o.plain("command", "", func(s string) string {
		if !strings.HasPrefix(s, "/") {
			return "it is no absolute path"
		}
		return ""
	})
	o.plain("user", "_-", nil)
	for _, name := range []string{"send", "receive"} {
		if s := o.text(name); o.has(name) && !o.bad[name] && (s == "" || len(s) > maxCheckText) {
			o.fail(name, "Invalid "+name, "%s has from 1 to %d bytes.", upperFirst(name), maxCheckText)
		}
	}
}

// durationIn is duration with another unit than a second.
func (o *object) durationIn(name string, low, high, unit time.Duration) (time.Duration, bool) {
	v, ok := o.vals[name]
	if !ok {
		return 0, false
	}
	d, ok := parseDuration(v)
	if !ok {
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%s is a time like \"3s\" or \"500ms\", or a number of seconds.", name)
		return 0, false
	}
	if d%unit != 0 || d < low || d > high {
		units := "whole seconds"
		if unit != time.Second {
			units = fmt.Sprintf("a multiple of %s", unit)
		}
		o.fail(name, fmt.Sprintf("Invalid %s", name), "%s is %s, from %s to %s.", name, units, low, high)
		return 0, false
	}
	return d, true
}
