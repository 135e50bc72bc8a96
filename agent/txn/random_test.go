package txn_test

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// TestRandomChanges takes the host to random wants, with and without a fault,
// and compares with what the transaction promises.
func TestRandomChanges(t *testing.T) {
	pool := pool()
	random := rand.New(rand.NewPCG(1, 2))
	k := agenttest.NewKernel(agenttest.Host()...)
	base := k.Objects()
	base = append(base, state.DefaultTimeouts)
	k.Set(state.DefaultTimeouts, state.Module{Name: "ip_vs"}, state.Module{Name: "ip_vs_wlc"}, state.Module{Name: "ip_vs_rr"}, state.Module{Name: "dummy"})
	for range 400 {
		want := base
		for _, alternatives := range pool {
			if n := random.IntN(len(alternatives) + 1); n < len(alternatives) {
				want = append(want[:len(want):len(want)], alternatives[n]...)
			}
		}
		want = slices.Collect(maps.Values(want.ByKey())) // later ones count
		want.Sort()
		before := k.Objects()
		var steps []wire.Step
		for _, c := range order(state.Diff(managed(before), managed(want))) {
			steps = append(steps, step(c.Before, c.After))
		}
		fault := random.IntN(2 * (len(steps) + 1))
		k.FailAt(fault)
		_, err := run(t, k, begin(steps...))
		k.FailAt(0)
		expected := want
		if err != nil {
			if code(err) != wire.ErrorRolledBack {
				t.Fatal(err)
			}
			expected = before
		}
		if diff := diffOf(managed(expected).ByKey(), managed(k.Objects()).ByKey()); diff != "" {
			t.Fatalf("fault at %d, error %v: %s", fault, err, diff)
		}
	}
}

// pool lists groups of objects; of each, one or none is wanted.
func pool() [][]state.Objects {
	heavier, other := server, service
	heavier.Weight, other.Scheduler = 5, "rr"
	dummy := state.Link{Name: "d0", Kind: "dummy", Up: state.Some(true), MTU: state.Some(1500)}
	thin := dummy
	thin.MTU = state.Some(1400)
	on := state.Address{Device: "d0", IP: netip.MustParsePrefix("10.8.0.1/24"), Scope: "global"}
	beside := state.Address{Device: "d0", IP: netip.MustParsePrefix("10.8.0.2/24"), Scope: "global"}
	labelled := vip
	labelled.Label = "lo:9"
	beyond := state.Route{To: netip.MustParsePrefix("10.0.0.0/8"), Table: 254, Via: netip.MustParseAddr("192.0.2.1"),
		Device: "eth0", Scope: "global", Protocol: 4}
	closer := beyond
	closer.Via = netip.MustParseAddr("192.0.2.2")
	direct, remarked, from, started, quicker := unwraps, marked, masqueraded, synced, synced
	direct.Protocol, remarked.Mark, from.Source = "ipip", 8, netip.MustParseAddr("192.0.2.10")
	started.MaxLength, quicker.MaxLength, quicker.Port = 1472, 1472, 9000
	slower := state.Timeouts{TCP: time.Hour, TCPFin: time.Minute, UDP: time.Second}
	return [][]state.Objects{
		{{vip}, {labelled}},
		{{service}, {other}, {service, server}, {other, heavier}},
		{{dummy}, {thin}, {dummy, on}, {thin, on, beside}, {dummy, beside, on}},
		{{beyond}, {closer}},
		{{state.Rule{Family: "ipv4", Priority: 100, FWMark: 7, Table: 100}}},
		{{unwraps}, {direct}},
		{{marked}, {marked, masqueraded}, {remarked}, {masqueraded}, {from}},
		{{started}, {quicker}},
		{{slower}, {state.DefaultTimeouts}},
	}
}

// managed leaves out what the kernel makes by itself: routes of its own, the
// sysctls of links, modules.
func managed(objects state.Objects) (out state.Objects) {
	for _, o := range objects {
		switch o := o.(type) {
		case state.Module, state.Sysctl:
			continue
		case state.Route:
			if o.Protocol == 2 {
				continue
			}
		}
		out = append(out, o)
	}
	return out
}

// order deletes in the reverse order of kinds, then creates.
func order(changes []state.Change) (out []state.Change) {
	for i := len(changes) - 1; i >= 0; i-- {
		if changes[i].After == nil {
			out = append(out, changes[i])
		}
	}
	for _, c := range changes {
		if c.After != nil {
			out = append(out, c)
		}
	}
	return out
}
