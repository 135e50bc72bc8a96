//go:build lab

package e2e

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/lab"
)

const (
	// The connections that are held to a service: for the promise, and where it
	// is one of all at once.
	heldByService, heldByEach = 50, 6
	// loadBatch is how many services can be held to so many at once.
	loadBatch = 6
	// holdTime is the life of a connection.
	holdTime = 2 * time.Second
	// loadClients are enough addresses for every server to be hashed to.
	loadClients = 12
	// leaver is the strongest server, which each scheduler uses.
	leaver = "rs3"
)

// loaded is a service that is drained under load.
type loaded struct {
	name, protocol string
	port           uint16
	attributes     string
}

// loadedServices are one for each scheduler but dh, which has no other server for
// a client while its own is drained, and those that end in another way.
func loadedServices(schedulers []string) []loaded {
	var out []loaded
	for _, name := range schedulers {
		if name == "dh" {
			continue
		}
		out = append(out, loaded{name, "tcp", schedulerPorts[name], fmt.Sprintf("scheduler = %q", name)})
	}
	return append(out,
		loaded{"sh-flagged", "tcp", 8019, "scheduler = \"sh\"\n  scheduler_flags = [\"sh-fallback\"]"},
		loaded{"mh-flagged", "tcp", 8020, "scheduler = \"mh\"\n  scheduler_flags = [\"mh-fallback\"]"},
		loaded{"udp", "udp", 8021, `scheduler = "rr"`},
		loaded{"persistent", "tcp", 8022, "scheduler = \"rr\"\n  persistence { timeout = \"300s\" }"})
}

const (
	threeServers = `weights = { rs1 = 20, rs2 = 40, rs3 = 60 }` // two take 50 connections, which matters to ovf
	twoServers   = `weights = { rs1 = 20, rs2 = 40 }`
	restingRS3   = `weights = { rs1 = 20, rs2 = 40, rs3 = 0 }`
)

// loadConfig is one director and three real servers by direct routing, with
// three weights.
func loadConfig(services []loaded) string {
	var b strings.Builder
	b.WriteString(`
topology "load" {}
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
  ` + threeServers + `
}
sysctl "arp" {
  for_each = local.weights
  host     = host.rs[each.key]
  settings = { "net.ipv4.conf.all.arp_ignore" = 1, "net.ipv4.conf.all.arp_announce" = 2 }
}
sysctl "persistence" {
  host     = host.dir1
  settings = { "net.ipv4.vs.expire_quiescent_template" = 1 }
}
ipvs "table" {
  host = host.dir1
  timeouts { udp = "10s" }
}
address "vip" {
  host   = host.dir1
  ip     = "` + schedulerVIP + `/32"
  device = "eth0"
}
address "lo" {
  for_each = local.weights
  host     = host.rs[each.key]
  ip       = "` + schedulerVIP + `/32"
  device   = "lo"
}
`)
	for _, s := range services {
		fmt.Fprintf(&b, `
virtual_service %q {
  host          = host.dir1
  protocol      = %q
  address       = %q
  port          = %d
  forward       = "dr"
  drain_timeout = "2m"
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
`, s.name, s.protocol, schedulerVIP, s.port, s.attributes)
	}
	return b.String()
}

// loadScene is a scene with servers, and a client with several addresses.
type loadScene struct {
	*scene
	client   string
	services []loaded
}

func newLoadScene(t *testing.T, services []loaded) *loadScene {
	t.Helper()
	s := &loadScene{newScene(t, loadConfig(services)), "", services}
	s.apply()
	s.serve()
	s.client = s.lab.Config.ClientFor(netip.MustParseAddr(schedulerVIP))
	for i := range loadClients {
		s.on(s.client, fmt.Sprintf("ip address add %s/24 dev eth0", clientSource(i)))
	}
	return s
}

func (s *loadScene) in(t *testing.T) *loadScene {
	return &loadScene{s.scene.in(t), s.client, s.services}
}

