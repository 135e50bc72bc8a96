package keepalived

import (
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// defaults are what a virtual server says for its real servers, and those for
// their checkers.
type defaults struct {
	timeout, retryDelay, delayLoop state.Opt[time.Duration]
	retries, weight                state.Opt[int]
	virtualHost                    state.Opt[string]
	quiescent                      state.Opt[bool]
	method                         state.Opt[Forwarding]
}

// keywords are those of one level; weight is known where it may stand.
func (d *defaults) keywords(p *parser) keywords {
	timer := func(to *state.Opt[time.Duration], low time.Duration) func(*statement) {
		return func(s *statement) { to.Set = p.seconds(s, &to.Value, low, maxTimer) || to.Set }
	}
	return keywords{
		"connect_timeout":    timer(&d.timeout, time.Microsecond),
		"delay_before_retry": timer(&d.retryDelay, 0),
		"delay_loop":         timer(&d.delayLoop, time.Microsecond),
		"retry": func(s *statement) {
			d.retries.Set = p.integer(s, &d.retries.Value, 0, math.MaxInt32) || d.retries.Set
		},
	}
}

// server adds what a checker does not say.
func (d *defaults) server(p *parser, known keywords) keywords {
	known["weight"] = func(s *statement) { d.weight.Set = p.integer(s, &d.weight.Value, 0, maxWeight) || d.weight.Set }
	known["lvs_method"] = func(s *statement) { d.method.Set = p.method(s, &d.method.Value) || d.method.Set }
	known["virtualhost"] = func(s *statement) { d.host(p, s) }
	known["alpha"] = p.neutral(whyAlive, "off", "false", "no")
	known["smtp_alert"] = p.neutral(whyMail, "off", "false", "no")
	return known
}

func (d *defaults) host(p *parser, s *statement) {
	p.word(s, &d.virtualHost.Value)
	d.virtualHost.Set = d.virtualHost.Value != ""
}

// service is a virtual server while it is read.
type service struct {
	VirtualServer
	defaults
	servers  []*server
	flags    []string
	family   string     // as ip_family says
	mask     *statement // of persistence_granularity
	method   state.Opt[Forwarding]
	sorry    *statement
	protocol string
}

// server is a real server while it is read.
type server struct {
	RealServer
	defaults
	at      *statement
	checker *checker
}

func (p *parser) virtualServer(s *statement) {
	if len(s.words) < 2 || !s.opened {
		p.issue(s, "needs an address, a mark or a group, and a block")
		return
	}
	v := &service{}
	p.block("virtual_server", s.block, p.serviceKeywords(v))
	for _, id := range p.identities(s, v) {
		out := p.finish(s, v, id)
		switch {
		case len(out.RealServers) == 0:
			p.issue(s, "has no real server that can be carried over: keepalived ignores it")
		case slices.ContainsFunc(p.config.Services, func(o VirtualServer) bool { return o.ServiceID == id }):
			p.issue(s, "is there twice: %s", id)
		default:
			p.config.Services = append(p.config.Services, out)
			p.where["virtual_server "+id.String()] = s
		}
	}
}

func (p *parser) serviceKeywords(v *service) keywords {
	known := v.defaults.server(p, v.defaults.keywords(p))
	scheduler := func(s *statement) { p.oneOf(s, &v.Scheduler, schedulers()...) }
	known["lvs_sched"], known["lb_algo"] = scheduler, scheduler
	known["lvs_method"] = func(s *statement) {
		v.defaults.method.Set = p.method(s, &v.defaults.method.Value) || v.defaults.method.Set
	}
	known["lb_kind"] = known["lvs_method"]
	for _, flag := range []string{"flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback"} {
		known[flag] = func(s *statement) { p.schedulerFlag(s, v) }
	}
	known["ops"] = func(s *statement) { p.bare(s, &v.OnePacket) }
	known["protocol"] = func(s *statement) {
		if len(s.words) == 2 {
			s.words[1] = strings.ToLower(s.words[1])
		}
		p.oneOf(s, &v.protocol, "tcp", "udp", "sctp")
	}
	known["ip_family"] = func(s *statement) { p.oneOf(s, &v.family, "inet", "inet6") }
	known["persistence_timeout"] = func(s *statement) {
		if len(s.words) == 1 {
			v.Timeout = defaultPersistence
			return
		}
		n := 0
		if p.integer(s, &n, 1, int(maxPersistence/time.Second)) {
			v.Timeout = time.Duration(n) * time.Second
		}
	}
	known["persistence_granularity"] = func(s *statement) { v.mask = s }
	known["persistence_engine"] = func(s *statement) { p.oneOf(s, &v.Engine, "sip") }
	known["quorum"] = func(s *statement) { p.integer(s, &v.Quorum, 1, math.MaxInt32) }
	known["inhibit_on_failure"] = func(s *statement) { v.quiescent = state.Some(true) }
	known["sorry_server"] = func(s *statement) {
		if p.at(s, s.words[1:], &v.Fallback.Address, &v.Fallback.Port) {
			v.sorry = s
		}
	}
	known["sorry_server_lvs_method"] = func(s *statement) { v.method.Set = p.method(s, &v.method.Value) || v.method.Set }
	known["real_server"] = func(s *statement) { p.realServer(s, v) }
	known["hysteresis"] = p.neutral("a quorum counts both ways", "0")
	return known
}

const defaultPersistence = 360 * time.Second

// schedulerFlag reads a flag, which keepalived takes for the scheduler that it
// has read by then.
func (p *parser) schedulerFlag(s *statement, v *service) {
	if p.values(s, 0, 0) == nil {
		return
	}
	flag := s.keyword()
	if kind, _, found := strings.Cut(flag, "-"); found && kind != "flag" && kind != v.Scheduler {
		p.issue(s, "does nothing here: it needs lvs_sched %s before it", kind)
		return
	}
	v.flags = append(v.flags, flag)
}

// flagsOf are the flags as state.Service names them.
func flagsOf(scheduler string, flags []string) string {
	var out []string
	for _, flag := range flags {
		for n, name := range []string{"flag-1", "flag-2", "flag-3"} {
			if flag == name {
				flag = schedulerFlags(scheduler)[n]
				break
			}
		}
		out = append(out, flag)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ",")
}

// method reads NAT, DR or TUN with its options.
func (p *parser) method(s *statement, to *Forwarding) bool {
	if len(s.words) < 2 || s.opened {
		p.issue(s, "needs NAT, DR or TUN")
		return false
	}
	f := Forwarding{Forward: strings.ToLower(s.words[1])}
	if !slices.Contains([]string{"NAT", "DR", "TUN"}, s.words[1]) {
		p.issue(s, "is %q: keepalived knows NAT, DR and TUN", clip(s.words[1]))
		return false
	}
	if f.Forward == "tun" {
		f.TunnelType = "ipip"
	}
	for rest := s.words[2:]; len(rest) > 0; rest = rest[1:] {
		switch word := rest[0]; {
		case f.Forward == "tun" && word == "type" && len(rest) > 1 && slices.Contains([]string{"ipip", "gue", "gre"}, rest[1]):
			f.TunnelType, rest = rest[1], rest[1:]
		case f.Forward == "tun" && word == "port" && len(rest) > 1:
			n, err := strconv.ParseUint(rest[1], 10, 16)
			if err != nil || n == 0 {
				p.issue(s, "%q is no port number", clip(rest[1]))
				return false
			}
			f.TunnelPort, rest = uint16(n), rest[1:]
		case f.Forward == "tun" && (word == "csum" || word == "remcsum"):
			f.TunnelChecksum = word
		case f.Forward == "tun" && word == "nocsum":
			f.TunnelChecksum = ""
		default:
			p.issue(s, "has %q, which it does not take", clip(word))
			return false
		}
	}
	probe := &writer{}
	if probe.method("lvs_method", f); len(probe.errs) > 0 {
		p.issue(s, "is no tunnel that keepalived takes")
		return false
	}
	*to = f
	return true
}

func (p *parser) realServer(s *statement, v *service) {
	r := &server{at: s}
	if !s.opened || !p.at(s, s.words[1:], &r.Address, &r.Port) {
		if !s.opened {
			p.issue(s, "needs a block")
		}
		return
	}
	known := r.defaults.server(p, r.defaults.keywords(p))
	p.serverKeywords(known, r)
	p.block("real_server", s.block, known)
	v.servers = append(v.servers, r)
}

// serverKeywords adds those that stand in a real server alone.
func (p *parser) serverKeywords(known keywords, r *server) {
	threshold := func(to *uint32) func(*statement) {
		return func(s *statement) {
			n := 0
			if p.integer(s, &n, 0, math.MaxUint32) {
				*to = uint32(n)
			}
		}
	}
	known["uthreshold"], known["lthreshold"] = threshold(&r.Upper), threshold(&r.Lower)
	known["inhibit_on_failure"] = func(s *statement) {
		p.flag(s, &r.quiescent.Value)
		r.quiescent.Set = true
	}
	p.checkers(known, r)
}

// finish makes the virtual server with the identity id.
func (p *parser) finish(s *statement, v *service, id state.ServiceID) VirtualServer {
	out := v.VirtualServer
	out.ServiceID, out.Netmask = id, whole(id.Family)
	if out.Scheduler == "" {
		out.Scheduler = "wlc"
	}
	out.SchedulerFlags = flagsOf(out.Scheduler, v.flags)
	if out.OnePacket && id.FWMark == 0 && id.Protocol != "udp" {
		p.issue(s, "ops is for udp and firewall marks: keepalived ignores it")
		out.OnePacket = false
	}
	p.granularity(v, &out)
	if id.FWMark == 0 && id.Port == 0 && out.Timeout == 0 {
		p.issue(s, "without a port is persistent: keepalived sets 360 seconds")
		out.Timeout = defaultPersistence
	}
	if out.Timeout == 0 && out.Engine != "" {
		p.issue(s, "persistence_engine needs persistence: left out")
		out.Engine = ""
	}
	method := v.defaults.method.Or(state.Some(Forwarding{Forward: "nat"}))
	for _, r := range v.servers {
		p.addServer(&out, v, r, method)
	}
	p.sorryServer(&out, v, method)
	p.intervals(&out, v)
	total := 0
	for _, r := range out.RealServers {
		total += r.Weight
	}
	if out.Quorum > total && !(total == 0 && out.Quorum == 1) && len(out.RealServers) > 0 {
		p.issue(s, "has a quorum above the weights of its real servers together: keepalived lowers it to %d", total)
		out.Quorum = total
	}
	return out
}

func (p *parser) granularity(v *service, out *VirtualServer) {
	if v.mask == nil {
		return
	}
	values := p.values(v.mask, 1, 1)
	if values == nil {
		return
	}
	if n, err := strconv.Atoi(values[0]); err == nil && out.Family == "ipv6" && n >= 1 && n <= 128 {
		out.Netmask = n
	} else if a, err := netip.ParseAddr(values[0]); err == nil && a.Is4() && out.Family == "ipv4" {
		b := a.As4()
		mask := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if mask == 0 || bits.LeadingZeros32(^mask)+bits.TrailingZeros32(mask) != 32 {
			p.issue(v.mask, "%s has no prefix length", values[0])
			return
		}
		out.Netmask = bits.LeadingZeros32(^mask)
	} else {
		p.issue(v.mask, "%q is no mask of %s", clip(values[0]), out.Family)
		return
	}
	if out.Timeout == 0 {
		out.Timeout = defaultPersistence
	}
}

// addServer puts a real server in as keepalived would: ports and families that
// do not fit are corrected, or it is left out.
func (p *parser) addServer(out *VirtualServer, v *service, r *server, method state.Opt[Forwarding]) {
	server := r.RealServer
	server.Forwarding = r.defaults.method.Or(method).Value
	server.Weight = opt(r.weight, v.weight, state.Some(1)).Value
	server.Quiescent = r.quiescent.Or(v.quiescent).Value
	if server.Forward != "tun" && familyOf(server.Address) != out.Family {
		p.issue(r.at, "is not of the family %s: keepalived leaves it out", out.Family)
		return
	}
	port := p.port(r.at, out.ServiceID, server.Forward, server.Port)
	server.Port = port
	if slices.ContainsFunc(out.RealServers, func(o RealServer) bool { return o.Address == server.Address && o.Port == port }) {
		p.issue(r.at, "is there twice: keepalived takes the first")
		return
	}
	if r.checker != nil {
		server.Check = r.checker.resolve(p, v, r)
		ported := server.Check.Type != MiscCheck && server.Check.Type != PingCheck
		if ported && server.Check.Port == 0 && server.Port == 0 && out.Port == 0 && server.Check.Type != "" {
			p.issue(r.at, "has a check without a port: left out")
			server.Check = Check{}
		}
	}
	out.RealServers = append(out.RealServers, server)
}

// port is the one that keepalived gives to a server.
func (p *parser) port(s *statement, id state.ServiceID, forward string, port uint16) uint16 {
	if id.FWMark != 0 {
		if forward != "nat" && port != 0 {
			p.issue(s, "has a port: with %s packets of a mark keep theirs", forward)
			return 0
		}
		return port
	}
	if forward != "nat" && port != 0 && port != id.Port {
		p.issue(s, "has another port than the service: with %s keepalived takes the service's", forward)
	}
	if port == 0 || forward != "nat" {
		return id.Port
	}
	return port
}

func (p *parser) sorryServer(out *VirtualServer, v *service, method state.Opt[Forwarding]) {
	if v.sorry == nil {
		out.Fallback = Fallback{}
		return
	}
	out.Fallback.Forwarding = v.method.Or(method).Value
	if out.Fallback.Forward != "tun" && familyOf(out.Fallback.Address) != out.Family {
		p.issue(v.sorry, "is not of the family %s: keepalived leaves it out", out.Family)
		out.Fallback = Fallback{}
		return
	}
	out.Fallback.Port = p.port(v.sorry, out.ServiceID, out.Fallback.Forward, out.Fallback.Port)
}

// intervals finds the interval that all checkers have.
func (p *parser) intervals(out *VirtualServer, v *service) {
	var found state.Opt[time.Duration]
	for _, r := range v.servers {
		if r.checker == nil {
			continue
		}
		interval := opt(r.checker.delayLoop, r.defaults.delayLoop, v.delayLoop, state.Some(time.Duration(0)))
		if found.Set && found != interval {
			p.issue(r.at, "has another delay_loop than a server before it: that one's is taken for all")
		}
		found = found.Or(interval)
	}
	out.DelayLoop = found.Or(v.delayLoop).Value
}
