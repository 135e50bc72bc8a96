package verify_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/status"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/verify"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// trial is a service with servers a, b and c.
type trial struct {
	scheduler   string
	flags       []string
	checker     string
	persistent  bool
	declared    []int  // weights
	live        []int  // negative: not there; nil: as declared
	open        []int  // inactive connections before
	got         []int  // connections
	sent, taken int    // 0: as many as got
	failure     string // of the others
	fallback    int    // connections to it; 0: it is not there
}

func (c trial) judge(t *testing.T) verify.Service {
	t.Helper()
	vip := netip.MustParseAddr("192.0.2.100")
	body := &topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4", Scheduler: c.scheduler, Checker: c.checker,
		Fallback: &topology.Fallback{Address: netip.MustParseAddr("192.0.2.66"), Port: 80}}
	if c.live == nil {
		c.live = c.declared
	}
	service := state.Service{ServiceID: status.ID(body), Scheduler: c.scheduler}
	if c.persistent {
		service.Timeout = time.Minute
	}
	live := status.Live{Objects: state.Objects{service}}
	w := verify.Watched{Host: "dir1"}
	count := func(d state.Destination, open, got int) {
		live.Objects = append(live.Objects, d)
		before := state.Counters{Connections: state.Connections{Destination: d.Key().ID, Inactive: uint32(open)}, Total: 1000}
		w.Before = append(w.Before, before)
		before.Total += uint64(got)
		w.After = append(w.After, before)
	}
	total := 0
	for i, weight := range c.declared {
		address := netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + i)})
		body.RealServers = append(body.RealServers, topology.RealServer{Name: string(rune('a' + i)), Address: address, Port: 80, Weight: weight, Forward: "dr"})
		open := 0
		if c.open != nil {
			open = c.open[i]
		}
		if c.live[i] >= 0 {
			count(state.Destination{Service: service.ServiceID, Address: address, Port: 80, Weight: c.live[i], Forward: "dr"}, open, c.got[i])
		}
		total += c.got[i]
	}
	if c.fallback > 0 {
		count(state.Destination{Service: service.ServiceID, Address: body.Fallback.Address, Port: 80, Weight: 1, Forward: "dr"}, 0, c.fallback)
		total += c.fallback
	}
	top := &topology.Topology{Name: "t", Hosts: []*topology.Host{{Name: "dir1", Managed: true}},
		Resources: []*topology.Resource{{Path: "virtual_service.web", Host: "dir1", Body: body}}}
	w.Status = status.Build(top, map[string]status.Live{"dir1": live}, nil).Hosts[0].Services[0]
	sent := verify.Sent{Count: total, Answered: total, Failures: map[string]int{}}
	if c.sent > 0 {
		sent.Count, sent.Answered = c.sent, c.taken
	}
	if c.failure != "" {
		sent.Failures[c.failure] = sent.Count - sent.Answered
	}
	return verify.Judge(c.scheduler, c.flags, []verify.Watched{w}, sent)
}

func TestSharesAreComparedAsTheSchedulerPromises(t *testing.T) {
	for name, tc := range map[string]struct {
		trial
		rule     verify.Rule
		problems string // each of them holds one of these, in order; "" is none
	}{
		"rr, equal":                {trial{scheduler: "rr", declared: []int{1, 5}, got: []int{50, 50}}, verify.Equal, ""},
		"rr, not equal":            {trial{scheduler: "rr", declared: []int{1, 5}, got: []int{17, 83}}, verify.Equal, "a got 17% and should get 50%|b got 83% and should get 50%"},
		"wrr by weight":            {trial{scheduler: "wrr", declared: []int{1, 2}, got: []int{33, 67}}, verify.Weighted, ""},
		"wrr, turned around":       {trial{scheduler: "wrr", declared: []int{1, 2}, got: []int{67, 33}}, verify.Weighted, "a got 67%|b got 33%"},
		"wrr, too few for a round": {trial{scheduler: "wrr", declared: []int{997, 500}, got: []int{100, 0}}, verify.Any, ""},
		"few requests":             {trial{scheduler: "rr", declared: []int{1, 1, 1}, got: []int{2, 1, 0}}, verify.Equal, ""},
		"wlc on an idle director":  {trial{scheduler: "wlc", declared: []int{1, 2}, got: []int{34, 66}}, verify.Weighted, ""},
		"wlc beside connections that are there": {trial{scheduler: "wlc", declared: []int{1, 1}, open: []int{1000, 0}, got: []int{0, 100}},
			verify.Weighted, ""},
		"wlc that does not see them": {trial{scheduler: "wlc", declared: []int{1, 1}, open: []int{1000, 0}, got: []int{50, 50}},
			verify.Weighted, "a got 50% and should get 0%|b got 50% and should get 100%"},
		"sh to one":                     {trial{scheduler: "sh", declared: []int{1, 1}, got: []int{0, 100}}, verify.Any, ""},
		"sh by ports":                   {trial{scheduler: "sh", flags: []string{"sh-port"}, declared: []int{1, 1}, got: []int{0, 100}}, verify.Weighted, "a got 0%|b got 100%"},
		"sed takes the strongest":       {trial{scheduler: "sed", declared: []int{1, 9}, got: []int{0, 100}}, verify.Any, ""},
		"persistence":                   {trial{scheduler: "rr", persistent: true, declared: []int{1, 1}, got: []int{100, 0}}, verify.One, ""},
		"persistence that does nothing": {trial{scheduler: "rr", persistent: true, declared: []int{1, 1}, got: []int{50, 50}}, verify.One, "no server got all connections of one client"},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.judge(t)
			if got.Rule != tc.rule {
				t.Errorf("rule %s, want %s", got.Rule, tc.rule)
			}
			wantProblems(t, got, tc.problems)
		})
	}
}

