package keepalived

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxPersistence = 31 * 24 * time.Hour
	maxTimer       = math.MaxUint32 * time.Microsecond / 2
	maxWeight      = 65535
)

func schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"}
}

func (w *writer) service(s VirtualServer) {
	w.object = "virtual_server " + s.ServiceID.String()
	w.must(s.Family == "ipv4" || s.Family == "ipv6", "family", "is %q: it must be ipv4 or ipv6", s.Family)
	if s.FWMark != 0 {
		w.open("virtual_server", "fwmark", strconv.FormatUint(uint64(s.FWMark), 10))
		w.line("ip_family", map[bool]string{true: "inet6", false: "inet"}[s.Family == "ipv6"])
	} else {
		w.must(s.Address.Is6() == (s.Family == "ipv6"), "address", "%s is not of the family %s", s.Address, s.Family)
		w.must(s.Port != 0 || s.Timeout != 0, "port", "is 0, all ports: that needs persistence")
		w.open(append([]string{"virtual_server"}, w.at("address", s.Address, s.Port)...)...)
		w.must(slices.Contains([]string{"tcp", "udp", "sctp"}, s.Protocol), "protocol", "is %q: it must be tcp, udp or sctp", s.Protocol)
		w.word("protocol", strings.ToUpper(s.Protocol))
	}
	w.balancing(s)
	w.persistence(s)
	if s.DelayLoop != 0 {
		w.seconds("delay_loop", s.DelayLoop, time.Microsecond, maxTimer)
	}
	w.quorum(s)
	w.fallback(s)
	w.must(len(s.RealServers) > 0, "real_server", "is not there: keepalived ignores a virtual server without one")
	for n, r := range s.RealServers {
		w.object = "virtual_server " + s.ServiceID.String()
		w.must(n == 0 || r.Address != s.RealServers[n-1].Address || r.Port != s.RealServers[n-1].Port,
			"real_server", "%s is there twice", endpoint(r.Address, r.Port))
		w.realServer(s, r)
	}
	w.close()
}

func (w *writer) balancing(s VirtualServer) {
	w.must(slices.Contains(schedulers(), s.Scheduler), "lvs_sched", "is %q: keepalived knows %s", s.Scheduler, strings.Join(schedulers(), ", "))
	w.word("lvs_sched", s.Scheduler)
	if s.SchedulerFlags != "" {
		flags := strings.Split(s.SchedulerFlags, ",")
		w.must(slices.IsSorted(flags), "scheduler_flags", "are %q: sort them", s.SchedulerFlags)
		for n, flag := range flags {
			w.must(slices.Contains(schedulerFlags(s.Scheduler), flag) && !slices.Contains(flags[:n], flag), "scheduler_flags", "has %q: %s takes %s",
				flag, s.Scheduler, strings.Join(schedulerFlags(s.Scheduler), ", "))
			w.line(w.name("scheduler_flags", flag))
		}
	}
	if s.OnePacket {
		w.must(s.FWMark != 0 || s.Protocol == "udp", "ops", "is for udp and firewall marks")
		w.line("ops")
	}
}

// schedulerFlags are the names that state.Service gives the three flags.
func schedulerFlags(scheduler string) []string {
	switch scheduler {
	case "sh":
		return []string{"sh-fallback", "sh-port", "flag-3"}
	case "mh":
		return []string{"mh-fallback", "mh-port", "flag-3"}
	}
	return []string{"flag-1", "flag-2", "flag-3"}
}

func (w *writer) persistence(s VirtualServer) {
	whole := 32
	if s.Family == "ipv6" {
		whole = 128
	}
	w.must(s.Netmask >= 1 && s.Netmask <= whole, "netmask", "is %d: it must be from 1 to %d", s.Netmask, whole)
	if s.Timeout == 0 {
		w.must(s.Netmask == whole, "netmask", "is %d: without persistence it is %d", s.Netmask, whole)
		w.must(s.Engine == "", "persistence_engine", "needs persistence")
		return
	}
	w.must(s.Timeout%time.Second == 0, "persistence_timeout", "is %s: it must be whole seconds", s.Timeout)
	w.seconds("persistence_timeout", s.Timeout, time.Second, maxPersistence)
	if s.Netmask != whole && whole == 32 {
		w.line("persistence_granularity", dotted(s.Netmask))
	} else if s.Netmask != whole {
		w.line("persistence_granularity", strconv.Itoa(s.Netmask))
	}
	if s.Engine != "" {
		w.must(s.Engine == "sip", "persistence_engine", "is %q: keepalived knows sip", s.Engine)
		w.word("persistence_engine", s.Engine)
	}
}

