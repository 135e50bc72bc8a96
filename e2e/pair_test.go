//go:build lab

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// pair is two directors that share addresses, and two real servers behind the
// first of them.
const pair = `
topology "pair" {}
host "lvs01" {
  address = "192.168.113.149"
  interface "ens160" { addresses = ["192.168.113.149/24"] }
}
host "lvs02" {
  address = "192.168.113.148"
  interface "ens160" { addresses = ["192.168.113.148/24"] }
}
host "db01" {
  address = "192.168.113.11"
  interface "eth0" { addresses = ["192.168.113.11/24"] }
}
host "db02" {
  address = "192.168.113.142"
  interface "eth0" { addresses = ["192.168.113.142/24"] }
}
locals {
  directors = {
    lvs01 = { host = host.lvs01, priority = 100 }
    lvs02 = { host = host.lvs02, priority = 90 }
  }
  databases = { db01 = host.db01, db02 = host.db02 }
}
vrrp_instance "db" {
  for_each          = local.directors
  host              = each.value.host
  interface         = "ens160"
  virtual_router_id = 51
  priority          = each.value.priority
  preempt           = PREEMPT
  authentication { password = "PASSWORD" }
ADDRESSES
}
virtual_service "db" {
  for_each  = local.directors
  host      = each.value.host
  protocol  = "tcp"
  address   = "192.168.113.100"
  port      = 80
  scheduler = "rr"
  forward   = "dr"
  dynamic "real_server" {
    for_each = local.databases
    labels   = [real_server.key]
    content { host = real_server.value }
  }
  health_check "tcp" {
    interval    = "1s"
    timeout     = "3s"
    retries     = 1
    retry_delay = "1s"
  }
}
# A client that opens hundreds of connections uses its ports again.
sysctl "reuse" {
  for_each = local.directors
  host     = each.value.host
  settings = { "net.ipv4.vs.conn_reuse_mode" = 2 }
}
sysctl "arp" {
  for_each = local.databases
  host     = each.value
  settings = {
    "net.ipv4.conf.all.arp_ignore"   = 1
    "net.ipv4.conf.all.arp_announce" = 2
  }
}
address "vip" {
  for_each = local.databases
  host     = each.value
  ip       = "192.168.113.100/32"
  device   = "lo"
  label    = "lo:1"
}
`

const pairVIP = "192.168.113.100"

// pairWith is the pair with addresses by name.
func pairWith(password string, preempt bool, addresses map[string]string) string {
	var blocks []string
	for name, ip := range addresses {
		blocks = append(blocks, fmt.Sprintf("  virtual_address %q { ip = %q }", name, ip+"/32"))
	}
	slices.Sort(blocks)
	return strings.NewReplacer("PASSWORD", password, "PREEMPT", fmt.Sprint(preempt), "ADDRESSES", strings.Join(blocks, "\n")).Replace(pair)
}

// holding is who has an address, and since when, as the kernel told.
type holding struct {
	at    time.Time
	host  string
	ip    string
	added bool
}

// watchHolders notes when hosts get and lose addresses, until the returned
// function is called, which tells.
func (s *scene) watchHolders(hosts ...string) func() []holding {
	s.t.Helper()
	for _, h := range hosts {
		s.on(h, `setsid ip -o -ts -4 monitor address >/run/holders 2>&1 </dev/null &
echo $! >/run/holders.pid
until [ -s /run/holders ]; do ip address add 127.0.0.77/32 dev lo; ip address del 127.0.0.77/32 dev lo; sleep 0.1; done`)
	}
	return func() []holding {
		var all []holding
		for _, h := range hosts {
			for line := range strings.Lines(s.on(h, `kill $(cat /run/holders.pid); cat /run/holders; rm /run/holders*`)) {
				if one, ok := parseHolding(line); ok {
					one.host = h
					all = append(all, one)
				}
			}
		}
		slices.SortStableFunc(all, func(a, b holding) int { return a.at.Compare(b.at) })
		return all
	}
}

// parseHolding reads a line of `ip -o -ts monitor address`:
// [2026-01-02T15:04:05.123456] Deleted 3: eth0    inet 192.0.2.1/32 scope …
func parseHolding(line string) (holding, bool) {
	stamp, rest, ok := strings.Cut(strings.TrimPrefix(line, "["), "] ")
	at, err := time.Parse("2006-01-02T15:04:05.999999", stamp)
	rest, deleted := strings.CutPrefix(rest, "Deleted ")
	f := strings.Fields(rest)
	if !ok || err != nil || len(f) < 4 || f[2] != "inet" {
		return holding{}, false
	}
	ip, _, _ := strings.Cut(f[3], "/")
	return holding{at: at, ip: ip, added: !deleted}, ip != "127.0.0.77"
}

