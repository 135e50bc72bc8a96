package planner_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// FuzzPlan takes random hosts through two random topologies of one name: each
// apply must leave nothing to plan, and destroying must leave what was there,
// but for objects that were adopted and say so.
func FuzzPlan(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		first, second := randomTopology(r), randomTopology(r)
		before := map[string]planner.Live{}
		for _, h := range first.Hosts {
			before[h.Name] = randomHost(r, h)
		}
		live := settle(t, first, before)
		live = settle(t, second, live)
		down := build(t, planner.Input{Topology: second, Live: live, Destroy: true})
		after := execute(t, down, live)

		want, have := dump(before), dump(after)
		for name := range want {
			for _, line := range have[name] {
				if !slices.Contains(want[name], line) {
					t.Errorf("%s: %s is left behind", name, line)
				}
			}
		}
		if adopted(first, before) || adopted(second, before) {
			return // what was adopted is deleted
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Error(diff)
		}
	})
}

// adopted tells whether a plan on these hosts adopts or meets anything but
// sysctls.
func adopted(top *topology.Topology, live map[string]planner.Live) bool {
	return slices.ContainsFunc(planner.Build(planner.Input{Topology: top, Live: live}).Changes, func(c planner.Change) bool {
		return c.Action != planner.Create && c.Key().Kind != state.KindSysctl
	})
}

func randomTopology(r *rand.Rand) *topology.Topology {
	top := &topology.Topology{Name: "web"}
	for i := range 3 {
		top.Hosts = append(top.Hosts, &topology.Host{Name: fmt.Sprint("h", i), Managed: true,
			Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})})
	}
	for i := range r.IntN(12) {
		host := top.Hosts[r.IntN(3)].Name
		add := func(b topology.Body) {
			top.Resources = append(top.Resources, &topology.Resource{Path: fmt.Sprintf("%s.r%d", b.Type(), i), Host: host, Body: b})
		}
		switch r.IntN(4) {
		case 0:
			add(&topology.Sysctl{Settings: map[string]string{"net.ipv4.ip_forward": "1"}})
		case 1:
			add(&topology.Address{IP: netip.PrefixFrom(randomVIP(r), 32), Device: "lo"})
		case 2:
			add(&topology.Route{To: netip.PrefixFrom(randomVIP(r), 32), Device: "lo"})
		case 3:
			// One service a host and VIP, whatever its number, so that two
			// declarations never contradict each other.
			vs := &topology.VirtualService{Protocol: "tcp", Address: randomVIP(r), Port: uint16(1000 + i), Family: "ipv4", Scheduler: "rr"}
			for j := range r.IntN(4) {
				vs.RealServers = append(vs.RealServers, topology.RealServer{Name: fmt.Sprint("s", j), Port: 80, Forward: "dr",
					Weight: r.IntN(3), Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(j + 1)})})
			}
			add(vs)
		}
	}
	return top
}

func randomVIP(r *rand.Rand) netip.Addr {
	return netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(4))})
}

func randomHost(r *rand.Rand, h *topology.Host) planner.Live {
	objects := state.Objects{
		state.Sysctl{Name: "net.ipv4.ip_forward", Value: fmt.Sprint(r.IntN(2))},
		state.Address{Device: "eth0", IP: netip.PrefixFrom(h.Address, 24), Label: "eth0", Scope: "global"},
	}
	if r.IntN(2) == 0 {
		objects = append(objects, state.Address{Device: "lo", IP: netip.PrefixFrom(randomVIP(r), 32), Label: "lo:9", Scope: "global"})
	}
	if r.IntN(2) == 0 {
		id := state.ServiceID{Protocol: "tcp", Address: randomVIP(r), Port: uint16(1000 + r.IntN(12)), Family: "ipv4"}
		objects = append(objects, state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32},
			state.Destination{Service: id, Address: netip.MustParseAddr("192.0.2.200"), Port: 80, Weight: 1, Forward: "dr"})
	}
	return planner.Live{Objects: objects}
}
