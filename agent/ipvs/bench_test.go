//go:build linux && kernel

package ipvs

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/state"
)

// sizes are the tables of the benchmarks.
var sizes = []struct{ services, destinations int }{{1000, 10}, {1, 10000}}

func largeTable(services, destinations int) state.Objects {
	var table state.Objects
	for i := range services {
		id := ipv4("tcp", fmt.Sprintf("192.0.%d.%d", i/200, 1+i%200), 80)
		table = append(table, service(id))
		for j := range destinations {
			table = append(table, real(id, fmt.Sprintf("10.%d.%d.%d", i%256, j/200, 1+j%200)))
		}
	}
	return table
}

// forIpvsadm writes a table as ipvsadm -R reads it.
func forIpvsadm(table state.Objects) string {
	var b strings.Builder
	for _, o := range table {
		switch o := o.(type) {
		case state.Service:
			fmt.Fprintf(&b, "-A -t %s:%d -s %s\n", o.Address, o.Port, o.Scheduler)
		case state.Destination:
			fmt.Fprintf(&b, "-a -t %s:%d -r %s:%d -g -w %d\n", o.Service.Address, o.Service.Port, o.Address, o.Port, o.Weight)
		}
	}
	return b.String()
}

// keepNamespace keeps the current network namespace until the benchmark ends:
// the kernel would take it apart, with its table, while the next run is timed.
func keepNamespace(b *testing.B) {
	b.Helper()
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { namespace.Close() })
}

// race times both by turns and reports the seconds of each and how many times
// faster the first one is. prepare, which is not timed, comes before each.
func race(b *testing.B, prepare, ours, ipvsadm func()) {
	b.Helper()
	var own, peer time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		own += timed(prepare, ours)
		peer += timed(prepare, ipvsadm)
	}
	b.ReportMetric(own.Seconds()/float64(rounds), "s")
	b.ReportMetric(peer.Seconds()/float64(rounds), "ipvsadm-s")
	b.ReportMetric(float64(peer)/float64(own), "x-faster")
	b.ReportMetric(0, "ns/op") // of both together, with the preparation
}

func timed(prepare, f func()) time.Duration {
	prepare()
	runtime.GC()
	start := time.Now()
	f()
	return time.Since(start)
}

// Each table is made in a fresh namespace: filling one anew is slower.
func BenchmarkCreate(b *testing.B) {
	for _, size := range sizes {
		want := largeTable(size.services, size.destinations)
		lines := forIpvsadm(want)
		b.Run(fmt.Sprintf("%dx%d", size.services, size.destinations), func(b *testing.B) {
			var table *Table
			fresh := func() {
				table = newTable(b)
				keepNamespace(b)
			}
			race(b, fresh, func() {
				live, err := table.Read()
				if err != nil {
					b.Fatal(err)
				}
				if done, err := table.Apply(state.Diff(live, want)); err != nil || done != len(want) {
					b.Fatal(done, err)
				}
			}, func() { restore(b, lines) })
		})
	}
}

func BenchmarkReadAndDiff(b *testing.B) {
	for _, size := range sizes {
		want := largeTable(size.services, size.destinations)
		b.Run(fmt.Sprintf("%dx%d", size.services, size.destinations), func(b *testing.B) {
			table := newTable(b)
			if _, err := table.Apply(state.Diff(nil, want)); err != nil {
				b.Fatal(err)
			}
			race(b, func() {}, func() {
				live, err := table.Read()
				if err != nil {
					b.Fatal(err)
				}
				if rest := state.Diff(live, want); len(rest) > 0 {
					b.Fatalf("%d differences", len(rest))
				}
			}, func() {
				if out, err := exec.Command("ipvsadm", "-Sn").Output(); err != nil || len(out) == 0 {
					b.Fatal(err)
				}
			})
		})
	}
}
