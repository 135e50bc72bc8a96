package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lvsform/lvsform/formats/keepalived"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

type instance = keepalived.Instance

func onlyInstance(i instance) keepalived.Config {
	return keepalived.Config{Instances: []instance{i}}
}

// peers are the hosts between which addresses float.
type peers struct {
	members map[string]*member // by host
	hosts   []string           // sorted
}

// member is what a host has, and shall have, of the instances of its peers.
type member struct {
	live, want []instance
	holds      int // instances of which it has an address
	priority   int
	unread     bool
	// fixed: it has an address that is to float, without an instance so far.
	fixed bool
}

// pairs orders the changes of the configurations of directors that share
// addresses: those who hold none come first. Where all must agree on what
// changes, those who hold none put their instances aside first, and have them
// again when the one that holds the addresses has changed: two that disagree
// would both take themselves for the master.
func (b *builder) pairs() {
	for _, p := range b.peers() {
		if len(p.hosts) < 2 {
			b.gaps(p)
			continue
		}
		b.groups = append(b.groups, p)
		if p.disagree() {
			b.agree(p)
		} else {
			b.backupsFirst(p)
		}
		b.gaps(p)
	}
}

// peers are the groups of hosts whose instances tell of the same addresses, now
// or when all is applied.
func (b *builder) peers() []peers {
	all := map[string]*member{}
	u := union{}
	note := func(host string, list []instance, to *[]instance) {
		for _, i := range list {
			for _, a := range i.Addresses {
				u.join("host "+host, "address "+a.IP.Addr().String())
			}
			u.join("host "+host, "host "+host)
		}
		*to = append(*to, list...)
	}
	for _, h := range b.in.Topology.Hosts {
		m := &member{unread: b.in.Errors[h.Name] != nil}
		all[h.Name] = m
		for _, o := range b.in.Live[h.Name].Objects {
			if c, ok := o.(state.Config); ok && c.Topology == b.plan.Topology {
				s, _ := settingsOf(c)
				note(h.Name, s.vrrp.Instances, &m.live)
			}
		}
		if b.in.Destroy {
			continue
		}
		for _, w := range b.hosts[h.Name].configs(b.plan.Topology) {
			note(h.Name, w.config.vrrp.Instances, &m.want)
		}
	}
	groups := map[string]*peers{}
	for _, host := range slices.Sorted(maps.Keys(all)) {
		root, ok := u["host "+host]
		if !ok || root == "" {
			continue
		}
		root = u.find("host " + host)
		if groups[root] == nil {
			groups[root] = &peers{members: map[string]*member{}}
		}
		groups[root].members[host] = all[host]
		groups[root].hosts = append(groups[root].hosts, host)
		b.holds(host, all[host])
	}
	var out []peers
	for _, root := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, *groups[root])
	}
	return out
}

// holds counts the instances whose addresses a host has, and notes its highest
// priority.
func (b *builder) holds(host string, m *member) {
	has := map[string]bool{}
	for _, o := range b.in.Live[host].Objects {
		if a, ok := o.(state.Address); ok && a.Device != "lo" {
			has[a.IP.Addr().String()] = true
		}
	}
	for _, i := range m.live {
		m.priority = max(m.priority, cmp.Or(i.Priority, 100))
		if slices.ContainsFunc(i.Addresses, func(a keepalived.Address) bool { return has[a.IP.Addr().String()] }) {
			m.holds++
		}
	}
	m.fixed = len(m.live) == 0 && slices.ContainsFunc(m.want, func(i instance) bool {
		return slices.ContainsFunc(i.Addresses, func(a keepalived.Address) bool { return has[a.IP.Addr().String()] })
	})
}

// union joins names into sets; each name leads to another of its set, or to "".
type union map[string]string

func (u union) find(name string) string {
	for u[name] != name && u[name] != "" {
		name = u[name]
	}
	return name
}

