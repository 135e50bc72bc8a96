package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/formats/keepalived"
	"github.com/lvsform/lvsform/formats/ldirectord"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func (f *ImportedFile) keepalived(director *topology.Host, text string) error {
	c, issues, err := keepalived.Parse(text)
	if err != nil {
		return err
	}
	blocks, err := keepalived.Blocks(text)
	if err != nil {
		return err
	}
	for _, i := range issues {
		f.left(i.Line, i.Keyword, "%s", i.Why)
	}
	if c.Global.RouterID != "" && len(c.Instances) == 0 {
		f.left(lineOf(text, "router_id"), "router_id", "is a vrrp_instance's attribute, and there is none")
	}
	instances := map[string]int{}
	services := map[state.ServiceID]int{}
	groups := map[string]int{}
	for _, b := range blocks {
		instances[b.Instance], groups[b.SyncGroup] = b.First, b.First
		for _, id := range b.Services {
			services[id] = b.First
		}
	}
	states := map[string]string{} // as they are written, or not
	for _, i := range c.Instances {
		states[i.Name] = i.State
	}
	s := keepalivedOf(c.Effective())
	im := newImporter(director, objectsOf(s.services))
	for _, v := range s.services {
		b := im.services[v.ServiceID]
		checkedBy(b, v)
		f.Lines[im.pathOf(b)] = services[v.ServiceID]
		f.compareService(services[v.ServiceID], v, b)
	}
	f.instances(&im, s.vrrp, instances, groups, states)
	f.Topology = im.sorted()
	return nil
}

// lineOf is the first line that begins with a word.
func lineOf(text, word string) int {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); strings.HasPrefix(line, word) {
			return n
		}
	}
	return 0
}

// compareService lists what becomes of a service that its resource does not say.
func (f *ImportedFile) compareService(line int, v served, b *topology.VirtualService) {
	declared, err := keepalivedService(b, v.Service, destinationsOf(v))
	s := settings{program: programKeepalived, services: []served{declared}}.effective()
	if err != nil || len(s.services) != 1 {
		f.left(line, "virtual_server", "cannot be written: %v", err)
		return
	}
	f.compare(line, "virtual_server", onlyThis(programKeepalived, v), onlyThis(programKeepalived, s.services[0]))
}

func destinationsOf(v served) []state.Destination {
	var out []state.Destination
	for _, r := range v.servers {
		out = append(out, r.Destination)
	}
	return out
}

// checkedBy gives a service what keepalived does beside the table.
func checkedBy(b *topology.VirtualService, v served) {
	b.Checker = programKeepalived
	if v.keepalived.Quorum > 1 {
		b.Quorum = v.keepalived.Quorum
	}
	if fb := v.keepalived.Fallback; v.hasFallback {
		b.Fallback = &topology.Fallback{Address: fb.Address, Port: fb.Port, Forward: fb.Forward}
	}
	quiescent := 0
	var checks []keepalived.Check
	for _, r := range v.servers {
		if r.keepalived.Quiescent {
			quiescent++
		}
		checks = append(checks, r.keepalived.Check)
	}
	if quiescent*2 > len(v.servers) {
		yes := true
		b.Quiescent = &yes
	}
	if check := commonest(checks, func(c keepalived.Check) string { return fmt.Sprintf("%+v", c) }); check.Type != "" {
		b.HealthCheck = healthOf(check, v)
		b.HealthCheck.Interval = unless(v.keepalived.DelayLoop, DefaultCheckInterval)
	}
}

// commonest is the most common of a list; of as many, the first.
func commonest[T any](list []T, name func(T) string) (out T) {
	count := map[string]int{}
	best := 0
	for _, one := range list {
		count[name(one)]++
	}
	for _, one := range list {
		if count[name(one)] > best {
			best, out = count[name(one)], one
		}
	}
	return out
}

// unless is a value where it is not the default.
func unless[T comparable](value, standard T) (out T) {
	if value == standard {
		return out
	}
	return value
}

// healthOf is the health check that keepalived's check is made of.
func healthOf(c keepalived.Check, v served) *topology.HealthCheck {
	h := &topology.HealthCheck{Timeout: unless(c.Timeout, DefaultCheckTimeout), RetryDelay: unless(c.RetryDelay, DefaultCheckRetryDelay)}
	if c.Retries.Value != DefaultCheckRetries {
		h.Retries = &c.Retries.Value
	}
	for _, r := range v.servers {
		if c.Port != cmp.Or(r.Port, v.Port) {
			h.Port = c.Port
		}
	}
	switch c.Type {
	case keepalived.TCPCheck:
		h.Type = "tcp"
	case keepalived.HTTPGet, keepalived.SSLGet:
		h.Type = map[bool]string{true: "https", false: "http"}[c.Type == keepalived.SSLGet]
		h.Path, h.HostHeader, h.Status = unless(c.Path, "/"), c.VirtualHost, codes(c.Status)
		h.Contains, _ = ldirectord.Text(c.Regex)
	case keepalived.DNSCheck:
		h.Type, h.Name, h.Record = "dns", unless(c.Name, "."), unless(c.Record, "SOA")
	case keepalived.SMTPCheck:
		h.Type, h.HELO = "smtp", c.HELO
	case keepalived.UDPCheck:
		h.Type, h.Send = "udp", c.Payload
		if c.RequireReply {
			h.Receive = c.Reply
		}
	case keepalived.PingCheck:
		h.Type = "ping"
	case keepalived.MiscCheck:
		h.Type, h.Command, h.User = "script", c.Command, unless(c.User, "root")
	}
	return h
}

