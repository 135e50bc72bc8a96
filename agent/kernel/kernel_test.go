//go:build linux && kernel

package kernel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// plainHost is a network namespace with a NIC, eth0, wired to peer0.
const plainHost = `
sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
ip link set lo up
ip link add eth0 type veth peer name peer0
ip link set eth0 up
ip link set peer0 up
ip addr add 192.0.2.10/24 broadcast 192.0.2.255 dev eth0
ip addr add 2001:db8::10/64 dev eth0 nodad
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8::1
`

// enter puts the test into a fresh network namespace and runs a script there.
func enter(t *testing.T, script string) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with its test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("no network namespace of its own: %v (run as root)", err)
	}
	shell(t, script)
	settled(t)
}

func shell(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// index is a link's number in the output of ip: a link that was made anew has
// another.
var index = regexp.MustCompile(`(?m)^\d+: `)

// dump describes the namespace's network as ip-route and its kin see it, and
// the sysctls that belong to it. The order among IPv6 addresses and routes,
// where nothing is primary, is left out; so are IPv6's local routes, which the
// kernel makes a little later than their addresses.
func dump(t *testing.T) string {
	t.Helper()
	text := shell(t, `
ip -4 -d -o -batch - <<END | sed 's/ qlen [0-9]*//; s/ permaddr [^ ]*//; s/[0-9]*sec/SEC/g'
link show
addr show
route show table all
rule show
END
ip -6 -d -o -batch - <<END | sed 's/^[0-9]*: //; s/[0-9]*sec/SEC/g; /^local .* table local/d' | sort
addr show
route show table all
rule show
END
cd /proc/sys/net; grep -sH . ipv4/ip_forward ipv4/conf/*/* ipv6/conf/*/* | grep -v /stable_secret`)
	return index.ReplaceAllString(text, "")
}

// settled waits until links have their carrier and addresses have passed
// duplicate detection.
func settled(t *testing.T) {
	t.Helper()
	shell(t, `for i in $(seq 100); do ip addr | grep -q 'tentative\|LOWERLAYERDOWN' || exit 0; sleep 0.05; done; exit 1`)
}

func step(before, after state.Object) wire.Step {
	c := state.Change{Before: before, After: after}
	return wire.Step{ID: c.Key().String(), Change: &c}
}

func run(k txn.Kernel, steps ...wire.Step) error {
	return txn.Txn{
		Kernel:  k,
		Prepare: func(txn.Pending) error { return nil },
		Record:  func(state.Ledger) error { return nil },
		Done:    func([]string) {},
	}.Run(state.Ledger{}, wire.Begin{Topology: "t", Members: []string{"h"}, Steps: steps})
}

// must runs a transaction that succeeds.
func must(t *testing.T, k txn.Kernel, steps ...wire.Step) {
	t.Helper()
	if err := run(k, steps...); err != nil {
		t.Fatal(err)
	}
}

// impossible is a step that every kernel refuses.
func impossible() wire.Step {
	return step(nil, state.Address{Device: "nosuchdevice", IP: netip.MustParsePrefix("10.99.0.1/32"), Scope: "global"})
}

// wantRolledBack runs steps that end in a refusal.
func wantRolledBack(t *testing.T, k txn.Kernel, steps ...wire.Step) {
	t.Helper()
	err := run(k, append(steps, impossible())...)
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != wire.ErrorRolledBack {
		t.Fatalf("want a rollback, got %v", err)
	}
}

func live(t *testing.T, k *kernel.Kernel, key state.Key) state.Object {
	t.Helper()
	query := txn.Query{Network: true, IPVS: true, Configs: true}
	if key.Kind == state.KindModule {
		query.Modules = []string{key.ID}
	}
	if key.Kind == state.KindSysctl {
		query.Sysctls = []string{key.ID}
	}
	h, err := k.Read(query)
	if err != nil {
		t.Fatal(err)
	}
	return h.Objects.ByKey()[key]
}

func address(device, ip string) state.Address {
	return state.Address{Device: device, IP: netip.MustParsePrefix(ip), Scope: "global"}
}

func route(to string) state.Route {
	r := state.Route{To: netip.MustParsePrefix(to), Table: state.TableMain, Device: "eth0"}
	if r.To.Addr().Is4() {
		r.Scope = "link"
	} else {
		r.Metric = 1024
	}
	return r
}

func with[T any](o T, f func(*T)) T { f(&o); return o }

func via(to, gateway string) state.Route {
	return with(route(to), func(r *state.Route) {
		r.Via = netip.MustParseAddr(gateway)
		if r.Scope != "" {
			r.Scope = "global"
		}
	})
}

// networkObjects are made on a plain host.
func networkObjects() map[string]state.Object {
	return map[string]state.Object{
		"address":             address("eth0", "192.0.2.100/32"),
		"address of a subnet": with(address("eth0", "198.51.100.1/24"), func(a *state.Address) { a.Broadcast = netip.MustParseAddr("198.51.100.255") }),
		"labelled address":    with(address("lo", "203.0.113.7/32"), func(a *state.Address) { a.Label, a.Scope = "lo:0", "host" }),
		"address of link scope": with(address("eth0", "192.0.2.101/32"), func(a *state.Address) {
			a.Scope = "link"
		}),
		"address with a peer": with(address("eth0", "10.1.0.1/32"), func(a *state.Address) { a.Peer = netip.MustParsePrefix("10.1.0.2/32") }),
		"IPv6 VIP":            with(address("lo", "2001:db8::7/128"), func(a *state.Address) { a.NoDAD, a.Deprecated = true, true }),
		"IPv6 address":        with(address("eth0", "2001:db8:1::1/64"), func(a *state.Address) { a.NoDAD = true }),
		"direct route":        route("203.0.113.0/24"),
		"route of a gateway":  via("10.0.0.0/8", "192.0.2.1"),
		"route with all": with(via("10.0.0.0/8", "192.0.2.2"), func(r *state.Route) {
			r.Source, r.Metric, r.MTU, r.AdvMSS, r.Table = netip.MustParseAddr("192.0.2.10"), 77, 1400, 1360, 1000
		}),
		"onlink route":     with(via("10.0.0.0/8", "198.51.100.99"), func(r *state.Route) { r.OnLink = true }),
		"blackhole":        with(route("10.66.0.0/16"), func(r *state.Route) { r.Type, r.Device, r.Scope = "blackhole", "", "global" }),
		"route on lo":      with(route("203.0.113.9/32"), func(r *state.Route) { r.Device = "lo" }),
		"second default":   with(via("0.0.0.0/0", "192.0.2.254"), func(r *state.Route) { r.Metric = 50 }),
		"IPv6 route":       via("2001:db8:9::/48", "2001:db8::1"),
		"IPv6 blackhole":   with(route("2001:db8:66::/48"), func(r *state.Route) { r.Type, r.Device = "blackhole", "" }),
		"rule":             state.Rule{Family: "ipv4", Priority: 100, From: netip.MustParsePrefix("192.0.2.0/24"), Table: 100},
		"rule with a mark": state.Rule{Family: "ipv4", Priority: 101, FWMark: 7, To: netip.MustParsePrefix("10.0.0.0/8"), Table: 1000},
		"IPv6 rule":        state.Rule{Family: "ipv6", Priority: 100, From: netip.MustParsePrefix("2001:db8::/32"), Table: 100},
	}
}

func TestMakesReadsAndDeletes(t *testing.T) {
	for name, o := range networkObjects() {
		t.Run(name, func(t *testing.T) {
			enter(t, plainHost)
			k := kernel.New()
			defer k.Close()
			before := dump(t)
			must(t, k, step(nil, o))
			have := live(t, k, o.Key())
			if have == nil || o.Resolve(have) != have {
				t.Errorf("want %+v, got %+v", o, have)
			}
			if r, ok := have.(state.Route); ok && r.Protocol != unix.RTPROT_STATIC {
				t.Errorf("want a static route, got protocol %d", r.Protocol)
			}
			made := dump(t)
			if made == before {
				t.Error("ip shows nothing new")
			}
			wantRolledBack(t, k, step(have, nil))
			if diff := cmp.Diff(made, dump(t)); diff != "" {
				t.Errorf("deleted and rolled back: %s", diff)
			}
			must(t, k, step(have, nil))
			if diff := cmp.Diff(before, dump(t)); diff != "" {
				t.Errorf("deleted: %s", diff)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	vip6 := with(address("lo", "2001:db8::7/128"), func(a *state.Address) { a.NoDAD = true })
	tests := map[string]struct{ from, to state.Object }{
		"gateway":           {via("10.0.0.0/8", "192.0.2.1"), via("10.0.0.0/8", "192.0.2.2")},
		"IPv6 gateway":      {via("2001:db8:9::/48", "2001:db8::1"), via("2001:db8:9::/48", "2001:db8::2")},
		"IPv6 gateway lost": {via("2001:db8:9::/48", "2001:db8::1"), route("2001:db8:9::/48")},
		"route's MTU":       {via("10.0.0.0/8", "192.0.2.1"), with(via("10.0.0.0/8", "192.0.2.1"), func(r *state.Route) { r.MTU = 1300 })},
		"lifetime":          {vip6, with(vip6, func(a *state.Address) { a.Deprecated = true })},
		"lifetime back":     {with(vip6, func(a *state.Address) { a.Deprecated = true }), vip6},
		"label":             {address("lo", "203.0.113.7/32"), with(address("lo", "203.0.113.7/32"), func(a *state.Address) { a.Label = "lo:1" })},
		"prefix":            {address("eth0", "203.0.113.7/32"), address("eth0", "203.0.113.7/24")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			enter(t, plainHost)
			k := kernel.New()
			defer k.Close()
			must(t, k, step(nil, test.from))
			from, before := live(t, k, test.from.Key()), dump(t)
			wantRolledBack(t, k, step(from, test.to))
			if diff := cmp.Diff(before, dump(t)); diff != "" {
				t.Errorf("changed and rolled back: %s", diff)
			}
			must(t, k, step(from, test.to))
			if have := live(t, k, test.to.Key()); test.to.Resolve(have) != have {
				t.Errorf("want %+v, got %+v", test.to, have)
			}
		})
	}
}

// foreign is what others have made on the host, with attributes that lvsform
// does not know.
const foreign = plainHost + `
ip addr add 192.0.2.20/24 dev eth0 label eth0:old
ip addr add 192.0.2.21/24 dev eth0 valid_lft 5000 preferred_lft 4000
ip addr add 198.51.100.1/32 dev eth0
ip -6 addr add 2001:db8:5::5/64 dev eth0 nodad
ip route add 10.1.0.0/16 via 192.0.2.1 src 192.0.2.20 realm 7 mtu lock 1200 window 5000 proto 99
ip route add 10.2.0.0/16 nexthop via 192.0.2.1 weight 2 nexthop via 192.0.2.2 weight 5
ip route add 10.3.0.0/16 tos 0x10 via 192.0.2.1
ip route add 10.4.0.0/16 via 198.51.100.77 dev eth0 onlink
ip route add 10.5.0.0/16 via inet6 2001:db8::5
ip -6 route add 2001:db8:77::/48 nexthop via 2001:db8::1 nexthop via 2001:db8::2
ip -6 route add 2001:db8:78::/48 via 2001:db8::1 src 2001:db8:5::5 pref high mtu 1300
ip rule add from 10.0.0.0/8 iif eth0 ipproto tcp dport 80-90 lookup 100
sysctl -qw net.ipv4.conf.eth0.accept_redirects=0 net.ipv4.conf.lo.forwarding=1
`

func TestRollbackRestoresForeignObjects(t *testing.T) {
	tests := map[string]func(k *kernel.Kernel, t *testing.T) []wire.Step{
		"primary address deleted": func(k *kernel.Kernel, t *testing.T) []wire.Step {
			return []wire.Step{step(live(t, k, address("eth0", "192.0.2.10/24").Key()), nil)}
		},
		"primary address deleted, its secondary promoted": func(k *kernel.Kernel, t *testing.T) []wire.Step {
			shell(t, "sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1")
			return []wire.Step{step(live(t, k, address("eth0", "192.0.2.10/24").Key()), nil)}
		},
		"all addresses deleted": func(k *kernel.Kernel, t *testing.T) (steps []wire.Step) {
			for _, ip := range []string{"192.0.2.10/24", "192.0.2.20/24", "192.0.2.21/24", "198.51.100.1/32", "2001:db8::10/64"} {
				steps = append(steps, step(live(t, k, address("eth0", ip).Key()), nil))
			}
			return steps
		},
		"link down": func(k *kernel.Kernel, t *testing.T) []wire.Step {
			eth0 := live(t, k, state.Link{Name: "eth0"}.Key()).(state.Link)
			return []wire.Step{step(eth0, with(eth0, func(l *state.Link) { l.Up = state.Some(false) }))}
		},
		"MTU below IPv6's": func(k *kernel.Kernel, t *testing.T) []wire.Step {
			eth0 := live(t, k, state.Link{Name: "eth0"}.Key()).(state.Link)
			return []wire.Step{step(eth0, with(eth0, func(l *state.Link) { l.MTU = state.Some(1000) }))}
		},
		"forwarding on": func(k *kernel.Kernel, t *testing.T) []wire.Step {
			return []wire.Step{
				step(state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}),
				step(state.Sysctl{Name: "net.ipv6.conf.all.forwarding", Value: "0"}, state.Sysctl{Name: "net.ipv6.conf.all.forwarding", Value: "1"}),
			}
		},
		"IPv6 disabled": func(k *kernel.Kernel, t *testing.T) []wire.Step {
			const name = "net.ipv6.conf.eth0.disable_ipv6"
			return []wire.Step{step(state.Sysctl{Name: name, Value: "0"}, state.Sysctl{Name: name, Value: "1"})}
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			enter(t, foreign)
			k := kernel.New()
			defer k.Close()
			planned := steps(k, t)
			before := dump(t)
			wantRolledBack(t, k, planned...)
			settled(t)
			if diff := cmp.Diff(before, dump(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeletingAPrimaryAddressCostsNothingElse(t *testing.T) {
	for _, promote := range []int{0, 1} {
		t.Run(fmt.Sprintf("promote_secondaries=%d", promote), func(t *testing.T) {
			enter(t, foreign)
			shell(t, fmt.Sprintf("sysctl -qw net.ipv4.conf.eth0.promote_secondaries=%d", promote))
			k := kernel.New()
			defer k.Close()
			before, err := k.Read(txn.Query{Network: true})
			if err != nil {
				t.Fatal(err)
			}
			primary := live(t, k, address("eth0", "192.0.2.10/24").Key())
			must(t, k, step(primary, nil))
			after, err := k.Read(txn.Query{Network: true})
			if err != nil {
				t.Fatal(err)
			}
			want := before.Objects.ByKey()
			delete(want, primary.Key())
			for key, o := range want {
				if r, ok := o.(state.Route); ok && r.Protocol == unix.RTPROT_KERNEL {
					delete(want, key)
				} else if have := after.Objects.ByKey()[key]; have != o {
					t.Errorf("%s: want %+v, got %+v", key, o, have)
				}
			}
		})
	}
}

func TestLinkFlapKeepsRoutesAndAddresses(t *testing.T) {
	enter(t, foreign)
	k := kernel.New()
	defer k.Close()
	before := dump(t)
	up := live(t, k, state.Link{Name: "eth0"}.Key()).(state.Link)
	down := with(up, func(l *state.Link) { l.Up = state.Some(false) })
	must(t, k, step(up, down), step(down, up))
	settled(t)
	if diff := cmp.Diff(before, dump(t)); diff != "" {
		t.Error(diff)
	}
}

func TestForwardingResetsNothingElse(t *testing.T) {
	enter(t, plainHost+"sysctl -qw net.ipv4.conf.all.accept_redirects=1 net.ipv4.conf.eth0.accept_redirects=0\n")
	k := kernel.New()
	defer k.Close()
	before := dump(t)
	off, on := state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}
	must(t, k, step(off, on))
	text := dump(t)
	for _, want := range []string{"ipv4/ip_forward:1", "ipv4/conf/eth0/forwarding:1", "ipv4/conf/all/accept_redirects:1", "ipv4/conf/eth0/accept_redirects:0"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("want %s", want)
		}
	}
	must(t, k, step(on, off))
	if diff := cmp.Diff(before, dump(t)); diff != "" {
		t.Error(diff)
	}
}
