//go:build linux

package network

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

func TestPortsThatUnwrapAreReadBack(t *testing.T) {
	n := New(nil)
	for _, want := range []state.FOU{
		{Family: "ipv4", Port: 5555, Protocol: "gue"}, {Family: "ipv6", Port: 65535, Protocol: "gue"},
		{Family: "ipv4", Port: 1, Protocol: "ipip"}, {Family: "ipv6", Port: 2, Protocol: "ipv6"}, {Family: "ipv4", Port: 3, Protocol: "gre"},
	} {
		body, err := n.describeFOU(want)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parseFOU(parse(body, 0))
		if !ok || got != want {
			t.Errorf("want %+v, got %+v", want, got)
		}
	}
	for _, bad := range []state.FOU{{Family: "ipv5", Port: 1, Protocol: "gue"}, {Family: "ipv4", Port: 1, Protocol: "esp"}} {
		if _, err := n.describeFOU(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestPortsThatUnwrapAreDescribedAsNewerKernelsWant(t *testing.T) {
	body, err := New(nil).describeFOU(state.FOU{Family: "ipv4", Port: 5555, Protocol: "gue"})
	if err != nil {
		t.Fatal(err)
	}
	if parse(body, 0)[fouProtocol] != nil {
		t.Error("a GUE port names an inner protocol")
	}
}

func TestBoundPortsAreOthersAndComeBackAsTheyWere(t *testing.T) {
	message := make([]byte, unix.GENL_HDRLEN)
	message = put(message, fouPort, binary.BigEndian.AppendUint16(nil, 6000))
	message = put(message, fouFamily, []byte{unix.AF_INET})
	message = put(message, fouType, []byte{fouGUE})
	message = put(message, fouProtocol, []byte{0})
	message = put(message, 8, make([]byte, 4)) // no peer
	free, ok := parseFOU(parse(message, unix.GENL_HDRLEN))
	if !ok || free != (state.FOU{Family: "ipv4", Port: 6000, Protocol: "gue"}) {
		t.Errorf("a port bound to nothing is %+v", free)
	}
	message = put(message, 6, []byte{192, 0, 2, 1})
	bound, ok := parseFOU(parse(message, unix.GENL_HDRLEN))
	if !ok || !strings.Contains(bound.Protocol, "c0000201") {
		t.Errorf("a bound port is %+v", bound)
	}
	n := New(nil)
	n.raw[bound] = original{message: message}
	body, err := n.describeFOU(bound)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := parseFOU(parse(body, 0))
	if diff := cmp.Diff(bound, again); diff != "" {
		t.Error(diff)
	}
	if a := parse(body, 0); a[8] != nil || a[fouProtocol] != nil {
		t.Error("what is unset is asked for")
	}
}
