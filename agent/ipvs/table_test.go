//go:build linux

package ipvs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

var equal = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty()}

func mustRead(t *testing.T, table *Table) state.Objects {
	t.Helper()
	objects, err := table.Read()
	if err != nil {
		t.Fatal(err)
	}
	live := state.Objects(objects)
	live.Sort()
	return live
}

func TestTablesConverge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	kernel, table := newFake(t)
	for range 100 {
		want := randomTable(r)
		changes := state.Diff(mustRead(t, table), want)
		if done, err := table.Apply(changes); err != nil || done != len(changes) {
			t.Fatalf("Apply: %d of %d: %v", done, len(changes), err)
		}
		want.Sort()
		if diff := cmp.Diff(want, mustRead(t, table), equal); diff != "" {
			t.Fatalf("read (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, kernel.objects(), equal); diff != "" {
			t.Fatalf("kernel (-want +got):\n%s", diff)
		}
	}
}

// farm is a service with n destinations.
func farm(port uint16, n int) []state.Object {
	id := ipv4("tcp", "192.0.2.1", port)
	objects := []state.Object{service(id)}
	for i := range n {
		objects = append(objects, real(id, fmt.Sprintf("10.0.%d.%d", i/200, 1+i%200)))
	}
	return objects
}

func farms(n int) []state.Object {
	var objects []state.Object
	for i := range n {
		objects = append(objects, farm(uint16(1+i), 6)...)
	}
	return objects
}

func TestReadSeesThroughChangesMeanwhile(t *testing.T) {
	tests := map[string]func(k *fakeKernel){
		"a service goes, and a later one with its place in the list is skipped": func(k *fakeKernel) {
			k.remove(k.services[0].Key())
		},
		"a service comes":     func(k *fakeKernel) { k.add(service(ipv4("udp", "192.0.2.9", 53))) },
		"a scheduler changes": func(k *fakeKernel) { k.services[2].Scheduler = "rr" },
		"a destination goes": func(k *fakeKernel) {
			for _, s := range k.services {
				k.remove(k.reals[s.ServiceID][0].Key())
			}
		},
		"a destination comes first in its list": func(k *fakeKernel) {
			for _, s := range k.services {
				k.add(real(s.ServiceID, "10.9.9.9"))
			}
		},
	}
	for name, change := range tests {
		for part := range 30 {
			t.Run(fmt.Sprintf("%s, at datagram %d", name, part), func(t *testing.T) {
				kernel, table := newFake(t, farms(6)...)
				kernel.during = func(now int) {
					if now == part {
						change(kernel)
					}
				}
				// Each service is as it was at some moment of the read: as it
				// is now, or as it was before if it was read then.
				before := kernel.objects()
				got := mustRead(t, table)
				checkServices(t, got, before, kernel.objects())
			})
		}
	}
}

// checkServices expects every service of got, with its destinations, to be as in
// one of the tables, and all of them to be those of the last one.
func checkServices(t *testing.T, got state.Objects, tables ...state.Objects) {
	t.Helper()
	now := tables[len(tables)-1]
	if diff := cmp.Diff(services(now), services(got), equal); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	for _, s := range services(got) {
		farm := only(got, s.ServiceID)
		if !slices.ContainsFunc(tables, func(table state.Objects) bool {
			return slices.Equal(only(table, s.ServiceID), farm)
		}) {
			t.Errorf("%s never had these destinations: %v", s.ServiceID, farm)
		}
	}
}

func services(objects state.Objects) []state.Service {
	var list []state.Service
	for _, o := range objects {
		if s, ok := o.(state.Service); ok {
			list = append(list, s)
		}
	}
	return list
}

func only(objects state.Objects, service state.ServiceID) state.Objects {
	var list state.Objects
	for _, o := range objects {
		if d, ok := o.(state.Destination); ok && d.Service == service {
			list = append(list, o)
		}
	}
	return list
}