func (u union) join(a, b string) {
	for _, name := range []string{a, b} {
		if u[name] == "" {
			u[name] = name
		}
	}
	if x, y := u.find(a), u.find(b); x != y {
		u[max(x, y)] = min(x, y)
	}
}

// matching is the instance that another one was, or becomes: that of its name,
// or one that tells of an address of it.
func matching(i instance, in []instance) (instance, bool) {
	at := slices.IndexFunc(in, func(o instance) bool { return o.Name == i.Name })
	if at < 0 {
		at = slices.IndexFunc(in, func(o instance) bool {
			return slices.ContainsFunc(o.Addresses, func(a keepalived.Address) bool {
				return slices.ContainsFunc(i.Addresses, func(b keepalived.Address) bool { return a.IP.Addr() == b.IP.Addr() })
			})
		})
	}
	if at < 0 {
		return instance{}, false
	}
	return in[at], true
}

// changing are the names of the wanted instances of which something changes that
// peers must agree on.
func (m *member) changing() []string {
	var out []string
	for _, w := range m.want {
		if l, ok := matching(w, m.live); ok && agreement(l) != agreement(w) {
			out = append(out, w.Name)
		}
	}
	return out
}

func (p peers) disagree() bool {
	return slices.ContainsFunc(p.hosts, func(h string) bool { return len(p.members[h].changing()) > 0 })
}

// byRank are the hosts, those that hold fewer of the addresses first.
func (p peers) byRank() []string {
	out := slices.Clone(p.hosts)
	slices.SortStableFunc(out, func(x, y string) int {
		a, b := p.members[x], p.members[y]
		return cmp.Or(cmp.Compare(a.holds, b.holds), cmp.Compare(a.priority, b.priority), cmp.Compare(x, y))
	})
	return out
}

// configChanges are the indices of a host's changes of the configurations of some
// programs, in the order of apply.
func (b *builder) configChanges(host string, of ...string) []int {
	var out []int
	for i, c := range b.plan.Changes {
		o, ok := either(c).(state.Config)
		if ok && c.Host == host && slices.Contains(of, o.Program) && c.Action != Adopt && c.Action != Forget {
			out = append(out, i)
		}
	}
	return out
}

// waveOf is the wave of a change of a Config.
func (b *builder) waveOf(c Change) Wave {
	if w, ok := b.fixed[c.ID]; ok {
		return w
	}
	if c.removal() {
		return WaveDirectorsDrop
	}
	return WaveDirectorsAdd
}

// backupsFirst lets those who hold addresses wait for those who hold fewer. Where
// an address begins to float, its host is the first to speak of it: others that
// hear nobody would take it too.
func (b *builder) backupsFirst(p peers) {
	order := p.byRank()
	if at := slices.IndexFunc(order, func(h string) bool { return p.members[h].fixed }); at >= 0 {
		for _, i := range b.configChanges(order[at], programKeepalived) {
			for _, h := range slices.Delete(slices.Clone(order), at, at+1) {
				if own := b.main(h); own != "" {
					b.wait(own, b.plan.Changes[i].ID)
				}
			}
		}
		return
	}
	for n, later := range order {
		for _, i := range b.configChanges(later, programs()...) {
			c := b.plan.Changes[i]
			for _, earlier := range order[:n] {
				if p.members[later].holds == 0 {
					continue
				}
				for _, j := range b.configChanges(earlier, programs()...) {
					if d := b.plan.Changes[j]; b.waveOf(d) == b.waveOf(c) && c.Drain == 0 && d.Drain == 0 {
						b.wait(c.ID, d.ID)
					}
				}
			}
		}
	}
}

func (b *builder) wait(id, first string) {
	if !slices.Contains(b.first[id], first) {
		b.first[id] = append(b.first[id], first)
	}
}