// dotted is the mask of a prefix length: 255.255.255.0.
func dotted(length int) string {
	all, err := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(length)
	if err != nil {
		return "" // refused
	}
	return all.Addr().String()
}

// quorum is refused where keepalived would lower it by itself. A service of
// which all servers drain has a total of 0, about which keepalived complains
// whatever the quorum.
func (w *writer) quorum(s VirtualServer) {
	if s.Quorum == 0 {
		return
	}
	total := 0
	for _, r := range s.RealServers {
		total += r.Weight
	}
	w.must(s.Quorum <= total || total == 0 && s.Quorum == 1, "quorum", "is %d, more than the weights of all its real servers, %d", s.Quorum, total)
	w.number("quorum", s.Quorum, 1, math.MaxInt32)
}

func (w *writer) fallback(s VirtualServer) {
	f := s.Fallback
	if f == (Fallback{}) {
		return
	}
	w.line(append([]string{"sorry_server"}, w.at("sorry_server", f.Address, f.Port)...)...)
	w.method("sorry_server_lvs_method", f.Forwarding)
	w.must(f.Forward == "tun" || f.Address.Is6() == (s.Family == "ipv6"), "sorry_server", "%s is not of the family %s", f.Address, s.Family)
	w.must(f.Forward == "nat" || f.Port == 0 || f.Port == s.Port && s.FWMark == 0, "sorry_server",
		"has the port %d: with %s packets keep theirs", f.Port, f.Forward)
}

func (w *writer) method(keyword string, f Forwarding) {
	w.must(slices.Contains([]string{"nat", "dr", "tun"}, f.Forward), keyword, "is %q: it must be nat, dr or tun", f.Forward)
	words := []string{keyword, w.checked(keyword, strings.ToUpper(f.Forward))}
	if f.Forward != "tun" {
		w.must(f == Forwarding{Forward: f.Forward}, keyword, "%s has no tunnel", f.Forward)
		w.line(words...)
		return
	}
	w.must(slices.Contains([]string{"ipip", "gue", "gre"}, f.TunnelType), keyword, "has the tunnel type %q: it must be ipip, gue or gre", f.TunnelType)
	w.must((f.TunnelPort != 0) == (f.TunnelType == "gue"), keyword, "a tunnel has a port when it is gue, then always")
	w.must(f.TunnelChecksum == "" || f.TunnelChecksum == "csum" && f.TunnelType != "ipip" || f.TunnelChecksum == "remcsum" && f.TunnelType == "gue",
		keyword, "a tunnel %s has no checksum %q", f.TunnelType, f.TunnelChecksum)
	if f.TunnelType != "ipip" {
		words = append(words, "type", w.checked(keyword, f.TunnelType))
	}
	if f.TunnelPort != 0 {
		words = append(words, "port", strconv.Itoa(int(f.TunnelPort)))
	}
	if f.TunnelChecksum != "" {
		words = append(words, w.checked(keyword, f.TunnelChecksum))
	}
	w.line(words...)
}

func (w *writer) realServer(s VirtualServer, r RealServer) {
	w.object += " real_server " + endpoint(r.Address, r.Port)
	w.open(append([]string{"real_server"}, w.at("address", r.Address, r.Port)...)...)
	w.must(r.Forward == "tun" || r.Address.Is6() == (s.Family == "ipv6"), "address", "is not of the family %s: that needs a tunnel", s.Family)
	if s.FWMark != 0 {
		w.must(r.Forward == "nat" || r.Port == 0, "port", "is %d: with %s packets of a mark keep theirs", r.Port, r.Forward)
	} else {
		w.must(r.Port != 0 || s.Port == 0, "port", "is unset: the service has %d", s.Port)
		w.must(r.Forward == "nat" || r.Port == s.Port, "port", "is %d: with %s it must be the service's, %d", r.Port, r.Forward, s.Port)
	}
	w.number("weight", r.Weight, 0, maxWeight)
	w.method("lvs_method", r.Forwarding)
	if r.Upper != 0 {
		w.line("uthreshold", strconv.FormatUint(uint64(r.Upper), 10))
	}
	if r.Lower != 0 {
		w.line("lthreshold", strconv.FormatUint(uint64(r.Lower), 10))
	}
	if r.Quiescent {
		w.line("inhibit_on_failure")
	}
	w.check(s, r)
	w.close()
}
