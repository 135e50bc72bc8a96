//go:build linux

package ipvs

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Kernels since 4.1 tell both kinds of statistics, older ones the short.
func TestCountersOfADestination(t *testing.T) {
	number := func(b []byte, kind uint16, n uint64, long bool) []byte {
		if long {
			return binary.NativeEndian.AppendUint64(appendHeader(b, kind, 8), n)
		}
		return appendUint32(b, kind, uint32(n))
	}
	stats := func(b []byte, long bool) []byte {
		kind := uint16(dstStats)
		values := []uint64{1000, 2000, 3000, 4000, 5000, 7, 8, 9, 10, 11} // IPVS_STATS_ATTR_CONNS and on
		if long {
			kind, values[0], values[8] = dstStats64, 1<<40, 1<<33
		}
		return appendNest(b, kind, &values, func(b []byte, values *[]uint64) []byte {
			for i, n := range *values {
				b = number(b, uint16(i+1), n, long || i == 3 || i == 4)
			}
			return b
		})
	}
	d := destination{Destination: moby.Destination{AddressFamily: unix.AF_INET, Address: []byte{10, 0, 0, 1}, Port: 80}}
	message := func(kinds ...bool) []byte {
		return appendNest(nil, attrDest, &d, func(b []byte, d *destination) []byte {
			b = appendDestination(b, d)
			b = appendUint32(appendUint32(b, dstActive, 3), dstInactive, 4)
			for _, long := range kinds {
				b = stats(b, long)
			}
			return b
		})
	}
	service := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Family: "ipv4"}
	short := state.Counters{Connections: state.Connections{Destination: "tcp/192.0.2.1:80/10.0.0.1:80", Active: 3, Inactive: 4}, Total: 1000,
		Rates: state.Rates{Conns: 7, PacketsIn: 8, PacketsOut: 9, BytesIn: 10, BytesOut: 11}}
	long := short
	long.Total, long.BytesIn = 1<<40, 1<<33
	for name, tc := range map[string]struct {
		kinds []bool
		want  state.Counters
	}{
		"none":          {nil, state.Counters{Connections: short.Connections}},
		"an old kernel": {[]bool{false}, short},
		"both":          {[]bool{false, true}, long},
	} {
		got, err := decodeCounters(message(tc.kinds...), service, unix.AF_INET)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	odd := message(true)
	odd = odd[:len(odd)-2]
	binary.NativeEndian.PutUint16(odd, uint16(len(odd)))
	if _, err := decodeCounters(odd, service, unix.AF_INET); !errors.Is(err, errMalformed) {
		t.Errorf("statistics cut short: %v", err)
	}
}
