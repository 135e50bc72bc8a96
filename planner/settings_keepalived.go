package planner

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/formats/keepalived"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// What a health check does where it does not say. A server that hangs is out of
// the pool within 21 s, one that refuses within 15 s; keepalived's own defaults
// would take minutes, and find nothing out for the first one.
const (
	DefaultCheckInterval   = 6 * time.Second
	DefaultCheckTimeout    = 3 * time.Second
	DefaultCheckRetries    = 3
	DefaultCheckRetryDelay = 3 * time.Second
)

// keepalivedSettings reads a text that keepalived has.
func keepalivedSettings(text string) (settings, bool) {
	c, issues, err := keepalived.Parse(text)
	if err != nil || len(issues) > 0 {
		return settings{}, false
	}
	return keepalivedOf(c), true
}

func keepalivedOf(c keepalived.Config) settings {
	out := settings{program: programKeepalived, vrrp: c}
	out.vrrp.Services = nil
	for _, v := range c.Services {
		x := served{Service: v.Service, keepalived: v, hasFallback: v.Fallback.Address.IsValid()}
		x.keepalived.RealServers = nil
		for _, r := range v.RealServers {
			x.servers = append(x.servers, server{Destination: v.Destination(r), keepalived: r})
		}
		out.put(x)
	}
	return out
}

// instanceName is derived from what makes an instance, so that another name of
// its block changes nothing.
func instanceName(b *topology.VRRPInstance) string {
	name := b.Interface + "_" + strconv.Itoa(b.VirtualRouterID)
	if b.Family() == "ipv6" {
		name += "_6"
	}
	return name
}

func instanceOf(b *topology.VRRPInstance) keepalived.Instance {
	out := keepalived.Instance{Name: instanceName(b), State: b.State, Interface: b.Interface, VirtualRouterID: b.VirtualRouterID,
		Priority: b.Priority, AdvertInterval: b.AdvertInterval, Version: b.Version, NoPreempt: !b.Preempts(), PreemptDelay: b.PreemptDelay,
		TrackInterfaces: b.TrackInterfaces}
	if a := b.Authentication; a != nil {
		out.Authentication = keepalived.Authentication{Type: a.Type, Password: a.Password}
	}
	if u := b.Unicast; u != nil {
		out.UnicastSource, out.UnicastPeers = u.Source, u.Peers
	}
	for _, a := range b.Advertised() {
		out.Addresses = append(out.Addresses, floating(a))
	}
	for _, a := range b.Unadvertised() {
		out.Excluded = append(out.Excluded, floating(a))
	}
	return out
}

func floating(a topology.VirtualAddress) keepalived.Address {
	return keepalived.Address{IP: a.IP, Device: a.Device, Label: a.Label}
}

// addInstance adds an instance to its group. Two names for one host are an error.
func (s *settings) addInstance(b *topology.VRRPInstance) error {
	if b.RouterID != "" && s.vrrp.Global.RouterID != "" && b.RouterID != s.vrrp.Global.RouterID {
		return fmt.Errorf("router_id is the host's name for itself, and cannot be both %q and %q", s.vrrp.Global.RouterID, b.RouterID)
	}
	s.vrrp.Global.RouterID = cmp.Or(s.vrrp.Global.RouterID, b.RouterID)
	i := instanceOf(b)
	s.vrrp.Instances = append(s.vrrp.Instances, i)
	if b.SyncGroup == "" {
		return nil
	}
	at := slices.IndexFunc(s.vrrp.SyncGroups, func(g keepalived.SyncGroup) bool { return g.Name == b.SyncGroup })
	if at < 0 {
		s.vrrp.SyncGroups = append(s.vrrp.SyncGroups, keepalived.SyncGroup{Name: b.SyncGroup})
		at = len(s.vrrp.SyncGroups) - 1
	}
	s.vrrp.SyncGroups[at].Instances = append(s.vrrp.SyncGroups[at].Instances, i.Name)
	return nil
}