// load keeps connections to services open, and waits until there are so many.
func (s *loadScene) load(services []loaded, open int) map[string]*lab.Loading {
	s.t.Helper()
	var sources []netip.Addr
	for i := range loadClients {
		sources = append(sources, clientSource(i))
	}
	out := map[string]*lab.Loading{}
	for _, v := range services {
		l, err := s.lab.Load(s.t.Context(), s.client, lab.Load{Network: v.protocol,
			Targets: []string{fmt.Sprintf("%s:%d", schedulerVIP, v.port)}, Sources: sources,
			Open: open, Hold: holdTime, Count: 5000, For: cliTime, Timeout: patience})
		if err != nil {
			s.t.Fatal(err)
		}
		out[v.name] = l
	}
	s.await(out, "every connection of the load", func(name string, now lab.Loaded) bool { return total(now.Open) >= open*3/4 })
	return out
}

func total(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

// await waits until something holds for every load.
func (s *loadScene) await(loads map[string]*lab.Loading, what string, holds func(string, lab.Loaded) bool) {
	s.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, name := range slices.Sorted(maps.Keys(loads)) {
		for over := false; ; {
			now, err := loads[name].Seen()
			if err != nil {
				s.t.Fatalf("%s: %v", name, err)
			}
			if holds(name, now) {
				break
			}
			if over {
				s.t.Fatalf("%s: the load ended before there was %s: %v", name, what, now)
			}
			select {
			case <-loads[name].Ended():
				over = true // what it told last may be it
			case <-tick.C:
			}
		}
	}
}

// more waits until each load has seen a number of further connections end.
func (s *loadScene) more(loads map[string]*lab.Loading, n int) {
	s.t.Helper()
	began := map[string]int{}
	for name, l := range loads {
		now, _ := l.Seen()
		began[name] = now.Began
	}
	s.await(loads, "more of it", func(name string, now lab.Loaded) bool { return now.Began >= began[name]+n })
}

// end ends the loads and wants no connection of any to have failed.
func (s *loadScene) end(loads map[string]*lab.Loading, what string) {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(loads)) {
		now, err := loads[name].End()
		if err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
		s.t.Logf("%s, %s: %v", what, name, now)
		if now.Failed() > 0 || total(now.By) == 0 {
			s.t.Errorf("%s, %s: connections failed: %v", what, name, now)
		}
	}
}

// using wants the leaving server to have connections of the services.
func (s *loadScene) using(loads map[string]*lab.Loading) {
	s.t.Helper()
	s.await(loads, "a connection with "+leaver, func(_ string, now lab.Loaded) bool { return now.Open[leaver] > 0 })
}

// A client that keeps connections open notices what becomes of them: else nothing
// would follow from its silence.
func TestLoadTellsWhatFails(t *testing.T) {
	s := newScene(t, "topology \"failures\" {}"+sharedHosts)
	for _, tc := range []struct{ kind, breaks, mends string }{
		{lab.LoadRefused, "", ""},
		{lab.LoadReset, "nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in tcp dport 81 reject with tcp reset'", "nft delete table inet cut"},
		{lab.LoadTimeout, "nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in tcp dport 81 drop'", "nft delete table inet cut"},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			s := s.in(t)
			if err := s.lab.Serve(t.Context(), "rs1", "tcp", 81); err != nil {
				t.Fatal(err)
			}
			l, err := s.lab.Load(t.Context(), s.lab.Config.ClientFor(netip.MustParseAddr("192.0.2.11")), lab.Load{Network: "tcp",
				Targets: []string{"192.0.2.11:81"}, Open: 3, Hold: holdTime, Count: 60, For: time.Minute, Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			loads := &loadScene{scene: s}
			loads.await(map[string]*lab.Loading{"rs1": l}, "a connection", func(_ string, now lab.Loaded) bool { return now.Open["rs1"] == 3 })
			if tc.breaks == "" {
				if err := s.lab.Unserve(t.Context(), "rs1", "tcp", 81); err != nil {
					t.Fatal(err)
				}
			} else {
				s.on("rs1", tc.breaks)
				defer s.on("rs1", tc.mends)
			}
			loads.await(map[string]*lab.Loading{"rs1": l}, "a failure", func(_ string, now lab.Loaded) bool { return now.Failures[tc.kind] > 0 })
			if now, err := l.End(); err != nil || now.Failures[tc.kind] == 0 {
				t.Errorf("%v %v", now, err)
			}
		})
	}
}
