// Package verify judges who answered against the weights.
package verify

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/status"
	"github.com/lvsform/lvsform/state"
)

// Report is what came of one verification.
type Report struct {
	FormatVersion  string    `json:"format_version"`
	LvsformVersion string    `json:"lvsform_version"`
	Topology       string    `json:"topology"`
	From           string    `json:"from"` // a host's name; "" is this machine
	OK             bool      `json:"ok"`
	Unread         []Unread  `json:"unread"` // directors whose table could not be read
	Services       []Service `json:"services"`
}

// Unread is a director that could not be read.
type Unread struct {
	Host  string `json:"host"`
	Error string `json:"error"`
}

// Service is one virtual service, on however many directors.
type Service struct {
	Address   string         `json:"address"` // in the configuration
	ID        string         `json:"service"`
	Target    string         `json:"target,omitempty"`  // where connections went to
	Skipped   string         `json:"skipped,omitempty"` // why none were opened
	Scheduler *string        `json:"scheduler"`         // nil: not shown
	Rule      Rule           `json:"rule"`
	Tolerance float64        `json:"tolerance"` // by how much a share may be off; 0: shares are not compared
	Sent      int            `json:"sent"`
	Answered  int            `json:"answered"` // connections that were taken; of UDP nobody knows
	Failures  map[string]int `json:"failures"` // by their reason
	// Counted is how many connections the directors counted meanwhile, those of
	// other clients included.
	Counted  uint64   `json:"counted"`
	Servers  []Server `json:"servers"`
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
	Notes    []string `json:"notes"`
}

// Server is a real server's share.
type Server struct {
	Name        string   `json:"name,omitempty"`
	Destination string   `json:"address"`
	Weight      *int     `json:"weight"` // that counts; nil: not shown
	State       string   `json:"state"`
	Expected    *float64 `json:"expected_share"` // 0 to 1; nil: nothing is expected, or it is not shown
	Seen        uint64   `json:"connections"`
	Share       float64  `json:"share"`
}

// Rule is what a scheduler promises about the connections of one client.
type Rule string

// The rules.
const (
	Equal    Rule = "equal"      // every server the same
	Weighted Rule = "weights"    // by weight
	One      Rule = "one_server" // persistence: all to the server that the client had first
	Any      Rule = "any_server" // it depends on the client, or on what is open at the moment
)

// Watched is what one director said about the service before and after.
type Watched struct {
	Host          string
	Status        status.Service
	Before, After []state.Counters
}

// Sent is what became of the connections.
type Sent struct {
	Count    int
	Answered int
	Failures map[string]int
}

// By how much a share may be off: schedulers that go round, and those that draw
// or hash.
const (
	steady = 0.10
	random = 0.20
	// lost is the part of the connections that a director need not have counted:
	// a port that is used again may belong to a connection that it remembers.
	lost = 0.05
)

// ruleOf tells what is expected of a service, and by how much a share may be off.
func ruleOf(scheduler string, flags []string, persistent bool) (Rule, float64) {
	hashed := func() (Rule, float64) {
		if slices.Contains(flags, scheduler+"-port") {
			return Weighted, random
		}
		return Any, 0
	}
	switch {
	case persistent:
		return One, 0
	case scheduler == "rr", scheduler == "lc":
		return Equal, steady
	case scheduler == "wrr", scheduler == "wlc":
		return Weighted, steady
	case scheduler == "twos":
		return Weighted, random
	case scheduler == "sh", scheduler == "mh":
		return hashed()
	}
	return Any, 0 // dh, lblc, lblcr: by the VIP; sed, nq, fo, ovf: by what is open just now
}

// server is what is known of a server over all directors.
type server struct {
	status.Server
	weight   int // that counts
	rise     uint64
	expected float64
}

// Judge compares. The directors, at least one, are those that could be read;
// flags are the scheduler's.
func Judge(scheduler string, flags []string, directors []Watched, sent Sent) Service {
	first := directors[0].Status
	out := Service{Address: first.Address, ID: first.ID, Scheduler: first.Scheduler, Sent: sent.Count, Answered: sent.Answered,
		Failures: sent.Failures, Servers: []Server{}, Problems: []string{}, Notes: []string{}}
	j := judge{out: &out, directors: directors}
	j.collect()
	out.Rule, out.Tolerance = ruleOf(scheduler, flags, first.Persistence > 0)
	j.expect(scheduler)
	j.answers()
	j.state()
	j.shares()
	j.show()
	out.OK = len(out.Problems) == 0
	return out
}