// keepalivedService is the service as keepalived keeps it.
func keepalivedService(b *topology.VirtualService, s state.Service, servers []state.Destination) (served, error) {
	v := keepalived.VirtualServer{Service: s, Quorum: b.Quorum}
	if f := b.Fallback; f != nil {
		v.Fallback = keepalived.Fallback{Address: f.Address, Port: f.Port, Forwarding: keepalived.Forwarding{Forward: f.Forward}}
		if f.Forward == "tun" {
			v.Fallback.TunnelType = "ipip"
		}
	}
	var check keepalived.Check
	if h := b.HealthCheck; h != nil {
		v.DelayLoop = cmp.Or(h.Interval, DefaultCheckInterval)
		var err error
		if check, err = keepalivedCheck(h); err != nil {
			return served{}, err
		}
	}
	out := served{Service: s, keepalived: v, hasFallback: b.Fallback != nil}
	for _, d := range servers {
		r := keepalived.ServerOf(d)
		r.Check, r.Quiescent = check, b.Quiescent != nil && *b.Quiescent
		out.servers = append(out.servers, server{Destination: d, keepalived: r})
	}
	return out, nil
}

func keepalivedCheck(h *topology.HealthCheck) (keepalived.Check, error) {
	retries := DefaultCheckRetries
	if h.Retries != nil {
		retries = *h.Retries
	}
	out := keepalived.Check{Timeout: cmp.Or(h.Timeout, DefaultCheckTimeout), Retries: state.Some(retries),
		RetryDelay: cmp.Or(h.RetryDelay, DefaultCheckRetryDelay), Port: h.Port}
	switch h.Type {
	case "tcp":
		out.Type = keepalived.TCPCheck
	case "http", "https":
		out.Type, out.Path, out.VirtualHost = keepalived.HTTPGet, cmp.Or(h.Path, "/"), h.HostHeader
		if h.Type == "https" {
			out.Type, out.SNI = keepalived.SSLGet, h.HostHeader != ""
		}
		out.Status = statusRanges(h.Status)
		if h.Contains != "" {
			out.Regex = regexp.QuoteMeta(h.Contains)
		}
	case "dns":
		out.Type, out.Name, out.Record = keepalived.DNSCheck, h.Name, h.Record
	case "smtp":
		out.Type, out.HELO = keepalived.SMTPCheck, h.HELO
	case "udp":
		out.Type, out.Payload, out.Reply = keepalived.UDPCheck, h.Send, h.Receive
		out.RequireReply, out.MinReply = h.Receive != "", len(h.Receive)
	case "ping":
		out.Type = keepalived.PingCheck
	case "script":
		out.Type, out.Command, out.User = keepalived.MiscCheck, h.Command, cmp.Or(h.User, "root")
		out.Timeout = wholeSeconds(out.Timeout)
	default:
		return out, fmt.Errorf("keepalived has no health check %q", h.Type)
	}
	return out, nil
}

// statusRanges joins status codes that follow each other.
func statusRanges(codes []int) []keepalived.StatusRange {
	var out []keepalived.StatusRange
	codes = slices.Clone(codes)
	slices.Sort(codes)
	for _, c := range slices.Compact(codes) {
		if n := len(out); n > 0 && out[n-1].To == c-1 {
			out[n-1].To = c
			continue
		}
		out = append(out, keepalived.StatusRange{From: c, To: c})
	}
	return out
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// agreement is what peers must agree on about an instance: if they do not, each of
// them takes itself for the master.
func agreement(i keepalived.Instance) string {
	var b strings.Builder
	version := i.Version
	if version == 0 {
		version = 2
		if len(i.Addresses) > 0 && i.Addresses[0].IP.Addr().Is6() {
			version = 3
		}
	}
	fmt.Fprintf(&b, "%d %d %s %q %q", i.VirtualRouterID, version, cmp.Or(i.AdvertInterval, time.Second), i.Authentication.Type, i.Authentication.Password)
	var told []string
	for _, a := range i.Addresses {
		told = append(told, a.IP.String())
	}
	slices.Sort(told)
	peers := slices.Clone(i.UnicastPeers)
	slices.SortFunc(peers, netip.Addr.Compare)
	fmt.Fprintf(&b, " %v %s %v", told, i.UnicastSource, peers)
	return b.String()
}
