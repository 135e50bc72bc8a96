package planner

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/formats/ldirectord"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// DefaultLdirectordRetries is how often ldirectord tries again, at the next
// interval, before a server counts as dead: it cannot try again sooner.
const DefaultLdirectordRetries = 1

// ldirectordForwards are the names of the ways of forwarding.
var ldirectordForwards = map[string]string{"dr": "gate", "nat": "masq", "tun": "ipip"}

// ldirectordSettings reads a text that ldirectord has.
func ldirectordSettings(text string) (settings, bool) {
	c, issues, err := ldirectord.Parse(text)
	if err != nil || len(issues) > 0 {
		return settings{}, false
	}
	return ldirectordOf(c), true
}

func ldirectordOf(c ldirectord.Config) settings {
	out := settings{program: programLdirectord, global: c.Global}
	for _, v := range c.Services {
		x := served{Service: ldirectordTable(v), ldirectord: v, hasFallback: v.Fallback != nil}
		x.ldirectord.Reals = nil
		for _, r := range v.Reals {
			x.servers = append(x.servers, server{Destination: ldirectordDestination(x.ServiceID, r), ldirectord: r})
		}
		out.put(x)
	}
	return out
}

// ldirectordTable is the IPVS service that ldirectord makes.
func ldirectordTable(v ldirectord.Virtual) state.Service {
	out := state.Service{ServiceID: state.ServiceID{Protocol: v.Protocol, Address: v.Address, Port: v.Port, FWMark: v.FWMark, Family: v.Family},
		Scheduler: cmp.Or(v.Scheduler, "wrr"), SchedulerFlags: v.SchedulerFlags, OnePacket: v.OnePacket, Timeout: v.Persistent, Netmask: 32}
	if v.FWMark == 0 {
		out.Family = "ipv6"
		if v.Address.Is4() {
			out.Family = "ipv4"
		}
	}
	if out.Family == "ipv6" {
		out.Netmask = 128
	}
	out.Netmask = cmp.Or(v.Netmask, out.Netmask)
	return out
}

func ldirectordDestination(id state.ServiceID, r ldirectord.Real) state.Destination {
	out := state.Destination{Service: id, Address: r.Address, Port: r.Port, Weight: r.Weight, Upper: r.Upper, Lower: r.Lower}
	for forward, name := range ldirectordForwards {
		if name == r.Forward {
			out.Forward = forward
		}
	}
	if out.Forward == "tun" {
		out.TunnelType = "ipip"
	}
	return out
}

// ldirectordService is the service as ldirectord keeps it.
func ldirectordService(b *topology.VirtualService, s state.Service, servers []state.Destination) (served, error) {
	v := ldirectord.Virtual{Protocol: s.Protocol, Address: s.Address, Port: s.Port, FWMark: s.FWMark, Scheduler: s.Scheduler,
		SchedulerFlags: s.SchedulerFlags, Persistent: s.Timeout, OnePacket: s.OnePacket, Quiescent: state.Some(b.Quiescent == nil || *b.Quiescent)}
	if s.FWMark != 0 {
		v.Family = s.Family
	}
	if s.Timeout > 0 && s.Netmask != 32 && s.Netmask != 128 {
		v.Netmask = s.Netmask
	}
	if f := b.Fallback; f != nil {
		v.Fallback = &ldirectord.Fallback{Address: f.Address, Port: f.Port, Forward: ldirectordForwards[f.Forward]}
	}
	if s.Engine != "" {
		return served{}, fmt.Errorf("ldirectord cannot set the persistence engine %s", s.Engine)
	}
	if err := ldirectordCheck(&v, b.HealthCheck); err != nil {
		return served{}, err
	}
	out := served{Service: s, ldirectord: v, hasFallback: b.Fallback != nil}
	for _, d := range servers {
		if d.TunnelType != "" && d.TunnelType != "ipip" {
			return served{}, fmt.Errorf("ldirectord knows no tunnels of type %s", d.TunnelType)
		}
		out.servers = append(out.servers, server{Destination: d, ldirectord: ldirectord.Real{Address: d.Address, Port: d.Port,
			Forward: ldirectordForwards[d.Forward], Weight: d.Weight, Upper: d.Upper, Lower: d.Lower}})
	}
	return out, nil
}

func ldirectordCheck(v *ldirectord.Virtual, h *topology.HealthCheck) error {
	if h == nil {
		v.Check = ldirectord.CheckOn
		return nil
	}
	if h.Type == "on" || h.Type == "off" {
		v.Check = h.Type
		return nil
	}
	v.CheckPort, v.FailureCount = h.Port, DefaultLdirectordRetries+1
	if h.Retries != nil {
		v.FailureCount = *h.Retries + 1
	}
	v.CheckTimeout = wholeSeconds(cmp.Or(h.Timeout, DefaultCheckTimeout))
	v.Service = "none"
	switch h.Type {
	case "tcp", "udp": // of UDP it asks for no more than an answer to a ping
		v.Check = ldirectord.CheckConnect
		if h.Send != "" || h.Receive != "" {
			return fmt.Errorf("ldirectord sends nothing in a health check of type %s", h.Type)
		}
	case "http", "https":
		v.Check, v.Service, v.Request, v.VirtualHost = ldirectord.CheckNegotiate, h.Type, cmp.Or(h.Path, "/"), h.HostHeader
		v.Receive = ldirectord.Literal(h.Contains)
	case "dns":
		v.Check, v.Service, v.Request = ldirectord.CheckNegotiate, "dns", h.Name
		v.Receive = "." // without an expression ldirectord takes no answer for good
	case "smtp":
		v.Check, v.Service = ldirectord.CheckNegotiate, "smtp"
	case "ping":
		v.Check = ldirectord.CheckPing
	case "script":
		v.Check, v.CheckCommand = ldirectord.CheckExternal, h.Command
	default:
		return fmt.Errorf("ldirectord has no health check %q", h.Type)
	}
	if v.Check == ldirectord.CheckNegotiate {
		v.CheckTimeout, v.NegotiateTimeout = 0, v.CheckTimeout
	}
	return nil
}

// packages are those that the program needs: its own and, where ldirectord asks
// IPv6 servers by HTTP, one without which it ends at the first question.
func (s settings) packages() []string {
	out := []string{s.program}
	if slices.ContainsFunc(s.services, func(v served) bool {
		return (v.ldirectord.Service == "http" || v.ldirectord.Service == "https") &&
			slices.ContainsFunc(v.servers, func(r server) bool { return r.ldirectord.Address.Is6() })
	}) {
		out = append(out, "libnet-inet6glue-perl")
	}
	return out
}

// checks are what ldirectord has one of for all services. The interval is the
// shortest. A server that has the weight 0 when ldirectord begins, or reads its
// file again, keeps that until its first check: ldirectord would else give it its
// weight, dead or not.
func (s *settings) checks(h *topology.HealthCheck) {
	s.global.ReaddQuiescent = state.Some(true)
	if h == nil || h.Type == "on" || h.Type == "off" {
		return
	}
	every := wholeSeconds(cmp.Or(h.Interval, DefaultCheckInterval))
	if s.global.CheckInterval == 0 || every < s.global.CheckInterval {
		s.global.CheckInterval = every
	}
}
