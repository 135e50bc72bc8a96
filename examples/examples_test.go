package examples_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/examples/prepare"
	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// What each example creates, host by host: the kernel modules aside, this is
// all of it.
var want = map[string]map[string]state.Objects{
	"dr-wlc": {
		"dir1": slices.Concat(
			director("172.18.20.128", "wlc", "dr", "172.18.20.124 1", "172.18.20.125 2"),
			sysctls("net.ipv4.ip_forward=1"),
			hostRoute("172.18.20.128", "eth0")),
		"rs1": drServer("172.18.20.128"),
		"rs2": drServer("172.18.20.128"),
	},
	"nat-two-nics": {
		"dir1": slices.Concat(
			director("203.0.113.110", "rr", "nat", "192.168.10.1 1", "192.168.10.2 1"),
			sysctls("net.ipv4.ip_forward=1",
				"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
				"net.ipv4.conf.eth0.send_redirects=0", "net.ipv4.conf.eth1.send_redirects=0")),
		"rs1": defaultRoute("192.168.10.254"),
		"rs2": defaultRoute("192.168.10.254"),
	},
	"dr-noforward": {
		"dir1": slices.Concat(
			director("203.0.113.110", "rr", "dr", "203.0.113.107 1", "203.0.113.108 1"),
			sysctls("net.ipv4.ip_forward=0",
				"net.ipv4.conf.all.send_redirects=1", "net.ipv4.conf.default.send_redirects=1",
				"net.ipv4.conf.eth0.send_redirects=1"),
			hostRoute("203.0.113.110", "eth0")),
		"rs1": slices.Concat(drServer("203.0.113.110"), sysctls("net.ipv4.ip_forward=0")),
		"rs2": slices.Concat(drServer("203.0.113.110"), sysctls("net.ipv4.ip_forward=0")),
	},
	"dr-ipv6": {
		"dir1": director("2001:db8:18::128", "wrr", "dr", "2001:db8:18::124 1", "2001:db8:18::125 3"),
		"rs1":  state.Objects{vip6("2001:db8:18::128", "lo")},
		"rs2":  state.Objects{vip6("2001:db8:18::128", "lo")},
	},
	"tun-multisite": {
		"dir1": director("192.0.2.100", "wrr", "tun", "198.51.100.11 2", "203.0.113.12 1"),
		"rs1":  slices.Concat(tunServer("192.0.2.100"), answers("192.0.2.100", "198.51.100.1", "eth0", 100)),
		"rs2":  slices.Concat(tunServer("192.0.2.100"), answers("192.0.2.100", "203.0.113.1", "eth0", 100)),
	},
	"policy-routing": {
		"dir1": director("192.0.2.100", "rr", "tun", "198.51.100.11 1", "203.0.113.12 1"),
		"rs1":  slices.Concat(tunServer("192.0.2.100"), answers("192.0.2.100", "198.51.100.1", "eth1", 20)),
		"rs2":  slices.Concat(tunServer("192.0.2.100"), answers("192.0.2.100", "203.0.113.1", "eth1", 20)),
	},
	"fullnat": {
		"dir1": slices.Concat(
			onPort(8080, director("203.0.113.110", "rr", "nat", "10.20.0.11 1", "10.30.0.12 1")),
			sysctls("net.ipv4.ip_forward=1", "net.ipv4.vs.conntrack=1",
				"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
				"net.ipv4.conf.eth0.send_redirects=0"),
			masquerades("203.0.113.110", "10.20.0.11", "10.30.0.12")),
	},
	"nat-rhel": {
		"dir1": slices.Concat(
			onDevice("ens37", director("192.168.227.128", "rr", "nat", "192.168.253.143 1", "192.168.253.144 1")),
			sysctls("net.ipv4.ip_forward=1",
				"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
				"net.ipv4.conf.ens33.send_redirects=0", "net.ipv4.conf.ens37.send_redirects=0")),
		"rs1": onDevice("ens33", defaultRoute("192.168.253.142")),
		"rs2": onDevice("ens33", defaultRoute("192.168.253.142")),
	},
	"fwmark-two-ports": {
		"dir1": state.Objects{
			state.Mark{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Ports: "80,443", Mark: 80443},
			state.Service{ServiceID: web, Scheduler: "rr", Timeout: 10 * time.Minute, Netmask: 32},
			state.Destination{Service: web, Address: netip.MustParseAddr("192.0.2.11"), Weight: 1, Forward: "dr"},
			state.Destination{Service: web, Address: netip.MustParseAddr("192.0.2.12"), Weight: 1, Forward: "dr"},
			state.Address{Device: "eth0", IP: netip.MustParsePrefix("192.0.2.100/32"), Label: "eth0:0", Scope: "global"},
		},
		"rs1": markedServer("192.0.2.100"),
		"rs2": markedServer("192.0.2.100"),
	},
	"dr-keepalived-mysql": {
		"lvs01": append(checked("keepalived", "dr-keepalived-mysql"), synced("ens160", 51)...),
		"lvs02": append(checked("keepalived", "dr-keepalived-mysql"), synced("ens160", 51)...),
		"db01":  onLabel("lo:1", drServer("192.168.113.100")),
		"db02":  onLabel("lo:1", drServer("192.168.113.100")),
	},
	"dr-ldirectord-https": {
		"dir1": slices.Concat(
			checked("ldirectord", "dr-ldirectord-https"),
			sysctls("net.ipv4.vs.expire_quiescent_template=1"),
			hostRoute("192.168.34.41", "eth0"),
			state.Objects{state.Address{Device: "eth0", IP: hostPrefix("192.168.34.41"), Label: "eth0:0", Scope: "global"}}),
		"rs1": drServer("192.168.34.41"),
	},
	"sites": {
		"berlin-dir": site("192.0.2.100", "192.0.2.11 1", "192.0.2.12 1"),
		"berlin-rs1": drServer("192.0.2.100"),
		"berlin-rs2": drServer("192.0.2.100"),
		"lisbon-dir": site("198.51.100.100", "198.51.100.11 1", "198.51.100.12 1"),
		"lisbon-rs1": drServer("198.51.100.100"),
		"lisbon-rs2": drServer("198.51.100.100"),
	},
}

