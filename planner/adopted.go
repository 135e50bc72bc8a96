package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/formats/keepalived"
	"github.com/lvsform/lvsform/formats/ldirectord"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// byHandOf is the key of what somebody has written into a program's own file, all
// of it but lvsform's additions.
func byHandOf(program string) state.Key { return state.Config{Program: program}.Key() }

// adopted is what a topology shares with a program's own file: the blocks that
// say what the topology declares, or has claimed. It stands among the live
// objects as lvsform's part, so that it is adopted as it is; the first change of
// that part takes the blocks over.
type adopted struct {
	part  state.Config // as if lvsform had written it
	real  state.Object // lvsform's part as it is; nil: none
	file  state.Config // what is written by hand
	rest  state.Config // the same without the blocks
	where []topology.Diagnostic
}

type adoptedAt struct {
	host string
	key  state.Key
}

// adopt looks for what hosts are told by hand of what the topology declares.
func (b *builder) adopt() {
	b.adopted = map[adoptedAt]*adopted{}
	live := maps.Clone(b.in.Live)
	for _, h := range b.in.Topology.Hosts {
		l, ok := live[h.Name]
		if !ok || !h.Managed {
			continue
		}
		objects, ledger := l.Objects.ByKey(), l.Ledger.ByKey()
		for _, program := range programs() {
			file, ok := objects[byHandOf(program)].(state.Config)
			if !ok {
				continue
			}
			key := state.Config{Program: program, Topology: b.plan.Topology}.Key()
			s := shared{program: program, topology: b.plan.Topology, real: objects[key]}
			if w := b.hosts[h.Name][key]; w != nil && w.config != nil {
				s.add(w.config.settings)
				s.global, s.router = w.config.global, w.config.vrrp.Global
			}
			if claim, mine := ledger[key].Claim(b.plan.Topology); mine && s.real == nil {
				claimed, _ := settingsOf(claim.Value.Object)
				s.add(claimed)
			}
			a := s.find(h, file)
			if a == nil {
				continue
			}
			b.adopted[adoptedAt{h.Name, key}] = a
			objects := slices.DeleteFunc(slices.Clone(l.Objects), func(o state.Object) bool { return o.Key() == key })
			l.Objects = append(objects, a.part)
			l.Objects.Sort()
			for _, d := range a.where {
				d.Host = h.Name
				b.plan.Diagnostics = append(b.plan.Diagnostics, d)
			}
		}
		live[h.Name] = l
	}
	b.in.Live = live
}

// shared is what a topology has of a program on a host.
type shared struct {
	program, topology string
	real              state.Object
	instances         map[string]bool // their names
	services          map[state.ServiceID]bool
	router            keepalived.Global
	global            ldirectord.Global
}

func (s *shared) add(own settings) {
	if s.instances == nil {
		s.instances, s.services = map[string]bool{}, map[state.ServiceID]bool{}
	}
	for _, i := range own.vrrp.Instances {
		s.instances[identity(i)] = true
	}
	for _, v := range own.services {
		s.services[v.ServiceID] = true
	}
}

// piece is a block of a file.
type piece struct {
	first, last int
	alone       bool
	names       []string // of the objects
	ours        []bool   // which of them the topology has
}

// find compares with a file; nil: they share nothing.
func (s *shared) find(h *topology.Host, file state.Config) *adopted {
	if len(s.instances)+len(s.services) == 0 {
		return nil
	}
	pieces, ok := s.pieces(file)
	if !ok {
		return nil
	}
	a := &adopted{real: s.real, file: file}
	taken := pieces[:0:0]
	for _, p := range pieces {
		switch {
		case !slices.Contains(p.ours, true):
		case slices.Contains(p.ours, false):
			a.fault(p, "%s in line %d of %s on %s is declared, and stands in one block with %s, which is not",
				p.names[slices.Index(p.ours, true)], p.first, fileOf(file.Program), h.Name, p.names[slices.Index(p.ours, false)])
		case !p.alone:
			a.fault(p, "%s on %s is declared, and shares line %d of %s with other blocks", p.names[0], h.Name, p.first, fileOf(file.Program))
		default:
			taken = append(taken, p)
		}
	}
	if len(taken) == 0 && len(a.where) == 0 {
		return nil
	}
	part, ok := s.part(h, file)
	if !ok {
		return nil
	}
	a.part, a.rest = part, file
	a.rest.Text = without(file.Text, taken)
	return a
}

