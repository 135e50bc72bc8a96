package apply_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// journal records what hosts were asked to do, and fails where told to.
type journal struct {
	mu     sync.Mutex
	calls  []string
	fail   map[string]error // by host
	before func(host string)
	left   []int // connections of a drained destination, look by look
	err    error // of looking
}

type host struct {
	name string
	j    *journal
}

func (h host) Apply(_ context.Context, changes []planner.Change, done func(string)) error {
	if h.j.before != nil {
		h.j.before(h.name)
	}
	h.j.mu.Lock()
	defer h.j.mu.Unlock()
	var ids []string
	for _, c := range changes {
		ids = append(ids, c.ID)
	}
	h.j.calls = append(h.j.calls, strings.Join(ids, " "))
	if err := h.j.fail[h.name]; err != nil {
		done(changes[0].ID)
		return fmt.Errorf("%s: %w", h.name, err)
	}
	for _, c := range changes {
		done(c.ID)
	}
	return nil
}

func (h host) Connections(context.Context, []state.ServiceID) ([]state.Connections, error) {
	h.j.mu.Lock()
	defer h.j.mu.Unlock()
	h.j.calls = append(h.j.calls, "look")
	n := 0
	if len(h.j.left) > 0 {
		n, h.j.left = h.j.left[0], h.j.left[1:]
	}
	return []state.Connections{{Destination: old.Key().ID, Active: uint32(n), Inactive: 7}}, h.j.err
}

var old = state.Destination{Service: state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Family: "ipv4"},
	Address: netip.MustParseAddr("192.0.2.9"), Port: 80, Forward: "dr"}

type silent struct{}

func (silent) Started(string, []planner.Change)       {}
func (silent) Done(planner.Change)                    {}
func (silent) Failed(string, []planner.Change, error) {}
func (silent) Skipped(planner.Change, string)         {}
func (silent) Draining(planner.Change, int)           {}

func change(id string, stage int, wave planner.Wave, after ...string) planner.Change {
	name, _, _ := strings.Cut(id, ":")
	return planner.Change{ID: id, Host: name, Addresses: []string{id}, Stage: stage, Wave: wave, AfterIDs: after,
		Action: planner.Create, After: state.Module{Name: id}}
}

// rolling: two servers get ready, the director adds them, an old one goes.
func rolling() *planner.Plan {
	return &planner.Plan{Changes: []planner.Change{
		change("a:vip", 0, planner.WaveServersAdd),
		change("b:vip", 0, planner.WaveServersAdd),
		change("dir:service", 1, planner.WaveDirectorsAdd),
		change("dir:a", 1, planner.WaveDirectorsAdd, "a:vip"),
		change("dir:b", 1, planner.WaveDirectorsAdd, "b:vip"),
		change("dir:old", 2, planner.WaveDirectorsDrop),
		change("old:vip", 3, planner.WaveServersDrop, "dir:old"),
	}}
}

func run(ctx context.Context, p *planner.Plan, j *journal) *apply.Report {
	hosts := map[string]apply.Host{}
	for _, c := range p.Changes {
		hosts[c.Host] = host{c.Host, j}
	}
	return apply.Run(ctx, p, hosts, 1, silent{})
}

func TestStagesRunInOrderOneTransactionAHost(t *testing.T) {
	j := &journal{}
	r := run(context.Background(), rolling(), j)
	slices.Sort(j.calls[:2])
	want := []string{"a:vip", "b:vip", "dir:service dir:a dir:b", "dir:old", "old:vip"}
	if diff := cmp.Diff(want, j.calls); diff != "" {
		t.Error(diff)
	}
	if !r.Complete() || !r.Wrote() || r.RolledBack() {
		t.Errorf("%+v", r)
	}
}

func TestAFailedServerIsLeftOutAndNothingIsTakenAway(t *testing.T) {
	j := &journal{fail: map[string]error{"a": apply.ErrRolledBack}}
	r := run(context.Background(), rolling(), j)
	want := map[string]apply.Status{"a:vip": apply.RolledBack, "b:vip": apply.Done, "dir:service": apply.Done,
		"dir:a": apply.Skipped, "dir:b": apply.Done, "dir:old": apply.NotStarted, "old:vip": apply.NotStarted}
	if diff := cmp.Diff(want, r.Changes); diff != "" {
		t.Error(diff)
	}
	if !r.RolledBack() || r.Complete() {
		t.Errorf("%+v", r)
	}
}

func TestAFailedDirectorKeepsServersAsTheyAre(t *testing.T) {
	p := rolling()
	p.Changes, p.Destroy = p.Changes[5:], true
	r := run(context.Background(), p, &journal{fail: map[string]error{"dir": errors.New("broken pipe")}})
	if r.Changes["old:vip"] != apply.Skipped {
		t.Errorf("a server that still gets traffic is cleaned: %v", r.Changes)
	}
}

func TestStaleHostWroteNothing(t *testing.T) {
	p := rolling()
	p.Changes = p.Changes[2:3]
	r := run(context.Background(), p, &journal{fail: map[string]error{"dir": apply.ErrStale}})
	if r.Wrote() {
		t.Errorf("%+v", r)
	}
}

