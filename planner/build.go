package planner

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Live is one host as it was observed.
type Live struct {
	Objects state.Objects
	Ledger  state.Ledger
	// MissingModules were asked for and are not to be found on the host.
	MissingModules []string
	Facts          state.Facts
	// Connections are those of the services that Drains names.
	Connections []state.Connections
}

// Input is everything that a plan is made of.
type Input struct {
	Topology *topology.Topology
	Live     map[string]Live  // by host name
	Errors   map[string]error // why a managed host is not in Live
	Version  string           // of lvsform
	Destroy  bool             // plan the removal of everything claimed
	// Target and Exclude select changes by configuration address, or by
	// host.NAME; an address also stands for everything below it.
	Target, Exclude []string
}

// Build makes the plan. Its Diagnostics may hold errors; such a plan can be
// shown, not applied.
func Build(in Input) *Plan {
	t := in.Topology
	hosts, diags := declare(t)
	p := &Plan{FormatVersion: FormatVersion, LvsformVersion: in.Version, Topology: t.Name, Destroy: in.Destroy,
		Outputs: t.Outputs, Diagnostics: topology.Diagnostics{}, Checks: topology.Diagnostics{}}
	p.Diagnostics = append(p.Diagnostics, diags...)
	b := builder{in: in, seen: in.Live, plan: p, hosts: hosts, managed: map[string]bool{}, servers: map[string]string{}, owner: owners(t),
		exclusive: exclusive(in), checked: check.Sysctls(t), fixed: map[string]Wave{}, previous: map[string]string{},
		first: map[string][]string{}}
	b.adopt()
	for _, h := range t.Hosts {
		if h.Managed {
			p.Members = append(p.Members, h.Name)
			b.managed[h.Name] = true
		}
	}
	for _, h := range t.Hosts {
		if h.Managed {
			b.host(h)
		}
	}
	b.unmanaged()
	b.configSteps()
	b.pairs()
	b.fixedAddresses()
	b.drains()
	b.order()
	b.takeOver()
	all := p.Changes
	b.selectChanges()
	b.check(all)
	b.preventDestroy()
	b.persist()
	p.summarise()
	slices.SortStableFunc(p.Diagnostics, func(a, b topology.Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Summary, b.Summary))
	})
	return p
}

// unmanaged says of what is declared on unmanaged hosts that nobody makes it so.
func (b *builder) unmanaged() {
	declared := map[string]int{}
	for _, r := range b.in.Topology.Resources {
		declared[r.Host]++
	}
	for _, h := range b.in.Topology.Hosts {
		if h.Managed || declared[h.Name] == 0 {
			continue
		}
		rng := h.Range
		b.plan.Diagnostics = append(b.plan.Diagnostics, topology.Diagnostic{
			Severity: topology.Info, Host: h.Name, Object: h.Path, Range: &rng,
			Summary: fmt.Sprintf("%s is not managed: what is declared on it is not applied", h.Name),
			Detail: fmt.Sprintf("Resources on it: %d. They have to be made so by hand, and nothing checks that they are: lvsform runbook %s prints how.",
				declared[h.Name], argument(h.Name)),
		})
	}
}

type builder struct {
	in      Input
	seen    map[string]Live // as they were observed
	adopted map[adoptedAt]*adopted
	plan    *Plan
	hosts   map[string]desired
	managed map[string]bool
	servers map[string]string // of a destination's change, by id: the host that serves
	owner   map[netip.Addr]string
	// exclusive are the ipvs blocks that claim a host's whole table, by host.
	exclusive map[string][]string
	checked   map[string][]string // sysctls that only the checks look at, by host
	// forwards is how declared destinations are reached.
	forwards map[use]string
	fixed    map[string]Wave // of changes, by id, whose kind does not tell it
	// previous is the change, by id, that makes the text which a change of a
	// Config takes for given.
	previous map[string]string
	first    map[string][]string // by id, the changes that a change waits for beside
	groups   []peers             // of two and more hosts
	changing map[string]bool     // hosts of which more changes than destinations
	moving   map[string]bool     // servers that change between NAT and another way of forwarding
	ledgers  map[string]map[state.Key]state.Entry
}