func wantProblems(t *testing.T, got verify.Service, want string) {
	t.Helper()
	texts := strings.Split(want, "|")
	if want == "" {
		texts = nil
	}
	if len(texts) != len(got.Problems) || got.OK != (want == "") {
		t.Fatalf("ok %v, problems %q, want %q", got.OK, got.Problems, texts)
	}
	for i, text := range texts {
		if !strings.Contains(got.Problems[i], text) {
			t.Errorf("problem %q, want %q", got.Problems[i], text)
		}
	}
}

func TestWhatElseIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		trial
		problems, note string
	}{
		"a server with the weight 0 got some": {trial{scheduler: "sh", declared: []int{1, 0}, got: []int{90, 10}},
			"b got 10 connections and should get none: it is draining", ""},
		"a missing server": {trial{scheduler: "sh", declared: []int{1, 1}, live: []int{1, -1}, got: []int{100, 0}}, "b is missing in the table of dir1", ""},
		"a server that its checker has taken out": {trial{scheduler: "rr", checker: "keepalived", declared: []int{1, 1, 1}, live: []int{1, -1, 1}, got: []int{50, 0, 50}},
			"", "b is down, as keepalived found it"},
		"a quiescent server that gets some": {trial{scheduler: "rr", checker: "ldirectord", declared: []int{1, 1}, live: []int{1, 0}, got: []int{50, 50}},
			"b got 50 connections and should get none: it is down|a got 50% and should get 100%", ""},
		"the fallback alone": {trial{scheduler: "rr", checker: "keepalived", declared: []int{1, 1}, live: []int{-1, -1}, got: []int{0, 0}, fallback: 100},
			"", "the fallback is active"},
		"failures": {trial{scheduler: "rr", declared: []int{1, 1}, got: []int{50, 50}, sent: 100, taken: 97, failure: "no answer within 3s"},
			"3 of 100 connections failed: no answer within 3s", ""},
		"somebody else answers": {trial{scheduler: "rr", declared: []int{1, 1}, got: []int{10, 10}, sent: 100, taken: 100},
			"100 connections were taken, but the directors counted 20", ""},
		"other clients": {trial{scheduler: "rr", declared: []int{1, 1}, got: []int{150, 150}, sent: 100, taken: 100},
			"", "counted 300 connections, 200 more than were opened here"},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.judge(t)
			wantProblems(t, got, tc.problems)
			if notes := strings.Join(got.Notes, "\n"); !strings.Contains(notes, tc.note) || tc.note == "" && notes != "" && tc.problems == "" {
				t.Errorf("notes %q, want %q", got.Notes, tc.note)
			}
		})
	}
}

// A pair: the one that holds the VIP counts, the other has the same table.
func TestThePairIsOneService(t *testing.T) {
	c := trial{scheduler: "rr", declared: []int{1, 1}, got: []int{50, 50}}
	got := c.judge(t)
	want := []verify.Server{
		{Name: "a", Destination: "192.0.2.11:80", Weight: ptr(1), State: status.Up, Expected: ptr(0.5), Seen: 50, Share: 0.5},
		{Name: "b", Destination: "192.0.2.12:80", Weight: ptr(1), State: status.Up, Expected: ptr(0.5), Seen: 50, Share: 0.5},
	}
	if diff := cmp.Diff(want, got.Servers); diff != "" {
		t.Error(diff)
	}
	id := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Family: "ipv4"}
	key := state.Destination{Service: id, Address: netip.MustParseAddr("192.0.2.11"), Port: 80}.Key().ID
	server := status.Server{Name: "a", Destination: "192.0.2.11:80", State: status.Up, Key: key}
	watched := func(host string, rise uint64) verify.Watched {
		return verify.Watched{Host: host, Status: status.Service{Present: true, Servers: []status.Server{server}},
			After: []state.Counters{{Connections: state.Connections{Destination: key}, Total: rise}}}
	}
	for name, tc := range map[string]struct {
		idle uint64
		note string
	}{"one serves": {0, ""}, "both serve": {10, "more than one director counted connections: idle, active"}} {
		t.Run(name, func(t *testing.T) {
			pair := []verify.Watched{watched("idle", tc.idle), watched("active", 90)}
			got := verify.Judge("sh", nil, pair, verify.Sent{Count: 100, Answered: int(90 + tc.idle)})
			if got.Counted != 90+tc.idle || got.Servers[0].Seen != 90+tc.idle || strings.Join(got.Notes, "|") != tc.note {
				t.Errorf("counted %d, seen %d, notes %q", got.Counted, got.Servers[0].Seen, got.Notes)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }
