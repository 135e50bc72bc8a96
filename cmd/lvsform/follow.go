package main

import (
	"errors"
	"fmt"
	"sync"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
)

// follower shows an apply on the progress display.
type follower struct {
	progress progress

	mu          sync.Mutex
	total, done map[string]int               // changes by host
	left        map[string]map[state.Key]int // connections of what is drained, by host
}

func newFollower(p *planner.Plan, bar progress) *follower {
	f := &follower{progress: bar, total: map[string]int{}, done: map[string]int{}, left: map[string]map[state.Key]int{}}
	for _, c := range p.Changes {
		f.total[c.Host]++
	}
	return f
}

var _ apply.Observer = (*follower)(nil)

func (f *follower) Started(host string, changes []planner.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress.set(host, fmt.Sprintf("%d of %d changes made", f.done[host], f.total[host]))
}

var pastWords = map[planner.Action]string{planner.Create: "created", planner.Update: "updated", planner.Replace: "replaced",
	planner.Delete: "removed", planner.Adopt: "adopted", planner.Forget: "forgotten"}

func (f *follower) Done(c planner.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[c.Host]++
	word := pastWords[c.Action]
	if c.Drain > 0 {
		word = "gets no new connections"
	} else if n, drained := f.left[c.Host][c.Key()]; drained {
		delete(f.left[c.Host], c.Key())
		if n > 0 {
			word += " with " + view.Count(n, "connection") + " open"
		}
	}
	f.progress.note(c.Host, fmt.Sprintf("%s %s (%s)", c.Address(), word, changeTitle(c)))
	f.progress.set(c.Host, fmt.Sprintf("%d of %d changes made", f.done[c.Host], f.total[c.Host]))
	if f.done[c.Host] == f.total[c.Host] {
		f.progress.end(c.Host, "done", true)
	}
}

func (f *follower) Draining(c planner.Change, connections int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left[c.Host] == nil {
		f.left[c.Host] = map[state.Key]int{}
	}
	left := f.left[c.Host]
	left[c.Key()] = connections
	what, sum := changeTitle(c), 0
	if len(left) > 1 {
		what = view.Count(len(left), "destination")
	}
	for _, n := range left {
		sum += n
	}
	f.progress.set(c.Host, fmt.Sprintf("draining %s: %s left", what, view.Count(sum, "connection")))
}

// Failed leaves the cause to the report.
func (f *follower) Failed(host string, _ []planner.Change, _ error) {
	f.progress.end(host, "failed", false)
}

func (f *follower) Skipped(c planner.Change, because string) {
	f.progress.note(c.Host, fmt.Sprintf("%s skipped (%s): %s", c.Address(), changeTitle(c), because))
}

func changeTitle(c planner.Change) string {
	o := c.After
	if o == nil {
		o = c.Before
	}
	return view.Title(o)
}

// stream prints an apply as JSON, one object a line.
type stream struct{ c *cli }

// event is one line; every line has a type, the rest as the type needs it.
type event struct {
	Type string `json:"type"`

	LvsformVersion string `json:"lvsform_version,omitempty"`
	FormatVersion  string `json:"format_version,omitempty"`
	Protocol       int    `json:"protocol,omitempty"`

	Diagnostic *topology.Diagnostic `json:"diagnostic,omitempty"`
	Change     *planner.Change      `json:"change,omitempty"`

	ID      string     `json:"id,omitempty"`
	Host    string     `json:"host,omitempty"`
	Address string     `json:"address,omitempty"`
	Kind    state.Kind `json:"kind,omitempty"`
	Actions []string   `json:"actions,omitempty"`
	IDs     []string   `json:"ids,omitempty"`
	Error   string     `json:"error,omitempty"`
	Because string     `json:"because,omitempty"`

	Connections *int `json:"connections,omitempty"`

	*streamSummary
}

type streamSummary struct {
	ExitCode    int             `json:"exit_code"`
	Summary     planner.Summary `json:"summary"`
	Hosts       []streamHost    `json:"hosts"`
	Interrupted bool            `json:"interrupted"`
	Continue    string          `json:"continue,omitempty"`
}

type streamHost struct {
	Name   string               `json:"name"`
	Counts map[apply.Status]int `json:"counts"`
	Error  string               `json:"error,omitempty"`
}

func (s stream) emit(e event) {
	s.c.streaming.Lock()
	defer s.c.streaming.Unlock()
	s.c.writeJSON(e)
}

// planned opens the stream: versions, findings, planned changes.
func (s stream) planned(p *planner.Plan) {
	s.emit(event{Type: "version", LvsformVersion: buildVersion(), FormatVersion: planner.FormatVersion, Protocol: wire.Protocol})
	for _, d := range findings(p) {
		s.emit(event{Type: "diagnostic", Diagnostic: &d})
	}
	for _, c := range p.Redacted().Changes {
		s.emit(event{Type: "planned_change", Change: &c})
	}
}

func changeEvent(kind string, c planner.Change) event {
	return event{Type: kind, ID: c.ID, Host: c.Host, Address: c.Address(), Kind: c.Key().Kind, Actions: c.Action.Actions()}
}

func (s stream) Started(_ string, changes []planner.Change) {
	for _, c := range changes {
		s.emit(changeEvent("apply_start", c))
	}
}

func (s stream) Done(c planner.Change) { s.emit(changeEvent("apply_complete", c)) }

func (s stream) Failed(host string, changes []planner.Change, err error) {
	e := event{Type: "apply_errored", Host: host, Error: view.Clean(err.Error())}
	if errors.Is(err, apply.ErrRolledBack) {
		e.Type = "rolled_back"
	}
	for _, c := range changes {
		e.IDs = append(e.IDs, c.ID)
	}
	s.emit(e)
}

func (s stream) Draining(c planner.Change, connections int) {
	e := changeEvent("draining", c)
	e.Connections = &connections
	s.emit(e)
}

func (s stream) Skipped(c planner.Change, because string) {
	e := changeEvent("apply_skipped", c)
	e.Because = because
	s.emit(e)
}

func (s stream) summary(o view.Outcome, problems topology.Diagnostics, code int) {
	for _, d := range problems {
		s.emit(event{Type: "diagnostic", Diagnostic: &d})
	}
	sum := &streamSummary{ExitCode: code, Summary: o.Plan.Summary, Hosts: []streamHost{},
		Interrupted: o.Report.Interrupted, Continue: o.Continue}
	for _, h := range o.Report.Hosts {
		sh := streamHost{Name: h.Name, Counts: h.Counts}
		if h.Err != nil {
			sh.Error = view.Clean(h.Err.Error())
		}
		sum.Hosts = append(sum.Hosts, sh)
	}
	for _, h := range o.Plan.Unreachable() {
		sum.Hosts = append(sum.Hosts, streamHost{Name: h.Name, Counts: map[apply.Status]int{}, Error: view.Clean(h.Error)})
	}
	s.emit(event{Type: "summary", streamSummary: sum})
}
