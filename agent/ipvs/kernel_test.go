//go:build linux && kernel

package ipvs

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	moby "github.com/moby/ipvs"
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

func TestOpenWithoutTheModuleLoadsNothing(t *testing.T) {
	freshNamespace(t)
	unload(t)
	if _, err := Open(); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("Open: %v, want ErrNotLoaded", err)
	}
	if modules := loaded(t); len(modules) > 0 {
		t.Errorf("loaded now: %v", modules)
	}
	modprobe(t, "ip_vs")
	if !Loaded() {
		t.Error("not Loaded after modprobe")
	}
}

// unload removes the modules of IPVS; the namespaces of earlier tests may hold
// them a little longer.
func unload(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for modules := loaded(t); len(modules) > 0; modules = loaded(t) {
		out, err := exec.Command("rmmod", modules...).CombinedOutput()
		if err != nil && time.Now().After(deadline) {
			t.Fatalf("rmmod %v: %v\n%s", modules, err, out)
		}
	}
}

// loaded returns the modules of IPVS, each before those that it needs.
func loaded(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(text)) {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "ip_vs") {
			modules = append(modules, name)
		}
	}
	slices.SortFunc(modules, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return modules
}

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

func TestReadAgreesWithMobyReader(t *testing.T) {
	table := newTable(t)
	handle, err := moby.New("")
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		want := randomTable(r)
		converge(t, table, want)
		for i, o := range want { // what that reader does not know
			switch o := o.(type) {
			case state.Service:
				o.Engine = ""
				want[i] = o
			case state.Destination:
				o.TunnelPort, o.TunnelChecksum, o.Weight = 0, "", o.Weight&0xffff
				if o.TunnelType != "" {
					o.TunnelType = "ipip"
				}
				want[i] = o
			}
		}
		want.Sort()
		if diff := gocmp.Diff(want, readMoby(t, handle), equal); diff != "" {
			t.Fatalf("moby/ipvs reads (-written +read):\n%s", diff)
		}
	}
}

func readMoby(t *testing.T, handle *moby.Handle) state.Objects {
	t.Helper()
	services, err := handle.GetServices()
	if err != nil {
		t.Fatal(err)
	}
	var objects state.Objects
	for _, s := range services {
		s.Flags &= flagsKnown
		service, err := toService(s)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, service)
		destinations, err := handle.GetDestinations(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range destinations {
			destination, err := toDestination(service.ServiceID, &destination{Destination: *d})
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, destination)
		}
	}
	objects.Sort()
	return objects
}

func TestReadsWhatIpvsadmWrites(t *testing.T) {
	const saved = `-A -t 192.0.2.1:80 -s sh -p 300 -M 255.255.255.0 -b sh-port
-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 0
-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 3
-A -u [2001:db8::1]:53 -s wrr -o
-a -u [2001:db8::1]:53 -r [fd00::1]:53 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
-A -f 9 -s wlc
-a -f 9 -r 10.0.0.3:0 -i -w 2 --tun-type gre --tun-csum
`
	web, dns, mark := ipv4("tcp", "192.0.2.1", 80), ipv6("udp", "2001:db8::1", 53), state.ServiceID{FWMark: 9, Family: "ipv4"}
	want := state.Objects{
		service(web, func(s *state.Service) {
			s.Scheduler, s.SchedulerFlags, s.Timeout, s.Netmask = "sh", "sh-port", 300*time.Second, 24
		}),
		real(web, "10.0.0.1", func(d *state.Destination) { d.Weight = 0 }),
		real(web, "10.0.0.2", func(d *state.Destination) { d.Forward, d.Weight, d.Port = "nat", 3, 8080 }),
		service(dns, func(s *state.Service) { s.Scheduler, s.OnePacket = "wrr", true }),
		real(dns, "fd00::1", func(d *state.Destination) { d.Forward, d.TunnelType, d.TunnelPort = "tun", "gue", 6080 }),
		service(mark),
		real(mark, "10.0.0.3", func(d *state.Destination) {
			d.Forward, d.Weight, d.TunnelType, d.TunnelChecksum = "tun", 2, "gre", "csum"
		}),
	}
	want.Sort()

	table := newTable(t)
	restore(t, saved)
	if diff := gocmp.Diff(want, read(t, table), equal); diff != "" {
		t.Errorf("read of what ipvsadm wrote (-want +got):\n%s", diff)
	}
	theirs := save(t)
	converge(t, table, nil)
	converge(t, table, want)
	if diff := gocmp.Diff(theirs, save(t)); diff != "" {
		t.Errorf("ipvsadm -Sn of the same table (-written by ipvsadm +written here):\n%s", diff)
	}
}

func restore(tb testing.TB, saved string) {
	tb.Helper()
	cmd := exec.Command("ipvsadm", "-R")
	cmd.Stdin = strings.NewReader(saved)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		tb.Fatalf("ipvsadm -R: %v\n%s", err, out)
	}
}