// holders are the hosts that have an address now.
func (s *scene) holders(ip string, hosts ...string) []string {
	s.t.Helper()
	var out []string
	for _, h := range hosts {
		if strings.Contains(s.on(h, "ip -o -4 address"), " "+ip+"/") {
			out = append(out, h)
		}
	}
	return out
}

// until waits for a condition of the pair.
func (s *scene) until(what string, true func() bool) {
	s.t.Helper()
	s.untilOn("lvs01 lvs02", what, true)
}

// untilOn waits for a condition; the hosts show why it does not come.
func (s *scene) untilOn(hosts, what string, true func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !true(); time.Sleep(100 * time.Millisecond) {
		if time.Now().Before(end) {
			continue
		}
		var why strings.Builder
		for h := range strings.FieldsSeq(hosts) {
			fmt.Fprintf(&why, "%s:\n%s", h, s.on(h, "ip -4 -o address; ipvsadm -Ln; tail -n 40 /run/lvsform/*.log 2>/dev/null || true"))
		}
		s.t.Fatalf("not so after a minute: %s\n%s", what, &why)
	}
}

func (s *scene) untilHeld(ip, host string) {
	s.t.Helper()
	s.until(host+" alone holds "+ip, func() bool { return slices.Equal(s.holders(ip, "lvs01", "lvs02"), []string{host}) })
}

