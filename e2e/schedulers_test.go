//go:build lab

package e2e

import (
	"bufio"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/lab"
)

const (
	schedulerRequests = 60
	schedulerClients  = 6
	schedulerVIP      = "192.0.2.100"
)

// schedulerPorts are the TCP ports of the services, one for each scheduler.
// Those that look at the destination have several VIPs: their service is that of
// a firewall mark, which is the port too.
var schedulerPorts = map[string]uint16{
	"rr": 8001, "wrr": 8002, "lc": 8003, "wlc": 8004, "sed": 8005, "nq": 8006, "fo": 8007, "ovf": 8008,
	"sh": 8009, "mh": 8010, "twos": 8011, "dh": 8012, "lblc": 8013, "lblcr": 8014,
}

var byDestination = []string{"dh", "lblc", "lblcr"}

// manyVIPs are the addresses of the services that look at the destination.
func manyVIPs() []string {
	var out []string
	for i := range schedulerClients {
		out = append(out, fmt.Sprintf("192.0.2.%d", 111+i))
	}
	return out
}

// schedulersConfig has one director, three real servers with the weights 10, 20
// and 30, and a service by direct routing for each scheduler.
func schedulersConfig(schedulers []string) string {
	var b strings.Builder
	b.WriteString(`
topology "schedulers" {}
host "dir1" {
  address = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}
host "rs" {
  for_each = { rs1 = "192.0.2.11", rs2 = "192.0.2.12", rs3 = "192.0.2.13" }
  name     = each.key
  address  = each.value
  interface "eth0" { addresses = ["${each.value}/24"] }
}
locals {
  vips    = toset(["192.0.2.100", "` + strings.Join(manyVIPs(), `", "`) + `"])
  weights = { rs1 = 10, rs2 = 20, rs3 = 30 }
}
sysctl "arp" {
  for_each = host.rs
  host     = each.value
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
address "vip" {
  for_each = local.vips
  host     = host.dir1
  ip       = "${each.key}/32"
  device   = "eth0"
}
address "lo" {
  for_each = { for pair in setproduct(keys(local.weights), local.vips) : "${pair[0]} ${pair[1]}" => pair }
  host     = host.rs[each.value[0]]
  ip       = "${each.value[1]}/32"
  device   = "lo"
}
`)
	for _, name := range schedulers {
		port := schedulerPorts[name]
		identity := fmt.Sprintf("protocol = \"tcp\"\n  address = %q\n  port = %d", schedulerVIP, port)
		if slices.Contains(byDestination, name) {
			identity = fmt.Sprintf("fwmark = %d", port)
			fmt.Fprintf(&b, `
mark %q {
  for_each = setsubtract(local.vips, [%q])
  host     = host.dir1
  protocol = "tcp"
  address  = each.key
  ports    = [%d]
  mark     = %[3]d
}
`, name, schedulerVIP, port)
		}
		fmt.Fprintf(&b, `
virtual_service %q {
  host      = host.dir1
  scheduler = %[1]q
  forward   = "dr"
  %s
  dynamic "real_server" {
    for_each = local.weights
    labels   = [real_server.key]
    content {
      host   = host.rs[real_server.key]
      weight = real_server.value
    }
  }
}
`, name, identity)
	}
	return b.String()
}