func TestReadGivesUpOnATableThatNeverSettles(t *testing.T) {
	tests := map[string]func(k *fakeKernel){
		"services": func(k *fakeKernel) { k.services[0].Timeout += time.Second },
		"destinations": func(k *fakeKernel) {
			k.reals[k.services[0].ServiceID][0].Weight++
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			kernel, table := newFake(t, farms(6)...)
			kernel.during = func(int) { change(kernel) }
			var waited time.Duration
			table.pause = func(d time.Duration) { waited += d }
			if _, err := table.Read(); !errors.Is(err, ErrTorn) {
				t.Errorf("Read: %v, want ErrTorn", err)
			}
			if waited > 2*time.Second {
				t.Errorf("waited %s", waited)
			}
		})
	}
}

func TestApplySendsBatchesAndStopsAfterARefusal(t *testing.T) {
	objects := farm(80, 3*batchSize-1)
	var changes []state.Change
	for _, o := range objects {
		changes = append(changes, state.Change{After: o})
	}
	kernel, table := newFake(t)
	if done, err := table.Apply(changes); err != nil || done != len(changes) {
		t.Fatalf("Apply: %d, %v", done, err)
	}
	if diff := cmp.Diff([]int{batchSize, batchSize, batchSize}, kernel.batches); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}

	for _, last := range []bool{false, true} { // whether the last one of its batch fails
		i := batchSize + 3
		if last {
			i = 2*batchSize - 1
		}
		kernel, table := newFake(t, objects[0], objects[i])
		done, err := table.Apply(changes[1:])
		var refused *ApplyError
		if !errors.As(err, &refused) || !errors.Is(err, unix.EEXIST) {
			t.Fatalf("Apply: %v", err)
		}
		want := &ApplyError{Attempted: 2 * batchSize, Failed: []Failure{{Index: i - 1}}}
		if diff := cmp.Diff(want, refused, cmpopts.IgnoreFields(Failure{}, "Err")); diff != "" {
			t.Errorf("error (-want +got):\n%s", diff)
		}
		if done != 2*batchSize-1 || len(kernel.batches) != 2 {
			t.Errorf("done %d in batches %v", done, kernel.batches)
		}
	}
}

func TestDeletingAServiceTakesItsDestinationsAlong(t *testing.T) {
	objects := append(farm(80, 3), farm(81, 1)...)
	kernel, table := newFake(t, objects...)
	changes := state.Diff(kernel.objects(), nil)
	if done, err := table.Apply(changes); err != nil || done != len(changes) {
		t.Errorf("Apply: %d of %d, %v", done, len(changes), err)
	}
	if rest := kernel.objects(); len(rest) > 0 {
		t.Errorf("left over: %v", rest)
	}
	// One that was not there: neither were its destinations made to go.
	done, err := table.Apply(changes)
	var refused *ApplyError
	if !errors.As(err, &refused) || done != 0 || len(refused.Failed) != len(changes) {
		t.Errorf("Apply on an empty table: %d, %v", done, err)
	}
	// Deleted and made again: its destinations are the new one's.
	again := []state.Change{{Before: objects[0]}, {After: objects[0]}, {Before: objects[1]}}
	_, table = newFake(t, objects...)
	if done, err := table.Apply(again); done != 2 || !errors.Is(err, unix.ENOENT) {
		t.Errorf("Apply: %d, %v; want 2, ENOENT", done, err)
	}
}

