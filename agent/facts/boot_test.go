//go:build linux

package facts

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

func TestOtherOwnersAtBootAreFound(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/systemd/system/multi-user.target.wants/ipvsadm.service": "[Unit]\n",
		"etc/rc3.d/S20ipvsadm":                     "",
		"etc/default/ipvsadm":                      "# if you want it\nAUTO=\"true\"\n",
		"etc/sysctl.conf":                          "# comment\n; another\nkernel.panic = 1\n net.ipv4.ip_forward=0\n-net/ipv4/conf/eth0.100/rp_filter = 2\nnet.ipv4.tcp_fastopen_key = 1\nnonsense\n",
		"etc/sysctl.d/99-lvs.conf":                 "net.ipv4.conf.*.arp_ignore = 8\nnet.ipv4.ip_local_port_range = 1024\t65000\n",
		"etc/sysctl.d/ignored":                     "net.ipv4.ip_forward=0\n",
		"etc/sysconfig/network-scripts/ifcfg-lo:0": "DEVICE=lo:0\nIPADDR=\"192.0.2.7\"\nNETMASK=255.255.255.255\n",
		"etc/sysconfig/network/ifcfg-eth0":         "IPADDR_0='192.0.2.8/24'\nIPADDR=dhcp\n",
		"etc/network/interfaces":                   "auto lo\niface lo inet loopback\n  up ip addr add 192.0.2.9/32 dev lo\n  up ip route add 10.0.0.0/8 dev eth0\niface eth0:1 inet static\n  address 192.0.2.10/24\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../sysctl.conf", filepath.Join(root, "etc/sysctl.d/99-sysctl.conf")); err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr
	want := []state.BootOwner{
		{File: "/etc/network/interfaces", Address: ip("192.0.2.9"), Device: "lo"},
		{File: "/etc/network/interfaces", Address: ip("192.0.2.10"), Device: "eth0"},
		{File: "/etc/sysconfig/network-scripts/ifcfg-lo:0", Address: ip("192.0.2.7"), Device: "lo"},
		{File: "/etc/sysconfig/network/ifcfg-eth0", Address: ip("192.0.2.8"), Device: "eth0"},
		{File: "/etc/sysctl.conf", Sysctl: "net.ipv4.ip_forward", Value: "0"},
		{File: "/etc/sysctl.conf", Sysctl: "net.ipv4.conf.eth0/100.rp_filter", Value: "2"},
		{File: "/etc/sysctl.d/99-lvs.conf", Sysctl: "net.ipv4.conf.*.arp_ignore", Value: "8"},
		{File: "/etc/sysctl.d/99-lvs.conf", Sysctl: "net.ipv4.ip_local_port_range", Value: "1024 65000"},
		{File: "/etc/systemd/system/multi-user.target.wants/ipvsadm.service"},
		{File: "/etc/rc3.d/S20ipvsadm"},
	}
	if diff := cmp.Diff(want, Boot(root), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

// As Debian's package installs it, ipvsadm's script does nothing.
func TestAScriptThatIsToldToDoNothingIsNoOwner(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"etc/rc3.d/S20ipvsadm": "", "etc/default/ipvsadm": "AUTO=\"false\"\n"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := Boot(root); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}
