package txn_test

import (
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// largeTable is 1,000 services of 10 destinations, as steps that create them.
func largeTable() (steps []wire.Step) {
	vip, real := netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("10.128.0.0")
	for range 1000 {
		vip = vip.Next()
		s := service
		s.Address = vip
		steps = append(steps, claimed(step(nil, s)))
		for range 10 {
			real = real.Next()
			d := server
			d.Service, d.Address = s.ServiceID, real
			steps = append(steps, claimed(step(nil, d)))
		}
	}
	return steps
}

func BenchmarkLargeTable(b *testing.B) {
	steps := largeTable()
	for b.Loop() {
		k := agenttest.NewKernel(agenttest.Host()...)
		err := txn.Txn{
			Kernel: k,
			Record: func(state.Ledger) error { return nil },
			Done:   func([]string) {},

			Prepare: func(txn.Pending) error { return nil },
		}.Run(state.Ledger{}, begin(steps...))
		if err != nil {
			b.Fatal(err)
		}
	}
}

func TestLargeTableRollsBack(t *testing.T) {
	k := agenttest.NewKernel(agenttest.Host()...)
	before := k.Objects()
	steps := largeTable()
	k.FailAt(len(steps))
	if _, err := run(t, k, begin(steps...)); code(err) != wire.ErrorRolledBack {
		t.Fatal(err)
	}
	if diff := diffOf(before, without(k.Objects(), before)); diff != "" {
		t.Error(diff)
	}
}