func TestCancellingFinishesWhatHasBegunAndStartsNoMore(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j := &journal{before: func(name string) {
		if name == "dir" {
			cancel()
		}
	}}
	r := run(ctx, rolling(), j)
	if !r.Interrupted || r.Changes["dir:b"] != apply.Done || r.Changes["dir:old"] != apply.NotStarted {
		t.Errorf("%+v", r)
	}
}

func TestDestinationFollowsItsSkippedService(t *testing.T) {
	id := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Family: "ipv4"}
	service := planner.Change{ID: "dir:s", Host: "dir", Addresses: []string{"s"}, Stage: 1, Wave: planner.WaveDirectorsAdd,
		AfterIDs: []string{"a:vip"}, Action: planner.Create, After: state.Service{ServiceID: id}}
	destination := service
	destination.ID, destination.AfterIDs, destination.After = "dir:d", nil, state.Destination{Service: id, Address: id.Address}
	p := &planner.Plan{Changes: []planner.Change{change("a:vip", 0, planner.WaveServersAdd), service, destination}}
	r := run(context.Background(), p, &journal{fail: map[string]error{"a": apply.ErrRolledBack}})
	if r.Changes["dir:d"] != apply.Skipped {
		t.Errorf("%v", r.Changes)
	}
}

// draining is a rolling change that takes new connections from the old server
// before it goes.
func draining(timeout time.Duration) *planner.Plan {
	p := rolling()
	drain := planner.Change{ID: "dir:drain", Host: "dir", Addresses: []string{"old"}, Stage: 2, Wave: planner.WaveDrain,
		Action: planner.Update, Before: old, After: old, Drain: timeout}
	p.Changes[5].Stage, p.Changes[6].Stage = 3, 4
	p.Changes = slices.Insert(p.Changes, 5, drain)
	return p
}

// One look without a connection is not the end: some may still be opening.
func TestADrainEndsWithTheLastConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{left: []int{2, 0, 1}}
		if r := run(t.Context(), draining(time.Hour), j); !r.Complete() {
			t.Errorf("%+v", r)
		}
		want := slices.Concat([]string{"dir:drain"}, slices.Repeat([]string{"look"}, 3+10), []string{"dir:old", "old:vip"})
		if diff := cmp.Diff(want, j.calls[3:]); diff != "" {
			t.Error(diff)
		}
	})
}

func TestADrainEndsWithItsTime(t *testing.T) {
	j := &journal{left: slices.Repeat([]int{1}, 1000)}
	if r := run(context.Background(), draining(time.Nanosecond), j); !r.Complete() {
		t.Errorf("%+v", r)
	}
}

func TestAnInterruptedDrainTakesNothingAway(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j := &journal{left: slices.Repeat([]int{1}, 1000), before: func(name string) {
		if name == "dir" {
			cancel()
		}
	}}
	p := draining(time.Hour)
	p.Changes = p.Changes[5:] // the drain is the first transaction of the director
	r := run(ctx, p, j)
	if !r.Interrupted || r.Changes["dir:drain"] != apply.Done || r.Changes["dir:old"] != apply.NotStarted {
		t.Errorf("%+v", r)
	}
}

func TestADrainThatCannotBeWatchedTakesNothingAway(t *testing.T) {
	r := run(context.Background(), draining(time.Hour), &journal{err: errors.New("broken pipe")})
	want := map[string]apply.Status{"dir:drain": apply.Done, "dir:old": apply.NotStarted, "old:vip": apply.NotStarted}
	for id, status := range want {
		if r.Changes[id] != status {
			t.Errorf("%s is %s, want %s", id, r.Changes[id], status)
		}
	}
	if r.Complete() {
		t.Error("it calls itself complete")
	}
}

// A configuration waits for the connections of the destinations that it drains.
func TestADrainedConfigurationWaitsForItsDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := draining(time.Hour)
		config := state.Config{Program: "keepalived", Topology: "web", Text: "weight 0\n"}
		p.Changes[5].Before, p.Changes[5].After, p.Changes[5].Drained = config, config, []state.Destination{old}
		j := &journal{left: []int{2, 1}}
		if r := run(t.Context(), p, j); !r.Complete() {
			t.Errorf("%+v", r)
		}
		want := slices.Concat([]string{"dir:drain"}, slices.Repeat([]string{"look"}, 2+10), []string{"dir:old", "old:vip"})
		if diff := cmp.Diff(want, j.calls[3:]); diff != "" {
			t.Error(diff)
		}
	})
}

// A masquerade waits for the connections of every port of its real server.
func TestAnIdleMasqueradeWaitsForItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := draining(time.Hour)
		m := state.Masquerade{VIP: old.Service.Address, Protocol: "tcp", Port: 80, To: old.Address}
		p.Changes[5].Before, p.Changes[5].After = m, m
		j := &journal{left: []int{2, 1}}
		run(t.Context(), p, j)
		want := slices.Concat([]string{"dir:drain"}, slices.Repeat([]string{"look"}, 2+10), []string{"dir:old", "old:vip"})
		if diff := cmp.Diff(want, j.calls[3:]); diff != "" {
			t.Error(diff)
		}
	})
}
