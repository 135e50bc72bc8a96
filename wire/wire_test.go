package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

func TestFramesSurviveTheWay(t *testing.T) {
	want := []wire.Request{
		{Lock: &wire.Lock{Owner: "ops@laptop"}},
		{Observe: &wire.Observe{Sysctls: []string{"net.ipv4.ip_forward"}}},
		{Begin: &wire.Begin{Topology: "web", Members: []string{"a"}, Steps: []wire.Step{{ID: "1",
			Change: &state.Change{After: state.Module{Name: "ip_vs"}}}}}},
	}
	var pipe bytes.Buffer
	for _, r := range want {
		if err := wire.Write(&pipe, r); err != nil {
			t.Fatal(err)
		}
	}
	var got []wire.Request
	for {
		var r wire.Request
		err := wire.Read(&pipe, &r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadFramesAreRefused(t *testing.T) {
	frame := func(n uint32, body string) string {
		return string(binary.BigEndian.AppendUint32(nil, n)) + body
	}
	for name, c := range map[string]struct{ in, want string }{
		"too long":        {frame(wire.MaxFrame+1, ""), "over the limit"},
		"cut in the body": {frame(10, "{}"), "cut short"},
		"cut in the head": {"\x00\x00", "unexpected EOF"},
		"unknown field":   {frame(12, `{"reboot":1}`), "unknown field"},
		"two documents":   {frame(4, `{}{}`), "more than one"},
		"a login banner":  {"Last login: yesterday", "over the limit"},
	} {
		var r wire.Request
		if err := wire.Read(strings.NewReader(c.in), &r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAFalseLengthCostsNoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var r wire.Request
	err := wire.Read(strings.NewReader("\x03\xff\xff\xff{}"), &r)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Fatal("no error")
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("allocated %d bytes for a frame of 2", grown)
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	wire.Write(&b, wire.Request{Lock: &wire.Lock{Owner: "x"}})
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		var r wire.Response
		_ = wire.Read(bytes.NewReader(in), &r)
		var q wire.Request
		_ = wire.Read(bytes.NewReader(in), &q)
	})
}