// web is the service of the example fwmark-two-ports.
var web = state.ServiceID{FWMark: 80443, Family: "ipv4"}

// synced are the two daemons of a director that tells its peers of connections.
func synced(device string, id int) state.Objects {
	all := state.Sync{Interface: device, ID: id, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
	backup, master := all, all
	backup.Role, master.Role = "backup", "master"
	return state.Objects{backup, master}
}

// director has an IPVS service on port 80 of the VIP; servers are "ADDRESS WEIGHT".
func director(vip, scheduler, forward string, servers ...string) state.Objects {
	id := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr(vip), Port: 80, Family: "ipv4"}
	service := state.Service{ServiceID: id, Scheduler: scheduler, Netmask: 32}
	var address state.Object = state.Address{Device: "eth0", IP: hostPrefix(vip), Label: "eth0:0", Scope: "global"}
	if id.Address.Is6() {
		service.Family, service.Netmask, address = "ipv6", 128, vip6(vip, "eth0")
	}
	objects := state.Objects{service, address}
	for _, server := range servers {
		address, weight, _ := strings.Cut(server, " ")
		d := state.Destination{Service: service.ServiceID, Address: netip.MustParseAddr(address), Port: 80,
			Weight: int(weight[0] - '0'), Forward: forward}
		if forward == "tun" {
			d.TunnelType = "ipip"
		}
		objects = append(objects, d)
	}
	return objects
}

// checked is a director whose table a program keeps; what it is told has a test
// of its own.
func checked(program, topology string) state.Objects {
	return state.Objects{
		state.Package{Name: program},
		state.Config{Program: program, Topology: topology},
		state.Unit{Name: program, Running: state.Some(true), Enabled: state.Some(true)},
	}
}

// onLabel gives the addresses another label.
func onLabel(label string, objects state.Objects) state.Objects {
	for i, o := range objects {
		if a, ok := o.(state.Address); ok {
			a.Label = label
			objects[i] = a
		}
	}
	return objects
}

func hostPrefix(address string) netip.Prefix {
	a := netip.MustParseAddr(address)
	return netip.PrefixFrom(a, a.BitLen())
}

// vip6 serves at once, and is never the source of the host's own connections.
func vip6(vip, device string) state.Address {
	return state.Address{Device: device, IP: hostPrefix(vip), Scope: "global", NoDAD: true, Deprecated: true}
}

// onPort moves the destinations to another port than the service's.
func onPort(port uint16, objects state.Objects) state.Objects {
	for i, o := range objects {
		if d, ok := o.(state.Destination); ok {
			d.Port = port
			objects[i] = d
		}
	}
	return objects
}