type judge struct {
	out       *Service
	directors []Watched
	active    Watched // the director that counted most
	servers   []*server
}

func (j *judge) problem(format string, args ...any) {
	j.out.Problems = append(j.out.Problems, fmt.Sprintf(format, args...))
}

func (j *judge) note(format string, args ...any) {
	j.out.Notes = append(j.out.Notes, fmt.Sprintf(format, args...))
}

// collect adds up what the directors counted.
func (j *judge) collect() {
	by := map[string]*server{}
	most, at := uint64(0), []string{}
	j.active = j.directors[0]
	for _, w := range j.directors {
		rises := rises(w)
		total := uint64(0)
		for _, s := range w.Status.Servers {
			if by[s.Key] == nil {
				by[s.Key] = &server{Server: s}
				j.servers = append(j.servers, by[s.Key])
			}
			by[s.Key].rise += rises[s.Key]
			total += rises[s.Key]
		}
		if total > 0 {
			at = append(at, w.Host)
		}
		if total > most {
			most, j.active = total, w
		}
		j.out.Counted += total
	}
	if len(at) > 1 {
		j.note("more than one director counted connections: %s", strings.Join(at, ", "))
	}
	// Health is what the director that serves says.
	for _, s := range j.active.Status.Servers {
		rise := by[s.Key].rise
		*by[s.Key] = server{Server: s, rise: rise, weight: weightOf(j.active.Status, s)}
	}
}

// weightOf is the weight that counts: the live one where a checker keeps it.
func weightOf(v status.Service, s status.Server) int {
	switch {
	case s.State == status.Fallback && v.Up == 0:
		return max(1, s.Live())
	case s.State == status.Undeclared, s.State == status.Fallback:
		return 0
	case v.Checker != "":
		return s.Live()
	}
	return s.Wanted()
}

// rises are the connections that came to each destination between two readings.
// One that is new, or whose counters were set to zero meanwhile, began at zero.
func rises(w Watched) map[string]uint64 {
	before := map[string]uint64{}
	for _, c := range w.Before {
		before[c.Destination] = c.Total
	}
	out := map[string]uint64{}
	for _, c := range w.After {
		if out[c.Destination] = c.Total; c.Total >= before[c.Destination] {
			out[c.Destination] -= before[c.Destination]
		}
	}
	return out
}

// expect works out the shares.
func (j *judge) expect(scheduler string) {
	var total float64
	for _, s := range j.servers {
		switch {
		case s.weight > 0 && j.out.Rule == Equal:
			s.expected = 1
		case s.weight > 0:
			s.expected = float64(s.weight)
		}
		total += s.expected
	}
	for _, s := range j.servers {
		if total > 0 {
			s.expected /= total
		}
	}
	switch {
	case scheduler == "wrr" && j.round() > uint64(j.out.Sent) && uneven(j.servers):
		j.out.Rule, j.out.Tolerance = Any, 0
		j.note("one round of the weights takes %d connections, so that %d show no shares: see --requests", j.round(), j.out.Sent)
	case scheduler == "lc" || scheduler == "wlc":
		j.simulate(scheduler == "wlc")
	}
}

func uneven(servers []*server) bool {
	return slices.ContainsFunc(servers, func(s *server) bool { return s.weight > 0 && s.weight != servers[0].weight })
}

// round is after how many connections wrr begins anew.
func (j *judge) round() uint64 {
	var sum, divisor uint64
	for _, s := range j.servers {
		sum += uint64(s.weight)
		for a, b := divisor, uint64(s.weight); ; a, b = b, a%b {
			if b == 0 {
				divisor = a
				break
			}
		}
	}
	return sum / max(1, divisor)
}

