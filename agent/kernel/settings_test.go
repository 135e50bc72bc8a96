//go:build linux && kernel

package kernel_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/module"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

var (
	syncGroup  = netip.MustParseAddr("224.0.0.81")
	syncMaster = state.Sync{Role: "master", Interface: "eth0", ID: 7, Group: syncGroup, Port: 8848, TTL: 1, MaxLength: 1472}
	syncBackup = state.Sync{Role: "backup", Interface: "eth0", ID: 0, Group: netip.MustParseAddr("239.1.2.3"), Port: 9000, TTL: 5, MaxLength: 1472}
)

func daemons(t *testing.T) string {
	t.Helper()
	return shell(t, "ipvsadm -l --daemon; ipvsadm -l --timeout")
}

func withIPVS(t *testing.T) *kernel.Kernel {
	t.Helper()
	if err := module.Load("ip_vs"); err != nil {
		t.Fatal(err)
	}
	enter(t, plainHost)
	k := kernel.New()
	t.Cleanup(k.Close)
	return k
}

func TestTimeouts(t *testing.T) {
	k := withIPVS(t)
	if diff := cmp.Diff(state.Object(state.DefaultTimeouts), live(t, k, state.Timeouts{}.Key())); diff != "" {
		t.Error(diff)
	}
	before := daemons(t)
	want := state.Timeouts{TCP: time.Hour, UDP: 7 * time.Second}
	wantRolledBack(t, k, step(state.DefaultTimeouts, want))
	if diff := cmp.Diff(before, daemons(t)); diff != "" {
		t.Error(diff)
	}
	must(t, k, step(state.DefaultTimeouts, want))
	if text := daemons(t); !strings.Contains(text, "3600 120 7") {
		t.Error(text)
	}
	shell(t, "ipvsadm --set 1 2 3") // drift
	have := live(t, k, want.Key())
	if diff := cmp.Diff(state.Object(state.Timeouts{TCP: time.Second, TCPFin: 2 * time.Second, UDP: 3 * time.Second}), have); diff != "" {
		t.Error(diff)
	}
	must(t, k, step(have, state.DefaultTimeouts))
	if diff := cmp.Diff(before, daemons(t)); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []time.Duration{-time.Second, time.Second / 2, 40000 * time.Hour * 24} {
		if _, err := k.Apply([]state.Change{{After: state.Timeouts{TCP: bad}}}); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestSyncDaemons(t *testing.T) {
	six := syncMaster
	six.Group, six.MaxLength = netip.MustParseAddr("ff02::81"), 1452
	short := syncMaster
	short.MaxLength = 1200
	for name, s := range map[string]state.Sync{"master": syncMaster, "backup": syncBackup, "IPv6": six, "short messages": short} {
		t.Run(name, func(t *testing.T) {
			k := withIPVS(t)
			empty := daemons(t)
			wantRolledBack(t, k, step(nil, s))
			if diff := cmp.Diff(empty, daemons(t)); diff != "" {
				t.Error(diff)
			}
			open := s
			if s != short {
				open.MaxLength = 0
			}
			must(t, k, step(nil, open))
			if diff := cmp.Diff(state.Object(s), live(t, k, s.Key()), comparable); diff != "" {
				t.Error(diff)
			}
			running := daemons(t)
			moved := s
			moved.ID, moved.Port = 9, 7777
			wantRolledBack(t, k, step(s, moved))
			if diff := cmp.Diff(running, daemons(t)); diff != "" {
				t.Error(diff)
			}
			must(t, k, step(s, moved))
			if diff := cmp.Diff(state.Object(moved), live(t, k, s.Key()), comparable); diff != "" {
				t.Error(diff)
			}
			wantRolledBack(t, k, step(moved, nil))
			must(t, k, step(moved, nil))
			if diff := cmp.Diff(empty, daemons(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A daemon that is stopped before it has run for the first time is gone, too.
func TestSyncDaemonStopsRightAfterItsStart(t *testing.T) {
	k := withIPVS(t)
	for range 100 {
		for _, c := range []state.Change{{After: syncBackup}, {Before: syncBackup}} {
			if _, err := k.Apply([]state.Change{c}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if have := live(t, k, syncBackup.Key()); have != nil {
		t.Errorf("still there: %v", have)
	}
}

func TestSyncDaemonsStartedByHandAreSeen(t *testing.T) {
	k := withIPVS(t)
	shell(t, "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 3 --mcast-group 224.0.0.99 --mcast-port 8849 --mcast-ttl 2 --sync-maxlen 1100")
	shell(t, "ipvsadm --start-daemon backup --mcast-interface eth0")
	want := state.Sync{Role: "master", Interface: "eth0", ID: 3, Group: netip.MustParseAddr("224.0.0.99"), Port: 8849, TTL: 2, MaxLength: 1100}
	if diff := cmp.Diff(state.Object(want), live(t, k, want.Key()), comparable); diff != "" {
		t.Error(diff)
	}
	if have := live(t, k, syncBackup.Key()).(state.Sync); have.ID != 0 || have.Group != syncGroup || have.Port != 8848 {
		t.Errorf("got %+v", have)
	}
	for name, test := range map[string]struct {
		want string
		sync state.Sync
	}{
		"running already":  {"runs already", syncMaster},
		"no interface":     {"there is no interface", with(syncMaster, func(s *state.Sync) { s.Interface = "eth9" })},
		"no multicast":     {"no multicast address", with(syncMaster, func(s *state.Sync) { s.Group = vip4 })},
		"an impossible id": {"out of its range", with(syncMaster, func(s *state.Sync) { s.ID = 256 })},
	} {
		if _, err := k.Apply([]state.Change{{After: test.sync}}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestConnectionTableSizeIsReported(t *testing.T) {
	k := withIPVS(t)
	h, err := k.Read(txn.Query{Modules: []string{"ip_vs"}})
	if err != nil {
		t.Fatal(err)
	}
	bits := strings.TrimSpace(shell(t, "cat /sys/module/ip_vs/parameters/conn_tab_bits"))
	if diff := cmp.Diff(state.Objects{state.Module{Name: "ip_vs", Parameters: "conn_tab_bits=" + bits}}, h.Objects); diff != "" {
		t.Error(diff)
	}
}

func TestPortsThatUnwrap(t *testing.T) {
	for _, f := range []state.FOU{
		{Family: "ipv4", Port: 5555, Protocol: "gue"}, {Family: "ipv6", Port: 5555, Protocol: "gue"},
		{Family: "ipv4", Port: 5556, Protocol: "ipip"}, {Family: "ipv6", Port: 65535, Protocol: "ipv6"},
		{Family: "ipv4", Port: 1, Protocol: "gre"},
	} {
		t.Run(f.Key().ID+" "+f.Protocol, func(t *testing.T) {
			enter(t, "ip link set lo up")
			k := kernel.New()
			defer k.Close()
			list := "modprobe fou; ip fou show; ip -6 fou show"
			empty := shell(t, list)
			wantRolledBack(t, k, step(nil, f))
			if diff := cmp.Diff(empty, shell(t, list)); diff != "" {
				t.Error(diff)
			}
			must(t, k, step(nil, f))
			if diff := cmp.Diff(state.Object(f), live(t, k, f.Key())); diff != "" {
				t.Error(diff)
			}
			made := shell(t, list)
			other := f
			other.Protocol = map[bool]string{true: "ipip", false: "gue"}[f.Protocol == "gue"]
			wantRolledBack(t, k, step(f, other))
			if diff := cmp.Diff(made, shell(t, list)); diff != "" {
				t.Error(diff)
			}
			must(t, k, step(f, other))
			must(t, k, step(other, nil))
			if diff := cmp.Diff(empty, shell(t, list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPortsThatUnwrapMadeByHand(t *testing.T) {
	enter(t, plainHost+"modprobe fou; ip fou add port 5555 gue; ip fou add port 6000 ipproto 4 local 192.0.2.10 dev eth0\n")
	k := kernel.New()
	defer k.Close()
	made := shell(t, "ip fou show")
	gue := state.FOU{Family: "ipv4", Port: 5555, Protocol: "gue"}
	if diff := cmp.Diff(state.Object(gue), live(t, k, gue.Key())); diff != "" {
		t.Error(diff)
	}
	bound := live(t, k, state.FOU{Family: "ipv4", Port: 6000}.Key())
	plain := state.FOU{Family: "ipv4", Port: 6000, Protocol: "ipip"}
	if bound == nil || bound == state.Object(plain) {
		t.Fatalf("a port bound to an address is read as %v", bound)
	}
	wantRolledBack(t, k, step(bound, plain), step(gue, nil))
	sorted := func(text string) string { return shell(t, "sort <<'END'\n"+text+"END\n") }
	if diff := cmp.Diff(sorted(made), sorted(shell(t, "ip fou show"))); diff != "" {
		t.Error(diff)
	}
	if _, err := k.Apply([]state.Change{{After: gue}}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("got %v", err)
	}
	must(t, k, step(bound, plain))
	if diff := cmp.Diff(state.Object(plain), live(t, k, plain.Key())); diff != "" {
		t.Error(diff)
	}
}