// host plans one host.
func (b *builder) host(h *topology.Host) {
	out := Host{Name: h.Name, Address: h.Address.String(), SSH: h.SSH}
	live, ok := b.in.Live[h.Name]
	if !ok {
		out.Error = "not observed"
		if err := b.in.Errors[h.Name]; err != nil {
			out.Error = err.Error()
		}
		b.plan.Hosts = append(b.plan.Hosts, out)
		return
	}
	want := b.hosts[h.Name]
	if b.in.Destroy {
		want = desired{}
	}
	hp := hostPlanner{b: b, host: h, live: live.Objects.ByKey(), want: want, ledger: live.Ledger.ByKey(),
		deleted: map[state.Key][]string{}, kept: kept(live.Objects)}
	hp.settleDevices(b.hosts[h.Name])
	hp.settleConfigs()
	hp.missingModules(live.MissingModules)
	hp.vanishedMembers(live.Ledger)
	hp.plan()
	out.Modules = want.modules()
	out.Query = b.hosts[h.Name].query(b.checked[h.Name])
	out.Observed = scope(b.seen[h.Name], b.hosts[h.Name], b.plan.Topology)
	b.plan.Hosts = append(b.plan.Hosts, out)
}

// hostPlanner compares one host with what it shall be.
type hostPlanner struct {
	b      *builder
	host   *topology.Host
	live   map[state.Key]state.Object
	want   desired
	ledger map[state.Key]state.Entry
	// deleted are the services that the plan deletes, with the configuration
	// addresses that declared them.
	deleted map[state.Key][]string
	// kept are the services that programs keep so far.
	kept map[state.ServiceID]bool
	// theirs are the services that programs keep for other topologies; nil: not
	// yet known.
	theirs map[state.ServiceID]bool
}

func (hp *hostPlanner) plan() {
	for _, key := range slices.SortedFunc(maps.Keys(hp.want), state.Key.Compare) {
		hp.declared(key, hp.want[key])
	}
	for _, key := range slices.SortedFunc(maps.Keys(hp.ledger), state.Key.Compare) {
		claim, mine := hp.ledger[key].Claim(hp.b.plan.Topology)
		if _, wanted := hp.want[key]; mine && !wanted && !hp.handedOver(key, hp.ledger[key]) {
			hp.released(hp.ledger[key], claim)
		}
	}
	hp.taken()
	hp.contested()
	hp.extraServices()
	hp.extraDestinations()
}

func (hp *hostPlanner) add(c Change) {
	c.Host = hp.host.Name
	c.ID = c.Host + ":" + c.Key().String()
	if c.Action == Delete && c.Key().Kind == state.KindService {
		hp.deleted[c.Key()] = c.Addresses
	}
	hp.b.plan.Changes = append(hp.b.plan.Changes, c)
}

func (hp *hostPlanner) diagnose(s topology.Severity, object string, rng *topology.Range, summary, detail string) {
	hp.b.plan.Diagnostics = append(hp.b.plan.Diagnostics, topology.Diagnostic{
		Severity: s, Host: hp.host.Name, Object: object, Range: rng, Summary: summary, Detail: detail})
}

// declared plans an object that the host shall have.
func (hp *hostPlanner) declared(key state.Key, w *want) {
	live := hp.live[key]
	entry, claimed := hp.ledger[key]
	claim, mine := entry.Claim(hp.b.plan.Topology)
	given := hp.givenBack(key)
	if given || hp.sinks(live) {
		live = nil // its program takes it away before this creates it
	}
	object := hp.settle(w, live, entry, mine)
	if claimed && hp.contradicted(entry, object, w) {
		return
	}
	c := Change{Addresses: w.addresses, Before: live, After: object, Announce: w.announce, Sensitive: sensitive(w), given: given}
	switch {
	case live == nil:
		if !hp.creatable(key, w) || hp.leftOut(key, w) {
			return
		}
		c.Action = Create
	case key.Kind == state.KindModule:
		hp.loadedOtherwise(object, live, w)
		return // loaded, and nobody's
	case object.Resolve(live) != live:
		c.After = object.Resolve(live)
		c.Action = Update
		if (state.Change{Before: live, After: c.After}).Replaces() {
			c.Action = Replace
			c.Hazards = append(c.Hazards, HazardConnections)
		}
	case mine && !claim.Draining && (w.ignoring(claim.Value.Object, object) == object || w.config != nil && w.loose()):
		hp.renamed(claim, w)
		return
	default:
		c.Action, c.After = Adopt, live
	}
	if c.Action != Create {
		c.Announce = c.Announce && c.Action == Replace
	}
	if key.Kind != state.KindModule {
		c.Claim = &state.ClaimChange{Before: state.Boxed{Object: live}, Claim: state.Claim{
			Topology: hp.b.plan.Topology, Addresses: w.addresses, Value: state.Boxed{Object: object}, Sensitive: c.Sensitive, Loose: w.loose()}}
	}
	if key.Kind == state.KindDestination && !hp.b.managed[w.server] {
		c.Hazards = append(c.Hazards, HazardUnverified)
	}
	hp.add(c)
	hp.b.servers[hp.host.Name+":"+key.String()] = w.server
}

