//go:build linux && kernel

package soak

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/topology"
)

// tally counts what is done to the agents.
type tally struct {
	kills, pairs int
	began        time.Time
}

// scene is the hosts of examples/dr-wlc on one wire, and a client that watches
// who answers for the VIP.
type scene struct {
	*testing.T
	topology *topology.Topology
	queries  map[string]planner.Names
	drains   *planner.Drains
	hosts    []*host // sorted by name
	client   string  // network namespace
	tally    *tally
}

// host is a network namespace with directories of its own.
type host struct {
	*scene
	name, namespace, home string
}

var vip = netip.MustParseAddr("172.18.20.128")

// foreign is what others have on every host; most of it is near to what the
// configuration makes.
const foreign = `
ip addr add 10.77.0.1/32 dev lo
ip route add 10.78.0.0/16 via 172.18.20.1
ip rule add priority 500 from 10.77.0.1 lookup 77
ip route add default via 172.18.20.1 table 77
sysctl -qw net.ipv4.conf.eth0.log_martians=1
nft add table inet others; nft add chain inet others c; nft add rule inet others c tcp dport 7 accept
ipvsadm -A -t 10.77.0.1:7 -s rr; ipvsadm -a -t 10.77.0.1:7 -r 172.18.20.9 -m -w 3
`

func newScene(t *testing.T, count *tally) *scene {
	t.Helper()
	topo, diags := hcl.Load(hcl.Options{Dir: filepath.Join("..", "..", "examples", "dr-wlc")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	s := &scene{T: t, topology: topo, queries: planner.Queries(topo), drains: planner.NewDrains(topo), tally: count}
	wire := s.namespace("wire")
	s.sh("ip netns exec " + wire + ` sh -ec 'sysctl -qw net.ipv6.conf.default.disable_ipv6=1; ip link add br0 type bridge; ip link set br0 up'`)
	s.client = s.plug(wire, "client", "172.18.20.1/24", 1)
	for i, h := range topo.Hosts {
		x := &host{scene: s, name: h.Name, home: s.TempDir()}
		x.namespace = s.plug(wire, h.Name, h.Interfaces[0].Addresses[0].String(), i+2)
		s.hosts = append(s.hosts, x)
		s.sh("ip netns exec " + x.namespace + " sh -ec 'ip route add default via 172.18.20.1; " + foreign + "'")
	}
	slices.SortFunc(s.hosts, func(a, b *host) int { return strings.Compare(a.name, b.name) })
	s.watch()
	return s
}

func (s *scene) namespace(name string) string {
	full := fmt.Sprintf("soak-%d-%s", os.Getpid(), name)
	s.sh("ip netns add " + full)
	s.Cleanup(func() { s.sh("ip netns del " + full) })
	return full
}

// plug makes a namespace with an eth0 on the wire.
func (s *scene) plug(wire, name, address string, number int) string {
	namespace := s.namespace(name)
	s.sh(strings.NewReplacer("NS", namespace, "WIRE", wire, "PORT", "p-"+name, "ADDRESS", address, "MAC", mac(number).String()).Replace(`
ip netns exec NS sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
ip -n WIRE link add PORT type veth peer name eth0 address MAC netns NS
ip -n WIRE link set PORT master br0 up
ip -n NS link set lo up
ip -n NS link set eth0 up
ip -n NS addr add ADDRESS dev eth0
`))
	return namespace
}

// mac is the hardware address of the n-th plug.
func mac(n int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(n)} }

func (s *scene) sh(script string) string {
	s.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		s.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func (s *scene) host(name string) *host {
	i := slices.IndexFunc(s.hosts, func(h *host) bool { return h.name == name })
	return s.hosts[i]
}

// dumpLines print all of a host that lvsform could have changed.
const dumpLines = `
ip -d addr; ip -4 -d route show table all; ip -6 -d route show table all; ip rule; ip -6 rule
ipvsadm -Sn; ipvsadm -Ln --timeout; nft list ruleset
cd /proc/sys/net; grep -r . ipv4/ip_forward ipv4/conf ipv6/conf 2>/dev/null | grep -v stable_secret
`

func (h *host) dump() string {
	h.Helper()
	return h.sh("ip netns exec " + h.namespace + " sh -c '" + dumpLines + "'")
}

func (s *scene) dumps() map[string]string {
	out := map[string]string{}
	for _, h := range s.hosts {
		out[h.name] = h.dump()
	}
	return out
}

// files are those that lvsform keeps on the host.
func (h *host) files() map[string]string {
	out := map[string]string{}
	for _, dir := range []string{stateDir(h.home), lockDir(h.home)} {
		found, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			h.Fatal(err)
		}
		for _, f := range found {
			body, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				h.Fatal(err)
			}
			out[f.Name()] = string(body)
		}
	}
	return out
}

// agents are the processes of this program but the test's own.
func agents() (pids []int) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if exe, err := os.Readlink(link); err == nil && exe == self && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// quiet waits until no agent and no guard is left on any host.
func (s *scene) quiet() {
	s.Helper()
	s.until("no agent and no guard is left", func() bool { return len(agents()) == 0 })
}

func (s *scene) until(what string, true func() bool) {
	s.Helper()
	for end := time.Now().Add(2 * time.Minute); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("not so after two minutes: %s; processes %v\n%s", what, agents(), s.sh("ps ax | tail -30"))
		}
	}
}