// die takes a director out as a power cut does: nobody is told, and neither its
// addresses nor its table are left. It returns when.
func (s *scene) die(host string, addresses ...string) time.Time {
	s.t.Helper()
	lines := `date -u +%Y-%m-%dT%H:%M:%S.%6N
supervisor=$(cat /run/lvsform/keepalived.pid); children=$(cat /run/keepalived.pid /run/keepalived/*.pid /run/vrrp.pid /run/checkers.pid 2>/dev/null | sort -u)
kill -9 $supervisor $children
`
	for _, a := range addresses {
		lines += "ip address del " + a + "/32 dev ens160 2>/dev/null || true\n"
	}
	out := strings.TrimSpace(s.on(host, lines+"ipvsadm -C\nrm -f /run/*.pid"))
	at, err := time.Parse("2006-01-02T15:04:05.999999", out)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// inPool tells whether the active director sends to a real server.
func (s *scene) inPool(director, server string) bool {
	s.t.Helper()
	for line := range strings.Lines(s.on(director, "ipvsadm -Sn")) {
		if strings.Contains(line, "-r "+server+":") && !strings.Contains(line, "-w 0") {
			return true
		}
	}
	return false
}

// wantOneMaster expects that an address was on exactly one host from the first to
// the last moment, whoever that was.
func wantOneMaster(t *testing.T, ip, first string, seen []holding) {
	t.Helper()
	holds := map[string]bool{first: true}
	for _, h := range seen {
		if h.ip != ip {
			continue
		}
		if h.added {
			holds[h.host] = true
		} else {
			delete(holds, h.host)
		}
		if len(holds) != 1 {
			t.Errorf("at %s %d directors hold %s: %v", h.at.Format(time.TimeOnly), len(holds), ip, seen)
			return
		}
	}
}

// repliers are the hardware addresses that answered for an address on the wire.
func repliers(arping string) []string {
	var out []string
	for line := range strings.Lines(arping) {
		if _, rest, ok := strings.Cut(line, "reply from "); ok {
			_, mac, _ := strings.Cut(rest, "[")
			mac, _, _ = strings.Cut(mac, "]")
			out = append(out, strings.ToLower(mac))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestPairOfDirectors(t *testing.T) {
	both := []string{"lvs01", "lvs02"}
	s := newScene(t, pairWith("first", true, map[string]string{"a": pairVIP, "b": "192.168.113.101"}))
	before := s.dumps()
	for _, db := range []string{"db01", "db02"} {
		if err := s.lab.Serve(t.Context(), db, "tcp", 80); err != nil {
			t.Fatal(err)
		}
	}
	s.apply()
	s.untilHeld(pairVIP, "lvs01")
	s.untilHeld("192.168.113.101", "lvs01")
	s.until("both databases are in the pool", func() bool { return s.inPool("lvs01", "192.168.113.11") && s.inPool("lvs01", "192.168.113.142") })
	s.wantNoChanges()
	target := pairVIP + ":80"
	if a := s.request("tcp", target, 6); len(a.Failures) > 0 {
		t.Errorf("requests fail: %v", a.Failures)
	}

	t.Run("an address comes, one goes, and the password changes", func(t *testing.T) {
		s := s.in(t)
		s.write(pairWith("second", true, map[string]string{"a": pairVIP, "c": "192.168.113.102"}))
		s.changeQuietly(target, both)
		s.untilHeld("192.168.113.102", "lvs01")
		if left := s.holders("192.168.113.101", both...); len(left) > 0 {
			t.Errorf("%v still hold the address that went", left)
		}
	})
	t.Run("the address that is advertised changes", func(t *testing.T) {
		s := s.in(t)
		s.write(pairWith("second", true, map[string]string{"0": "192.168.113.103", "a": pairVIP}))
		s.changeQuietly(target, both)
		s.untilHeld("192.168.113.103", "lvs01")
	})
	t.Run("a dead database leaves the pool and comes back", func(t *testing.T) {
		s := s.in(t)
		if err := s.lab.Unserve(t.Context(), "db01", "tcp", 80); err != nil {
			t.Fatal(err)
		}
		s.until("db01 has left the pool", func() bool { return !s.inPool("lvs01", "192.168.113.11") })
		a := s.request("tcp", target, 4)
		if len(a.Failures) > 0 || slices.Contains(a.By, "db01") {
			t.Errorf("answers %v, failures %v", a.By, a.Failures)
		}
		s.wantNoChanges()
		if err := s.lab.Serve(t.Context(), "db01", "tcp", 80); err != nil {
			t.Fatal(err)
		}
		s.until("db01 is back", func() bool { return s.inPool("lvs01", "192.168.113.11") })
	})
	t.Run("a dead director is replaced, and takes over when it returns", func(t *testing.T) {
		s := s.in(t)
		s.failOver(target, "192.168.113.103")
		s.must(2, "plan", "--detailed-exitcode")
		s.apply()
		s.untilHeld(pairVIP, "lvs01")
		s.wantNoChanges()
	})
	t.Run("one that does not preempt stays the backup", func(t *testing.T) {
		s := s.in(t)
		s.write(pairWith("second", false, map[string]string{"0": "192.168.113.103", "a": pairVIP}))
		s.changeQuietly(target, both)
		s.failOver(target, "192.168.113.103")
		watch := s.watchHolders(both...)
		s.apply()
		s.until("keepalived runs on lvs01 again", func() bool { return strings.Contains(s.on("lvs01", "ipvsadm -Sn"), pairVIP) })
		// Four advertisements long nobody takes anything over.
		time.Sleep(4 * time.Second)
		wantOneMaster(t, pairVIP, "lvs02", watch())
		if got := s.holders(pairVIP, both...); !slices.Equal(got, []string{"lvs02"}) {
			t.Errorf("%v hold %s, want lvs02", got, pairVIP)
		}
	})
	s.destroy()
	s.wantAsBefore(before)
}

// changeQuietly applies what is written. Throughout, one director holds the VIP,
// the same one answers for it on the wire, and no request is lost.
func (s *scene) changeQuietly(target string, both []string) {
	s.t.Helper()
	holder := s.holders(pairVIP, both...)
	if len(holder) != 1 {
		s.t.Fatalf("%v hold %s", holder, pairVIP)
	}
	client := s.client(target)
	s.on(client, fmt.Sprintf("busybox arping -I eth0 -w 600 %s >/run/arping 2>&1 </dev/null & echo $! >/run/arping.pid", pairVIP))
	watch := s.watchHolders(both...)
	a := s.meanwhile(target, s.apply)
	seen := watch()
	arping := s.on(client, "kill -INT $(cat /run/arping.pid); cat /run/arping; rm /run/arping*")
	wantOneMaster(s.t, pairVIP, holder[0], seen)
	mac := strings.TrimSpace(s.on(holder[0], "cat /sys/class/net/ens160/address"))
	if got := repliers(arping); !slices.Equal(got, []string{mac}) {
		s.t.Errorf("%v answer for %s, want %s\n%s", got, pairVIP, mac, arping)
	}
	if len(a.Failures) > 0 || len(a.By) == 0 {
		s.t.Errorf("%d of %d requests failed: %v\n%s", len(a.Failures), len(a.By), a.Failures, around(a.By))
	}
	s.wantNoChanges()
	s.t.Logf("%d requests, %d changes of addresses, %d ARP replies", len(a.By), len(seen), strings.Count(arping, "reply from"))
}

// failOver lets lvs01 die and waits until requests go on by lvs02.
func (s *scene) failOver(target string, others ...string) {
	s.t.Helper()
	s.untilHeld(pairVIP, "lvs01")
	watch := s.watchHolders("lvs02")
	died := s.die("lvs01", append(others, pairVIP)...)
	s.untilHeld(pairVIP, "lvs02")
	for _, h := range watch() {
		if h.ip == pairVIP && h.added {
			s.t.Logf("lvs02 holds %s %s after lvs01 died", pairVIP, h.at.Sub(died))
		}
	}
	if a := s.request("tcp", target, 4); len(a.Failures) > 0 {
		s.t.Errorf("requests fail: %v", a.Failures)
	}
}
