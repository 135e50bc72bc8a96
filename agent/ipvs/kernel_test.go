//go:build linux && kernel

package ipvs

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// freshNamespace moves the test to a network namespace of its own, with lo up,

// in which it stays: its thread ends with it.

func freshNamespace(tb testing.TB) {
	tb.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		tb.Fatalf("new network namespace: %v (these tests need root)", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		tb.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		tb.Fatal(err)
	}
}

func modprobe(tb testing.TB, arguments ...string) {
	tb.Helper()
	if out, err := exec.Command("modprobe", arguments...).CombinedOutput(); err != nil {
		tb.Fatalf("modprobe %v: %v\n%s(these tests need a kernel with IPVS)", arguments, err, out)
	}
}

// openTable returns the table of the current namespace.

func openTable(tb testing.TB) *Table {
	tb.Helper()
	modprobe(tb, "ip_vs")
	table, err := Open()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { table.Close() })
	return table
}

func newTable(tb testing.TB) *Table {
	tb.Helper()
	freshNamespace(tb)
	return openTable(tb)
}

func read(tb testing.TB, table *Table) state.Objects {
	tb.Helper()
	objects, err := table.Read()
	if err != nil {
		tb.Fatal(err)
	}
	live := state.Objects(objects)
	live.Sort()
	return live
}

// converge applies what leads to want, reads it back and expects no difference.

func converge(tb testing.TB, table *Table, want state.Objects) {
	tb.Helper()
	changes := state.Diff(read(tb, table), want)
	if done, err := table.Apply(changes); err != nil || done != len(changes) {
		tb.Fatalf("Apply: %d of %d: %v", done, len(changes), err)
	}
	want = slices.Clone(want)
	want.Sort()
	if diff := gocmp.Diff(want, read(tb, table), equal); diff != "" {
		tb.Fatalf("table (-want +got):\n%s", diff)
	}
	if rest := state.Diff(read(tb, table), want); len(rest) > 0 {
		tb.Fatalf("a second plan is not empty: %v", rest)
	}
}

func ipv6(protocol, address string, port uint16) state.ServiceID {
	return state.ServiceID{Protocol: protocol, Address: netip.MustParseAddr(address), Port: port, Family: "ipv6"}
}

// unload removes the modules of IPVS; the namespaces of earlier tests may hold

// them a little longer.

// loaded returns the modules of IPVS, each before those that it needs.

