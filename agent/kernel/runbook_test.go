//go:build linux && kernel

package kernel_test

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/formats/runbook"
	"github.com/lvsform/lvsform/state"
)

// byHand are objects of every kind that a person can make with commands, in the
// order of a plan.
func byHand() state.Objects {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	tcp := state.ServiceID{Protocol: "tcp", Address: vip4, Port: 80, Family: "ipv4"}
	sctp := state.ServiceID{Protocol: "sctp", Address: vip4, Port: 99, Family: "ipv4"}
	udp6 := state.ServiceID{Protocol: "udp", Address: vip6, Port: 53, Family: "ipv6"}
	marked, marked6 := state.ServiceID{FWMark: 7, Family: "ipv4"}, state.ServiceID{FWMark: 0xfffffffe, Family: "ipv6"}
	out := state.Objects{}
	for _, name := range []string{"dummy", "fou", "ip6_tunnel", "ip_gre", "ip_vs", "ip_vs_rr", "ip_vs_sh", "ip_vs_wlc", "ip_vs_pe_sip", "ipip", "sit"} {
		out = append(out, state.Module{Name: name})
	}
	return append(append(out,
		state.Link{Name: "d0", Kind: "dummy", Up: state.Some(true), MTU: state.Some(1400)},
		state.Link{Name: "eth0", MTU: state.Some(1450)},
		state.Link{Name: "tunl0", Kind: "ipip", Up: state.Some(true)},
		state.Link{Name: "t4", Kind: "ipip", Local: addr("192.0.2.10"), Remote: real4, Up: state.Some(true), MTU: state.Some(1400)},
		state.Link{Name: "g4", Kind: "gre", Local: addr("192.0.2.10"), Remote: addr("192.0.2.21"), Up: state.Some(true), MTU: state.Some(1400)},
		state.Link{Name: "s6", Kind: "sit", Remote: addr("192.0.2.22"), Up: state.Some(false), MTU: state.Some(1400)},
		state.Link{Name: "t6", Kind: "ip6tnl", Mode: "any", Local: addr("2001:db8::10"), Remote: real6, Up: state.Some(true), MTU: state.Some(1400)},
		state.FOU{Family: "ipv4", Port: 6080, Protocol: "gue"}, state.FOU{Family: "ipv4", Port: 6081, Protocol: "ipip"},
		state.FOU{Family: "ipv6", Port: 6082, Protocol: "gre"},
		sysctl("net.ipv4.ip_forward", "1"), sysctl("net.ipv4.conf.d0.rp_filter", "2"), sysctl("net.ipv4.vs.expire_nodest_conn", "1"),
		sysctl("net.ipv4.ip_local_port_range", "2048 65000"),
		state.Address{Device: "lo", IP: prefix("203.0.113.7/32"), Label: "lo:0", Broadcast: vip4, Scope: "global"},
		state.Address{Device: "d0", IP: prefix("198.51.100.1/24"), Scope: "link"},
		state.Address{Device: "eth0", IP: prefix("2001:db8:7::7/128"), Scope: "global", NoDAD: true, Deprecated: true},
		state.Route{To: prefix("198.51.101.0/24"), Table: 254, Via: addr("192.0.2.20"), Device: "eth0", Scope: "global", Metric: 5, MTU: 1400, AdvMSS: 1300, Protocol: 4},
		state.Route{To: prefix("203.0.113.7/32"), Table: 254, Device: "lo", Scope: "link", Source: vip4, Protocol: 4},
		state.Route{To: prefix("0.0.0.0/0"), Table: 100, Via: addr("198.51.100.9"), Device: "d0", Scope: "global", Protocol: 4},
		state.Route{To: prefix("2001:db8:9::/48"), Table: 100, Metric: 1024, Via: real6, Device: "eth0", Protocol: 4},
		state.Rule{Family: "ipv4", Priority: 1000, From: prefix("203.0.113.0/24"), Table: 100},
		state.Rule{Family: "ipv4", Priority: 1001, To: prefix("198.51.100.0/24"), FWMark: 9, Table: 254},
		state.Rule{Family: "ipv6", Priority: 1000, Table: 100, FWMark: 9}),
		append(packetObjects(),
			state.Timeouts{TCP: 600 * time.Second, TCPFin: 60 * time.Second, UDP: 30 * time.Second},
			state.Sync{Role: "backup", Interface: "eth0", ID: 5, Group: addr("224.0.0.99"), Port: 9000, TTL: 3, MaxLength: 1400},
			state.Sync{Role: "master", Interface: "eth0", ID: 5, Group: addr("224.0.0.81"), Port: 8848, TTL: 1, MaxLength: 1300},
			state.Service{ServiceID: tcp, Scheduler: "sh", SchedulerFlags: "sh-fallback,sh-port", Timeout: 300 * time.Second, Netmask: 24},
			state.Service{ServiceID: sctp, Scheduler: "wlc", Netmask: 32},
			state.Service{ServiceID: udp6, Scheduler: "rr", OnePacket: true, Netmask: 128},
			state.Service{ServiceID: marked, Scheduler: "rr", Timeout: 60 * time.Second, Netmask: 32},
			state.Service{ServiceID: marked6, Scheduler: "wlc", Timeout: 60 * time.Second, Netmask: 64},
			state.Service{ServiceID: state.ServiceID{Protocol: "udp", Address: vip4, Port: 5060, Family: "ipv4"}, Scheduler: "rr", Timeout: 60 * time.Second, Netmask: 32, Engine: "sip"},
			state.Destination{Service: tcp, Address: real4, Port: 80, Forward: "dr", Upper: 100, Lower: 50},
			state.Destination{Service: tcp, Address: addr("192.0.2.21"), Port: 80, Weight: 65535, Forward: "tun", TunnelType: "gue", TunnelPort: 6080, TunnelChecksum: "csum"},
			state.Destination{Service: tcp, Address: addr("192.0.2.22"), Port: 80, Weight: 2, Forward: "tun", TunnelType: "gre"},
			state.Destination{Service: sctp, Address: real4, Port: 100, Weight: 3, Forward: "nat"},
			state.Destination{Service: udp6, Address: real6, Port: 53, Weight: 1, Forward: "tun", TunnelType: "ipip"},
			state.Destination{Service: udp6, Address: addr("2001:db8::21"), Port: 53, Weight: 1, Forward: "tun", TunnelType: "gue", TunnelPort: 6080, TunnelChecksum: "remcsum"},
			state.Destination{Service: marked, Address: real4, Weight: 1, Forward: "dr"},
			state.Destination{Service: marked6, Address: real6, Weight: 1, Forward: "nat"})...)
}

