//go:build lab

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// startMariaDB runs a database without tables on a host, whose name it tells.
func (s *scene) startMariaDB(host string) {
	s.t.Helper()
	s.on(host, `mkdir -p /tmp/db
setsid mariadbd --no-defaults --user=root --datadir=/tmp/db --skip-grant-tables --skip-name-resolve --innodb=OFF \
  --default-storage-engine=Aria --socket=/tmp/db/sock --pid-file=/tmp/db/pid --bind-address=0.0.0.0 >/tmp/db/log 2>&1 </dev/null &
for try in $(seq 300); do
  if mariadb --no-defaults --socket=/tmp/db/sock -e 'select 1' >/dev/null 2>&1; then exit 0; fi
  sleep 0.2
done
cat /tmp/db/log; exit 1`)
}

func (s *scene) stopMariaDB(host string) {
	s.t.Helper()
	s.on(host, `pid=$(cat /tmp/db/pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done`)
}

func TestDatabasesBehindKeepalived(t *testing.T) {
	both, databases := []string{"lvs01", "lvs02"}, map[string]string{"db01": "192.168.113.11", "db02": "192.168.113.142"}
	s := newExample(t, "dr-keepalived-mysql")
	s.usedTunnels()
	before := s.dumps()
	for db := range databases {
		s.startMariaDB(db)
	}
	s.must(2, "plan", "--detailed-exitcode")
	s.apply()
	s.untilHeld(pairVIP, "lvs01")
	s.until("both databases are in the pool", func() bool { return s.inPool("lvs01", databases["db01"]) && s.inPool("lvs01", databases["db02"]) })
	s.wantNoChanges()
	s.wantNoFindings()
	for db := range databases {
		s.wantOn(db, "ip -o -4 address show label lo:1 "+oneAddress, "lo inet 192.168.113.100/32 brd 192.168.113.100 scope global lo:1")
	}
	s.wantOn("lvs01", "ipvsadm -Sn", `
-A -t 192.168.113.100:3306 -s rr -p 50
-a -t 192.168.113.100:3306 -r 192.168.113.11:3306 -g -w 1
-a -t 192.168.113.100:3306 -r 192.168.113.142:3306 -g -w 1`)
	ask := func() string {
		return strings.TrimSpace(s.on("client", "mariadb --no-defaults --connect-timeout=20 -h "+pairVIP+" -Nse 'select @@hostname'"))
	}
	who := ask()
	if _, ok := databases[who]; !ok || ask() != who {
		t.Errorf("%q answers, and then %q: want the same database for 50 s", who, ask())
	}
	s.stopMariaDB(who)
	s.until(who+" has left the pool", func() bool { return !s.inPool("lvs01", databases[who]) })
	if other := ask(); databases[other] == "" || other == who {
		t.Errorf("%q answers while %s is stopped", other, who)
	}
	s.wantNoChanges()
	s.startMariaDB(who)
	s.until(who+" is back", func() bool { return s.inPool("lvs01", databases[who]) })

	s.die("lvs01", pairVIP)
	s.untilHeld(pairVIP, "lvs02")
	if who := ask(); databases[who] == "" {
		t.Errorf("%q answers when lvs01 is dead", who)
	}
	s.apply()
	s.untilHeld(pairVIP, "lvs01")
	if who := ask(); databases[who] == "" {
		t.Errorf("%q answers when lvs01 is back", who)
	}
	s.destroy()
	if left := s.holders(pairVIP, both...); len(left) > 0 {
		t.Errorf("%v hold the VIP after all was destroyed", left)
	}
	s.wantAsBefore(before)
	for db := range databases {
		s.stopMariaDB(db)
	}
}

// startTLS serves a page with the host's name by HTTPS.
func (s *scene) startTLS(host string) {
	s.t.Helper()
	s.on(host, `mkdir -p /tmp/www; cd /tmp/www; hostname >name
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$(hostname)" -days 2 -keyout key -out cert 2>/dev/null
setsid openssl s_server -quiet -accept 443 -cert cert -key key -WWW >log 2>&1 </dev/null &
echo $! >pid
for try in $(seq 300); do
  if curl -sk --max-time 5 https://127.0.0.1/name >/dev/null; then exit 0; fi
  sleep 0.2
done
cat log; exit 1`)
}

func (s *scene) stopTLS(host string) {
	s.t.Helper()
	s.on(host, `kill $(cat /tmp/www/pid)`)
}

// weights are those of a table's real servers, by address.
func (s *scene) weights(director string) map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(s.on(director, "ipvsadm -Sn")) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] != "-a" {
			continue
		}
		address, _, _ := strings.Cut(f[4], ":")
		out[address] = f[slices.Index(f, "-w")+1]
	}
	return out
}

func TestWebServersBehindLdirectord(t *testing.T) {
	const vip, rs1, win1, fallback = "192.168.34.41", "192.168.34.26", "192.168.34.27", "127.0.0.1"
	s := newExample(t, "dr-ldirectord-https")
	s.usedTunnels()
	if out := s.runbook("win1"); !strings.Contains(out, vip) {
		t.Errorf("the runbook of win1 does not speak of %s:\n%s", vip, out)
	}
	// What the runbook says, in the words of this host.
	s.on("win1", "ip address add "+vip+"/32 dev lo; sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2")
	before := s.dumps()
	for _, h := range []string{"dir1", "rs1", "win1"} {
		s.startTLS(h)
	}
	s.must(2, "plan", "--detailed-exitcode")
	s.apply()
	want := func(what string, weights map[string]string) {
		t.Helper()
		s.untilOn("dir1", what, func() bool { return cmp.Equal(weights, s.weights("dir1")) })
	}
	want("both servers are in the table", map[string]string{rs1: "1", win1: "1"})
	s.wantOn("dir1", "ipvsadm -Sn | head -1", fmt.Sprintf("-A -t %s:443 -s wlc -p 600", vip))
	s.wantOn("dir1", "sysctl net.ipv4.vs.expire_quiescent_template", "net.ipv4.vs.expire_quiescent_template = 1")
	s.wantNoChanges()
	ask := func() string {
		return strings.TrimSpace(s.on("client", "curl -sk --max-time 20 https://"+vip+"/name"))
	}
	address := map[string]string{"rs1": rs1, "win1": win1}
	other := map[string]string{"rs1": "win1", "win1": "rs1"}
	who := ask()
	if address[who] == "" || ask() != who {
		t.Fatalf("%q answers first: want the same web server for 600 s", who)
	}
	s.stopTLS(who)
	want(who+" has the weight 0", map[string]string{address[who]: "0", address[other[who]]: "1"})
	if got := ask(); got != other[who] {
		t.Errorf("%q answers while %s is stopped", got, who)
	}
	s.wantNoChanges()
	s.stopTLS(other[who])
	want("both have the weight 0, and the fallback is there", map[string]string{rs1: "0", win1: "0", fallback: "1"})
	if got := ask(); got != "dir1" {
		t.Errorf("%q answers when all are down, want the page of last resort", got)
	}
	s.startTLS("rs1")
	s.startTLS("win1")
	want("both are back", map[string]string{rs1: "1", win1: "1"})
	if got := ask(); address[got] == "" {
		t.Errorf("%q answers when the web servers are back", got)
	}
	s.destroy()
	s.wantAsBefore(before)
	for _, h := range []string{"dir1", "rs1", "win1"} {
		s.stopTLS(h)
	}
}
