//go:build linux

package knock_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/knock"
	"github.com/lvsform/lvsform/wire"
)

func ask(t *testing.T, protocol, address string, count int) []string {
	t.Helper()
	got, err := knock.Knock(wire.Knock{Protocol: protocol, Address: netip.MustParseAddrPort(address), Count: count, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestConnectionsAreOpenedAndClosed(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // the test is over
		if diff := cmp.Diff(make([]string, 5), ask(t, "tcp", l.Addr().String(), 5)); diff != "" {
			t.Error(diff)
		}
		for range 5 {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("the connection is not closed: %d bytes, %v", n, err)
			}
			c.Close() //nolint:errcheck // it was only looked at
		}
	}
}

func TestARefusalIsToldInWords(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close() //nolint:errcheck // nobody listens there any more
	if diff := cmp.Diff([]string{"connection refused", "connection refused"}, ask(t, "tcp", free, 2)); diff != "" {
		t.Error(diff)
	}
}

func TestADatagramHasNoContent(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	if diff := cmp.Diff(make([]string, 3), ask(t, "udp", l.LocalAddr().String(), 3)); diff != "" {
		t.Error(diff)
	}
	from := map[string]bool{}
	for range 3 {
		n, who, err := l.ReadFrom(make([]byte, 10))
		if err != nil || n != 0 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		from[who.String()] = true
	}
	if len(from) != 3 {
		t.Errorf("the datagrams came from %d sockets, want 3: each is a connection of its own", len(from))
	}
}

// A listener whose queue is full leaves connections without an answer.
func TestWaitingHasAnEnd(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // the test is over
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(bound.(*unix.SockaddrInet4).Port))
	got, err := knock.Knock(wire.Knock{Protocol: "tcp", Address: to, Count: 16, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got, "no answer within 50ms") {
		t.Errorf("all are decided: %q", got)
	}
}

func TestRequestsOutOfBoundsAreRefused(t *testing.T) {
	good := wire.Knock{Protocol: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:1"), Count: 1, Timeout: time.Second}
	for name, change := range map[string]func(*wire.Knock){
		"none":       func(k *wire.Knock) { k.Count = 0 },
		"too many":   func(k *wire.Knock) { k.Count = wire.MaxKnock + 1 },
		"for ever":   func(k *wire.Knock) { k.Timeout = time.Hour },
		"no time":    func(k *wire.Knock) { k.Timeout = 0 },
		"to nowhere": func(k *wire.Knock) { k.Address = netip.AddrPort{} },
		"a protocol": func(k *wire.Knock) { k.Protocol = "icmp" },
	} {
		k := good
		change(&k)
		if got, err := knock.Knock(k); err == nil || !strings.Contains(err.Error(), "knock") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