func (a *adopted) fault(p piece, format string, args ...any) {
	a.where = append(a.where, topology.Diagnostic{Severity: topology.Error, Object: p.names[0], Summary: fmt.Sprintf(format, args...),
		Detail: "lvsform takes whole blocks over, with their lines. Split it there, or declare all of it."})
}

// fileOf is the file that is a program's own.
func fileOf(program string) string {
	if program == programLdirectord {
		return "/etc/ha.d/ldirectord.cf"
	}
	return "/etc/keepalived/keepalived.conf"
}

// pieces are the blocks of a file. A group of instances goes with them.
func (s *shared) pieces(file state.Config) (out []piece, ok bool) {
	if file.Program == programLdirectord {
		c, _, err := ldirectord.Parse(file.Text)
		if err != nil {
			return nil, false
		}
		ids := map[string]state.ServiceID{}
		for _, v := range ldirectordOf(c).services {
			ids[v.ldirectord.ID()] = v.ServiceID
		}
		for _, b := range ldirectord.Blocks(file.Text) {
			out = append(out, piece{first: b.First, last: b.Last, alone: true, names: []string{"virtual " + b.ID}, ours: []bool{s.services[ids[b.ID]]}})
		}
		return out, true
	}
	c, _, err := keepalived.Parse(file.Text)
	if err != nil {
		return nil, false
	}
	blocks, err := keepalived.Blocks(file.Text)
	if err != nil {
		return nil, false
	}
	ours := map[string]bool{}
	for _, i := range c.Effective().Instances {
		ours[i.Name] = s.instances[identity(i)]
	}
	members := map[string][]string{}
	for _, g := range c.SyncGroups {
		members[g.Name] = g.Instances
	}
	for _, b := range blocks {
		p := piece{first: b.First, last: b.Last, alone: b.Alone}
		names := members[b.SyncGroup]
		if b.Instance != "" {
			names = []string{b.Instance}
		}
		for _, name := range names {
			p.names, p.ours = append(p.names, "vrrp_instance "+name), append(p.ours, ours[name])
		}
		for _, id := range b.Services {
			p.names, p.ours = append(p.names, "virtual_server "+id.String()), append(p.ours, s.services[id])
		}
		out = append(out, p)
	}
	return out, true
}

// part is what the file says of what is shared, as lvsform would write it,
// with what it has written already.
func (s *shared) part(h *topology.Host, file state.Config) (state.Config, bool) {
	read, err := ImportedConfig(&topology.Host{Name: h.Name, Path: h.Path, Address: h.Address, Managed: true}, file.Program, file.Text)
	if err != nil {
		return state.Config{}, false
	}
	out := state.Config{Program: file.Program, Topology: s.topology}
	read.Topology.Name = s.topology
	hosts, _ := declare(read.Topology)
	w := hosts[h.Name][out.Key()]
	if w == nil {
		return out, false
	}
	part := w.config.settings
	part.services = slices.DeleteFunc(slices.Clone(part.services), func(v served) bool { return !s.services[v.ServiceID] })
	if c, _, err := keepalived.Parse(file.Text); err == nil && file.Program == programKeepalived {
		part = part.named(c.Instances)
	}
	var gone []string
	for _, i := range part.vrrp.Instances {
		if !s.instances[identity(i)] {
			gone = append(gone, i.Name)
		}
	}
	part.vrrp.Instances = slices.DeleteFunc(slices.Clone(part.vrrp.Instances), func(i instance) bool { return slices.Contains(gone, i.Name) })
	part.vrrp.SyncGroups = slices.DeleteFunc(slices.Clone(part.vrrp.SyncGroups), func(g keepalived.SyncGroup) bool {
		return slices.ContainsFunc(g.Instances, func(n string) bool { return slices.Contains(gone, n) })
	})
	if s.router.RouterID == "" { // what the file says of the host stays there, and holds
		part.vrrp.Global = s.router
	}
	if own, ok := settingsOf(s.real); ok {
		for _, v := range own.services {
			part.put(v)
		}
		part.vrrp.Instances = append(part.vrrp.Instances, own.vrrp.Instances...)
		part.vrrp.SyncGroups = append(part.vrrp.SyncGroups, own.vrrp.SyncGroups...)
		part.vrrp.Global, part.global = own.vrrp.Global, own.global
	}
	text, err := part.render()
	out.Text = text
	return out, err == nil && !part.empty()
}

