package planner

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/formats/keepalived"
	"github.com/lvsform/lvsform/formats/ldirectord"
	"github.com/lvsform/lvsform/state"
)

// The programs that a state.Config is for.
const (
	programKeepalived = "keepalived"
	programLdirectord = "ldirectord"
)

// programs are they, in the order of their names.
func programs() []string { return []string{programKeepalived, programLdirectord} }

// settings are what the text of a state.Config says, so that texts between an old
// and a new one can be made.
type settings struct {
	program  string
	vrrp     keepalived.Config // its instances, their groups and what is global
	global   ldirectord.Global
	services []served // sorted by identity
}

// served is a virtual service that the program keeps; one of the two formats is
// set, without its real servers.
type served struct {
	state.Service
	keepalived keepalived.VirtualServer
	ldirectord ldirectord.Virtual
	servers    []server // sorted by key
	// hasFallback: it serves without a real server too.
	hasFallback bool
}

type server struct {
	state.Destination
	keepalived keepalived.RealServer
	ldirectord ldirectord.Real
}

// render is the text, in the form that the program reads.
func (s settings) render() (string, error) {
	if s.program == programLdirectord {
		return s.ldirectordConfig().Render()
	}
	return s.keepalivedConfig().Render()
}

func (s settings) ldirectordConfig() ldirectord.Config {
	out := ldirectord.Config{Global: s.global}
	for _, v := range s.services {
		virtual := v.ldirectord
		for _, r := range v.servers {
			real := r.ldirectord
			real.Weight = r.Weight
			virtual.Reals = append(virtual.Reals, real)
		}
		out.Services = append(out.Services, virtual)
	}
	return out
}

func (s settings) keepalivedConfig() keepalived.Config {
	out := s.vrrp
	for _, v := range s.services {
		virtual := v.keepalived
		for _, r := range v.servers {
			real := r.keepalived
			real.Weight = r.Weight
			virtual.RealServers = append(virtual.RealServers, real)
		}
		out.Services = append(out.Services, virtual)
	}
	return out
}

// empty tells whether the program would have nothing to do.
func (s settings) empty() bool { return len(s.vrrp.Instances) == 0 && len(s.services) == 0 }

// service finds a service.
func (s settings) service(id state.ServiceID) (served, bool) {
	i := s.find(id)
	if i < 0 {
		return served{}, false
	}
	return s.services[i], true
}

func (s settings) find(id state.ServiceID) int {
	return slices.IndexFunc(s.services, func(v served) bool { return v.ServiceID == id })
}

// destination finds a real server by its key.
func (v served) destination(d state.Destination) (server, bool) {
	i := slices.IndexFunc(v.servers, func(r server) bool { return r.Address == d.Address && r.Port == d.Port })
	if i < 0 {
		return server{}, false
	}
	return v.servers[i], true
}

// destinations are all real servers.
func (s settings) destinations() []state.Destination {
	var out []state.Destination
	for _, v := range s.services {
		for _, r := range v.servers {
			out = append(out, r.Destination)
		}
	}
	return out
}

// clone lets the copy's services and real servers be changed.
func (s settings) clone() settings {
	s.services = slices.Clone(s.services)
	for i := range s.services {
		s.services[i].servers = slices.Clone(s.services[i].servers)
	}
	return s
}

// put adds a service, or takes its place.
func (s *settings) put(v served) {
	v.servers = slices.Clone(v.servers)
	if i := s.find(v.ServiceID); i >= 0 {
		s.services[i] = v
		return
	}
	s.services = append(s.services, v)
	slices.SortFunc(s.services, func(a, b served) int { return strings.Compare(a.ServiceID.String(), b.ServiceID.String()) })
}

// putServer adds a real server to its service, or takes its place.
func (s *settings) putServer(r server) {
	i := s.find(r.Service)
	if i < 0 {
		return
	}
	v := &s.services[i]
	if j := slices.IndexFunc(v.servers, func(o server) bool { return o.Address == r.Address && o.Port == r.Port }); j >= 0 {
		v.servers[j] = r
		return
	}
	v.servers = append(v.servers, r)
	slices.SortFunc(v.servers, func(a, b server) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
	})
}

// leaveOut takes a real server away, and with the last one its service: neither
// program takes one that has nothing to send its clients to.
func (s *settings) leaveOut(d state.Destination) {
	i := s.find(d.Service)
	if i < 0 {
		return
	}
	v := &s.services[i]
	v.servers = slices.DeleteFunc(v.servers, func(o server) bool { return o.Address == d.Address && o.Port == d.Port })
	if len(v.servers) == 0 && (!v.hasFallback || s.program == programKeepalived) {
		s.services = slices.Delete(s.services, i, i+1)
		return
	}
	if q := v.keepalived.Quorum; q > 0 { // keepalived refuses one that is out of reach
		v.keepalived.Quorum = max(1, min(q, v.weight()))
	}
}

// weight is that of all servers together.
func (v served) weight() int {
	total := 0
	for _, r := range v.servers {
		total += r.Weight
	}
	return total
}

// withoutInstances leaves out VRRP instances, and those whose groups they belong
// to: what is to move together must not do so in parts.
func (s settings) withoutInstances(names []string) settings {
	gone := slices.Clone(names)
	for _, g := range s.vrrp.SyncGroups {
		if slices.ContainsFunc(g.Instances, func(name string) bool { return slices.Contains(names, name) }) {
			gone = append(gone, g.Instances...)
		}
	}
	s.vrrp.Instances = slices.DeleteFunc(slices.Clone(s.vrrp.Instances), func(i keepalived.Instance) bool { return slices.Contains(gone, i.Name) })
	s.vrrp.SyncGroups = slices.DeleteFunc(slices.Clone(s.vrrp.SyncGroups), func(g keepalived.SyncGroup) bool {
		return slices.ContainsFunc(g.Instances, func(name string) bool { return slices.Contains(gone, name) })
	})
	return s
}

// settingsOf reads the text of a Config; false where it is not one that lvsform
// has written.
func settingsOf(o state.Object) (settings, bool) {
	c, ok := o.(state.Config)
	if !ok || c.Topology == "" { // somebody's own
		return settings{}, false
	}
	if c.Program == programLdirectord {
		return ldirectordSettings(c.Text)
	}
	return keepalivedSettings(c.Text)
}
