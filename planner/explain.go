package planner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Explanation says of an address why it is there, what it stands for on the
// hosts, and what a plan does about it.
type Explanation struct {
	Address string `json:"address"`
	// Type is the block's type, or real_server, host or several: what is below
	// a module, or the instances of a block.
	Type string `json:"type"`
	Host string `json:"host,omitempty"` // where it is
	// Declared is the block's place; nil where the configuration no longer
	// declares it.
	Declared *topology.Range `json:"declared"`
	Modules  []Instance      `json:"modules"` // that it is inside of, the outermost first
	// Instance is the key of for_each or the number of count, as written in the
	// address: `"rs1"`, 0; "" for a block without either.
	Instance     string            `json:"instance,omitempty"`
	DependsOn    []string          `json:"depends_on"`
	ReferencedBy []string          `json:"referenced_by"`
	Below        []Below           `json:"below"` // of a host or several
	Objects      []ExplainedObject `json:"objects"`
	Planned      bool              `json:"planned"` // whether hosts were read
	Unread       []UnreadHost      `json:"unread"`
	Changes      []ExplainedChange `json:"changes"`
	Notes        []string          `json:"notes"` // what else a reader has to know
}

// Instance is a step of an address with the key that tells it from its like.
type Instance struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
}

// written is the step as it ends an address.
func (i Instance) written() string {
	if i.Key == "" {
		return "module." + i.Name
	}
	return "module." + i.Name + "[" + i.Key + "]"
}

// Below is something that an address stands for beside others.
type Below struct {
	Address string `json:"address"`
	Host    string `json:"host"`
}

// UnreadHost is a host of which nobody knows whether something would change.
type UnreadHost struct {
	Host  string `json:"host"`
	Error string `json:"error"`
}

// ExplainedObject is one object of a host that the address stands for, after
// defaults.
type ExplainedObject struct {
	Host   string       `json:"host"`
	Object state.Object `json:"-"`
	// Follows says why there is an object that no attribute names.
	Follows string `json:"follows,omitempty"`
	// Shared are the other addresses that declare the same object.
	Shared    []string `json:"shared"`
	Sensitive []string `json:"sensitive"`
}

// MarshalJSON writes the object as plan JSON does, its sensitive values as null.
func (o ExplainedObject) MarshalJSON() ([]byte, error) {
	attributes, _, err := Change{Sensitive: o.Sensitive, redacted: true}.side(o.Object)
	if err != nil {
		return nil, err
	}
	type plain ExplainedObject
	return json.Marshal(struct {
		plain
		Kind       state.Kind      `json:"kind"`
		Key        string          `json:"key"`
		Attributes json.RawMessage `json:"attributes"`
	}{plain(o), o.Object.Key().Kind, o.Object.Key().ID, attributes})
}

// ExplainedChange is a change of the plan with the reasons for its place.
type ExplainedChange struct {
	Change  Change   `json:"change"`
	Reasons []string `json:"reasons"`
	// WaitsFor and WaitedFor are changes on other hosts.
	WaitsFor  []string `json:"waits_for"`
	WaitedFor []string `json:"waited_for"`
}

// UnknownAddressError is an address that names nothing.
type UnknownAddressError struct {
	Address string
	Near    []string // what it may have meant, the likeliest first
}

func (e *UnknownAddressError) Error() string {
	text := fmt.Sprintf("nothing is called %q", e.Address)
	if len(e.Near) == 0 {
		return text + "\nAn address is that of a resource, a module or a real server as plans print it, or host.NAME."
	}
	return text + "\nIs it one of these? " + strings.Join(e.Near, "  ")
}

// Explain explains an address. A nil plan leaves out what would change; the
// plan must be one without Target and Exclude.
func Explain(t *topology.Topology, p *Plan, address string) (*Explanation, error) {
	x := explainer{t: t, plan: p}
	x.hosts, _ = declare(byHand(t))
	out := &Explanation{Address: address, Modules: []Instance{}, DependsOn: []string{}, ReferencedBy: []string{},
		Below: []Below{}, Objects: []ExplainedObject{}, Unread: []UnreadHost{}, Changes: []ExplainedChange{},
		Notes: []string{}, Planned: p != nil}
	if !x.locate(out) {
		return nil, &UnknownAddressError{address, x.near(address)}
	}
	x.objects(out)
	x.changes(out)
	x.notes(out)
	slices.Sort(out.DependsOn)
	slices.Sort(out.ReferencedBy)
	out.ReferencedBy = slices.Compact(out.ReferencedBy)
	return out, nil
}

