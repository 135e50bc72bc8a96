// Package check finds what cannot work in an LVS topology.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Input is what the checks look at.
type Input struct {
	Topology *topology.Topology
	// Hosts are the observed hosts as they will be when everything declared is
	// applied. One that is missing is judged by its declared facts, and where
	// these do not suffice not at all.
	Hosts map[string]Host
	// Changes are those that apply would make.
	Changes []Change
	// Destroy says that the topology goes: only what its removal does to the
	// hosts' management is looked at.
	Destroy bool
}

// Host is an observed host.
type Host struct {
	Objects state.Objects
	Facts   state.Facts
}

// Change is one change of a host's object; a nil side is none.
type Change struct {
	Host          string
	Address       string // in the configuration
	Before, After state.Object
}

// Result is what the checks found, and on what they based it.
type Result struct {
	Findings topology.Diagnostics // sorted by check, host and object
	// Used are, by host, the observed objects that a finding, or that there is
	// none, rests on.
	Used map[string]map[state.Key]bool
}

// maxFindings is how many findings of one check are told one by one.
const maxFindings = 50

// Run makes all checks.
func Run(in Input) Result {
	w := newWorld(in)
	if !in.Destroy {
		w.addresses()
		for _, s := range w.services {
			w.service(s)
		}
		w.checkers()
		w.vrrp()
		w.syncFiltered()
		w.marks()
		w.forwarding()
		w.firewallsOff()
		w.atBoot()
		w.otherKeepers()
	}
	w.cutOff()
	r := Result{Findings: w.findings(), Used: map[string]map[state.Key]bool{}}
	for name, m := range w.hosts {
		if len(m.used) > 0 {
			r.Used[name] = m.used
		}
	}
	return r
}

// finding is one finding in the making.
type finding struct {
	id      string
	host    string
	object  string
	summary string
	detail  string           // what is wrong with the values, and the fix
	at      []topology.Range // the first is where to change something
}

func (w *world) report(f finding) { w.reportAs(f, severityOf(f.id)) }

func (w *world) reportAs(f finding, severity topology.Severity) {
	d := topology.Diagnostic{Severity: severity, Check: f.id, Summary: f.summary, Detail: f.detail, Host: f.host, Object: f.object}
	for _, r := range w.places(f) {
		switch {
		case d.Range == nil:
			d.Range = &r
		case *d.Range != r && !slices.Contains(d.Also, r):
			d.Also = append(d.Also, r)
		}
	}
	w.found = append(w.found, d)
}

// places are those of a finding that there are. What the reader has written
// comes before what a module from elsewhere says; where there is none of it, the
// call of the module is it, or else the host.
func (w *world) places(f finding) []topology.Range {
	at := slices.DeleteFunc(slices.Clone(f.at), topology.Range.IsZero)
	foreign := func(r topology.Range) bool { return strings.Contains(r.File, "://") }
	path, _, _ := strings.Cut(f.object, ".real_server.")
	if call := w.calls[path]; !call.IsZero() && !slices.ContainsFunc(at, func(r topology.Range) bool { return !foreign(r) }) {
		at = append(at, call)
	}
	if m := w.hosts[f.host]; m != nil && !slices.ContainsFunc(at, func(r topology.Range) bool { return !foreign(r) }) && !m.host.Range.IsZero() {
		at = append(at, m.host.Range)
	}
	slices.SortStableFunc(at, func(a, b topology.Range) int {
		switch {
		case foreign(a) == foreign(b):
			return 0
		case foreign(b):
			return -1
		}
		return 1
	})
	return at
}

// findings are sorted, each once, and not more than a reader can bear.
func (w *world) findings() topology.Diagnostics {
	slices.SortStableFunc(w.found, func(a, b topology.Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Check, b.Check), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Object, b.Object),
			cmp.Compare(a.Summary, b.Summary), cmp.Compare(a.Detail, b.Detail))
	})
	type same struct{ check, host, summary, detail, place string }
	seen := map[same]bool{}
	count := map[string]int{}
	last := map[string]topology.Severity{}
	out := topology.Diagnostics{}
	for _, d := range w.found {
		key := same{d.Check, d.Host, d.Summary, d.Detail, placeOf(d)}
		if seen[key] {
			continue
		}
		seen[key] = true
		if count[d.Check]++; count[d.Check] <= maxFindings {
			out = append(out, d)
		}
		last[d.Check] = d.Severity
	}
	for _, c := range All() {
		if more := count[c.ID] - maxFindings; more > 0 {
			out = append(out, topology.Diagnostic{Severity: last[c.ID], Check: c.ID,
				Summary: fmt.Sprintf("%s: %d more", c.Title, more), Detail: "They are left out here. Correct the ones above first."})
		}
	}
	return out
}

func placeOf(d topology.Diagnostic) string {
	if d.Range == nil {
		return ""
	}
	return d.Range.String()
}

func severityOf(id string) topology.Severity {
	c, _ := Find(id)
	return c.Severity
}

// rangeOf is the place of the first of the attributes that the resource has, or
// of its header. The line of a sensitive one is not to be shown.
func rangeOf(r *topology.Resource, names ...string) topology.Range {
	if r == nil {
		return topology.Range{}
	}
	for _, name := range names {
		if at, ok := r.Attributes[name]; ok && !slices.Contains(r.Sensitive, name) {
			return at
		}
	}
	return r.Range
}

// pathOf is the address of a resource in the configuration; "" without one.
func pathOf(r *topology.Resource) string {
	if r == nil {
		return ""
	}
	return r.Path
}
