package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGatewaysStandWithTheInterfaceTheyAreBeside(t *testing.T) {
	h := Host{Name: "dir1", Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, Interfaces: []Interface{
		{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.9/24")}},
		{Name: "eth1", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24"), netip.MustParsePrefix("2001:db8::9/64")}}}}
	files, err := networkFiles(h)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for path, f := range files {
		_, got[path], _ = strings.Cut(f.text, "IPv6AcceptRA=no\n")
	}
	want := map[string]string{
		"etc/systemd/network/mgmt0.network": "Address=10.0.2.15/24\nLinkLocalAddressing=no\n",
		"etc/systemd/network/eth0.network":  "Address=10.0.0.9/24\n",
		"etc/systemd/network/eth1.network":  "Address=192.0.2.9/24\nGateway=192.0.2.1\nAddress=2001:db8::9/64\nGateway=2001:db8::1\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	h.Interfaces[0].Name = management
	if _, err := networkFiles(h); err == nil || !strings.Contains(err.Error(), "host dir1: ") {
		t.Errorf("an interface with the name of the lab's own: %v", err)
	}
}

func TestDirectoriesStandBeforeWhatLiesInThem(t *testing.T) {
	var got []string
	for _, f := range archiveOf("seed", map[string]file{
		"etc/ssh/host_key": {text: "secret", mode: 0o600}, "etc/hosts": {text: "hosts"}, "root": {mode: 0o040755}, "etc/link": {target: "hosts"},
	}) {
		got = append(got, fmt.Sprintf("%s %o %s", f.name, f.mode, f.data))
	}
	want := []string{"seed 40755 ", "seed/etc 40755 ", "seed/etc/hosts 644 hosts", "seed/etc/link 120777 hosts",
		"seed/etc/ssh 40755 ", "seed/etc/ssh/host_key 600 secret", "seed/root 40755 "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

// A machine of the lab is configured by its tests alone.
func TestWhatPackagesOfThisMachineWereConfiguredWithIsHidden(t *testing.T) {
	list := hidden()
	for _, dir := range []string{"etc/keepalived", "etc/ha.d", "etc/sysctl.d", "var/lib/lvsform"} {
		if !slices.Contains(list, dir) {
			t.Errorf("machines see this machine's %s", dir)
		}
	}
}

// NICs get their names in two steps: eth1 may be the name of the first.
func TestNamesOfNICsAreFreeWhenTheyAreGiven(t *testing.T) {
	m := &machine{far: &Guest{}, spec: buildHost{Host: Host{Interfaces: []Interface{{Name: "eth2"}, {Name: "ens33"}}}}}
	_, steps, _ := strings.Cut(m.script(), "rename() {\n")
	want := "name eth0 mgmt0\nname eth1 wire0\nname eth2 wire1\nname wire0 'eth2'\nname wire1 'ens33'\n}\n"
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}