// onDevice moves addresses and routes from eth0 to another device.
func onDevice(device string, objects state.Objects) state.Objects {
	for i, o := range objects {
		switch o := o.(type) {
		case state.Address:
			o.Device, o.Label = device, device+":0"
			objects[i] = o
		case state.Route:
			o.Device = device
			objects[i] = o
		}
	}
	return objects
}

func site(vip string, servers ...string) state.Objects {
	return slices.Concat(director(vip, "rr", "dr", servers...), hostRoute(vip, "eth0"))
}

func tunServer(vip string) state.Objects {
	return append(sysctls("net.ipv4.conf.tunl0.rp_filter=2", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"),
		state.Link{Name: "tunl0", Kind: "ipip", Up: state.Some(true)},
		state.Address{Device: "tunl0", IP: hostPrefix(vip), Label: "tunl0:0", Broadcast: netip.MustParseAddr(vip), Scope: "global"})
}

// answers are what makes answers from the VIP take a router of their own.
func answers(vip, router, device string, table int) state.Objects {
	return state.Objects{
		state.Rule{Family: "ipv4", Priority: table, From: hostPrefix(vip), Table: table},
		state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: table, Via: netip.MustParseAddr(router), Device: device, Scope: "global", AdvMSS: 1440}}
}

func masquerades(vip string, servers ...string) state.Objects {
	var objects state.Objects
	for _, server := range servers {
		objects = append(objects, state.Masquerade{VIP: netip.MustParseAddr(vip), Protocol: "tcp", Port: 80, To: netip.MustParseAddr(server)})
	}
	return objects
}

func markedServer(vip string) state.Objects {
	return append(sysctls("net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"),
		state.Address{Device: "lo", IP: hostPrefix(vip), Label: "lo:0", Broadcast: netip.MustParseAddr(vip), Scope: "global"})
}

func drServer(vip string) state.Objects {
	lo := state.Address{Device: "lo", IP: netip.MustParsePrefix(vip + "/32"), Label: "lo:0",
		Broadcast: netip.MustParseAddr(vip), Scope: "global"}
	return slices.Concat(state.Objects{lo}, hostRoute(vip, "lo"), sysctls(
		"net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2",
		"net.ipv4.conf.lo.arp_ignore=1", "net.ipv4.conf.lo.arp_announce=2"))
}

func defaultRoute(gateway string) state.Objects {
	return state.Objects{state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: state.TableMain,
		Via: netip.MustParseAddr(gateway), Device: "eth0", Scope: "global"}}
}

func hostRoute(vip, device string) state.Objects {
	return state.Objects{state.Route{To: netip.MustParsePrefix(vip + "/32"), Table: state.TableMain, Device: device, Scope: "link"}}
}

func sysctls(settings ...string) state.Objects {
	var objects state.Objects
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		objects = append(objects, state.Sysctl{Name: name, Value: value})
	}
	return objects
}

func TestExamplesPlanWhatTheirScenarioNeeds(t *testing.T) {
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			topo := load(t, name)
			if topo.Name != name {
				t.Errorf("the topology is called %q, its directory %q", topo.Name, name)
			}
			plan := planner.Build(planner.Input{Topology: topo, Live: bare(topo)})
			for _, d := range append(plan.Diagnostics, plan.Checks...) {
				if d.Severity == topology.Info {
					continue // a host that is not managed
				}
				t.Errorf("%s: %s: %s", d.Severity, d.Summary, d.Detail)
			}
			have := map[string]state.Objects{}
			for _, c := range plan.Changes {
				switch o := c.After.(type) {
				case state.Module:
				case state.Config:
					o.Text = ""
					have[c.Host] = append(have[c.Host], o)
				default:
					have[c.Host] = append(have[c.Host], o)
				}
			}
			byKey := cmpopts.SortSlices(func(a, b state.Object) bool { return a.Key().Less(b.Key()) })
			if diff := cmp.Diff(want[name], have, byKey, cmp.Comparer(equalObjects)); diff != "" {
				t.Errorf("planned objects (-want +have):\n%s", diff)
			}
		})
	}
}

