//go:build linux

package sysctl

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
)

func TestReadsWhatExists(t *testing.T) {
	got, err := Read([]string{"kernel.ostype", "kernel.no.such", "kernel.ostype"})
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Object{state.Sysctl{Name: "kernel.ostype", Value: "Linux"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSeparatesFieldsByOneSpace(t *testing.T) {
	if got := normal("4096\t131072  6291456\n"); got != "4096 131072 6291456" {
		t.Errorf("got %q", got)
	}
}

func TestNamesBecomePaths(t *testing.T) {
	tests := map[string]string{
		"net.ipv4.ip_forward":                 "/proc/sys/net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/100.rp_filter":    "/proc/sys/net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.*.forwarding":          "/proc/sys/net/ipv4/conf/*/forwarding",
		"":                                    "",
		"kernel":                              "/proc/sys/kernel",
		"kernel..ostype":                      "",
		"net.//.//.passwd":                    "",
		"net.ipv4.conf.[a-z].forwarding":      "",
		"net.ipv4.conf.eth0\x00.forwarding":   "",
		"net.ipv4.conf.a\\b.forwarding":       "",
		".net.ipv4.ip_forward":                "",
		"net.ipv4.conf.eth0/100/5.arp_ignore": "/proc/sys/net/ipv4/conf/eth0.100.5/arp_ignore",
	}
	for name, want := range tests {
		if got, err := pathOf(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: want %q, got %q, %v", name, want, got, err)
		}
	}
}

func TestRefusesNamesThatLeaveTheirTree(t *testing.T) {
	if _, err := Read([]string{"net.//.//.//.etc.passwd"}); err == nil {
		t.Error("want an error")
	}
	if done, err := Apply([]state.Change{{After: state.Sysctl{Name: "net.//.x", Value: "1"}}}); err == nil || done != 0 {
		t.Errorf("got %d, %v", done, err)
	}
}
