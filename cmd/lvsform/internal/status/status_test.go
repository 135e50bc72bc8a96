package status_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/status"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

var vip = netip.MustParseAddr("192.0.2.100")

func cluster(checker string, instances ...topology.VirtualAddress) *topology.Topology {
	t := &topology.Topology{Name: "t", Hosts: []*topology.Host{{Name: "dir1", Address: netip.MustParseAddr("192.0.2.1"), Managed: true},
		{Name: "old", Address: netip.MustParseAddr("192.0.2.9"), Managed: true, Retired: true}, {Name: "rs1", Managed: true}}}
	servers := []topology.RealServer{}
	for i, weight := range []int{3, 3, 3, 0, 3} {
		servers = append(servers, topology.RealServer{Name: string(rune('a' + i)), Address: address(i), Port: 80, Weight: weight, Forward: "dr"})
	}
	servers[4].Host = "old"
	t.Resources = []*topology.Resource{{Path: "virtual_service.web", Host: "dir1", Body: &topology.VirtualService{Protocol: "tcp", Address: vip, Port: 80,
		Family: "ipv4", Scheduler: "wlc", Checker: checker, Fallback: &topology.Fallback{Address: netip.MustParseAddr("192.0.2.66"), Port: 80},
		RealServers: servers}}}
	if len(instances) > 0 {
		t.Resources = append(t.Resources, &topology.Resource{Path: "vrrp_instance.ha", Host: "dir1",
			Body: &topology.VRRPInstance{Interface: "eth0", VirtualRouterID: 51, VirtualAddresses: instances}})
	}
	return t
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + i)}) }

// live has the service with servers of these weights; negative: it is not there.
func live(weights ...int) status.Live {
	s := state.Service{ServiceID: state.ServiceID{Protocol: "tcp", Address: vip, Port: 80, Family: "ipv4"}, Scheduler: "wlc", Netmask: 32, Timeout: time.Minute}
	l := status.Live{Objects: state.Objects{s}}
	for i, w := range weights {
		if w >= 0 {
			l.Objects = append(l.Objects, state.Destination{Service: s.ServiceID, Address: address(i), Port: 80, Weight: w, Forward: "dr"})
		}
	}
	return l
}

func build(t *topology.Topology, l status.Live) status.Host {
	return status.Build(t, map[string]status.Live{"dir1": l}, nil).Hosts[0]
}

func TestHealthOfServers(t *testing.T) {
	sorry := live(0, -1, 0, 0)
	sorry.Objects = append(sorry.Objects, state.Destination{Service: sorry.Objects[0].(state.Service).ServiceID, Address: netip.MustParseAddr("192.0.2.66"), Port: 80, Weight: 1, Forward: "dr"})
	empty := status.Live{}
	for name, tc := range map[string]struct {
		checker  string
		live     status.Live
		states   []string
		up       int
		fallback bool
		present  bool
	}{
		"all as declared": {"", live(3, 3, 3, 0), []string{status.Up, status.Up, status.Up, status.Draining}, 3, false, true},
		"by hand, without a checker": {"", live(0, -1, 7, -1),
			[]string{status.Draining, status.Missing, status.Up, status.Missing}, 1, false, true},
		"a checker's": {"keepalived", live(0, -1, 7, 0),
			[]string{status.Down, status.Down, status.Up, status.Draining}, 1, false, true},
		"the fallback": {"ldirectord", sorry,
			[]string{status.Down, status.Down, status.Down, status.Draining, status.Fallback}, 0, true, true},
		"no table": {"", empty, []string{status.Missing, status.Missing, status.Missing, status.Missing}, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := build(cluster(tc.checker), tc.live).Services[0]
			var states []string
			for _, server := range s.Servers {
				states = append(states, server.State)
			}
			if diff := cmp.Diff(tc.states, states); diff != "" {
				t.Error(diff)
			}
			if s.Up != tc.up || s.Of != 4 || s.Fallback != tc.fallback || s.Present != tc.present {
				t.Errorf("%d of %d up, fallback %v, present %v; want %d of 4, %v, %v", s.Up, s.Of, s.Fallback, s.Present, tc.up, tc.fallback, tc.present)
			}
		})
	}
}

func TestStatesOfVRRP(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.101")
	held := func(addresses ...netip.Addr) status.Live {
		var l status.Live
		for _, a := range addresses {
			l.Objects = append(l.Objects, state.Address{Device: "eth0", IP: netip.PrefixFrom(a, 32)})
		}
		return l
	}
	running := func(l status.Live) status.Live {
		l.Activity.Programs = []string{"keepalived"}
		return l
	}
	for name, tc := range map[string]struct {
		live          status.Live
		want          string
		held, missing []netip.Addr
	}{
		"holds all":                   {running(held(vip, other)), status.Master, []netip.Addr{vip, other}, []netip.Addr{}},
		"holds one":                   {running(held(other)), status.Master, []netip.Addr{other}, []netip.Addr{vip}},
		"holds one, and nothing runs": {held(vip), status.Master, []netip.Addr{vip}, []netip.Addr{other}},
		"waits":                       {running(held()), status.Backup, []netip.Addr{}, []netip.Addr{vip, other}},
		"does not run":                {held(), status.Stopped, []netip.Addr{}, []netip.Addr{vip, other}},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster("", topology.VirtualAddress{Name: "a", IP: netip.PrefixFrom(vip, 24)}, topology.VirtualAddress{Name: "b", IP: netip.PrefixFrom(other, 24)})
			got := build(c, tc.live).VRRP
			want := []status.VRRP{{Address: "vrrp_instance.ha", Interface: "eth0", RouterID: 51, State: tc.want, Held: tc.held, Missing: tc.missing,
				Running: len(tc.live.Activity.Programs) > 0}}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Services that nobody declares come behind, with the topology that claims them.
func TestServicesOfOthers(t *testing.T) {
	l := live()
	for _, mark := range []uint32{9, 7} {
		l.Objects = append(l.Objects, state.Service{ServiceID: state.ServiceID{FWMark: mark, Family: "ipv4"}, Scheduler: "rr"})
	}
	l.Ledger.Entries = []state.Entry{{Claims: []state.Claim{{Topology: "other", Value: state.Boxed{Object: l.Objects[1]}}}}}
	var got []string
	for _, s := range build(cluster(""), l).Services {
		got = append(got, s.ID+" "+s.Topology)
	}
	if diff := cmp.Diff([]string{"tcp/192.0.2.100:80 t", "fwmark/7/ipv4 ", "fwmark/9/ipv4 other"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAHostThatWasNotReadSaysWhy(t *testing.T) {
	got := status.Build(cluster(""), nil, map[string]string{"dir1": "down"}).Hosts
	want := []status.Host{{Name: "dir1", Address: "192.0.2.1", Managed: true, Error: "down", VRRP: []status.VRRP{}, Services: []status.Service{}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