// simulate does what wlc and lc do: each connection goes where the fewest are,
// one that is established counting as 256 that are not (ip_vs_dest_conn_overhead
// of net/ip_vs.h). Connections that were there before weigh in.
func (j *judge) simulate(weighted bool) {
	load, weights := make([]float64, len(j.servers)), make([]float64, len(j.servers))
	for i, s := range j.servers {
		for _, c := range j.active.Before {
			if c.Destination == s.Key {
				load[i] = float64(c.Active)*256 + float64(c.Inactive)
			}
		}
		if weights[i] = float64(s.weight); s.weight > 0 && !weighted {
			weights[i] = 1
		}
	}
	got := make([]int, len(j.servers))
	n := max(j.out.Sent, int(min(j.out.Counted, 100_000)))
	for range n {
		best := -1
		for i := range load {
			if weights[i] > 0 && (best < 0 || load[i]*weights[best] < load[best]*weights[i]) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		load[best]++
		got[best]++
	}
	off := false
	for i, s := range j.servers {
		share := float64(got[i]) / float64(max(1, n))
		off = off || math.Abs(share-s.expected) > steady/2
		s.expected = share
	}
	if off {
		j.note("connections that were there before make the shares differ from the weights")
	}
}

// answers judges whether connections were taken, by the service's servers.
func (j *judge) answers() {
	out := j.out
	for _, reason := range sortedReasons(out.Failures) {
		j.problem("%d of %d connections failed: %s", out.Failures[reason], out.Sent, reason)
	}
	if least := float64(out.Answered) * (1 - lost); float64(out.Counted) < least {
		j.problem("%d connections were taken, but the directors counted %d: something else answers at the VIP, "+
			"or the kernel does not count (net.ipv4.vs.run_estimation = 0)", out.Answered, out.Counted)
	}
	if out.Counted > uint64(out.Sent) {
		j.note("the directors counted %d connections, %d more than were opened here: other clients count too", out.Counted, out.Counted-uint64(out.Sent))
	}
}

func sortedReasons(failures map[string]int) []string {
	var out []string
	for reason := range failures {
		out = append(out, reason)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(failures[b]-failures[a], cmp.Compare(a, b)) })
	return out
}

// state judges the table itself.
func (j *judge) state() {
	if !j.active.Status.Present {
		j.problem("the service is not in the table of %s", j.active.Host)
		return
	}
	for _, s := range j.servers {
		switch s.State {
		case status.Missing:
			j.problem("%s is missing in the table of %s", nameOf(s), j.active.Host)
		case status.Down:
			j.note("%s is down, as %s found it", nameOf(s), j.active.Status.Checker)
		}
		if s.weight == 0 && s.rise > 0 {
			j.problem("%s got %d connections and should get none: it is %s", nameOf(s), s.rise, s.State)
		}
	}
	if j.active.Status.Fallback {
		j.note("the fallback is active")
	}
}

func nameOf(s *server) string { return cmp.Or(s.Name, s.Destination) }

// shares judges who got how much.
func (j *judge) shares() {
	total := float64(j.out.Counted)
	if total == 0 {
		return
	}
	if j.out.Rule == One {
		top := slices.MaxFunc(j.servers, func(a, b *server) int { return cmp.Compare(a.rise, b.rise) })
		if float64(top.rise) < float64(min(j.out.Counted, uint64(j.out.Answered)))*(1-lost) {
			j.problem("persistence is declared, and no server got all connections of one client")
		}
		return
	}
	if j.out.Tolerance == 0 {
		return
	}
	for _, s := range j.servers {
		share := float64(s.rise) / total
		// Two connections more or less are the place in the round.
		if s.weight > 0 && math.Abs(share-s.expected) > j.out.Tolerance+2/total {
			if j.hidden() {
				j.problem("%s got another share than its weight promises", nameOf(s))
			} else {
				j.problem("%s got %.0f%% and should get %.0f%%", nameOf(s), 100*share, 100*s.expected)
			}
		}
	}
}

// hidden tells whether a weight may not be shown: the shares would tell it.
func (j *judge) hidden() bool {
	return slices.ContainsFunc(j.servers, func(s *server) bool { return s.Sensitive })
}

// show makes the servers of the report.
func (j *judge) show() {
	for _, s := range j.servers {
		row := Server{Name: s.Name, Destination: s.Destination, State: s.State, Seen: s.rise}
		if j.out.Counted > 0 {
			row.Share = float64(s.rise) / float64(j.out.Counted)
		}
		if weight := s.weight; !s.Sensitive {
			row.Weight = &weight
		}
		if expected := s.expected; !j.hidden() && (j.out.Tolerance > 0 || s.weight == 0) {
			row.Expected = &expected
		}
		j.out.Servers = append(j.out.Servers, row)
	}
}
