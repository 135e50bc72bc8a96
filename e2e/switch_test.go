//go:build lab

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/lab"
)

// anyMode is a cluster in which every mode works: the director has a NIC in the
// clients' network and one in that of the real servers, and a router has both.
// One client that opens thousands of connections uses its ports again within the
// two minutes for which the director remembers the connections of the mode
// before: conn_reuse_mode lets it schedule those anew.
const anyMode = `
topology "switch" {}
host "dir1" {
  address = "INSIDE254"
  gateway = "OUTSIDE1"
  interface "eth0" { addresses = ["OUTSIDE9/BITS"] }
  interface "eth1" { addresses = ["INSIDE254/BITS"] }
}
host "rs1" {
  address = "INSIDE11"
  gateway = "INSIDE1"
  interface "eth0" { addresses = ["INSIDE11/BITS"] }
}
host "rs2" {
  address = "INSIDE12"
  gateway = "INSIDE1"
  interface "eth0" { addresses = ["INSIDE12/BITS"] }
}
sysctl "reuse" {
  host     = host.dir1
  settings = { "net.ipv4.vs.conn_reuse_mode" = 2 }
}
module "web" {
  source        = "lvsform://MODE"
  vip           = "OUTSIDE110"
  port          = 80
  scheduler     = "rr"
  drain_timeout = "5s"
  directors     = { dir1 = { host = host.dir1, device = "eth0", interfaces = ["eth0", "eth1"] } }
  real_servers  = {
    rs1 = { host = host.rs1 }
    rs2 = { host = host.rs2 }
  }
}
`

// In both families.
var (
	overIPv4 = strings.NewReplacer("OUTSIDE", "203.0.113.", "INSIDE", "192.168.10.", "BITS", "24").Replace(anyMode)
	overIPv6 = strings.NewReplacer("OUTSIDE", "2001:db8:a::", "INSIDE", "2001:db8:b::", "BITS", "64").Replace(anyMode)
)

// patience is for the emulated hosts, which are slow while they apply: a packet
// that was lost is repeated within it several times.
const patience = 10 * time.Second

// meanwhile sends requests, one after the other, while f runs.
func (s *scene) meanwhile(target string, f func()) lab.Answers {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	client := s.client(target)
	var (
		all  lab.Answers
		err  error
		done = make(chan struct{})
	)
	go func() {
		defer close(done)
		for ctx.Err() == nil && err == nil {
			var a lab.Answers
			a, err = s.lab.Request(ctx, client, lab.Requests{Network: "tcp", Target: target, Count: 1, Timeout: patience})
			all.By, all.Failures = append(all.By, a.By...), append(all.Failures, a.Failures...)
		}
	}()
	defer func() { stop(); <-done }()
	f()
	stop()
	<-done
	if err != nil && !errors.Is(err, context.Canceled) {
		s.t.Error(err)
	}
	return all
}

// A running topology changes its mode by one word: clients do not notice, and
// the hosts are as if they had never been in another mode.
func TestModeChangesWhileItRuns(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) {
		changeModes(t, overIPv4, "203.0.113.110:80", []string{"nat", "dr", "tun", "fullnat"})
	})
	t.Run("IPv6", func(t *testing.T) { changeModes(t, overIPv6, "[2001:db8:a::110]:80", []string{"nat"}) })
}

// changeModes goes through all modes. Those in compared are applied to fresh
// hosts before, to see what they leave there by themselves.
func changeModes(t *testing.T, config, target string, compared []string) {
	in := func(mode string) string { return strings.Replace(config, "MODE", mode, 1) }
	s := newScene(t, in("nat"))
	s.usedTunnels()
	before := s.dumps()
	fresh := map[string]map[string]string{}
	for _, mode := range compared {
		s.write(in(mode))
		s.apply()
		s.serve()
		s.wantAnswers()
		fresh[mode] = s.dumps()
		s.destroy()
		s.wantAsBefore(before)
	}
	s.write(in("nat"))
	s.apply()
	for _, mode := range []string{"dr", "tun", "fullnat", "nat"} {
		t.Run("to "+mode, func(t *testing.T) {
			s := s.in(t)
			s.write(in(mode))
			s.must(2, "plan", "--detailed-exitcode")
			a := s.meanwhile(target, s.apply)
			if len(a.Failures) > 0 || len(a.By) == 0 {
				t.Errorf("%d of %d requests failed: %v\n%s", len(a.Failures), len(a.By), a.Failures, around(a.By))
			}
			s.wantAnswers()
			s.wantNoChanges()
			s.wantLike(fresh[mode])
		})
	}
	s.destroy()
	s.wantAsBefore(before)
}

// around shows who answered before and after each request that nobody answered.
func around(by []string) string {
	var b strings.Builder
	for i, who := range by {
		if who == "" {
			fmt.Fprintf(&b, "request %d: %q\n", i, by[max(0, i-6):min(len(by), i+7)])
		}
	}
	return b.String()
}

// wantLike expects every host as it was in another life, but for what lvsform
// keeps for itself and for the order in which things came.
func (s *scene) wantLike(other map[string]string) {
	s.t.Helper()
	now := s.dumps()
	for host, want := range other {
		if diff := cmp.Diff(inOrder(withoutFiles(want)), inOrder(withoutFiles(now[host]))); diff != "" {
			s.t.Errorf("%s is not as if it had always been so (-always +changed):\n%s", host, diff)
		}
	}
}
