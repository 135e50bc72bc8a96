//go:build linux && kernel

package kernel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/module"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// faulty is the real kernel with one change that fails.
type faulty struct {
	*kernel.Kernel
	failAt int // changes until one fails; 0 is never
}

func (k *faulty) Apply(changes []state.Change) (int, error) {
	if k.failAt == 0 || k.failAt > len(changes) {
		k.failAt = max(k.failAt-len(changes), 0)
		return k.Kernel.Apply(changes)
	}
	n := k.failAt - 1
	k.failAt = 0
	if done, err := k.Kernel.Apply(changes[:n]); err != nil {
		return done, err
	}
	return n, errors.New("injected fault")
}

func sysctl(name, value string) state.Sysctl { return state.Sysctl{Name: name, Value: value} }

var web = state.Service{
	ServiceID: state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("203.0.113.7"), Port: 80, Family: "ipv4"},
	Scheduler: "wlc", Netmask: 32,
}

func rs(ip string, weight int) state.Destination {
	return state.Destination{Service: web.ServiceID, Address: netip.MustParseAddr(ip), Port: 80, Weight: weight, Forward: "tun", TunnelType: "ipip"}
}

// director is what a host of each kind needs, in the order of a plan.
func director() []wire.Step {
	rr := web
	rr.Scheduler = "rr"
	return []wire.Step{
		step(nil, state.Module{Name: "ip_vs"}),
		step(sysctl("net.ipv4.ip_forward", "0"), sysctl("net.ipv4.ip_forward", "1")),
		step(nil, sysctl("net.ipv4.vs.expire_nodest_conn", "1")),
		step(nil, state.Link{Name: "tunl0", Kind: "ipip", Up: state.Some(true), MTU: state.Some(1450)}),
		step(nil, sysctl("net.ipv4.conf.tunl0.rp_filter", "2")),
		step(nil, with(address("lo", "203.0.113.7/32"), func(a *state.Address) { a.Label = "lo:0" })),
		step(nil, with(route("203.0.113.7/32"), func(r *state.Route) { r.Device, r.Source = "lo", netip.MustParseAddr("203.0.113.7") })),
		step(nil, via("10.0.0.0/8", "192.0.2.1")),
		step(nil, state.Rule{Family: "ipv4", Priority: 100, FWMark: 7, Table: 100}),
		step(nil, web),
		step(nil, rs("192.0.2.20", 1)),
		step(nil, rs("192.0.2.21", 0)),
		step(web, rr),
		step(rs("192.0.2.20", 1), rs("192.0.2.20", 3)),
		step(rs("192.0.2.21", 0), nil),
	}
}

// found sets the earlier value of steps that create what is there already,
// loaded by another test.
func found(t *testing.T, k *kernel.Kernel, steps []wire.Step) []wire.Step {
	t.Helper()
	seen := map[state.Key]bool{}
	for i, s := range steps {
		key := s.Change.Key()
		if s.Change.Before == nil && !seen[key] {
			steps[i].Change.Before = live(t, k, key)
		}
		seen[key] = true
	}
	return steps
}

// table is the whole IPVS table as ipvsadm sees it.
func table(t *testing.T) string {
	t.Helper()
	return shell(t, "if [ -e /proc/net/ip_vs ]; then ipvsadm -Ln | tail -n +4; ipvsadm -Ln --thresholds | tail -n +4; fi")
}