func TestEveryFormReadsBackAsWritten(t *testing.T) {
	web, six := ipv4("tcp", "192.0.2.1", 80), ipv6("udp", "2001:db8::1", 5060)
	mark, mark6 := state.ServiceID{FWMark: 7, Family: "ipv4"}, state.ServiceID{FWMark: 7, Family: "ipv6"}
	tun := func(kind string, port uint16, checksum string) func(*state.Destination) {
		return func(d *state.Destination) {
			d.Forward, d.TunnelType, d.TunnelPort, d.TunnelChecksum = "tun", kind, port, checksum
		}
	}
	tests := map[string]state.Objects{
		"empty":             {},
		"tcp, udp and sctp": {service(web), service(ipv4("udp", "192.0.2.1", 80)), service(ipv4("sctp", "192.0.2.1", 80))},
		"port 0":            {service(ipv4("tcp", "192.0.2.1", 0), func(s *state.Service) { s.Timeout = time.Minute })},
		"ipv6":              {service(six), real(six, "fd00::1"), real(six, "fd00::2", func(d *state.Destination) { d.Forward = "nat" })},
		"marks of both families": {
			service(mark), real(mark, "10.0.0.1"), service(mark6), real(mark6, "fd00::1"),
		},
		"persistence": {
			service(web, func(s *state.Service) { s.Timeout = 300 * time.Second }),
			service(ipv4("tcp", "192.0.2.2", 80), func(s *state.Service) { s.Timeout, s.Netmask = time.Hour, 24 }),
			service(ipv4("tcp", "192.0.2.3", 80), func(s *state.Service) { s.Timeout, s.Netmask = time.Hour, 0 }),
			service(ipv6("tcp", "2001:db8::2", 80), func(s *state.Service) { s.Timeout, s.Netmask = time.Second, 64 }),
			service(six, func(s *state.Service) { s.Timeout, s.Engine = time.Minute, "sip" }),
		},
		"one packet": {service(ipv4("udp", "192.0.2.1", 53), func(s *state.Service) { s.OnePacket = true })},
		"scheduler flags": {
			service(web, func(s *state.Service) { s.Scheduler, s.SchedulerFlags = "sh", "sh-fallback,sh-port" }),
			service(six, func(s *state.Service) { s.Scheduler, s.SchedulerFlags = "mh", "mh-port" }),
			service(mark, func(s *state.Service) { s.Scheduler, s.SchedulerFlags = "rr", "flag-1,flag-2,flag-3" }),
		},
		"forward, weight and thresholds": {
			service(web),
			real(web, "10.0.0.1", func(d *state.Destination) { d.Forward, d.Weight = "nat", 0 }),
			real(web, "10.0.0.2", func(d *state.Destination) { d.Weight, d.Port = 1<<31-1, 0 }),
			real(web, "10.0.0.3", func(d *state.Destination) { d.Weight, d.Upper, d.Lower = 70000, 1<<31-1, 70000 }),
			real(web, "10.0.0.4", tun("ipip", 0, "")),
		},
		"address of the director itself": {
			service(web), real(web, "127.0.0.1"), real(web, "127.0.0.2", func(d *state.Destination) { d.Forward = "nat" }),
		},
		"a foreign local": {service(web), real(web, "127.0.0.1", func(d *state.Destination) { d.Forward = "local" })},
		"tunnels": {
			service(web),
			real(web, "10.0.0.1", tun("gue", 5555, "")), real(web, "10.0.0.2", tun("gue", 5556, "csum")),
			real(web, "10.0.0.3", tun("gue", 65535, "remcsum")),
			real(web, "10.0.0.4", tun("gre", 0, "")), real(web, "10.0.0.5", tun("gre", 0, "csum")),
		},
		"mixed families": {
			service(web), real(web, "fd00::a00:1", tun("ipip", 0, "")), real(web, "10.0.0.1"),
			service(six), real(six, "10.0.0.1", tun("gue", 7000, "")), real(six, "fd00::1"),
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			table := newTable(t)
			converge(t, table, want)
			converge(t, table, nil)
		})
	}
}

func TestEveryScheduler(t *testing.T) {
	table := newTable(t)
	id := ipv4("tcp", "192.0.2.1", 80)
	for _, scheduler := range schedulers { // each change but the first is in place
		want := service(id, func(s *state.Service) { s.Scheduler = scheduler })
		if scheduler == "twos" && exec.Command("modprobe", "-nq", "ip_vs_twos").Run() != nil {
			// Not every distribution builds it: then this is all that can be asked.
			_, err := table.Apply(state.Diff(read(t, table), state.Objects{want}))
			if !strings.Contains(fmt.Sprint(err), "the module ip_vs_twos must be there") {
				t.Errorf("Apply without ip_vs_twos: %v", err)
			}
			continue
		}
		converge(t, table, state.Objects{want, real(id, "10.0.0.1"), real(id, "10.0.0.2")})
	}
}

func TestEditsKeepWhatTheyDoNotChange(t *testing.T) {
	table := newTable(t)
	id := ipv4("udp", "192.0.2.1", 5060)
	sip := service(id, func(s *state.Service) { s.Timeout, s.Engine, s.Netmask = time.Minute, "sip", 24 })
	gue := real(id, "10.0.0.1", func(d *state.Destination) {
		d.Forward, d.TunnelType, d.TunnelPort, d.TunnelChecksum, d.Upper = "tun", "gue", 5555, "csum", 9
	})
	six := real(id, "fd00::1", func(d *state.Destination) { d.Forward, d.TunnelType = "tun", "ipip" })
	for _, weight := range []int{1, 0, 2} {
		gue.Weight, six.Weight = weight, weight
		converge(t, table, state.Objects{sip, gue, six})
	}
	sip.Scheduler = "rr"
	converge(t, table, state.Objects{sip, gue, six})
	sip.Timeout, sip.Netmask = time.Hour, 32
	converge(t, table, state.Objects{sip, gue, six})
	sip.Timeout, sip.Engine = 0, ""
	converge(t, table, state.Objects{sip, gue, six})
}

