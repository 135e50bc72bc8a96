package hcl

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// Write returns a configuration, in its canonical form, that declares a
// topology: the hosts, the calls of modules, then the resources in their order.
// It writes virtual services, VRRP instances, and what belongs to a whole IPVS
// table; other kinds of resources, those of modules, and what else a host can
// have are an error.
// Passwords become the variables that Secrets names. An attribute with the
// language's default is left out, but for those that every reader looks for.
func Write(t *topology.Topology, calls ...Call) ([]byte, error) {
	if t.Persist != nil || len(t.Outputs) > 0 || len(t.Removed) > 0 {
		return nil, errors.New("of a topology only its hosts and resources can be written")
	}
	w := writer{hosts: map[string]*topology.Host{}, secrets: secretNames(t)}
	for _, h := range t.Hosts {
		w.hosts[h.Name] = h
	}
	w.line("topology %s {}", quoted(t.Name))
	w.variables()
	for _, h := range t.Hosts {
		if err := w.host(h); err != nil {
			return nil, err
		}
	}
	for _, c := range calls {
		if err := w.call(c); err != nil {
			return nil, err
		}
	}
	for _, r := range t.Resources {
		if err := w.resource(r); err != nil {
			return nil, err
		}
	}
	return formatStable(w.Bytes()), nil
}

type writer struct {
	bytes.Buffer
	hosts   map[string]*topology.Host // by name
	secrets map[string]string         // variables by password
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// quoted is a text as HCL reads it back, whatever is in it.
func quoted(text string) string { return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes()) }

func duration(d time.Duration) string {
	return quoted(strconv.FormatInt(int64(d/time.Second), 10) + "s")
}

func (w *writer) host(h *topology.Host) error {
	name, ok := strings.CutPrefix(h.Path, "host.")
	switch {
	case !ok || strings.ContainsAny(name, ".[") || name != h.Name:
		return fmt.Errorf("%s: only hosts of the root can be written", h.Path)
	case len(h.Interfaces) > 0 || h.Gateway.IsValid() || h.SSH != (topology.SSH{Address: h.SSH.Address}) || h.Retired || h.OS != "":
		return fmt.Errorf("%s: of a host only its addresses can be written", h.Path)
	}
	w.line("\nhost %s {\naddress = %s", quoted(name), quoted(h.Address.String()))
	if !h.Managed {
		w.line("managed = false")
	}
	if h.SSH.Address != "" {
		w.line("ssh { address = %s }", quoted(h.SSH.Address))
	}
	w.line("}")
	return nil
}

func (w *writer) resource(r *topology.Resource) error {
	kind, name, ok := strings.Cut(r.Path, ".")
	if !ok || kind != r.Body.Type() || strings.ContainsAny(name, ".[") || r.PreventDestroy || len(r.IgnoreChanges) > 0 || !writable(r) {
		return fmt.Errorf("%s: only resources of the root without lifecycle and secrets can be written", r.Path)
	}
	host := w.hosts[r.Host]
	if host == nil {
		return fmt.Errorf("%s: there is no host %q", r.Path, r.Host)
	}
	w.line("\n%s %s {\nhost = %s", kind, quoted(name), host.Path)
	switch b := r.Body.(type) {
	case *topology.VirtualService:
		w.service(b)
	case *topology.IPVS:
		w.ipvs(b)
	case *topology.VRRPInstance:
		w.vrrp(b)
	default:
		return fmt.Errorf("%s: a %s cannot be written", r.Path, kind)
	}
	w.line("}")
	return nil
}

