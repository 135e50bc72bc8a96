//go:build lab

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/topology"
)

var booted *Guest // one boot serves all tests

func TestMain(m *testing.M) {
	if os.Getenv(orphanVariable) != "" {
		bootAndWait()
	}
	if IsGuest(os.Args) {
		fmt.Println(RunGuest(context.Background()))
		os.Exit(1)
	}
	os.Exit(withGuest(m))
}

func withGuest(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if booted, err = Boot(ctx, Options{Wires: 3, Progress: func(s string) { fmt.Println(s) }}); err != nil {
		fmt.Println(err)
		return 1
	}
	defer booted.Close()
	return m.Run()
}

func buildLab(t *testing.T, hosts ...*topology.Host) *Lab {
	t.Helper()
	return buildWith(t, booted.Build, hosts)
}

// machines is buildLab with a machine for each host.
func machines(t *testing.T, hosts ...*topology.Host) *Lab {
	t.Helper()
	return buildWith(t, booted.BuildMachines, hosts)
}

func buildWith(t *testing.T, build func(context.Context, Config) (*Lab, error), hosts []*topology.Host) *Lab {
	t.Helper()
	config, err := New(&topology.Topology{Name: t.Name(), Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	l, err := build(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// script runs shell lines on a host, each of which has to succeed.
func script(t *testing.T, l *Lab, host, lines string) string {
	t.Helper()
	r, err := l.Exec(t.Context(), host, "sh", "-ec", lines)
	if err != nil || r.Code != 0 {
		t.Fatalf("%s: exit %d, %v: %s%s", host, r.Code, err, r.Stdout, r.Stderr)
	}
	return string(r.Stdout)
}

func serveAll(t *testing.T, l *Lab, port uint16, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		if err := l.Serve(t.Context(), h, "tcp", port); err != nil {
			t.Fatal(err)
		}
	}
}

const realServerDR = `
for i in all lo; do sysctl -qw net.ipv4.conf.$i.arp_ignore=1 net.ipv4.conf.$i.arp_announce=2; done
ip address add %[1]s/32 broadcast %[1]s dev lo label lo:0
ip route add %[1]s/32 dev lo`

func TestDirectRoutingSharesRequestsByWeight(t *testing.T) {
	l := buildLab(t, declared("dir1", "172.18.20.126", "172.18.20.1", "172.18.20.126/24"),
		declared("rs1", "172.18.20.124", "172.18.20.1", "172.18.20.124/24"),
		declared("rs2", "172.18.20.125", "172.18.20.1", "172.18.20.125/24"))
	script(t, l, "dir1", `
sysctl -qw net.ipv4.ip_forward=1
ip address add 172.18.20.128/32 dev eth0 label eth0:0
modprobe ip_vs
ipvsadm -A -t 172.18.20.128:80 -s wlc
ipvsadm -a -t 172.18.20.128:80 -r 172.18.20.124:80 -g -w 1
ipvsadm -a -t 172.18.20.128:80 -r 172.18.20.125:80 -g -w 2`)
	for _, rs := range []string{"rs1", "rs2"} {
		script(t, l, rs, fmt.Sprintf(realServerDR, "172.18.20.128"))
	}
	serveAll(t, l, 80, "rs1", "rs2")
	a, err := l.Request(t.Context(), "client", Requests{Network: "tcp", Target: "172.18.20.128:80", Count: 12})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"rs1": 4, "rs2": 8}, a.Counts()); diff != "" {
		t.Errorf("who answered (-want +got):\n%s%v", diff, a.Failures)
	}
}

func TestAddressTranslationThroughTwoNICs(t *testing.T) {
	l := buildLab(t, declared("dir1", "192.168.10.254", "203.0.113.1", "203.0.113.109/24", "192.168.10.254/24"),
		declared("rs1", "192.168.10.1", "192.168.10.253", "192.168.10.1/24"),
		declared("rs2", "192.168.10.2", "192.168.10.253", "192.168.10.2/24"))
	script(t, l, "dir1", `
sysctl -qw net.ipv4.ip_forward=1
for i in all default eth0 eth1; do sysctl -qw net.ipv4.conf.$i.send_redirects=0; done
ip address add 203.0.113.110/24 dev eth0 label eth0:0
modprobe ip_vs
ipvsadm -A -t 203.0.113.110:80 -s rr
ipvsadm -a -t 203.0.113.110:80 -r 192.168.10.1:8080 -m
ipvsadm -a -t 203.0.113.110:80 -r 192.168.10.2:8080 -m`)
	for _, rs := range []string{"rs1", "rs2"} {
		script(t, l, rs, `ip route replace default via 192.168.10.254`)
	}
	serveAll(t, l, 8080, "rs1", "rs2")
	a, err := l.Request(t.Context(), "client-203.0.113.0", Requests{Network: "tcp", Target: "203.0.113.110:80", Count: 4})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.By) != 4 || a.By[0] == a.By[1] || a.By[0] != a.By[2] || a.By[1] != a.By[3] || a.By[0] == "" {
		t.Errorf("round robin does not alternate: %v %v", a.By, a.Failures)
	}
}