func TestApplyChangesNothingThatItCannotExpress(t *testing.T) {
	id := ipv4("tcp", "192.0.2.1", 80)
	tests := map[string]struct {
		object state.Object
		want   string
	}{
		"another kind":     {state.Sysctl{Name: "a"}, "neither a service nor a destination"},
		"family":           {service(state.ServiceID{FWMark: 1}), "neither ipv4 nor ipv6"},
		"address":          {service(state.ServiceID{Protocol: "tcp", Family: "ipv4"}), "not of family ipv4"},
		"other family":     {service(state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("::1"), Family: "ipv4"}), "not of family ipv4"},
		"protocol":         {service(ipv4("icmp", "192.0.2.1", 0)), `protocol "icmp"`},
		"scheduler":        {service(id, func(s *state.Service) { s.Scheduler = "" }), "1 to 15 characters"},
		"long engine":      {service(id, func(s *state.Service) { s.Engine = "0123456789abcdef" }), "1 to 15 characters"},
		"scheduler flag":   {service(id, func(s *state.Service) { s.SchedulerFlags = "sh-port" }), `no flag "sh-port"`},
		"half a second":    {service(id, func(s *state.Service) { s.Timeout = time.Second / 2 }), "whole seconds"},
		"netmask":          {service(id, func(s *state.Service) { s.Netmask = 33 }), "not a prefix length"},
		"no address":       {state.Destination{Service: id, Forward: "dr"}, "no address"},
		"weight":           {real(id, "10.0.0.1", func(d *state.Destination) { d.Weight = -1 }), "weight -1"},
		"forward":          {real(id, "10.0.0.1", func(d *state.Destination) { d.Forward = "masq" }), `forward "masq"`},
		"tunnel without":   {real(id, "10.0.0.1", func(d *state.Destination) { d.TunnelType = "gue" }), "forward is dr"},
		"tunnel type":      {tunnel(id, "vxlan", 0, ""), `tunnel type "vxlan"`},
		"gue without port": {tunnel(id, "gue", 0, ""), "needs a port"},
		"gre with port":    {tunnel(id, "gre", 1, ""), "the tunnel is gre"},
		"ipip checksum":    {tunnel(id, "ipip", 0, "csum"), "the tunnel is ipip"},
		"checksum":         {tunnel(id, "gre", 0, "crc"), `checksum "crc"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			kernel, table := newFake(t)
			done, err := table.Apply([]state.Change{{After: service(id)}, {After: test.object}})
			if done != 0 || !strings.Contains(fmt.Sprint(err), test.want) || len(kernel.services) > 0 {
				t.Errorf("Apply: %d, %v; want 0, %q; services %v", done, err, test.want, kernel.services)
			}
		})
	}
}

func tunnel(id state.ServiceID, kind string, port uint16, checksum string) state.Destination {
	return real(id, "10.0.0.1", func(d *state.Destination) {
		d.Forward, d.TunnelType, d.TunnelPort, d.TunnelChecksum = "tun", kind, port, checksum
	})
}

func TestLostAnswers(t *testing.T) {
	kernel, table := newFake(t)
	kernel.lost = unix.ENOBUFS
	done, err := table.Apply([]state.Change{{After: service(ipv4("tcp", "192.0.2.1", 80))}})
	var refused *ApplyError
	if done != 0 || !errors.Is(err, unix.ENOBUFS) || errors.As(err, &refused) {
		t.Errorf("Apply: %d, %v", done, err)
	}
	if _, err := table.Read(); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("Read: %v", err)
	}
}

func TestRefusalsNameObjectCauseAndRemedy(t *testing.T) {
	id := ipv4("tcp", "192.0.2.1", 80)
	s, d := service(id), real(id, "10.0.0.1")
	tests := []struct {
		change state.Change
		errno  unix.Errno
		want   string
	}{
		{state.Change{After: s}, unix.EPERM, "create service tcp/192.0.2.1:80: needs root (CAP_NET_ADMIN): operation not permitted"},
		{state.Change{After: s}, unix.ENOENT, "create service tcp/192.0.2.1:80: the kernel does not find scheduler wlc: the module ip_vs_wlc must be there: no such file or directory"},
		{state.Change{Before: s, After: s}, unix.ESRCH, "update service tcp/192.0.2.1:80: the service does not exist: no such process"},
		{state.Change{Before: s}, unix.ENOMEM, "delete service tcp/192.0.2.1:80: cannot allocate memory"},
		{state.Change{After: d}, unix.EINVAL, "create destination 10.0.0.1:80 of service tcp/192.0.2.1:80: the kernel does not take the address for one of a single host: if it is one, bring lo up: invalid argument"},
		{state.Change{After: real(id, "fd00::1")}, unix.EINVAL, "create destination [fd00::1]:80 of service tcp/192.0.2.1:80: a destination of the other address family needs forward tun: invalid argument"},
		{state.Change{Before: d}, unix.ENOENT, "delete destination 10.0.0.1:80 of service tcp/192.0.2.1:80: the destination does not exist: no such file or directory"},
	}
	for _, test := range tests {
		err := explain(test.change, &refusal{errno: test.errno})
		if diff := cmp.Diff(test.want, err.Error()); diff != "" || !errors.Is(err, test.errno) {
			t.Errorf("error (-want +got):\n%s", diff)
		}
	}
}