func TestDirectorIsAllOrNothing(t *testing.T) {
	if err := module.Load("ipip"); err != nil {
		t.Fatal(err) // so that tunl0 is there before and after
	}
	if err := module.Load("ip_vs"); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(director())+1; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			// The first use gives tunl0 a queue and IPv6 sysctls, for good.
			enter(t, foreign+"ip link set tunl0 up; ip link set tunl0 down\n")
			k := &faulty{Kernel: kernel.New(), failAt: n}
			defer k.Close()
			steps := found(t, k.Kernel, director())
			before := dump(t) + table(t)
			err := run(k, steps...)
			if n > len(steps) {
				if err != nil {
					t.Fatal(err)
				}
				if text := table(t); !strings.Contains(text, "rr") || !strings.Contains(text, "192.0.2.20:80") {
					t.Errorf("the table is %s", text)
				}
				return
			}
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != wire.ErrorRolledBack || e.Step != steps[n-1].ID {
				t.Fatalf("want step %s rolled back, got %v", steps[n-1].ID, err)
			}
			if diff := cmp.Diff(before, dump(t)+table(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMissingModule(t *testing.T) {
	enter(t, plainHost)
	k := kernel.New()
	defer k.Close()
	h, err := k.Read(txn.Query{Modules: []string{"nosuchmodule", "ip_vs_wlc", "ip_vs", "overlay"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"nosuchmodule"}, h.MissingModules); diff != "" {
		t.Error(diff)
	}
	if h.Objects.ByKey()[state.Module{Name: "overlay"}.Key()] == nil {
		t.Error("overlay, which the guest's root needs, is not reported as loaded")
	}
	err = run(k, step(nil, state.Module{Name: "nosuchmodule"}))
	if err == nil || !strings.Contains(err.Error(), "nosuchmodule") {
		t.Errorf("got %v", err)
	}
}

func TestLinksOfEveryKind(t *testing.T) {
	here, there := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.20")
	here6, there6 := netip.MustParseAddr("2001:db8::10"), netip.MustParseAddr("2001:db8::20")
	up := func(name, kind string, local, remote netip.Addr, mode string) state.Link {
		return state.Link{Name: name, Kind: kind, Local: local, Remote: remote, Mode: mode, Up: state.Some(true), MTU: state.Some(1400)}
	}
	for _, l := range []state.Link{
		up("dummy0", "dummy", netip.Addr{}, netip.Addr{}, ""),
		up("eth0.9", "dummy", netip.Addr{}, netip.Addr{}, ""),
		up("tun1", "ipip", here, there, ""),
		up("tun2", "ipip", here, netip.Addr{}, ""),
		up("sit1", "sit", here, there, ""),
		up("gre1", "gre", here, there, ""),
		up("ip6tnl1", "ip6tnl", here6, there6, ""),
		up("ip6tnl2", "ip6tnl", here6, there6, "ipip6"),
		up("ip6tnl3", "ip6tnl", here6, there6, "any"),
	} {
		t.Run(l.Name+" "+l.Kind+" "+l.Mode, func(t *testing.T) {
			enter(t, plainHost)
			// The fallback link comes with the module: have it before.
			_ = module.Load(strings.NewReplacer("gre", "ip_gre", "ip6tnl", "ip6_tunnel").Replace(l.Kind))
			k := kernel.New()
			defer k.Close()
			before := dump(t)
			must(t, k, step(nil, l))
			have := live(t, k, l.Key())
			if l.Resolve(have) != have {
				t.Fatalf("want %+v, got %+v", l, have)
			}
			made := dump(t)
			setting := "net.ipv4.conf." + strings.ReplaceAll(l.Name, ".", "/") + ".rp_filter"
			must(t, k, step(live(t, k, sysctl(setting, "").Key()), sysctl(setting, "2")),
				step(nil, address(l.Name, "10.7.0.1/24")),
				step(nil, with(route("10.8.0.0/24"), func(r *state.Route) { r.Device = l.Name })))
			used := dump(t)
			wantRolledBack(t, k, step(have, nil))
			if diff := cmp.Diff(used, dump(t)); diff != "" {
				t.Errorf("deleted and rolled back: %s", diff)
			}
			if l.Remote.IsValid() {
				moved := with(l, func(l *state.Link) { l.Remote = l.Remote.Next() })
				wantRolledBack(t, k, step(have, moved))
				if diff := cmp.Diff(used, dump(t)); diff != "" {
					t.Errorf("made anew and rolled back: %s", diff)
				}
				must(t, k, step(have, moved))
				if !strings.Contains(dump(t), "10.8.0.0/24 dev "+l.Name) || live(t, k, sysctl(setting, "").Key()) != sysctl(setting, "2") {
					t.Error("made anew it has lost its route or its sysctl")
				}
				have = live(t, k, l.Key())
			}
			must(t, k, step(have, nil))
			if diff := cmp.Diff(before, dump(t)); diff != "" {
				t.Errorf("deleted: %s", diff)
			}
			if made == before {
				t.Error("ip shows nothing new")
			}
		})
	}
}

func TestDummyBringsNoLinkOfItsOwn(t *testing.T) {
	if err := module.Load("dummy"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/sys/class/net/dummy0"); err == nil {
		t.Error("loading the module has made dummy0")
	}
}

func TestAnnounces(t *testing.T) {
	for _, ip := range []string{"192.0.2.50/32", "2001:db8::50/128"} {
		t.Run(ip, func(t *testing.T) {
			enter(t, plainHost)
			shell(t, "sysctl -qw net.ipv4.conf.peer0.arp_accept=1 net.ipv6.conf.peer0.forwarding=0")
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(htons(unix.ETH_P_ALL)))
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
				t.Fatal(err)
			}
			k := kernel.New()
			defer k.Close()
			vip := with(address("eth0", ip), func(a *state.Address) { a.NoDAD = a.IP.Addr().Is6() })
			s := step(nil, vip)
			s.Announce = true
			must(t, k, s)
			frame := make([]byte, 2048)
			for {
				n, _, err := unix.Recvfrom(fd, frame, 0)
				if err != nil {
					t.Fatalf("no announcement was seen: %v", err)
				}
				if announces(frame[:n], vip.IP.Addr()) {
					return
				}
			}
		})
	}
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// announces tells whether a packet is an announcement of an address.
func announces(packet []byte, ip netip.Addr) bool {
	if ip.Is4() {
		return len(packet) >= 28 && packet[2] == 8 && string(packet[14:18]) == string(ip.AsSlice()) &&
			string(packet[24:28]) == string(ip.AsSlice())
	}
	return len(packet) >= 72 && packet[6] == unix.IPPROTO_ICMPV6 && packet[40] == 136 &&
		string(packet[48:64]) == string(ip.AsSlice())
}
