package state

import (
	"net/netip"
	"testing"
)

// largeTable is an IPVS table of 1,000 services of 10 destinations each.
func largeTable() Objects {
	var table Objects
	for i := range 1000 {
		id := ServiceID{
			Protocol: "tcp", Address: netip.AddrFrom4([4]byte{192, 0, byte(i / 200), byte(1 + i%200)}),
			Port: 80, Family: "ipv4",
		}
		table = append(table, Service{ServiceID: id, Scheduler: "wlc", Netmask: 32})
		for j := range 10 {
			table = append(table, Destination{
				Service: id, Address: netip.AddrFrom4([4]byte{10, byte(i), 0, byte(j)}), Port: 80, Weight: 1, Forward: "dr",
			})
		}
	}
	return table
}

func BenchmarkDiffOfEqualTables(b *testing.B) {
	live, want := largeTable(), largeTable()
	for b.Loop() {
		if changes := Diff(live, want); len(changes) > 0 {
			b.Fatal(len(changes))
		}
	}
}

func BenchmarkDiffFromNothing(b *testing.B) {
	want := largeTable()
	for b.Loop() {
		if changes := Diff(nil, want); len(changes) != len(want) {
			b.Fatal(len(changes))
		}
	}
}
