//go:build linux

package network

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

func TestDescriptionsAreReadBack(t *testing.T) {
	names := map[int]string{3: "eth0"}
	addresses := []state.Address{
		{Device: "eth0", IP: netip.MustParsePrefix("192.0.2.7/24"), Scope: "global", Label: "eth0:0", Broadcast: netip.MustParseAddr("192.0.2.255")},
		{Device: "eth0", IP: netip.MustParsePrefix("192.0.2.7/32"), Scope: "host", Peer: netip.MustParsePrefix("192.0.2.8/32")},
		{Device: "eth0", IP: netip.MustParsePrefix("2001:db8::7/128"), Scope: "global", NoDAD: true, Deprecated: true},
	}
	for _, want := range addresses {
		message := describeAddress(want, 3, want.Deprecated)
		if got, ok := parseAddress(message, "eth0"); !ok || got != want {
			t.Errorf("want %+v, got %+v", want, got)
		}
		if got, ok := parseAddress(replayAddress(message, 3), "eth0"); !ok || got != want {
			t.Errorf("replayed: want %+v, got %+v", want, got)
		}
	}
	routes := []state.Route{
		{To: netip.MustParsePrefix("10.0.0.0/8"), Table: 1000, Metric: 7, Via: netip.MustParseAddr("192.0.2.1"), Scope: "global",
			Source: netip.MustParseAddr("192.0.2.7"), MTU: 1400, AdvMSS: 1360, OnLink: true, Protocol: 4},
		{To: netip.MustParsePrefix("0.0.0.0/0"), Table: 254, Type: "blackhole", Scope: "global", Protocol: 4},
		{To: netip.MustParsePrefix("10.0.0.0/8"), Table: 254, Via: netip.MustParseAddr("2001:db8::1"), Scope: "global", Protocol: 4},
		{To: netip.MustParsePrefix("::/0"), Table: 254, Metric: 1024, Via: netip.MustParseAddr("2001:db8::1"), Protocol: 4},
	}
	for _, want := range routes {
		message, err := New(nil).describeRoute(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseRoute(message, names); err != nil || got != want {
			t.Errorf("want %+v, got %+v, %v", want, got, err)
		}
	}
	rules := []state.Rule{
		{Family: "ipv4", Priority: 100, From: netip.MustParsePrefix("10.0.0.0/8"), To: netip.MustParsePrefix("192.0.2.0/24"), FWMark: 7, Table: 1000},
		{Family: "ipv6", Priority: 0, Table: 255},
	}
	for _, want := range rules {
		message, err := New(nil).describeRule(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := parseRule(message); got != want {
			t.Errorf("want %+v, got %+v", want, got)
		}
	}
}

func TestRefusesWhatItCannotMake(t *testing.T) {
	n := New(func(string) error { return nil })
	for name, o := range map[string]state.Object{
		"multipath route":     state.Route{To: netip.MustParsePrefix("10.0.0.0/8"), NextHops: "nexthop dev eth0 weight 1"},
		"route to nowhere":    state.Route{},
		"unknown route type":  state.Route{To: netip.MustParsePrefix("10.0.0.0/8"), Type: "nonsense"},
		"rule with selectors": state.Rule{Family: "ipv4", Other: "iif=eth0"},
		"rule of no family":   state.Rule{},
		"address of no IP":    state.Address{Device: "lo"},
		"service":             state.Service{},
	} {
		t.Run(name, func(t *testing.T) {
			if done, err := n.Apply([]state.Change{{After: o}}); err == nil || done != 0 {
				t.Errorf("got %d, %v", done, err)
			}
		})
	}
}

func TestAdvertisementHasAValidChecksum(t *testing.T) {
	ip, all := netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("ff02::1")
	frame := advertisement([6]byte{2, 0, 0, 0, 0, 1}, ip)
	const headers = 14 + 40
	if got := int(binary.BigEndian.Uint16(frame[14+4:])); got != len(frame)-headers {
		t.Errorf("payload length %d of %d", got, len(frame)-headers)
	}
	// The sum over everything, the checksum included, is all ones.
	if sum := checksum(ip, all, frame[headers:]); sum != 0 {
		t.Errorf("got %#x", sum)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(describeAddress(state.Address{IP: netip.MustParsePrefix("192.0.2.7/24")}, 1, true))
	f.Add(linkHeader(1, 0, 0))
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) < unix.SizeofIfInfomsg {
			return
		}
		names := map[int]string{}
		_ = parseLink(m).link.Key()
		if a, ok := parseAddress(m, "eth0"); ok {
			_ = a.Key()
			_ = replayAddress(m, 1)
		}
		if r, err := parseRoute(m, names); err == nil {
			_ = r.Key()
		}
		_ = parseRule(m).Key()
	})
}