// agree changes what peers must agree on without a moment at which two of them
// disagree.
func (b *builder) agree(p peers) {
	if b.held(p) {
		return
	}
	var names []string
	for _, h := range p.hosts {
		names = append(names, p.members[h].changing()...)
	}
	holder := ""
	for _, h := range p.byRank() {
		if len(p.members[h].live) > 0 && len(p.members[h].want) > 0 {
			holder = h // the last is the one that holds most
		}
	}
	main := b.main(holder)
	for _, h := range p.hosts {
		m := p.members[h]
		if h == holder {
			continue
		}
		if len(m.want) == 0 {
			b.leaves(h, main)
			continue
		}
		own := b.main(h)
		if own == "" {
			continue
		}
		if aside := b.aside(own, names, m); aside != "" && main != "" {
			b.wait(main, aside)
		}
		if main != "" {
			b.wait(own, main)
		}
	}
}

// held leaves the changes of peers out of which one could not be read: nobody
// knows what it would make of them.
func (b *builder) held(p peers) bool {
	at := slices.IndexFunc(p.hosts, func(h string) bool { return p.members[h].unread })
	if at < 0 {
		return false
	}
	unread := p.hosts[at]
	b.plan.Changes = slices.DeleteFunc(b.plan.Changes, func(c Change) bool {
		o, ok := either(c).(state.Config)
		if !ok || o.Program != programKeepalived || p.members[c.Host] == nil {
			return false
		}
		b.plan.Diagnostics = append(b.plan.Diagnostics, topology.Diagnostic{Severity: topology.Warning, Host: c.Host, Object: c.Address(),
			Summary: fmt.Sprintf("%s on %s is left out", c.Key(), c.Host),
			Detail: fmt.Sprintf("It changes what VRRP peers must agree on, and its peer %s could not be read: each of them would take itself for the master. "+
				"It is changed when %s answers again.", unread, unread)})
		return true
	})
	return true
}

// main is the change of a host's configuration that brings its instances to
// what they shall be; "" is none.
func (b *builder) main(host string) string {
	for _, i := range b.configChanges(host, programKeepalived) {
		if c := b.plan.Changes[i]; c.After != nil && b.waveOf(c) == WaveDirectorsAdd {
			return c.ID
		}
	}
	return ""
}

// leaves lets a host that is no peer any more go before the others change.
func (b *builder) leaves(host, main string) {
	for _, i := range b.configChanges(host, programKeepalived) {
		c := b.plan.Changes[i]
		b.fixed[c.ID] = WaveDirectorsAdd
		if main != "" {
			b.wait(main, c.ID)
		}
	}
}

// aside puts a change before another one of the same host that makes the same,
// but without the instances that change; "" where the host has none of them.
func (b *builder) aside(id string, names []string, m *member) string {
	at := slices.IndexFunc(b.plan.Changes, func(c Change) bool { return c.ID == id })
	c := &b.plan.Changes[at]
	before, ok := c.Before.(state.Config)
	s, parsed := settingsOf(c.After)
	own := slices.DeleteFunc(slices.Clone(m.want), func(i instance) bool {
		_, live := matching(i, m.live)
		return !live || !slices.Contains(names, i.Name) && !slices.ContainsFunc(m.changing(), func(n string) bool { return n == i.Name })
	})
	if !ok || !parsed || len(own) == 0 {
		return ""
	}
	var without []string
	for _, i := range own {
		without = append(without, i.Name)
	}
	text, err := s.withoutInstances(without).render()
	if err != nil {
		return ""
	}
	to := before
	to.Text = text
	aside := b.step(*c, "aside", before, to)
	aside.Gives, c.Gives = c.Gives, nil
	c.Before = to
	if previous := b.previous[c.ID]; previous != "" {
		b.previous[aside.ID] = previous
	}
	b.previous[c.ID], b.fixed[aside.ID] = aside.ID, WaveDirectorsAdd
	b.plan.Changes = slices.Insert(b.plan.Changes, at, aside)
	return aside.ID
}
