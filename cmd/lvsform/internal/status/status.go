// Package status compares what directors serve at the moment with what is declared.
package status

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// FormatVersion is that of the JSON of reports. A reader of 1.x accepts every 1.y.
const FormatVersion = "1.0"

// Live is what was read from one host.
type Live struct {
	Objects  state.Objects
	Ledger   state.Ledger
	Activity state.Activity
}

// Report is the state of all directors of a topology.
type Report struct {
	FormatVersion  string `json:"format_version"`
	LvsformVersion string `json:"lvsform_version"`
	Topology       string `json:"topology"`
	Hosts          []Host `json:"hosts"` // the directors, sorted by name
}

// Host is one director.
type Host struct {
	Name     string    `json:"name"`
	Address  string    `json:"address"`
	Managed  bool      `json:"managed"`         // false: it is never read
	Error    string    `json:"error,omitempty"` // why it could not be read
	VRRP     []VRRP    `json:"vrrp"`
	Services []Service `json:"services"` // the declared ones, then the others
}

// States of a VRRP instance.
const (
	Master  = "MASTER"
	Backup  = "BACKUP"
	Stopped = "STOPPED"
)

// VRRP is a VRRP instance of a host, as its addresses and processes show it.
type VRRP struct {
	Address   string `json:"address"` // in the configuration
	Interface string `json:"interface"`
	RouterID  int    `json:"virtual_router_id"`
	// State is Master where the host holds virtual addresses, Backup where it
	// holds none and keepalived runs, else Stopped.
	State   string       `json:"state"`
	Held    []netip.Addr `json:"held"`
	Missing []netip.Addr `json:"missing"`
	// Running: keepalived runs.
	Running bool `json:"running"`
}

// Service is one service of a director's table, or one that is missing there.
type Service struct {
	Address  string `json:"address,omitempty"` // in the configuration; "": not declared
	Topology string `json:"topology,omitempty"`
	ID       string `json:"service"` // tcp/192.0.2.1:80, fwmark/7/ipv4
	// Scheduler is the live one, or the declared one of a service that is not
	// there; nil: not shown.
	Scheduler   *string  `json:"scheduler"`
	Persistence float64  `json:"persistence"` // seconds; 0: none
	Checker     string   `json:"checker,omitempty"`
	Present     bool     `json:"present"`
	Up          int      `json:"up"` // servers that take connections
	Of          int      `json:"of"` // servers that are declared, or there
	Fallback    bool     `json:"fallback_active"`
	Servers     []Server `json:"servers"`
	// Total are the sums over the servers.
	Total Traffic `json:"total"`

	ServiceID state.ServiceID `json:"-"`
}

// States of a server.
const (
	Up         = "up"
	Down       = "down"       // its checker has taken it out, or given it the weight 0
	Draining   = "draining"   // its weight is 0
	Missing    = "missing"    // it is declared and not there
	Undeclared = "undeclared" // it is there and not declared
	Fallback   = "fallback"
)

// Server is a real server of a service.
type Server struct {
	Name        string `json:"name,omitempty"` // in the configuration
	Destination string `json:"address"`        // ADDRESS:PORT
	Forward     string `json:"forward"`
	Weight      *int   `json:"weight"`          // live; nil: not there, or not shown
	Declared    *int   `json:"declared_weight"` // nil: none, or not shown
	Sensitive   bool   `json:"sensitive,omitempty"`
	State       string `json:"state"`
	Traffic

	Key    string `json:"-"` // the ID of its key
	live   int
	wanted int
}

// Live is the server's weight in the table, shown or not.
func (s Server) Live() int { return s.live }

// Wanted is the weight that is declared, shown or not.
func (s Server) Wanted() int { return s.wanted }

// Traffic is what goes to a server, or to all of a service.
type Traffic struct {
	Active   uint64 `json:"active"`
	Inactive uint64 `json:"inactive"`
	Conns    uint64 `json:"connections"` // since the kernel counts
	state.Rates
}

func (t *Traffic) add(o Traffic) {
	t.Active, t.Inactive, t.Conns = t.Active+o.Active, t.Inactive+o.Inactive, t.Conns+o.Conns
	t.Rates.Conns += o.Rates.Conns
	t.PacketsIn, t.PacketsOut = t.PacketsIn+o.PacketsIn, t.PacketsOut+o.PacketsOut
	t.BytesIn, t.BytesOut = t.BytesIn+o.BytesIn, t.BytesOut+o.BytesOut
}

