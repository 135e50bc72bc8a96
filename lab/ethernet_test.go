package lab

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// frame is one from a NIC to another; an address is its last byte.
func frame(to, from byte, text string) []byte {
	f := []byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xb5}
	if to == 0xff {
		copy(f, bytes.Repeat([]byte{0xff}, 6))
	}
	return append(f, text...)
}

// read is the text of the next frame, or "" when none comes.
func read(t *testing.T, wire net.Conn, patience time.Duration) string {
	t.Helper()
	if err := wire.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := wire.Read(b)
	if err != nil {
		return ""
	}
	return string(b[14:n])
}

func TestSwitchSendsFramesWhereTheirNICWasSeen(t *testing.T) {
	e := newEthernet()
	defer e.close()
	var wires [3]net.Conn
	var ports [3]*port
	for i := range wires {
		near, far := net.Pipe()
		wires[i], ports[i] = far, e.add(near)
	}
	send := func(from int, frame []byte) {
		t.Helper()
		if _, err := wires[from].Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(patience [3]time.Duration) []string {
		t.Helper()
		var got []string
		for i, w := range wires {
			if patience[i] != 0 {
				got = append(got, read(t, w, patience[i]))
			}
		}
		return got
	}
	const soon, never = time.Minute, time.Millisecond
	for _, tc := range []struct {
		name     string
		from     int
		frame    []byte
		patience [3]time.Duration
		want     []string
	}{
		{"a broadcast reaches all others", 0, frame(0xff, 0, "who"), [3]time.Duration{never, soon, soon}, []string{"", "who", "who"}},
		{"a known NIC alone", 1, frame(0, 1, "me"), [3]time.Duration{soon, never, never}, []string{"me", "", ""}},
		{"an unknown one is looked for", 0, frame(9, 0, "nine"), [3]time.Duration{never, soon, soon}, []string{"", "nine", "nine"}},
		{"one that moved is found", 2, frame(0, 1, "moved"), [3]time.Duration{soon, 0, 0}, []string{"moved"}},
		{"at its new place", 0, frame(1, 0, "there"), [3]time.Duration{never, never, soon}, []string{"", "", "there"}},
	} {
		send(tc.from, tc.frame)
		if diff := cmp.Diff(tc.want, heard(tc.patience)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	if err := ports[2].unplug(); err != nil {
		t.Fatal(err)
	}
	send(0, frame(1, 0, "gone"))
	if got := read(t, wires[1], soon); got != "gone" {
		t.Errorf("a frame for a NIC that was unplugged: the others hear %q", got)
	}
}

// A machine that is off fetches nothing, and must hold nobody up.
func TestSwitchDropsWhatNobodyFetches(t *testing.T) {
	e := newEthernet()
	defer e.close()
	near, far := net.Pipe()
	e.add(near)
	deaf, _ := net.Pipe()
	e.add(deaf)
	for range 2 * queued {
		if _, err := far.Write(frame(0xff, 0, "x")); err != nil {
			t.Fatal(err)
		}
	}
}