// loadedOtherwise warns of a module that is loaded with other parameters than
// declared.
func (hp *hostPlanner) loadedOtherwise(want, live state.Object, w *want) {
	if want.Resolve(live) == live {
		return
	}
	have, declared := live.(state.Module), want.(state.Module)
	hp.diagnose(topology.Warning, w.addresses[0], hp.rangeOf(w),
		fmt.Sprintf("%s on %s is loaded with %s, not with %s", have.Name, hp.host.Name, cmp.Or(have.Parameters, "its defaults"), declared.Parameters),
		"A module takes its parameters only when it is loaded, and lvsform unloads none: it takes them when the host boots the next time.")
}

// renamed notes that other addresses than before declare an object, or that
// they have changed their mind about what they leave to others.
func (hp *hostPlanner) renamed(claim state.Claim, w *want) {
	if slices.Equal(claim.Addresses, w.addresses) && claim.Loose == w.loose() {
		return
	}
	claim.Addresses, claim.Loose = w.addresses, w.loose()
	if hp.b.plan.Renamed == nil {
		hp.b.plan.Renamed = map[string][]state.ClaimChange{}
	}
	hp.b.plan.Renamed[hp.host.Name] = append(hp.b.plan.Renamed[hp.host.Name], state.ClaimChange{Claim: claim})
}

// contradicted reports an object that another topology claims with another value.
func (hp *hostPlanner) contradicted(entry state.Entry, object state.Object, w *want) bool {
	for _, c := range entry.Claims {
		if c.Topology == hp.b.plan.Topology || c.Value.Object == object {
			continue
		}
		values := fmt.Sprintf("claims it as %s; here it is declared as %s", Describe(c.Value.Object), Describe(object))
		if len(sensitive(w)) > 0 {
			values = "claims it with another value"
		}
		hp.diagnose(topology.Error, w.addresses[0], hp.rangeOf(w),
			fmt.Sprintf("%s on %s belongs to topology %q too", object.Key(), hp.host.Name, c.Topology),
			fmt.Sprintf("Topology %q (%s) %s. One object has one value: make the two configurations agree, or remove it from one.",
				c.Topology, strings.Join(c.Addresses, ", "), values))
		return true
	}
	return false
}

func (hp *hostPlanner) rangeOf(w *want) *topology.Range {
	if len(w.resources) == 0 || w.resources[0].Range.IsZero() {
		return nil
	}
	r := w.resources[0].Range
	return &r
}

// preventDestroy reports removals that lifecycle forbids.
func (b *builder) preventDestroy() {
	reported := map[string]bool{}
	for _, c := range b.plan.Changes {
		// A real server goes by an edit of its service, which stays.
		if c.Key().Kind == state.KindDestination || c.Action == Forget || c.Action != Replace && !c.removal() {
			continue
		}
		for _, r := range b.declaring(c.Host, c.Key(), c.Addresses) {
			if !r.PreventDestroy || reported[r.Path] {
				continue
			}
			reported[r.Path] = true
			rng := r.Range
			b.plan.Diagnostics = append(b.plan.Diagnostics, topology.Diagnostic{
				Severity: topology.Error, Host: c.Host, Object: r.Path, Range: &rng, Summary: r.Path + " must not be destroyed",
				Detail: "Its lifecycle block says prevent_destroy, but the plan takes away " + Title(c.Before) +
					". Undo the change that asks for it, or take prevent_destroy away.",
			})
		}
	}
}

// declaring are the resources of the configuration behind an object that goes,
// by what they declare and by their names.
func (b *builder) declaring(host string, key state.Key, addresses []string) []*topology.Resource {
	var out []*topology.Resource
	if w := b.hosts[host][key]; w != nil {
		out = append(out, w.resources...)
	}
	for _, r := range b.in.Topology.Resources {
		if slices.Contains(addresses, r.Path) && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// sensitive names the attributes of the object that sensitive values went into.
func sensitive(w *want) []string {
	var out []string
	if w.config != nil {
		return secretsOf(w)
	}
	for _, r := range w.resources {
		for _, name := range r.Sensitive {
			if !w.takes(r) {
				continue
			}
			if server, ok := strings.CutPrefix(name, "real_server."); ok {
				dot := strings.LastIndex(server, ".")
				if tunnel := strings.LastIndex(server, ".tunnel."); tunnel >= 0 {
					dot = tunnel
				}
				if dot < 0 || !slices.Contains(w.addresses, r.Path+".real_server."+server[:dot]) {
					continue
				}
				name = server[dot+1:]
			}
			out = append(out, stateAttributes(name)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