// Directors are the hosts that have services or VRRP instances, sorted by name.
func Directors(t *topology.Topology) []*topology.Host {
	var out []*topology.Host
	for _, h := range t.Hosts {
		if !h.Retired && slices.ContainsFunc(t.Resources, func(r *topology.Resource) bool { return r.Host == h.Name && serves(r.Body) }) {
			out = append(out, h)
		}
	}
	return out
}

func serves(b topology.Body) bool {
	switch b.(type) {
	case *topology.VirtualService, *topology.VRRPInstance:
		return true
	}
	return false
}

// Build compares; errs are the hosts that could not be read.
func Build(t *topology.Topology, live map[string]Live, errs map[string]string) Report {
	out := Report{FormatVersion: FormatVersion, Topology: t.Name, Hosts: []Host{}}
	for _, h := range Directors(t) {
		host := Host{Name: h.Name, Address: h.Address.String(), Managed: h.Managed, Error: errs[h.Name], VRRP: []VRRP{}, Services: []Service{}}
		if l, ok := live[h.Name]; ok && host.Error == "" {
			host.VRRP, host.Services = instances(t, h.Name, l), services(t, h.Name, l)
		}
		out.Hosts = append(out.Hosts, host)
	}
	return out
}

func instances(t *topology.Topology, host string, live Live) []VRRP {
	has := map[netip.Addr]bool{}
	for _, o := range live.Objects {
		if a, ok := o.(state.Address); ok {
			has[a.IP.Addr()] = true
		}
	}
	out := []VRRP{}
	for _, r := range t.Resources {
		b, ok := r.Body.(*topology.VRRPInstance)
		if !ok || r.Host != host {
			continue
		}
		v := VRRP{Address: r.Path, Interface: b.Interface, RouterID: b.VirtualRouterID, State: Stopped,
			Held: []netip.Addr{}, Missing: []netip.Addr{}, Running: slices.Contains(live.Activity.Programs, "keepalived")}
		for _, a := range b.VirtualAddresses {
			if has[a.IP.Addr()] {
				v.Held = append(v.Held, a.IP.Addr())
			} else {
				v.Missing = append(v.Missing, a.IP.Addr())
			}
		}
		switch {
		case len(v.Held) > 0:
			v.State = Master
		case v.Running:
			v.State = Backup
		}
		out = append(out, v)
	}
	return out
}

// table is a live IPVS table with its counters.
type table struct {
	services     map[state.ServiceID]state.Service
	destinations map[state.ServiceID][]state.Destination
	counters     map[string]state.Counters
	owners       map[state.Key][]string // topologies
}

func newTable(live Live) table {
	t := table{map[state.ServiceID]state.Service{}, map[state.ServiceID][]state.Destination{}, map[string]state.Counters{}, map[state.Key][]string{}}
	for _, o := range live.Objects {
		switch o := o.(type) {
		case state.Service:
			t.services[o.ServiceID] = o
		case state.Destination:
			t.destinations[o.Service] = append(t.destinations[o.Service], o)
		}
	}
	for _, c := range live.Activity.Counters {
		t.counters[c.Destination] = c
	}
	for _, e := range live.Ledger.Entries {
		for _, c := range e.Claims {
			t.owners[e.Key()] = append(t.owners[e.Key()], c.Topology)
		}
	}
	return t
}

func services(t *topology.Topology, host string, live Live) []Service {
	have := newTable(live)
	out := []Service{}
	declared := map[state.ServiceID]bool{}
	for _, r := range t.Resources {
		if b, ok := r.Body.(*topology.VirtualService); ok && r.Host == host && !declared[ID(b)] {
			declared[ID(b)] = true
			out = append(out, have.declared(t, r, b))
		}
	}
	var foreign []Service
	for id := range have.services {
		if !declared[id] {
			foreign = append(foreign, have.foreign(id))
		}
	}
	slices.SortFunc(foreign, func(a, b Service) int { return cmp.Compare(a.ID, b.ID) })
	return append(out, foreign...)
}

