//go:build linux && kernel

package kernel_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/nft"
	"github.com/lvsform/lvsform/agent/service"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

// The test's own program is the supervisor of the services that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "supervise" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := (service.Services{System: command.Host{}}).SuperviseUntil(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// checkedHost is a host of its own files without an init system.
func checkedHost(t *testing.T, program string) *kernel.Kernel {
	t.Helper()
	ownFiles(t)
	shell(t, "modprobe -a ip_vs ip_vs_rr ip_vs_wlc")
	k := kernel.New()
	t.Cleanup(k.Close)
	k.SuperviseWith(func(name string) error {
		cmd := exec.Command("/proc/self/exe", "supervise", name)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err := cmd.Start()
		if err == nil {
			go func() { _ = cmd.Wait() }()
		}
		return err
	})
	t.Cleanup(func() {
		if supervisor, _ := processes(program); supervisor != 0 {
			_ = unix.Kill(supervisor, unix.SIGTERM)
		}
	})
	return k
}

// processes are a service's supervisor and its program.
func processes(program string) (supervisor, child int) {
	body, _ := os.ReadFile("/run/lvsform/" + program + ".pid")
	first, second, _ := strings.Cut(strings.TrimSpace(string(body)), " ")
	supervisor, _ = strconv.Atoi(first)
	child, _ = strconv.Atoi(second)
	return supervisor, child
}

