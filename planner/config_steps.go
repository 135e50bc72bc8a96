package planner

import (
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// configSteps makes of the change of a Config the texts that lead to it: what is
// added comes before what goes, and real servers that go are drained between.
func (b *builder) configSteps() {
	var out []Change
	for _, c := range b.plan.Changes {
		if _, ok := either(c).(state.Config); ok && c.Before != nil && (c.Action == Update || c.Action == Delete) && !b.in.Destroy {
			out = append(out, b.split(c)...)
			continue
		}
		out = append(out, c)
	}
	b.plan.Changes = out
}

// transition is the way from a live configuration to the declared one.
type transition struct {
	host        string
	live, final settings
	// grown is the final one with all that goes still in it, drained the same
	// with the weight 0 for the real servers that go.
	grown, drained settings
	waiting        []state.Destination // of the real servers that are drained
	timeout        time.Duration
	gives          []state.ServiceID // to other owners
}

func (b *builder) split(c Change) []Change {
	live, ok := settingsOf(c.Before)
	if !ok {
		return []Change{c}
	}
	t := transition{host: c.Host, live: live, final: settings{program: live.program}}
	if c.After != nil {
		t.final = b.hosts[c.Host][c.Key()].config.settings
	}
	t.grown = t.final.clone()
	b.keepWhatGoes(&t)
	t.onlyRemoves()
	return b.texts(c, t)
}

// keepWhatGoes fills in what the texts on the way have beside the final one.
func (b *builder) keepWhatGoes(t *transition) {
	var zeroes []server
	for _, v := range t.live.services {
		stays, ok := t.final.service(v.ServiceID)
		switch {
		case !ok && b.movesTo(t.host, v.ServiceID):
			t.gives = append(t.gives, v.ServiceID)
		case !ok:
			t.grown.put(v)
		default:
			timeout := b.drainTimeout(t.host, v.ServiceID)
			for _, r := range v.servers {
				after, in := stays.destination(r.Destination)
				if in && (after.Weight > 0 || r.Weight == 0) {
					continue
				}
				if !in && timeout == 0 {
					t.grown.putServer(r)
					continue
				}
				t.timeout = max(t.timeout, timeout)
				if in {
					after.Weight, after.Destination.Weight = r.Weight, r.Weight
					t.grown.putServer(after)
					r = after
				} else {
					t.grown.putServer(r)
				}
				r.Weight, r.Destination.Weight = 0, 0
				t.waiting = append(t.waiting, r.Destination)
				zeroes = append(zeroes, r)
			}
		}
	}
	for _, r := range zeroes { // from a drain that was cut off
		if v, _ := t.live.service(r.Service); strings.Contains(v.SchedulerFlags, "-fallback") {
			t.grown.chooseOthers(r.Service)
		}
	}
	t.drained = t.grown.clone()
	for _, r := range zeroes {
		t.drained.putServer(r)
	}
	for _, r := range zeroes {
		t.drained.bearZero(r.Service)
		t.drained.chooseOthers(r.Service)
	}
}

// chooseOthers lets a service that chooses by hashing choose another server for
// the clients of one that is drained.
func (s *settings) chooseOthers(id state.ServiceID) {
	v, _ := s.service(id)
	flag := fallbackFlag(v.Scheduler)
	if flag == "" {
		return
	}
	flags := withFlag(v.SchedulerFlags, flag)
	v.SchedulerFlags, v.keepalived.SchedulerFlags, v.ldirectord.SchedulerFlags = flags, flags, flags
	s.put(v)
}

// bearZero lets a service bear that all its servers are drained. The fallback
// comes then, and keepalived deletes the servers that are alive, with their
// connections, but for those that it is to give the weight 0 instead.
func (s *settings) bearZero(id state.ServiceID) {
	v, ok := s.service(id)
	if !ok || !v.hasFallback || v.weight() > 0 {
		return
	}
	for i := range v.servers {
		v.servers[i].keepalived.Quiescent = true
	}
	s.put(v)
}

// movesTo tells whether another owner is to keep a service from now on.
func (b *builder) movesTo(host string, id state.ServiceID) bool {
	return b.hosts[host].table(b.plan.Topology, state.Service{ServiceID: id}.Key()) != nil
}

// onlyRemoves leaves the instances that go where nothing else would be added.
func (t *transition) onlyRemoves() {
	for _, i := range t.final.vrrp.Instances {
		text, _ := settings{program: programKeepalived, vrrp: onlyInstance(i)}.render()
		if !slices.ContainsFunc(t.live.vrrp.Instances, func(l instance) bool {
			have, _ := settings{program: programKeepalived, vrrp: onlyInstance(l)}.render()
			return have == text
		}) {
			return
		}
	}
	with := t.grown.clone()
	with.vrrp = t.live.vrrp
	if t.final.program == programLdirectord && t.final.empty() {
		with.global = t.live.global
	}
	a, errA := with.render()
	have, errB := t.live.render()
	if errA == nil && errB == nil && a == have {
		t.grown.vrrp, t.grown.global = with.vrrp, with.global
		t.drained.vrrp, t.drained.global = with.vrrp, with.global
	}
}

// texts are the changes of a transition.
func (b *builder) texts(c Change, t transition) []Change {
	var out []Change
	last := c.Before.(state.Config)
	add := func(prefix string, s settings, w Wave, always bool) *Change {
		text, err := s.render()
		next := last
		next.Text = text
		if err != nil || next == last && !always {
			return nil
		}
		step := b.step(c, prefix, last, next)
		b.fixed[step.ID] = w
		out, last = append(out, step), next
		return &out[len(out)-1]
	}
	giver := add("before", t.grown, WaveDirectorsAdd, false)
	if t.grown.empty() { // all of it is given away, so that nothing goes
		out, last, giver = nil, c.Before.(state.Config), nil
	}
	if len(t.waiting) > 0 {
		if drain := add("drain", t.drained, WaveDrain, true); drain != nil {
			drain.Drain, drain.Drained = max(t.timeout, momentary), t.waiting
			drain.Hazards = append(drain.Hazards, t.refuses()...)
		}
	}
	if c.After == state.Object(last) { // the last of them is the one that was asked for
		final := &out[len(out)-1]
		id, hazards := final.ID, slices.Concat(c.Hazards, final.Hazards)
		final.ID, final.partly, final.Claim, final.Hazards = c.ID, false, c.Claim, hazards
		b.fixed[c.ID] = b.fixed[id]
	} else {
		c.Before = last
		b.fixed[c.ID] = WaveDirectorsDrop
		out = append(out, c)
	}
	if len(t.gives) > 0 {
		if giver == nil {
			b.fixed[out[0].ID] = WaveDirectorsAdd
		}
		out[0].Gives = t.gives
	}
	for i := 1; i < len(out); i++ {
		b.previous[out[i].ID] = out[i-1].ID
	}
	return out
}

// step is a change to a text on the way, which the ledger knows for what the
// topology wants meanwhile.
func (b *builder) step(c Change, prefix string, from, to state.Config) Change {
	claim := c.Claim.Claim
	claim.Value = state.Boxed{Object: to}
	out := Change{ID: c.Host + ":" + prefix + " " + to.Key().String(), Addresses: c.Addresses, Host: c.Host, Action: Update,
		Before: from, After: to, Sensitive: c.Sensitive, partly: true,
		Claim: &state.ClaimChange{Claim: claim, Before: c.Claim.Before}}
	if c.Claim.Drop {
		out.Claim.Before = state.Boxed{Object: from}
	}
	return out
}

// refuses tells whether clients that hash to a drained server are refused: dh
// knows no other one, and sh and mh do so while they are told to.
func (t *transition) refuses() []Hazard {
	for _, d := range t.waiting {
		v, _ := t.drained.service(d.Service)
		then, _ := t.final.service(d.Service)
		_, stays := then.destination(d)
		flag := fallbackFlag(then.Scheduler)
		if v.Scheduler == "dh" || stays && flag != "" && !slices.Contains(strings.Split(then.SchedulerFlags, ","), flag) {
			return []Hazard{HazardRefusesClients}
		}
	}
	return nil
}

// configs adds what the changes of configurations wait for: the real servers in
// them, the texts before them, and the peers.
func (g *graph) configs() {
	servers := g.lastOf(WaveServersAdd)
	for i, c := range g.changes {
		if at, ok := g.index[g.b.previous[c.ID]]; ok {
			g.edge(at, i)
		}
		for _, id := range g.b.first[c.ID] {
			if at, ok := g.index[id]; ok {
				g.edge(at, i)
			}
		}
		if _, ok := either(c).(state.Config); !ok {
			continue
		}
		for j, d := range g.changes[:i] { // it does not come before its like because a peer waits for it
			_, config := either(d).(state.Config)
			if d.Host == c.Host && d.Wave == c.Wave && !d.given && !config {
				g.edge(j, i)
			}
		}
		after, _ := settingsOf(c.After)
		for _, d := range after.destinations() {
			if last, ok := servers[g.b.serverAt(c.Host, d)]; ok && c.Action != Adopt && c.Action != Forget {
				g.edge(last, i)
			}
		}
		g.given(i, c)
		g.cleaned(i, c, after)
	}
}

// given lets those who take what a program gives up wait for it.
func (g *graph) given(i int, c Change) {
	if len(c.Gives) == 0 {
		return
	}
	for j, d := range g.changes {
		_, config := d.After.(state.Config)
		if d.Host == c.Host && (d.given && d.Action == Create || config && d.Key() != c.Key() && d.Wave == c.Wave) {
			g.edge(i, j)
		}
	}
}

// cleaned lets the real servers that a configuration drops keep what they need
// until it has done so.
func (g *graph) cleaned(i int, c Change, after settings) {
	if c.Wave != WaveDirectorsDrop || c.Action == Forget {
		return
	}
	before, _ := settingsOf(c.Before)
	for _, d := range before.destinations() {
		v, _ := after.service(d.Service)
		if _, stays := v.destination(d); stays {
			continue
		}
		server := g.b.serverAt(c.Host, d)
		for j, o := range g.changes {
			if o.Host == server && o.Wave == WaveServersDrop {
				g.edge(i, j)
			}
		}
	}
}

// serverAt is the host behind a real server of a configuration; "" is none.
func (b *builder) serverAt(host string, d state.Destination) string {
	server := b.owner[d.Address]
	if w := b.hosts[host].checked(b.plan.Topology, d.Key()); w != nil && w.server != "" {
		server = w.server
	}
	if server == host {
		return ""
	}
	return server
}