// liveAmong are those of the objects that the host has, as it has them.
func liveAmong(t *testing.T, k *kernel.Kernel, objects state.Objects) state.Objects {
	t.Helper()
	q := txn.Query{Network: true, NFT: true, IPVS: true}
	for _, o := range objects {
		switch o := o.(type) {
		case state.Module:
			q.Modules = append(q.Modules, o.Name)
		case state.Sysctl:
			q.Sysctls = append(q.Sysctls, o.Name)
		}
	}
	h, err := k.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	wanted := objects.ByKey()
	// IPVS and the packet rules are compared as a whole: nothing else is there.
	return slices.DeleteFunc(h.Objects, func(o state.Object) bool {
		switch o.(type) {
		case state.Service, state.Destination, state.Sync, state.Mark, state.Masquerade, state.FOU:
			return false
		}
		return wanted[o.Key()] == nil
	})
}

func TestARunbookMakesWhatAnApplyMakes(t *testing.T) {
	enter(t, plainHost)
	k := kernel.New()
	defer k.Close()
	var steps []runbook.Step
	for _, o := range byHand() {
		steps = append(steps, runbook.Step{Object: o})
	}
	script, err := runbook.Render(runbook.Host{Name: "h", Topology: "t", Steps: steps})
	if err != nil {
		t.Fatal(err)
	}
	for _, time := range []string{"the first time", "again"} {
		sh := exec.Command("sh")
		sh.Stdin = strings.NewReader(script)
		if out, err := sh.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", time, err, out)
		}
		if diff := state.Diff(liveAmong(t, k, byHand()), byHand()); len(diff) > 0 {
			for _, c := range diff {
				t.Errorf("%s: %s is %+v, not %+v", time, c.Key(), c.Before, c.After)
			}
			t.FailNow()
		}
	}
	undone(t, k, script)
}

// undone runs the commands at the end of the script, and looks for what is left.
func undone(t *testing.T, k *kernel.Kernel, script string) {
	t.Helper()
	_, rest, _ := strings.Cut(script, "# To undo it:\n")
	var commands []string
	for line := range strings.Lines(rest) {
		if command := strings.TrimSpace(strings.TrimPrefix(line, "#")); !strings.HasPrefix(command, "(") {
			commands = append(commands, command)
		}
	}
	shell(t, strings.Join(commands, "\n"))
	left := slices.DeleteFunc(liveAmong(t, k, byHand()), func(o state.Object) bool {
		switch o := o.(type) {
		case state.Module, state.Sysctl, state.Timeouts:
			return true
		case state.Link: // what was there before
			return o.Kind == "veth" || o.Fallback && !o.Up.Value
		}
		return false
	})
	if diff := cmp.Diff(state.Objects{}, left); diff != "" && len(left) > 0 {
		t.Error(diff)
	}
}