// files lists what is in the directories of the two programs, with its content.
func files(t *testing.T) string {
	t.Helper()
	return shell(t, `cd /etc; find keepalived ha.d 2>/dev/null | sort | while read -r f; do
		stat -c '%n %a %U %F' "$f"; if [ -f "$f" ]; then sha256sum "$f"; fi; done; ls -A /run/lvsform 2>/dev/null || true`)
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in a minute: %s\n%s", what, shell(t, "ipvsadm -Ln; ip -br a; tail -n 50 /run/lvsform/*.log || true"))
		}
	}
}

func balancer(port int) string {
	return fmt.Sprintf(`virtual_server 192.0.2.100 %[1]d {
	lb_algo rr
	lb_kind DR
	protocol TCP
	real_server 192.0.2.21 %[1]d {
		weight 3
	}
}
`, port)
}

const instance = `vrrp_instance eth0_51 {
	state BACKUP
	interface eth0
	virtual_router_id 51
	priority 100
	advert_int 1
	virtual_ipaddress {
		192.0.2.100/32 dev eth0
	}
}
`

func keepalivedHas(text string) state.Config {
	return state.Config{Program: "keepalived", Topology: "web", Text: text}
}

func runs(program string, running bool) state.Unit {
	return state.Unit{Name: program, Running: state.Some(running), Enabled: state.Some(false)}
}

func addressed() bool {
	out, err := exec.Command("ip", "-4", "-br", "addr", "show", "dev", "eth0").Output()
	return err == nil && strings.Contains(string(out), "192.0.2.100/32")
}

// startKeepalived puts a first text in place and starts the program.
func startKeepalived(t *testing.T, k *kernel.Kernel, text string) {
	t.Helper()
	must(t, k, step(nil, keepalivedHas(text)), step(runs("keepalived", false), runs("keepalived", true)))
}

func TestKeepalivedTakesUpWhatIsPutInPlace(t *testing.T) {
	k := checkedHost(t, "keepalived")
	before := files(t)
	first := instance + balancer(80)
	startKeepalived(t, k, first)
	if got := table(t); !strings.Contains(got, "192.0.2.100:80") {
		t.Errorf("started, and the table is\n%s", got)
	}
	until(t, "the address of the instance", addressed)

	second := instance + balancer(81) + balancer(82)
	must(t, k, step(keepalivedHas(first), keepalivedHas(second)))
	got := table(t)
	if strings.Contains(got, "192.0.2.100:80 ") || !strings.Contains(got, "192.0.2.100:81") || !strings.Contains(got, "192.0.2.100:82") {
		t.Errorf("reloaded, and the table is\n%s", got)
	}
	if !addressed() {
		t.Error("a reload has cost the master its address")
	}

	// What it refuses leaves the old one in use.
	err := run(k, step(keepalivedHas(second), keepalivedHas(second+"bogus_word secret\n")))
	if err == nil || !strings.Contains(err.Error(), "Unknown keyword 'bogus_word'") || strings.Contains(err.Error(), "staged") ||
		!strings.Contains(err.Error(), "/etc/keepalived/lvsform/web.conf") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(got, table(t)); diff != "" || !addressed() {
		t.Errorf("the table has changed, or the address has gone: %s", diff)
	}
	if diff := cmp.Diff(state.Object(keepalivedHas(second)), live(t, k, keepalivedHas("").Key())); diff != "" {
		t.Error(diff)
	}

	// So does a transaction that fails.
	err = run(k, step(keepalivedHas(second), keepalivedHas(first)), impossible())
	if err == nil || strings.Contains(err.Error(), "virtual_server") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(got, table(t)); diff != "" || !addressed() {
		t.Errorf("the table has changed, or the address has gone: %s", diff)
	}

	// A program that ends is started again.
	_, child := processes("keepalived")
	if child == 0 {
		t.Fatal("it does not run")
	}
	if err := unix.Kill(child, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the program runs again", func() bool {
		_, now := processes("keepalived")
		return now != 0 && now != child && strings.Contains(table(t), "192.0.2.100:82")
	})
	until(t, "the address of the instance", addressed)

	must(t, k, step(runs("keepalived", true), runs("keepalived", false)), step(keepalivedHas(second), nil))
	if diff := cmp.Diff(before, files(t)); diff != "" {
		t.Errorf("files are left, or changed: %s", diff)
	}
	if got := table(t); strings.Contains(got, "192.0.2.100") || addressed() {
		t.Errorf("it has ended, and the table is\n%s", got)
	}
}

// It would end itself while it tests a check of another user than root, and it
// complains of a service whose last real server is drained.
func TestKeepalivedTakesWhatItIsWrongToRefuse(t *testing.T) {
	k := checkedHost(t, "keepalived")
	text := strings.Replace(balancer(80), "weight 3", "weight 0", 1)
	text = strings.Replace(text, "weight 0\n", "weight 0\n\t\tMISC_CHECK {\n\t\t\tmisc_path \"/bin/true\"\n\t\t\tuser nobody nogroup\n\t\t}\n", 1)
	text = "global_defs {\n\tenable_script_security\n}\n" + text
	must(t, k, step(nil, keepalivedHas(text)))
	mail := state.Config{Program: "keepalived", Topology: "mail", Text: balancer(25)}
	must(t, k, step(nil, mail))
	bad := mail
	bad.Text += "bogus_word\n"
	if err := run(k, step(mail, bad)); err == nil || !strings.Contains(err.Error(), "Unknown keyword 'bogus_word'") || strings.Contains(err.Error(), "quorum") {
		t.Errorf("got %v", err)
	}
	must(t, k, step(mail, nil), step(keepalivedHas(text), nil))
}

// What a program that was killed has left in the table is taken up.
func TestAServiceOfAProgramThatDoesNotRunMovesToTheKernel(t *testing.T) {
	k := checkedHost(t, "keepalived")
	must(t, k, step(nil, keepalivedHas(balancer(80))))
	shell(t, `ipvsadm -A -t 192.0.2.100:80 -s wlc; ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.21:80 -g -w 0; ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.99:80 -g -w 1`)
	sorted := func() []string { return slices.Sorted(strings.Lines(table(t))) }
	before := sorted()
	id := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Family: "ipv4"}
	own := state.Service{ServiceID: id, Scheduler: "rr", Netmask: 32}
	server := state.Destination{Service: id, Address: netip.MustParseAddr("192.0.2.21"), Port: 80, Forward: "dr", Weight: 3}
	gives := step(keepalivedHas(balancer(80)), nil)
	gives.Gives = []state.ServiceID{id}
	if err := run(k, gives, step(nil, own), step(nil, server), impossible()); err == nil {
		t.Fatal("the impossible was done")
	}
	if diff := cmp.Diff(before, sorted()); diff != "" {
		t.Errorf("the move was taken back: %s", diff)
	}
	must(t, k, gives, step(nil, own), step(nil, server))
	if got := table(t); !strings.Contains(got, "192.0.2.100:80 rr") || !strings.Contains(got, "192.0.2.21:80") || strings.Contains(got, "192.0.2.99") {
		t.Errorf("moved to the kernel:\n%s", got)
	}
}

func TestServicesMoveBetweenKeepalivedAndTheKernel(t *testing.T) {
	k := checkedHost(t, "keepalived")
	startKeepalived(t, k, balancer(80)+balancer(81))
	id := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Family: "ipv4"}
	own := state.Service{ServiceID: id, Scheduler: "rr", Netmask: 32}
	server := state.Destination{Service: id, Address: netip.MustParseAddr("192.0.2.21"), Port: 80, Forward: "dr", Weight: 3}
	moved := []state.Object{keepalivedHas(balancer(81)), own, server}
	gives := step(keepalivedHas(balancer(80)+balancer(81)), moved[0])
	gives.Gives = []state.ServiceID{id}
	both := table(t)
	// Back again, since the last step fails.
	if err := run(k, gives, step(nil, own), step(nil, server), impossible()); err == nil {
		t.Fatal("the impossible was done")
	}
	if diff := cmp.Diff(both, table(t)); diff != "" {
		t.Errorf("the move was taken back: %s", diff)
	}
	must(t, k, gives, step(nil, own), step(nil, server))
	if diff := cmp.Diff(both, table(t)); diff != "" {
		t.Errorf("moved to the kernel: %s", diff)
	}
	if out := shell(t, "nft list tables"); strings.Contains(out, "hold") {
		t.Errorf("new connections are still held: %s", out)
	}
}

func TestNewConnectionsAreHeld(t *testing.T) {
	enter(t, plainHost)
	shell(t, "modprobe -a ip_vs nf_tables; ip addr add 192.0.2.100/32 dev lo")
	id := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Family: "ipv4"}
	mark := state.ServiceID{FWMark: 7, Family: "ipv4"}
	dial := func(port string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 1})
		n, _ := strconv.Atoi(port)
		return unix.Connect(fd, &unix.SockaddrInet4{Port: n, Addr: [4]byte(net.IPv4(192, 0, 2, 100).To4())})
	}
	if err := dial("80"); err != unix.ECONNREFUSED {
		t.Fatalf("nobody listens: %v", err)
	}
	release, err := nft.Hold([]state.ServiceID{id, mark})
	if err != nil {
		t.Fatal(err)
	}
	if err := dial("80"); err != unix.EINPROGRESS {
		t.Errorf("held: %v", err)
	}
	if err := dial("81"); err != unix.ECONNREFUSED {
		t.Errorf("another port: %v", err)
	}
	release()
	until(t, "the end of the hold", func() bool { return dial("80") == unix.ECONNREFUSED })
}

func TestLdirectordTakesUpWhatIsPutInPlace(t *testing.T) {
	k := checkedHost(t, "ldirectord")
	before := files(t)
	part := func(port int, more string) state.Config {
		return state.Config{Program: "ldirectord", Topology: "web", Text: fmt.Sprintf(
			"virtual=192.0.2.100:%d\n\treal=192.0.2.10:80 gate 3\n\tservice=none\n\tscheduler=rr\n\tprotocol=tcp\n\tchecktype=off\n", port) + more}
	}
	must(t, k, step(nil, part(80, "")), step(runs("ldirectord", false), runs("ldirectord", true)))
	must(t, k, step(part(80, ""), part(81, "")))
	got := table(t)
	if strings.Contains(got, "192.0.2.100:80 ") || !strings.Contains(got, "192.0.2.100:81") {
		t.Errorf("reloaded, and the table is\n%s", got)
	}
	err := run(k, step(part(81, ""), part(82, "nonsense=3\n")))
	if err == nil || !strings.Contains(err.Error(), "Unknown command nonsense=3") || !strings.Contains(err.Error(), "/etc/ha.d/ldirectord.cf") {
		t.Errorf("refused: %v", err)
	}
	must(t, k, step(runs("ldirectord", true), runs("ldirectord", false)), step(part(81, ""), nil))
	if diff := cmp.Diff(before, files(t)); diff != "" {
		t.Errorf("files are left, or changed: %s", diff)
	}
	if _, err := k.Read(txn.Query{Configs: true}); err != nil {
		t.Error(err)
	}
}
