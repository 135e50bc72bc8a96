//go:build linux && kernel

package restore_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/network"
	"github.com/lvsform/lvsform/agent/restore"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

// host is a network namespace with a NIC whose network is kept by a Restorer.
type host struct {
	t   *testing.T
	log string // a file
}

// keep makes the namespace, claims what a script makes, and keeps it from then
// on. The thread of the test is in the namespace too.
func keep(t *testing.T, declared ...state.Object) *host {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with its test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("no network namespace of its own: %v (run as root)", err)
	}
	h := &host{t: t, log: filepath.Join(t.TempDir(), "log")}
	h.sh(`ip link set lo up
ip link add eth0 type veth peer name peer0
ip link set eth0 up
ip link set peer0 up
ip addr add 192.0.2.10/24 dev eth0
ip route add default via 192.0.2.1`)
	dir := t.TempDir()
	body, err := json.Marshal(ledger(declared...))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state", "ledger"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(h.log)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	r := agent.Restorer{
		Kernel: func() (txn.Kernel, func()) { k := kernel.New(); return k, k.Close },
		Watch:  network.Watch, StateDir: filepath.Join(dir, "state"), LockDir: filepath.Join(dir, "run"),
		Ready: func() { close(ready) },
		Log:   func(line string) { _, _ = log.WriteString(line + "\n") },
	}
	h.start(r)
	<-ready
	return h
}

// start runs a Restorer in the test's namespace, until the test ends.
func (h *host) start(r agent.Restorer) {
	h.t.Helper()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with it
		err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = r.Run(ctx)
		}
		ended <- err
	}()
	h.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
		here.Close()
	})
}

func (h *host) sh(script string) string {
	h.t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// until waits until each command prints what follows it.
func (h *host) until(pairs ...string) {
	h.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; i < len(pairs); i += 2 {
		for {
			out, _ := exec.Command("sh", "-c", pairs[i]).CombinedOutput()
			if strings.Contains(string(out), pairs[i+1]) {
				break
			}
			if time.Now().After(deadline) {
				log, _ := os.ReadFile(h.log)
				h.t.Fatalf("%s prints %q, want %q\n%s", pairs[i], out, pairs[i+1], log)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// whole waits until all that realServer and director claim is there.
func (h *host) whole() {
	h.t.Helper()
	h.until("ip -o addr show dev lvs0", "10.9.0.1/32", "ip -o addr show dev eth0", "10.9.0.1/32", "ip -o addr show dev eth0", "2001:db8::9/128",
		"ip route", "10.8.0.0/24 dev eth0", "ip route", "10.7.0.0/24 via 10.8.0.1", "ip route show table 100", "default via 192.0.2.1",
		"ip rule", "from 10.9.0.0/24 lookup 100", "ip -o link show lvs0", "mtu 1400", "cat /proc/sys/net/ipv4/conf/lvs0/arp_ignore", "1",
		"cat /proc/sys/net/ipv4/ip_forward", "1")
}

func claimed() []state.Object {
	six := address("eth0", "2001:db8::9/128")
	six.NoDAD, six.Deprecated = true, true
	link := tunnel
	link.MTU = state.Some(1400)
	table := state.Route{To: prefix("0.0.0.0/0"), Table: 100, Via: prefix("192.0.2.1/32").Addr(), Device: "eth0", Scope: "global"}
	far := routed
	far.Scope = "global"
	return []state.Object{link, address("lvs0", "10.9.0.1/32"), onNIC, six, direct, far, table,
		state.Rule{Family: "ipv4", Priority: 100, From: prefix("10.9.0.0/24"), Table: 100},
		sysctl("net.ipv4.conf.lvs0.arp_ignore", "1"), sysctl("net.ipv4.ip_forward", "1"),
		sysctl("net.ipv4.conf.lvs0.forwarding", "0")}
}

func TestTheNetworkIsPutBack(t *testing.T) {
	for name, loss := range map[string]string{
		"at boot":                           "true",
		"a link that flaps":                 "ip link set eth0 down; ip link set eth0 up",
		"addresses that a tool flushes":     "ip addr flush dev eth0; ip addr add 192.0.2.10/24 dev eth0; ip route add default via 192.0.2.1",
		"a link that goes":                  "ip link del lvs0",
		"routes that a tool flushes":        "ip route flush dev eth0; ip route add 192.0.2.0/24 dev eth0; ip route flush table 100",
		"a rule that goes":                  "ip rule del priority 100",
		"a parameter that a tool resets":    "sysctl -qw net.ipv4.ip_forward=0",
		"a link that is changed":            "ip link set lvs0 down; ip link set lvs0 mtu 1300",
		"an address with another length":    "ip addr del 10.9.0.1/32 dev eth0; ip addr add 10.9.0.1/24 dev eth0",
		"all of it":                         "ip link del lvs0; ip rule del priority 100; ip addr flush dev eth0; ip addr add 192.0.2.10/24 dev eth0",
		"what is lost while it is put back": "for i in 1 2 3 4 5; do ip addr del 10.9.0.1/32 dev eth0 2>/dev/null || :; ip link del lvs0 2>/dev/null || :; done",
	} {
		t.Run(name, func(t *testing.T) {
			h := keep(t, claimed()...)
			h.whole()
			h.sh(loss)
			h.whole()
			h.until("ip -o addr show dev eth0", "192.0.2.10/24", "cat /proc/sys/net/ipv4/conf/lvs0/forwarding", "0")
		})
	}
}

// Somebody gives an address another length between the look that misses it and
// its making: then it is there with both, the wrong one first.
func TestAnAddressThatIsThereWithTwoLengthsIsPutBack(t *testing.T) {
	h := keep(t) // nothing: the namespace alone
	h.sh("ip addr add 10.9.0.1/24 dev eth0; ip addr add 10.9.0.1/32 dev eth0 label eth0:1")
	k := kernel.New()
	defer k.Close()
	report, err := restore.Run(k, restore.Task{Wanted: state.Objects{onNIC}})
	if err != nil || len(report.Left) != 0 || len(report.Made) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if out := h.sh("ip -o -4 addr show dev eth0"); !strings.Contains(out, "10.9.0.1/32") || strings.Contains(out, "10.9.0.1/24") || strings.Contains(out, "eth0:1") {
		t.Error(out)
	}
}

func TestANICThatComesLateGetsWhatIsClaimed(t *testing.T) {
	h := keep(t, address("eth7", "10.9.0.7/32"), sysctl("net.ipv4.conf.eth7.rp_filter", "2"), onNIC)
	h.until("ip -o addr show dev eth0", "10.9.0.1/32")
	h.sh("ip link add eth7 type dummy; ip link set eth7 up")
	h.until("ip -o addr show dev eth7", "10.9.0.7/32", "cat /proc/sys/net/ipv4/conf/eth7/rp_filter", "2")
}

func TestWhatNobodyClaimsStaysAway(t *testing.T) {
	h := keep(t, onNIC)
	h.until("ip -o addr show dev eth0", "10.9.0.1/32")
	h.sh("ip addr add 192.0.2.99/24 dev eth0; ip addr del 192.0.2.99/24 dev eth0; ip addr del 10.9.0.1/32 dev eth0")
	h.until("ip -o addr show dev eth0", "10.9.0.1/32")
	if out := h.sh("ip -o addr show dev eth0"); strings.Contains(out, "192.0.2.99") {
		t.Error(out)
	}
}
