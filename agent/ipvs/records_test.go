//go:build linux

package ipvs

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Lines of the wanted bytes are attributes: length, type, value, padding. They
// are those of a little-endian machine.
func TestRequestBytes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the wanted bytes are those of a little-endian machine")
	}
	id := ipv4("udp", "192.0.2.1", 5060)
	tests := map[string]struct {
		change state.Change
		want   string
	}{
		"create service": {
			change: state.Change{After: service(id, func(s *state.Service) {
				s.Scheduler, s.SchedulerFlags, s.Timeout, s.Netmask, s.Engine = "sh", "sh-port", 5*time.Minute, 24, "sip"
			})},
			want: `64000000 2100 0100 00000000 00000000 01010000
				5000 0100
				0600 0100 0200 0000
				0600 0200 1100 0000
				0800 0300 c0000201
				0600 0400 13c4 0000
				0700 0600 736800 00
				0800 0b00 73697000
				0c00 0700 11000000 3d000000
				0800 0800 2c010000
				0800 0900 ffffff00`,
		},
		"update IPv6 destination of a mark": {
			change: state.Change{
				Before: tunnel(state.ServiceID{FWMark: 7, Family: "ipv4"}, "gue", 5555, ""),
				After: state.Destination{
					Service: state.ServiceID{FWMark: 7, Family: "ipv4"}, Address: netip.MustParseAddr("fd00::1"),
					Port: 80, Forward: "tun", Weight: 2, Upper: 9, Lower: 3,
					TunnelType: "gue", TunnelPort: 5555, TunnelChecksum: "csum",
				},
			},
			want: `88000000 2100 0100 00000000 00000000 06010000
				1400 0100
				0600 0100 0200 0000
				0800 0500 07000000
				6000 0200
				1400 0100 fd000000000000000000000000000001
				0600 0200 0050 0000
				0600 0b00 0a00 0000
				0800 0300 02000000
				0800 0400 02000000
				0800 0500 09000000
				0800 0600 03000000
				0500 0d00 01 000000
				0600 0e00 15b3 0000
				0600 0f00 0100 0000`,
		},
		"delete destination": {
			change: state.Change{Before: real(id, "10.0.0.1")},
			want: `54000000 2100 0100 00000000 00000000 07010000
				2400 0100
				0600 0100 0200 0000
				0600 0200 1100 0000
				0800 0300 c0000201
				0600 0400 13c4 0000
				1c00 0200
				0800 0100 0a000001
				0600 0200 13c4 0000
				0600 0b00 0200 0000`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := appendChange(nil, fakeFamily, test.change)
			if err != nil {
				t.Fatal(err)
			}
			want, err := hex.DecodeString(strings.Join(strings.Fields(test.want), ""))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(hex.Dump(want), hex.Dump(got)); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordsDecodeAsEncoded(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 1000 {
		s := randomService(r)
		if diff := cmp.Diff(s, recodeService(t, s), equal); diff != "" {
			t.Fatalf("service (-want +got):\n%s", diff)
		}
		d := randomDestination(r, s.ServiceID)
		if diff := cmp.Diff(d, recodeDestination(t, d), equal); diff != "" {
			t.Fatalf("destination (-want +got):\n%s", diff)
		}
	}
}

func attrsOf(t *testing.T, o state.Object) []byte {
	t.Helper()
	b, err := appendChange(nil, fakeFamily, state.Change{After: o})
	if err != nil {
		t.Fatal(err)
	}
	return b[headers:]
}

func recodeService(t *testing.T, s state.Service) state.Service {
	t.Helper()
	r, err := decodeService(attrsOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	got, err := toService(&r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func recodeDestination(t *testing.T, d state.Destination) state.Destination {
	t.Helper()
	var r destination
	if err := r.decode(attrsOf(t, d), unix.AF_INET); err != nil {
		t.Fatal(err)
	}
	got, err := toDestination(d.Service, &r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWhatTheKernelAddsIsNoAttribute(t *testing.T) {
	s := service(ipv4("tcp", "192.0.2.1", 80))
	r, err := fromService(s)
	if err != nil {
		t.Fatal(err)
	}
	r.Flags |= 0x2     // hashed
	r.Netmask = 0xffff // means nothing without persistence
	r.Timeout = 360
	got, err := toService(&r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got, equal); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	d := real(s.ServiceID, "10.0.0.1")
	rd, err := fromDestination(d)
	if err != nil {
		t.Fatal(err)
	}
	rd.ConnectionFlags |= 0x100 // inactive
	rd.tunnelType, rd.tunnelPort, rd.tunnelFlags = tunnelGUE, 7, 1
	gotDestination, err := toDestination(d.Service, &rd)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, gotDestination, equal); diff != "" {
		t.Errorf("destination (-want +got):\n%s", diff)
	}
}

func TestNetmasks(t *testing.T) {
	for _, length := range []int{0, 1, 8, 24, 31, 32} {
		mask, err := fromNetmask(unix.AF_INET, length)
		if got := toNetmask(unix.AF_INET, mask); err != nil || got != length {
			t.Errorf("/%d reads back as /%d, %v", length, got, err)
		}
	}
	gaps := binary.NativeEndian.Uint32([]byte{255, 0, 255, 0})
	if got := toNetmask(unix.AF_INET, gaps); got != -1 {
		t.Errorf("a mask with gaps reads as /%d, want -1", got)
	}
}

func TestSchedulerFlagNames(t *testing.T) {
	tests := []struct {
		scheduler, text string
		flags           uint32
	}{
		{"sh", "sh-fallback,sh-port", 0x18}, {"sh", "flag-3,sh-port", 0x30}, {"mh", "mh-fallback", 0x8},
		{"mh", "mh-port", 0x10}, {"wlc", "flag-1,flag-2,flag-3", 0x38}, {"wlc", "", 0},
	}
	for _, test := range tests {
		flags, err := parseSchedulerFlags(test.scheduler, test.text)
		if err != nil || flags != test.flags {
			t.Errorf("%s %s: %#x, %v; want %#x", test.scheduler, test.text, flags, err, test.flags)
		}
		if got := formatSchedulerFlags(test.scheduler, test.flags); got != test.text {
			t.Errorf("%s %#x: %q, want %q", test.scheduler, test.flags, got, test.text)
		}
	}
	if flags, err := parseSchedulerFlags("sh", "flag-2"); err != nil || flags != 0x10 {
		t.Errorf("flag-2 of sh: %#x, %v", flags, err)
	}
}

func TestTheKernelsOwnWordsOnARefusal(t *testing.T) {
	b := fakeError(1, unix.EINVAL, make([]byte, netlinkHeader))
	addFlags(b, unix.NLM_F_ACK_TLVS)
	b = appendString(b, unix.NLMSGERR_ATTR_MSG, "no such thing")
	endMessage(b, 0)
	m, rest, err := nextMessage(b)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%d bytes left, %v", len(rest), err)
	}
	if got := refused(m).Error(); got != "no such thing (invalid argument)" {
		t.Error(got)
	}
}

// FuzzDecodeDatagram feeds an answer to a dump: it may be refused, never crash,
// and what is read from it can be written and read again.
func FuzzDecodeDatagram(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 20 {
		s := randomService(r)
		f.Add(append(appendObject(f, nil, 1, s), appendObject(f, nil, 1, randomDestination(r, s.ServiceID))...))
	}
	f.Add(fakeError(1, unix.EPERM, make([]byte, netlinkHeader)))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		table := &Table{conn: &oneDatagram{b: datagram}}
		_, _ = table.exchange(make([]byte, headers), func(attrs []byte) error {
			if r, err := decodeService(attrs); err == nil {
				checkService(t, &r)
			}
			var d destination
			if d.decode(attrs, unix.AF_INET) == nil {
				checkDestination(t, &d)
			}
			return nil
		})
		_, _ = (&Table{conn: &oneDatagram{b: datagram}}).transact(batch{make([]byte, headers), []int{0}})
	})
}

// oneDatagram is a conn that receives one datagram.
type oneDatagram struct{ b []byte }

func (c *oneDatagram) Send([]byte) error { return nil }

func (c *oneDatagram) Receive() ([]byte, error) {
	if c.b == nil {
		return nil, unix.EAGAIN
	}
	b := c.b
	c.b = nil
	return b, nil
}

func checkService(t *testing.T, r *moby.Service) {
	t.Helper()
	s, err := toService(r)
	if err != nil {
		return
	}
	if _, err := fromService(s); err != nil {
		return // a name or a netmask that only a hostile kernel has
	}
	if diff := cmp.Diff(s, recodeService(t, s), equal); diff != "" {
		t.Errorf("service (-read +read again):\n%s", diff)
	}
}

func checkDestination(t *testing.T, r *destination) {
	t.Helper()
	d, err := toDestination(ipv4("tcp", "192.0.2.1", 80), r)
	if err != nil {
		return
	}
	if _, err := fromDestination(d); err != nil {
		return
	}
	if diff := cmp.Diff(d, recodeDestination(t, d), equal); diff != "" {
		t.Errorf("destination (-read +read again):\n%s", diff)
	}
}