// Each scheduler that the kernel has distributes requests as it is documented
// to: ipvsadm(8), and the comment at the top of net/netfilter/ipvs/ip_vs_NAME.c.
func TestSchedulersDistributeAsDocumented(t *testing.T) {
	available, missing := availableSchedulers(t)
	s := newScene(t, schedulersConfig(available))
	if len(missing) > 0 {
		t.Run("a scheduler that the kernel lacks is named", func(t *testing.T) {
			other := s.other(schedulersConfig(missing)).in(t)
			got := other.must(1, "plan")
			for _, name := range missing {
				if !strings.Contains(got.err, "ip_vs_"+name) {
					t.Errorf("nothing says that ip_vs_%s is missing:\n%s", name, got.err)
				}
			}
		})
	}
	s.apply()
	s.wantPlan()
	for _, name := range available {
		for _, host := range []string{"rs1", "rs2", "rs3"} {
			if err := s.lab.Serve(t.Context(), host, "tcp", schedulerPorts[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := &schedulerRun{scene: s, client: s.lab.Config.ClientFor(netip.MustParseAddr(schedulerVIP))}
	for i := range schedulerClients {
		s.on(r.client, fmt.Sprintf("ip address add %s/24 dev eth0", clientSource(i)))
	}
	for _, name := range available {
		t.Run(name, func(t *testing.T) { schedulerTests()[name](&schedulerRun{r.scene.in(t), r.client}, name) })
	}
	s.destroy()
}

// availableSchedulers tells which schedulers the kernel has modules for.
func availableSchedulers(t *testing.T) (available, missing []string) {
	t.Helper()
	for name := range schedulerPorts {
		if strings.TrimSpace(inMachine(t, "modprobe -qn ip_vs_"+name+" && echo yes || echo no")) == "yes" {
			available = append(available, name)
		} else {
			missing = append(missing, name)
		}
	}
	slices.Sort(available)
	slices.Sort(missing)
	for _, name := range missing {
		t.Logf("this kernel has no scheduler %s", name)
		if name != "twos" { // which some distributions leave out
			t.Errorf("a kernel without ip_vs_%s cannot show what this test is about", name)
		}
	}
	return available, missing
}

func clientSource(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(201 + i)})
}

// schedulerRun is the scene inside one scheduler's test.
type schedulerRun struct {
	*scene
	client string
}

// schedulerTests tell for each scheduler how 60 requests have to be distributed
// over servers of the weights 10, 20 and 30.
func schedulerTests() map[string]func(*schedulerRun, string) {
	return map[string]func(*schedulerRun, string){
		"rr":    (*schedulerRun).roundRobin,
		"wrr":   func(r *schedulerRun, name string) { r.wantExact(r.mixed(name), 10, 20, 30) },
		"fo":    func(r *schedulerRun, name string) { r.wantExact(r.mixed(name), 0, 0, 60) },
		"sh":    (*schedulerRun).sticksBySource,
		"mh":    (*schedulerRun).sticksBySource,
		"dh":    (*schedulerRun).sticksByDestination,
		"lblc":  (*schedulerRun).sticksByDestination,
		"lblcr": (*schedulerRun).sticksByDestination,
		"lc":    func(r *schedulerRun, name string) { r.wantExact(r.held(name), 20, 20, 20) },
		"wlc":   func(r *schedulerRun, name string) { r.wantAbout(r.held(name), 1, 10, 20, 30) },
		"twos":  func(r *schedulerRun, name string) { r.wantAbout(r.held(name), 6, 10, 20, 30) },
		"sed":   (*schedulerRun).shortestDelay,
		"nq":    (*schedulerRun).neverQueue,
		"ovf":   (*schedulerRun).overflow,
	}
}

// mixed sends short requests, one after the other, from the clients in turn, and
// returns who answered.
func (r *schedulerRun) mixed(name string) []string {
	r.t.Helper()
	var by []string
	for i := range schedulerRequests {
		by = append(by, r.ask(clientSource(i%schedulerClients), schedulerVIP, schedulerPorts[name], 1)...)
	}
	return by
}

// ask sends short requests from one address to one address.
func (r *schedulerRun) ask(source netip.Addr, vip string, port uint16, count int) []string {
	r.t.Helper()
	a, err := r.lab.Request(r.t.Context(), r.client, lab.Requests{Network: "tcp", Target: fmt.Sprintf("%s:%d", vip, port), Source: source, Count: count})
	if err != nil || len(a.Failures) > 0 {
		r.t.Fatalf("%s → %s:%d: %v %q", source, vip, port, err, a.Failures)
	}
	return a.By
}

// held opens connections that stay open until the test ends, from the clients in
// turn, and returns who answered.
func (r *schedulerRun) held(name string) []string {
	r.t.Helper()
	var by []string
	target := fmt.Sprintf("%s:%d", schedulerVIP, schedulerPorts[name])
	for i := range schedulerClients {
		// What the kernel takes as source address where nobody says.
		r.on(r.client, fmt.Sprintf("ip route replace %s/32 dev eth0 src %s", schedulerVIP, clientSource(i)))
		for range schedulerRequests / schedulerClients {
			by = append(by, r.openFrom(r.client, target).who)
		}
	}
	r.on(r.client, "ip route del "+schedulerVIP+"/32")
	return by
}

func shares(by []string) [3]int {
	var out [3]int
	for _, who := range by {
		if i := slices.Index([]string{"rs1", "rs2", "rs3"}, who); i >= 0 {
			out[i]++
		}
	}
	return out
}

func (r *schedulerRun) wantExact(by []string, want ...int) { r.t.Helper(); r.wantAbout(by, 0, want...) }

func (r *schedulerRun) wantAbout(by []string, off int, want ...int) {
	r.t.Helper()
	got := shares(by)
	for i := range want {
		if got[i] < want[i]-off || got[i] > want[i]+off {
			r.t.Errorf("rs1, rs2, rs3 answered %v of %d requests, want %v, each at most %d off: %q", got, len(by), want, off, by)
			return
		}
	}
}

func (r *schedulerRun) wantFirst(by []string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, by[:len(want)]); diff != "" {
		r.t.Errorf("the first answers (-want +got):\n%s", diff)
	}
}

// roundRobin: evenly, whatever the weights, always in the same order.
func (r *schedulerRun) roundRobin(name string) {
	by := r.mixed(name)
	r.wantExact(by, 20, 20, 20)
	for i := 3; i < len(by); i++ {
		if by[i] != by[i-3] {
			r.t.Fatalf("request %d is out of turn: %q", i, by)
		}
	}
}

// sticksBySource: a client's requests all reach one server, and the clients are
// spread over several.
func (r *schedulerRun) sticksBySource(name string) {
	servers := map[int]string{}
	used := map[string]bool{}
	for range 2 { // the second time as the first
		for client := range schedulerClients {
			for _, who := range r.ask(clientSource(client), schedulerVIP, schedulerPorts[name], schedulerRequests/schedulerClients/2) {
				if first, ok := servers[client]; ok && first != who {
					r.t.Errorf("client %d is answered by %s, after %s", client, who, first)
				}
				servers[client], used[who] = who, true
			}
		}
	}
	if len(used) < 2 {
		r.t.Errorf("all clients are with %v", used)
	}
}

// sticksByDestination: requests to one address all reach one server, from
// whichever client, and the addresses are spread over several servers.
func (r *schedulerRun) sticksByDestination(name string) {
	servers := map[string]string{}
	used := map[string]bool{}
	for client := range schedulerClients {
		for _, vip := range manyVIPs() {
			for _, who := range r.ask(clientSource(client), vip, schedulerPorts[name], 2) {
				if first, ok := servers[vip]; ok && first != who {
					r.t.Errorf("%s answers for %s, which was %s's", who, vip, first)
				}
				servers[vip], used[who] = who, true
			}
		}
	}
	if len(used) < 2 {
		r.t.Errorf("all addresses are with %v", used)
	}
}

// shortestDelay: the least (connections + 1) / weight; so the strongest server
// gets the first requests although others are idle.
func (r *schedulerRun) shortestDelay(name string) {
	by := r.held(name)
	r.wantAbout(by, 1, 10, 20, 30)
	r.wantFirst(by, "rs3", "rs2", "rs3") // 1/30, 1/20 before 2/30, 2/30 before 2/20 and 1/10
}

// neverQueue: idle servers first, whatever their weights; then as sed.
func (r *schedulerRun) neverQueue(name string) {
	by := r.held(name)
	r.wantAbout(by, 1, 10, 20, 30)
	if first := slices.Compact(slices.Sorted(slices.Values(by[:3]))); len(first) != 3 {
		r.t.Errorf("the first three requests leave an idle server: %q", by[:3])
	}
}

// overflow: the highest weight until its active connections are more than its
// weight, then the next.
func (r *schedulerRun) overflow(name string) {
	by := r.held(name)
	var want []string
	for range schedulerRequests {
		switch n := len(want); {
		case n < 31:
			want = append(want, "rs3")
		case n < 31+21:
			want = append(want, "rs2")
		default:
			want = append(want, "rs1")
		}
	}
	r.wantFirst(by, want...)
}

// openFrom opens a connection from a host.
func (s *scene) openFrom(client, target string) *openConnection {
	s.t.Helper()
	conn, err := s.lab.Dial(s.t.Context(), client, "tcp", target)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	o := &openConnection{t: s.t, conn: conn, r: bufio.NewReader(conn)}
	o.who = o.ask("first")
	return o
}