// What keepalived and ldirectord are told, with the figures of the scenarios.
func TestExamplesTellCheckersWhatTheirScenarioNeeds(t *testing.T) {
	for _, tc := range []struct {
		name, host string
		want       []string
	}{
		{"dr-keepalived-mysql", "lvs01", []string{"state MASTER", "interface ens160", "virtual_router_id 51", "priority 100", "advert_int 1", "auth_pass 1111",
			"192.168.113.100/32", "virtual_server 192.168.113.100 3306", "lvs_sched rr", "lvs_method DR", "persistence_timeout 50",
			"delay_loop 6", "real_server 192.168.113.11 3306", "real_server 192.168.113.142 3306", "TCP_CHECK", "connect_timeout 3", "retry 3", "delay_before_retry 3"}},
		{"dr-keepalived-mysql", "lvs02", []string{"state BACKUP", "virtual_router_id 51", "priority 90", "auth_pass 1111"}},
		{"dr-ldirectord-https", "dir1", []string{"virtual = 192.168.34.41:443", "real = 192.168.34.26:443 gate", "real = 192.168.34.27:443 gate", "checktype = connect",
			"checktimeout = 3", "checkinterval = 1", "fallback = 127.0.0.1:443 gate", "quiescent = yes", "scheduler = wlc", "persistent = 600"}},
	} {
		topo := load(t, tc.name)
		text := ""
		for _, c := range planner.Build(planner.Input{Topology: topo, Live: bare(topo)}).Changes {
			if config, ok := c.After.(state.Config); ok && c.Host == tc.host {
				text = config.Text
			}
		}
		words := " " + strings.Join(strings.Fields(text), " ") + " "
		for _, want := range tc.want {
			if !strings.Contains(words, " "+want+" ") {
				t.Errorf("%s on %s is not told %q:\n%s", tc.name, tc.host, want, text)
			}
		}
	}
}

func equalObjects(a, b state.Object) bool { return a == b }

// examples are the directories with a topology.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*/main.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Dir(f))
	}
	return names
}

func load(t *testing.T, dir string) *topology.Topology {
	t.Helper()
	if dir == "sites" {
		dir = withModules(t, dir)
	}
	topo, diags := hcl.Load(hcl.Options{Dir: dir})
	for _, d := range diags {
		t.Errorf("%s: %s: %s: %s", d.Range, d.Severity, d.Summary, d.Detail)
	}
	if diags.HasErrors() {
		t.FailNow()
	}
	return topo
}

// withModules is a copy of an example that has fetched its modules from git.
func withModules(t *testing.T, name string) string {
	t.Helper()
	cli := filepath.Join(t.TempDir(), "lvsform")
	if out, err := exec.Command("go", "build", "-o", cli, "../cmd/lvsform").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := t.TempDir()
	if err := prepare.Example(name, dir, t.TempDir(), cli); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bare are the hosts as their facts describe them, with sysctls at values that
// no example wants, so that every one of them is planned.
func bare(topo *topology.Topology) map[string]planner.Live {
	live := map[string]planner.Live{}
	for name, names := range planner.Queries(topo) {
		var l planner.Live
		for _, sysctl := range names.Sysctls {
			l.Objects = append(l.Objects, state.Sysctl{Name: sysctl, Value: "9"})
		}
		nics := append([]topology.Interface{{Name: "lo"}}, topo.Host(name).Interfaces...)
		for _, nic := range nics {
			l.Objects = append(l.Objects, state.Link{Name: nic.Name, Kind: "veth", Up: state.Some(true)})
			for _, ip := range nic.Addresses {
				l.Objects = append(l.Objects, state.Address{Device: nic.Name, IP: ip, Label: nic.Name, Scope: "global"})
			}
		}
		live[name] = l
	}
	return live
}

// The services that stand in the way are stopped only where that is asked for.
func TestNatRhelStopsServicesOnRequest(t *testing.T) {
	topo, diags := hcl.Load(hcl.Options{Dir: "nat-rhel", Inputs: []hcl.Input{{Name: "stop", Value: `["firewalld"]`}}})
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	var have []string
	for _, r := range topo.Resources {
		if s, ok := r.Body.(*topology.Service); ok && !*s.Running && !*s.Enabled {
			have = append(have, r.Host+" "+s.Name)
		}
	}
	if diff := cmp.Diff([]string{"dir1 firewalld", "rs1 firewalld", "rs2 firewalld"}, have); diff != "" {
		t.Errorf("services to stop (-want +have):\n%s", diff)
	}
}

func TestEveryExampleIsDescribed(t *testing.T) {
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range examples(t) {
		if !strings.Contains(string(index), "]("+name+"/main.hcl)") {
			t.Errorf("README.md does not link %s", name)
		}
		if want[name] == nil {
			t.Errorf("%s has no expected plan", name)
		}
	}
}