// save returns the lines of ipvsadm -Sn, sorted: the kernel lists the newest
// destination first.
func save(tb testing.TB) []string {
	tb.Helper()
	out, err := exec.Command("ipvsadm", "-Sn").Output()
	if err != nil {
		tb.Fatalf("ipvsadm -Sn: %v", err)
	}
	return slices.Sorted(strings.Lines(string(out)))
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	id := ipv4("tcp", "192.0.2.1", 80)
	s, d := service(id), real(id, "10.0.0.1")
	tests := map[string]struct {
		live   state.Objects
		change state.Change
		want   string
		errno  unix.Errno
	}{
		"unknown scheduler": {
			change: state.Change{After: service(id, func(s *state.Service) { s.Scheduler = "best" })},
			want:   "create service tcp/192.0.2.1:80: the kernel does not find scheduler best: the module ip_vs_best must be there",
			errno:  unix.ENOENT,
		},
		"unknown engine": {
			change: state.Change{After: service(id, func(s *state.Service) { s.Timeout, s.Engine = time.Second, "rtp" })},
			want:   "module",
			errno:  unix.ENOENT,
		},
		"service is there":     {state.Objects{s}, state.Change{After: s}, "made by another program", unix.EEXIST},
		"service is gone":      {nil, state.Change{Before: s, After: s}, "update service tcp/192.0.2.1:80: the service does not exist", unix.ESRCH},
		"its service is gone":  {nil, state.Change{After: d}, "create destination 10.0.0.1:80 of service tcp/192.0.2.1:80: the service does not exist", unix.ESRCH},
		"destination is there": {state.Objects{s, d}, state.Change{After: d}, "made by another program", unix.EEXIST},
		"destination is gone":  {state.Objects{s}, state.Change{Before: d}, "delete destination 10.0.0.1:80 of service tcp/192.0.2.1:80: the destination does not exist", unix.ENOENT},
		"thresholds": {
			state.Objects{s}, state.Change{After: real(id, "10.0.0.1", func(d *state.Destination) { d.Lower = 2 })},
			"lower threshold 2 must not exceed the upper threshold 0", unix.ERANGE,
		},
		"threshold beyond 31 bits": {
			state.Objects{s}, state.Change{After: real(id, "10.0.0.1", func(d *state.Destination) { d.Upper = 1 << 31 })},
			"a threshold can be at most 2147483647", unix.EINVAL,
		},
		"multicast": {state.Objects{s}, state.Change{After: real(id, "224.0.0.1")}, "single host", unix.EINVAL},
		"other family without tun": {
			state.Objects{s}, state.Change{After: real(id, "fd00::1")}, "needs forward tun", unix.EINVAL,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			table := newTable(t)
			converge(t, table, test.live)
			done, err := table.Apply([]state.Change{test.change})
			if done != 0 || !errors.Is(err, test.errno) || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("Apply: %d, %v; want 0, %q", done, err, test.want)
			}
		})
	}
}

func TestDestinationWhileLoIsDown(t *testing.T) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	id := ipv4("tcp", "192.0.2.1", 80)
	done, err := openTable(t).Apply([]state.Change{{After: service(id)}, {After: real(id, "10.0.0.1")}})
	if done != 1 || !strings.Contains(fmt.Sprint(err), "bring lo up") {
		t.Errorf("Apply: %d, %v; want 1 and to bring lo up", done, err)
	}
}

func TestApplyTellsExactlyWhatWasMade(t *testing.T) {
	table := newTable(t)
	id := ipv4("tcp", "192.0.2.1", 80)
	changes := []state.Change{{After: service(id)}}
	for i := range 3*batchSize - 1 {
		d := real(id, fmt.Sprintf("10.0.%d.%d", i/200, 1+i%200))
		if i == batchSize+10 || i == batchSize+20 {
			d = real(id, "10.0.0.1") // it is there already
		}
		changes = append(changes, state.Change{After: d})
	}
	done, err := table.Apply(changes)
	var refused *ApplyError
	if !errors.As(err, &refused) || !errors.Is(err, unix.EEXIST) {
		t.Fatalf("Apply: %v", err)
	}
	var indexes []int
	for _, f := range refused.Failed {
		indexes = append(indexes, f.Index)
	}
	if diff := gocmp.Diff([]int{batchSize + 11, batchSize + 21}, indexes); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if live := read(t, table); refused.Attempted != 2*batchSize || done != len(live) || done != 2*batchSize-2 {
		t.Errorf("done %d of %d attempted, but %d objects are there", done, refused.Attempted, len(live))
	}
}

// The set of services is a window that moves on by one creation and one
// deletion: a read with a gap, or of another width, never was the table.
func TestReadIsNeverTorn(t *testing.T) {
	reader := newTable(t)
	writer := openTable(t)
	const width = 300
	window := func(i int) state.Service { return service(ipv4("tcp", "192.0.2.1", uint16(i))) }
	next := 1
	step := func() error {
		changes := []state.Change{{After: window(next)}, {After: real(window(next).ServiceID, "10.0.0.1")}}
		if next > width {
			changes = append(changes, state.Change{Before: window(next - width)})
		}
		next++
		_, err := writer.Apply(changes)
		return err
	}
	for next <= width {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		finished := make(chan error)
		go func() {
			var err error
			for range 40 {
				err = errors.Join(err, step())
			}
			finished <- err
		}()
		objects, err := reader.Read()
		if err := <-finished; err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		checkWindow(t, objects, width)
	}
}

func checkWindow(t *testing.T, objects []state.Object, width int) {
	t.Helper()
	var ports []int
	for _, o := range objects {
		if s, ok := o.(state.Service); ok {
			ports = append(ports, int(s.Port))
		}
	}
	slices.Sort(ports)
	first, last := ports[0], ports[len(ports)-1]
	if len(ports) != last-first+1 || len(ports) < width || len(ports) > width+1 || len(objects) < 2*len(ports)-1 {
		t.Errorf("read %d services, from %d to %d, and %d objects", len(ports), first, last, len(objects))
	}
}

func TestReadOfOneLargeService(t *testing.T) {
	id := ipv4("tcp", "192.0.2.1", 80)
	want := state.Objects{service(id)}
	for i := range 3000 { // several datagrams, and more than a page of /proc
		want = append(want, real(id, fmt.Sprintf("10.0.%d.%d", i/200, 1+i%200)))
	}
	converge(t, newTable(t), want)
}