// ID is the identity of a declared service.
func ID(b *topology.VirtualService) state.ServiceID {
	if b.FWMark != 0 {
		return state.ServiceID{FWMark: b.FWMark, Family: b.Family}
	}
	return state.ServiceID{Protocol: b.Protocol, Address: b.Address, Port: b.Port, Family: b.Family}
}

func (t table) declared(top *topology.Topology, r *topology.Resource, b *topology.VirtualService) Service {
	id := ID(b)
	live, present := t.services[id]
	out := Service{Address: r.Path, Topology: top.Name, ID: id.String(), ServiceID: id, Checker: b.Checker, Present: present, Servers: []Server{}}
	scheduler := b.Scheduler
	switch {
	case present:
		scheduler, out.Persistence = live.Scheduler, live.Timeout.Seconds()
	case b.Persistence != nil:
		out.Persistence = b.Persistence.Timeout.Seconds()
	}
	if !slices.Contains(r.Sensitive, "scheduler") {
		out.Scheduler = &scheduler
	}
	destinations := map[string]state.Destination{}
	for _, d := range t.destinations[id] {
		destinations[d.Key().ID] = d
	}
	for _, rs := range b.RealServers {
		if h := top.Host(rs.Host); h != nil && h.Retired {
			continue
		}
		s := t.server(r, b, rs, destinations)
		delete(destinations, s.Key)
		out.Of++
		out.add(s)
	}
	for _, key := range sorted(destinations) {
		s := t.live(destinations[key], Undeclared)
		if f := b.Fallback; f != nil && s.Destination == netip.AddrPortFrom(f.Address, f.Port).String() {
			s.State, out.Fallback = Fallback, true
		}
		out.add(s)
	}
	return out
}

func sorted(m map[string]state.Destination) []string {
	var out []string
	for key := range m {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

func (s *Service) add(server Server) {
	if server.State == Up {
		s.Up++
	}
	s.Servers = append(s.Servers, server)
	s.Total.add(server.Traffic)
}

// server is a declared real server, as it is in the table.
func (t table) server(r *topology.Resource, b *topology.VirtualService, rs topology.RealServer, there map[string]state.Destination) Server {
	key := state.Destination{Service: ID(b), Address: rs.Address, Port: rs.Port}.Key().ID
	out := Server{Destination: netip.AddrPortFrom(rs.Address, rs.Port).String(), Forward: rs.Forward, State: Missing, Key: key}
	d, ok := there[key]
	if ok {
		out = t.live(d, Up)
	}
	out.Name, out.wanted = rs.Name, rs.Weight
	if slices.Contains(r.IgnoreChanges, "weight") {
		out.wanted = out.live
	} else {
		out.Declared = &rs.Weight
	}
	switch {
	case b.Checker != "" && rs.Weight > 0 && (!ok || d.Weight == 0):
		out.State = Down
	case ok && d.Weight == 0:
		out.State = Draining
	}
	if slices.Contains(r.Sensitive, "real_server."+rs.Name+".weight") || slices.Contains(r.Sensitive, "weight") {
		out.Weight, out.Declared, out.Sensitive = nil, nil, true
	}
	return out
}

// live is a destination of the table.
func (t table) live(d state.Destination, as string) Server {
	key := d.Key().ID
	c := t.counters[key]
	weight := d.Weight
	return Server{Destination: netip.AddrPortFrom(d.Address, d.Port).String(), Forward: d.Forward, Weight: &weight, State: as, Key: key, live: d.Weight,
		Traffic: Traffic{Active: uint64(c.Active), Inactive: uint64(c.Inactive), Conns: c.Total, Rates: c.Rates}}
}

func (t table) foreign(id state.ServiceID) Service {
	live := t.services[id]
	scheduler := live.Scheduler
	out := Service{ID: id.String(), ServiceID: id, Scheduler: &scheduler, Persistence: live.Timeout.Seconds(), Present: true, Servers: []Server{}}
	if owners := t.owners[live.Key()]; len(owners) > 0 {
		out.Topology = owners[0]
	}
	list := slices.Clone(t.destinations[id])
	slices.SortFunc(list, func(a, b state.Destination) int { return cmp.Compare(a.Key().ID, b.Key().ID) })
	for _, d := range list {
		s := t.live(d, Up)
		if d.Weight == 0 {
			s.State = Draining
		}
		out.Of++
		out.add(s)
	}
	return out
}