// codes are the status codes of ranges; none are keepalived's own.
func codes(ranges []keepalived.StatusRange) []int {
	if len(ranges) == 1 && ranges[0] == (keepalived.StatusRange{From: 200, To: 299}) {
		return nil
	}
	var out []int
	for _, r := range ranges {
		for c := r.From; c <= r.To; c++ {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// instances declares what floats.
func (f *ImportedFile) instances(im *importer, c keepalived.Config, lines, groups map[string]int, states map[string]string) {
	names := map[string]bool{}
	ours := map[string]string{} // the declared instance's name by the file's
	bodies := map[string]*topology.VRRPInstance{}
	for _, i := range c.Instances {
		b := instanceBody(i, c)
		b.State = states[i.Name]
		name := instanceName(b)
		if bodies[name] != nil {
			f.left(lines[i.Name], "vrrp_instance", "%s is left out: another one has its interface and virtual_router_id", i.Name)
			continue
		}
		ours[i.Name], bodies[name] = name, b
		label := resourceName(i.Name)
		for n := 2; names[label]; n++ {
			label = resourceName(i.Name) + fmt.Sprintf("_%d", n)
		}
		names[label] = true
		r := &topology.Resource{Path: "vrrp_instance." + label, Host: im.director.Name, Body: b}
		if b.Authentication != nil {
			r.Sensitive = []string{"authentication.password"}
		}
		im.t.Resources = append(im.t.Resources, r)
		f.Lines[r.Path] = lines[i.Name]
		was := i
		was.Name = name
		have, declared := onlyInstance(was), onlyInstance(instanceOf(b)).Effective()
		f.compare(lines[i.Name], "vrrp_instance", rendered(have), rendered(declared))
	}
	for _, g := range c.SyncGroups {
		for _, name := range g.Instances {
			if b := bodies[ours[name]]; b == nil {
				f.left(groups[g.Name], "vrrp_sync_group", "%s has the instance %s, which is not carried over", g.Name, name)
			} else if b.SyncGroup != "" && b.SyncGroup != g.Name {
				f.left(groups[g.Name], "vrrp_sync_group", "%s has the instance %s, which is in the group %s already", g.Name, name, b.SyncGroup)
			} else {
				b.SyncGroup = g.Name
			}
		}
	}
}

func rendered(c keepalived.Config) string {
	text, err := c.Render()
	if err != nil {
		return err.Error()
	}
	return keepalived.Mask(text)
}

// resourceName makes a name that can stand in an expression.
func resourceName(name string) string {
	if isIdentifier(name) {
		return name
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
	return "vi_" + clean
}

// instanceBody declares an instance. The name of an address decides which one is
// told in the advertisements, where there is one: the first.
func instanceBody(i keepalived.Instance, c keepalived.Config) *topology.VRRPInstance {
	b := &topology.VRRPInstance{Interface: i.Interface, RouterID: c.Global.RouterID, VirtualRouterID: i.VirtualRouterID, Priority: i.Priority,
		AdvertInterval: cmp.Or(i.AdvertInterval, time.Second), PreemptDelay: i.PreemptDelay, Version: i.Version, TrackInterfaces: i.TrackInterfaces}
	if i.NoPreempt {
		no := false
		b.Preempt = &no
	}
	if a := i.Authentication; a != (keepalived.Authentication{}) {
		b.Authentication = &topology.VRRPAuthentication{Type: a.Type, Password: a.Password}
	}
	if len(i.UnicastPeers) > 0 {
		b.Unicast = &topology.VRRPUnicast{Source: i.UnicastSource, Peers: i.UnicastPeers}
	}
	all := slices.Concat(i.Addresses, i.Excluded)
	width := len(fmt.Sprint(len(all)))
	for n, a := range all {
		v := topology.VirtualAddress{Name: fmt.Sprintf("vip%0*d", width, n+1), IP: a.IP, Device: a.Device, Label: a.Label}
		if told := n < len(i.Addresses); told != (n == 0) {
			excluded := !told
			v.Excluded = &excluded
		}
		b.VirtualAddresses = append(b.VirtualAddresses, v)
	}
	return b
}