// byHand is the topology with the unmanaged hosts as if they were managed: what
// is to be done there by hand can be explained too.
func byHand(t *topology.Topology) *topology.Topology {
	out := *t
	out.Hosts = slices.Clone(t.Hosts)
	for i, h := range out.Hosts {
		if !h.Managed {
			managed := *h
			managed.Managed = true
			out.Hosts[i] = &managed
		}
	}
	return &out
}

// notes say of the hosts that are concerned what is out of the ordinary.
func (x *explainer) notes(out *Explanation) {
	for _, h := range x.t.Hosts {
		concerned := h.Name == out.Host || slices.ContainsFunc(out.Objects, func(o ExplainedObject) bool { return o.Host == h.Name })
		switch {
		case !concerned:
		case h.Retired:
			out.Notes = append(out.Notes, h.Name+" is retired: what lvsform made there is removed, and nothing declared there is applied")
		case !h.Managed:
			out.Notes = append(out.Notes, h.Name+" is not managed: what is declared there has to be done by hand, and nothing checks that it is")
		}
	}
}

type explainer struct {
	t     *topology.Topology
	plan  *Plan
	hosts map[string]desired
	// match tells of a configuration address whether it belongs to the one
	// that is explained; onHost is set for a host instead.
	match  func(string) bool
	onHost string
}

// objects lists what the address stands for on the hosts.
func (x *explainer) objects(out *Explanation) {
	for _, host := range slices.Sorted(maps.Keys(x.hosts)) {
		if x.onHost != "" && host != x.onHost {
			continue
		}
		d := x.hosts[host]
		for _, key := range slices.SortedFunc(maps.Keys(d), state.Key.Compare) {
			w := d[key]
			if x.onHost == "" && !slices.ContainsFunc(w.addresses, x.match) {
				continue
			}
			o := ExplainedObject{Host: host, Object: w.object, Follows: follows(w), Shared: []string{}, Sensitive: nonNil(sensitive(w))}
			for _, a := range w.addresses {
				if x.onHost != "" || !x.match(a) {
					o.Shared = append(o.Shared, a)
				}
			}
			out.Objects = append(out.Objects, o)
		}
	}
}

// follows says why a declaration needs an object that it does not name.
func follows(w *want) string {
	m, ok := w.object.(state.Module)
	if !ok || len(w.resources) == 0 {
		return ""
	}
	needs := ""
	switch w.resources[0].Body.(type) {
	case *topology.VirtualService:
		needs = "the virtual service needs it"
		if s, ok := strings.CutPrefix(m.Name, "ip_vs_pe_"); ok {
			needs = "the persistence engine " + s + " needs it"
		} else if s, ok := strings.CutPrefix(m.Name, "ip_vs_"); ok {
			needs = "the scheduler " + s + " needs it"
		}
	case *topology.Link:
		needs = "links of this kind need it"
		if m.Name == "fou" {
			needs = "fou needs it"
		}
	default:
		needs = "what is declared needs it"
	}
	return needs + "; it is loaded where it is missing, and never unloaded"
}

// changes lists what the plan does about the address.
func (x *explainer) changes(out *Explanation) {
	if x.plan == nil {
		return
	}
	relevant := map[string]bool{}
	for _, o := range out.Objects {
		relevant[o.Host] = true
	}
	relevant[out.Host] = true
	for _, h := range x.plan.Hosts {
		if h.Error != "" && relevant[h.Name] {
			out.Unread = append(out.Unread, UnreadHost{h.Name, h.Error})
		}
	}
	waited := x.waited()
	for _, c := range x.plan.Redacted().Changes {
		if x.onHost != "" && c.Host != x.onHost || x.onHost == "" && !slices.ContainsFunc(c.Addresses, x.match) {
			continue
		}
		out.Changes = append(out.Changes, ExplainedChange{Change: c, Reasons: c.reasons(),
			WaitsFor: nonNil(c.AfterIDs), WaitedFor: nonNil(waited[c.ID])})
	}
}

// waited tells by id which changes on other hosts wait for a change. A host's
// changes of one stage are one transaction, so whoever waits for one of them
// waits for those before it too.
func (x *explainer) waited() map[string][]string {
	at := map[string]int{}
	for i, c := range x.plan.Changes {
		at[c.ID] = i
	}
	out := map[string][]string{}
	for _, c := range x.plan.Changes {
		for _, id := range c.AfterIDs {
			last, ok := at[id]
			for i := last; ok && i >= 0; i-- {
				before, end := x.plan.Changes[i], x.plan.Changes[last]
				if before.Stage != end.Stage || before.Host != end.Host { // a host's changes stand together
					break
				}
				if !slices.Contains(out[before.ID], c.ID) {
					out[before.ID] = append(out[before.ID], c.ID)
				}
			}
		}
	}
	return out
}