func TestEditsAreInPlace(t *testing.T) {
	table := newTable(t)
	id := ipv4("tcp", "192.0.2.1", 80)
	s, d := service(id), real(id, "10.0.0.1")
	converge(t, table, state.Objects{s, d})
	for _, edit := range []func(){
		func() { d.Weight = 0 }, func() { d.Weight = 2 }, func() { d.Forward = "nat" },
		func() { s.Scheduler = "sh" }, func() { s.Timeout = time.Minute }, func() { s.Timeout = 0 },
	} {
		edit()
		changes := state.Diff(read(t, table), state.Objects{s, d})
		if len(changes) != 1 || changes[0].Before == nil || changes[0].After == nil {
			t.Fatalf("changes %v, want one update", changes)
		}
		converge(t, table, state.Objects{s, d})
	}
}

func TestRandomTables(t *testing.T) {
	table := newTable(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 { // each on top of the one before
		converge(t, table, randomTable(r))
	}
}

// save returns the lines of ipvsadm -Sn, sorted: the kernel lists the newest

// destination first.

// The set of services is a window that moves on by one creation and one

// deletion: a read with a gap, or of another width, never was the table.

func TestReadOfOneLargeService(t *testing.T) {
	id := ipv4("tcp", "192.0.2.1", 80)
	want := state.Objects{service(id)}
	for i := range 3000 { // several datagrams, and more than a page of /proc
		want = append(want, real(id, fmt.Sprintf("10.0.%d.%d", i/200, 1+i%200)))
	}
	converge(t, newTable(t), want)
}

// /proc/net/ip_vs leaves services out of a table like this one.
func TestReadBesideTheTablesOfOtherNamespaces(t *testing.T) {
	var want state.Objects
	for i := range 300 {
		id := ipv4("tcp", "192.0.2.1", uint16(1+i))
		want = append(want, service(id), real(id, "10.0.0.1"))
	}
	for range 3 { // each table keeps its namespace until the test ends
		converge(t, newTable(t), want)
	}
}

// Both interfaces of the kernel tell the same of the same table.
func TestReadIsTheSameByEitherInterface(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for round := range 20 {
		table := newTable(t)
		if table.options == nil {
			t.Fatal("the older interface cannot be had")
		}
		want := randomTable(r)
		if _, err := table.Apply(state.Diff(nil, want)); err != nil {
			t.Fatal(err)
		}
		quick, err := table.Read()
		if err != nil {
			t.Fatal(err)
		}
		old := table.options
		table.options = nil
		slow, err := table.Read()
		table.options = old
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(slow, quick, gocmp.Comparer(func(a, b state.Object) bool { return a == b })); diff != "" {
			t.Fatalf("round %d: %s", round, diff)
		}
	}
}

func TestDestinationsThatTheOlderInterfaceHidesAreRead(t *testing.T) {
	table := newTable(t)
	id := ipv4("tcp", "192.0.2.1", 80)
	want := state.Objects{service(id), real(id, "10.0.0.1"),
		state.Destination{Service: id, Address: netip.MustParseAddr("fd00::1"), Port: 80, Weight: 1, Forward: "tun", TunnelType: "ipip"}}
	if _, err := table.Apply(state.Diff(nil, want)); err != nil {
		t.Fatal(err)
	}
	live, err := table.Read()
	if err != nil {
		t.Fatal(err)
	}
	if rest := state.Diff(live, want); len(rest) > 0 {
		t.Errorf("%v", rest)
	}
	counts, err := table.options.counts()
	if err != nil {
		t.Fatal(err)
	}
	if counts[id] != 2 {
		t.Errorf("%d destinations are counted, want 2", counts[id])
	}
	for n := range 4 {
		if objects, ok := table.options.appendDestinations(nil, id, n); ok != (n == 1) || ok != (len(objects) == 1) {
			t.Errorf("counted %d: %v, %v", n, objects, ok)
		}
	}
}