// identity is what makes an instance, whatever its name: that is derived from it.
func identity(i instance) string {
	b := &topology.VRRPInstance{Interface: i.Interface, VirtualRouterID: i.VirtualRouterID}
	for _, a := range i.Addresses {
		b.VirtualAddresses = append(b.VirtualAddresses, topology.VirtualAddress{IP: a.IP})
	}
	return instanceName(b)
}

// named gives instances the names that the same ones have among others:
// keepalived takes one of another name for another one, and gives up its
// addresses before it has them again.
func (s settings) named(others []instance) settings {
	names := map[string]string{}
	for _, i := range others {
		names[identity(i)] = i.Name
	}
	own := map[string]string{}
	s.vrrp.Instances = slices.Clone(s.vrrp.Instances)
	for n, i := range s.vrrp.Instances {
		if name := names[identity(i)]; name != "" {
			own[i.Name], s.vrrp.Instances[n].Name = name, name
		}
	}
	s.vrrp.SyncGroups = slices.Clone(s.vrrp.SyncGroups)
	for n, g := range s.vrrp.SyncGroups {
		members := slices.Clone(g.Instances)
		for m, name := range members {
			if own[name] != "" {
				members[m] = own[name]
			}
		}
		s.vrrp.SyncGroups[n].Instances = members
	}
	return s
}

// without is a text without the lines of some blocks.
func without(text string, gone []piece) string {
	var out strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		if !slices.ContainsFunc(gone, func(p piece) bool { return p.first <= n && n <= p.last }) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// takeOver lets the first change of an adopted part take its blocks out of the
// program's own file, in the same transaction and with the same reload.
func (b *builder) takeOver() {
	var out []Change
	for _, c := range b.plan.Changes {
		a := b.adopted[adoptedAt{c.Host, c.Key()}]
		if a == nil || c.Before != state.Object(a.part) || c.Action == Adopt || c.Action == Forget {
			out = append(out, c)
			continue
		}
		file := Change{ID: c.Host + ":" + a.file.Key().String(), Addresses: c.Addresses, Host: c.Host, Action: Update, Before: a.file, After: a.rest,
			Sensitive: c.Sensitive, AfterIDs: c.AfterIDs, Wave: c.Wave, Stage: c.Stage}
		if len(file.Sensitive) == 0 && Masked(a.file) != a.file.Text {
			file.Sensitive = []string{SensitivePasswords}
		}
		c.Before = a.real
		if c.Before == nil {
			c.Action = Create
		}
		out = append(out, file, c)
		b.givenUp(c, a)
	}
	b.plan.Changes = out
}

// givenUp warns of what the blocks say and no configuration does.
func (b *builder) givenUp(c Change, a *adopted) {
	h := b.in.Topology.Host(c.Host)
	read, err := ImportedConfig(&topology.Host{Name: h.Name, Path: h.Path, Address: h.Address, Managed: true}, a.file.Program, a.file.Text)
	if err != nil {
		return
	}
	kept := map[string]bool{}
	for line := range strings.Lines(a.rest.Text) {
		kept[line] = true
	}
	lines := strings.SplitAfter(a.file.Text, "\n")
	var lost []string
	for _, l := range read.Left {
		if l.Line > 0 && l.Line <= len(lines) && !kept[lines[l.Line-1]] {
			lost = append(lost, fmt.Sprintf("line %d, %s: %s", l.Line, l.Keyword, l.Why))
		}
	}
	if len(lost) == 0 {
		return
	}
	b.plan.Diagnostics = append(b.plan.Diagnostics, topology.Diagnostic{Severity: topology.Warning, Host: c.Host, Object: c.Address(),
		Summary: fmt.Sprintf("blocks of %s on %s become lvsform's, without what no configuration says", fileOf(a.file.Program), c.Host),
		Detail:  strings.Join(lost, "\n")})
}
