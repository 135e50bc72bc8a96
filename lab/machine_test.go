//go:build lab

package lab

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a machine wrote to its files is there after its power was cut, and what
// its kernel held is not; its server serves again.
func TestMachinesForgetTheirKernelOverAResetNotTheirFiles(t *testing.T) {
	hosts := []string{"dir1", "rs1"}
	l := machines(t, declared("dir1", "192.0.2.9", "192.0.2.1", "192.0.2.9/24", "10.9.0.9/24"), declared("rs1", "10.9.0.1", "", "10.9.0.1/24"))
	if diff := cmp.Diff(hosts, l.Machines()); diff != "" {
		t.Fatalf("machines (-want +got):\n%s", diff)
	}
	facts := `hostname; ip -br -4 address show up; ip -4 route show default; cat /proc/1/comm; find /root /var/log /etc/sysctl.d | wc -l`
	fresh := `dir1
lo UNKNOWN 127.0.0.1/8
mgmt0 UP 10.0.2.15/24
eth0 UP 192.0.2.9/24
eth1 UP 10.9.0.9/24
default via 192.0.2.1 dev eth0 proto static
systemd
3`
	if diff := cmp.Diff(words(fresh), words(script(t, l, "dir1", facts))); diff != "" {
		t.Errorf("a fresh machine (-want +got):\n%s", diff)
	}
	serveAll(t, l, 80, hosts...)
	script(t, l, "dir1", `echo kept >/var/lib/kept; sync /var/lib/kept; ip address add 192.0.2.100/32 dev eth0`)
	ids := func() string { return script(t, l, "dir1", "cat /proc/sys/kernel/random/boot_id") }
	before := ids()
	if err := l.Reset(t.Context(), hosts...); err != nil {
		t.Fatal(err)
	}
	if ids() == before {
		t.Error("the machine has the same boot as before")
	}
	if diff := cmp.Diff(words(fresh+" kept"), words(script(t, l, "dir1", facts+"; cat /var/lib/kept"))); diff != "" {
		t.Errorf("after a reset (-want +got):\n%s", diff)
	}
	// From a machine to a machine, and from a namespace through a bridge to both.
	for _, way := range [][3]string{{"dir1", "10.9.0.1:80", "rs1"}, {"client-10.9.0.0", "10.9.0.1:80", "rs1"}, {"client-192.0.2.0", "192.0.2.9:80", "dir1"}} {
		a, err := l.Request(t.Context(), way[0], Requests{Network: "tcp", Target: way[1], Count: 2})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{way[2], way[2]}, a.By); diff != "" {
			t.Errorf("who answers %s after the reset (-want +got):\n%s%v", way[0], diff, a.Failures)
		}
	}
}

func words(s string) []string { return strings.Fields(s) }