func TestDatagramsAndConnectionsThroughAService(t *testing.T) {
	l := buildLab(t, declared("dir1", "203.0.113.109", "203.0.113.1", "203.0.113.109/24"),
		declared("rs1", "203.0.113.108", "203.0.113.1", "203.0.113.108/24"))
	script(t, l, "dir1", `
ip address add 203.0.113.110/32 dev eth0 label eth0:0
modprobe ip_vs
ipvsadm -A -t 203.0.113.110:80 -s rr; ipvsadm -a -t 203.0.113.110:80 -r 203.0.113.108:80 -g
ipvsadm -A -u 203.0.113.110:53 -s rr; ipvsadm -a -u 203.0.113.110:53 -r 203.0.113.108:53 -g`)
	script(t, l, "rs1", fmt.Sprintf(realServerDR, "203.0.113.110"))
	serveAll(t, l, 80, "rs1")
	if err := l.Serve(t.Context(), "rs1", "udp", 53); err != nil {
		t.Fatal(err)
	}
	a, err := l.Request(t.Context(), "client", Requests{Network: "udp", Target: "203.0.113.110:53", Count: 2})
	if diff := cmp.Diff([]string{"rs1", "rs1"}, a.By); diff != "" || err != nil {
		t.Errorf("datagrams (-want +got):\n%s%v %v", diff, a.Failures, err)
	}
	conn, err := l.Dial(t.Context(), "client", "tcp", "203.0.113.110:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, word := range []string{"one", "two"} {
		fmt.Fprintln(conn, word)
		got := make([]byte, 64)
		n, err := conn.Read(got)
		if want := "rs1 " + word + "\n"; string(got[:n]) != want || err != nil {
			t.Errorf("an open connection answers %q, %v; want %q", got[:n], err, want)
		}
	}
}

// The connections to hosts are real OpenSSH, from this machine.
func TestHostsAreReachedBySSH(t *testing.T) {
	l := buildLab(t, declared("dir1", "192.0.2.9", "192.0.2.1", "192.0.2.9/24"))
	for _, name := range []string{"dir1", "192.0.2.9"} {
		out, err := exec.CommandContext(t.Context(), "ssh", "-F", l.SSHConfig(), name, "hostname; id -un; ls -A /root").CombinedOutput()
		if diff := cmp.Diff("dir1\nroot\n", string(out)); diff != "" || err != nil {
			t.Errorf("ssh %s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// A host has what was declared and nothing else, and leaves nothing behind.
func TestHostsAreCleanAndGoAway(t *testing.T) {
	l := buildLab(t, declared("dir1", "192.0.2.9", "192.0.2.1", "192.0.2.9/24"))
	got := strings.Fields(script(t, l, "dir1", `ls /sys/class/net; cat /etc/hostname; ls -A /root /etc/sysctl.d/../ssh | wc -w; ip -o -4 address show dev eth0 | wc -l; ip route | wc -l`))
	if diff := cmp.Diff([]string{"eth0", "lo", "dir1", "5", "1", "2"}, got); diff != "" {
		t.Errorf("a fresh host (-want +got):\n%s", diff)
	}
	script(t, l, "dir1", "touch /etc/left-behind; sleep 1000 >/dev/null 2>&1 &")
	again := buildLab(t, declared("dir1", "192.0.2.9", "192.0.2.1", "192.0.2.9/24"))
	script(t, again, "dir1", "! test -e /etc/left-behind")
	if err := again.Down(t.Context()); err != nil {
		t.Error(err)
	}
	r, err := booted.Exec(t.Context(), "sh", "-c", "ls "+runDir)
	if err != nil || strings.Contains(string(r.Stdout), fmt.Sprintf("%d\n", again.id)) {
		t.Errorf("the cluster's directory is left: %v %s", err, r.Stdout)
	}
}