func (w *writer) service(s *topology.VirtualService) {
	if s.FWMark != 0 {
		w.line("fwmark = %d\nfamily = %s", s.FWMark, quoted(s.Family))
	} else {
		w.line("protocol = %s\naddress = %s\nport = %d", quoted(s.Protocol), quoted(s.Address.String()), s.Port)
	}
	w.line("scheduler = %s", quoted(s.Scheduler))
	if len(s.SchedulerFlags) > 0 {
		w.line("scheduler_flags = [%s]", joined(s.SchedulerFlags, quoted))
	}
	if s.OnePacket {
		w.line("one_packet = true")
	}
	forward := usual(s.RealServers)
	if forward != "" {
		w.line("forward = %s", quoted(forward))
	}
	if s.DrainTimeout != nil {
		w.line("drain_timeout = %s", duration(*s.DrainTimeout))
	}
	if p := s.Persistence; p != nil {
		w.line("persistence {\ntimeout = %s", duration(p.Timeout))
		if p.Netmask != 0 {
			w.line("netmask = %d", p.Netmask)
		}
		if p.Engine != "" {
			w.line("engine = %s", quoted(p.Engine))
		}
		w.line("}")
	}
	w.checking(s)
	for _, r := range s.RealServers {
		w.server(s, r, forward)
	}
}

// usual is the forward of most of the servers; of as many, the first by name.
func usual(servers []topology.RealServer) string {
	count := map[string]int{}
	best := ""
	for _, r := range servers {
		count[r.Forward]++
	}
	for _, forward := range []string{"dr", "nat", "tun"} {
		if count[forward] > count[best] {
			best = forward
		}
	}
	return best
}

func (w *writer) server(s *topology.VirtualService, r topology.RealServer, forward string) {
	var lines []string
	set := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	host := w.hosts[r.Host]
	if host != nil {
		set("host = %s", host.Path)
	}
	if host == nil || host.Address != r.Address {
		set("address = %s", quoted(r.Address.String()))
	}
	if r.Port != s.Port {
		set("port = %d", r.Port)
	}
	if r.Weight != 1 {
		set("weight = %d", r.Weight)
	}
	if r.Forward != forward {
		set("forward = %s", quoted(r.Forward))
	}
	if r.Upper != 0 {
		set("upper_threshold = %d", r.Upper)
	}
	if r.Lower != 0 {
		set("lower_threshold = %d", r.Lower)
	}
	if t := r.Tunnel; t != nil {
		set("tunnel {\ntype = %s", quoted(t.Type))
		if t.Port != 0 {
			set("port = %d", t.Port)
		}
		if t.Checksum != "none" {
			set("checksum = %s", quoted(t.Checksum))
		}
		set("}")
	}
	if len(lines) == 1 {
		w.line("real_server %s { %s }", quoted(r.Name), lines[0])
		return
	}
	w.line("real_server %s {\n%s\n}", quoted(r.Name), strings.Join(lines, "\n"))
}

func (w *writer) ipvs(b *topology.IPVS) {
	if b.ConnectionTableBits != 0 {
		w.line("connection_table_bits = %d", b.ConnectionTableBits)
	}
	if len(b.Modules) > 0 {
		w.line("modules = [%s]", joined(b.Modules, quoted))
	}
	if b.Exclusive {
		w.line("exclusive = true")
	}
	if t := b.Timeouts; t != nil {
		w.line("timeouts {")
		for _, one := range []struct {
			name string
			time time.Duration
		}{{"tcp", t.TCP}, {"tcp_fin", t.TCPFin}, {"udp", t.UDP}} {
			if one.time != 0 {
				w.line("%s = %s", one.name, duration(one.time))
			}
		}
		w.line("}")
	}
	for _, s := range b.Sync {
		w.sync(s)
	}
}

func (w *writer) sync(s topology.Sync) {
	w.line("sync %s {\ninterface = %s\nid = %d", quoted(s.Role), quoted(s.Interface), s.ID)
	if s.Group.IsValid() {
		w.line("group = %s", quoted(s.Group.String()))
	}
	for _, one := range []struct {
		name  string
		value int
	}{{"port", int(s.Port)}, {"ttl", s.TTL}, {"max_length", s.MaxLength}} {
		if one.value != 0 {
			w.line("%s = %d", one.name, one.value)
		}
	}
	w.line("}")
}
