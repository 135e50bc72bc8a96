//go:build lab

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatLeavesTheConfigurationLeavesTheHosts(t *testing.T) {
	const head = `topology "leave" {}` + sharedHosts
	a, b := dr("a", "192.0.2.101"), dr("b", "192.0.2.102")
	const extra = `
sysctl "forward" {
  host     = host.dir1
  settings = { "net.ipv4.ip_forward" = 1 }
}
virtual_service "marked" {
  host      = host.dir1
  fwmark    = 7
  family    = "ipv4"
  scheduler = "rr"
  forward   = "dr"
  real_server "rs1" { host = host.rs1 }
}
`
	s := newScene(t, head+a+b+extra)
	before := s.dumps()
	s.apply()
	s.serve()
	whole := s.dump("rs2")

	// A real server of one module.
	s.write(head + strings.Replace(a, "    rs2 = { host = host.rs2, label = \"lo:a\" }\n", "", 1) + b + extra)
	s.wantPlan(
		"dir1 delete ipvs_destination tcp/192.0.2.101:80/192.0.2.12:80",
		"dir1 update ipvs_destination tcp/192.0.2.101:80/192.0.2.12:80", // its drain
		"rs2 delete address lo/192.0.2.101",
		"rs2 delete route 254/192.0.2.101/32/0")
	s.apply()
	s.wantPlan()
	s.wantAnswers()
	if got := s.dump("rs2"); !strings.Contains(got, "192.0.2.102") || strings.Contains(got, "192.0.2.101/32") || got == whole {
		t.Errorf("rs2 after its removal from a: %s", got)
	}

	// A service.
	service, _, _ := strings.Cut(extra, "virtual_service")
	s.write(head + a + b + service)
	s.apply()
	s.wantOn("dir1", "ipvsadm -Sn | grep -c ^-A; sysctl -n net.ipv4.ip_forward", "2\n1")
	if diff := cmp.Diff(inOrder(whole), inOrder(s.dump("rs2"))); diff != "" {
		t.Errorf("rs2 is not again what it was (-before +after):\n%s", diff)
	}

	// A module.
	s.write(head + b + service)
	s.apply()
	s.wantPlan()
	s.wantOn("dir1", "ipvsadm -Sn | grep ^-A; ip -o -4 address show dev eth0 | grep -c 192.0.2.101 || true", "-A -t 192.0.2.102:80 -s rr\n0")
	s.wantOn("rs1", arpSysctls, arpSet)
	s.wantAnswers()

	// A sysctl resource, and everything at last.
	s.write(head + b)
	s.apply()
	s.wantOn("dir1", "sysctl net.ipv4.ip_forward", "net.ipv4.ip_forward = 0")
	s.write(head)
	s.apply()
	s.wantAsBefore(before)
}

// openConnection is one through the VIP, from the client, that stays open.
type openConnection struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	who  string
}

func (s *scene) open(target string) *openConnection {
	s.t.Helper()
	conn, err := s.lab.Dial(s.t.Context(), s.client(target), "tcp", target)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	o := &openConnection{t: s.t, conn: conn, r: bufio.NewReader(conn)}
	o.who = o.ask("first")
	return o
}

// ask sends a line and returns the host that answers it.
func (o *openConnection) ask(word string) string {
	o.t.Helper()
	if err := o.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		o.t.Fatal(err)
	}
	fmt.Fprintln(o.conn, word)
	line, err := o.r.ReadString('\n')
	who, echo, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || echo != word {
		o.t.Errorf("the open connection answers %q to %q: %v", line, word, err)
	}
	return who
}

// wantAlive expects the server that answered first.
func (o *openConnection) wantAlive(after string) {
	o.t.Helper()
	if who := o.ask(strings.ReplaceAll(after, " ", "-")); who != o.who {
		o.t.Errorf("after %s the open connection is with %q, not %q", after, who, o.who)
	}
}

func TestServiceIsUpdatedInPlace(t *testing.T) {
	const target = "192.0.2.101:80"
	config := `topology "inplace" {}` + sharedHosts + dr("a", "192.0.2.101")
	weights := func(rs1 string, more ...string) string {
		c := strings.Replace(config, "rs1 = { host = host.rs1,", "rs1 = { host = host.rs1, weight = "+rs1+",", 1)
		return strings.NewReplacer(more...).Replace(c)
	}
	s := newScene(t, weights("1"))
	s.apply()
	s.serve()
	open := s.open(target)
	if open.who != "rs1" { // round robin: the next one is
		open = s.open(target)
	}
	const rs1 = "dir1 update ipvs_destination tcp/192.0.2.101:80/192.0.2.11:80"
	const service = "dir1 update ipvs_service tcp/192.0.2.101:80"
	for _, step := range []struct {
		name, config string
		plan         []string
		table        string
	}{
		{"weight 0", weights("0"), []string{rs1},
			"-A -t 192.0.2.101:80 -s rr\n-a -t 192.0.2.101:80 -r 192.0.2.11:80 -g -w 0\n-a -t 192.0.2.101:80 -r 192.0.2.12:80 -g -w 1"},
		{"weight 2", weights("2"), []string{rs1},
			"-A -t 192.0.2.101:80 -s rr\n-a -t 192.0.2.101:80 -r 192.0.2.11:80 -g -w 2\n-a -t 192.0.2.101:80 -r 192.0.2.12:80 -g -w 1"},
		{"another scheduler", weights("2", `"rr"`, `"wrr"`), []string{service},
			"-A -t 192.0.2.101:80 -s wrr\n-a -t 192.0.2.101:80 -r 192.0.2.11:80 -g -w 2\n-a -t 192.0.2.101:80 -r 192.0.2.12:80 -g -w 1"},
		{"persistence", weights("2", `"rr"`, "\"wrr\"\n  persistence = { timeout = \"60s\" }"), []string{service},
			"-A -t 192.0.2.101:80 -s wrr -p 60\n-a -t 192.0.2.101:80 -r 192.0.2.11:80 -g -w 2\n-a -t 192.0.2.101:80 -r 192.0.2.12:80 -g -w 1"},
		{"no persistence", weights("2", `"rr"`, `"wrr"`), []string{service},
			"-A -t 192.0.2.101:80 -s wrr\n-a -t 192.0.2.101:80 -r 192.0.2.11:80 -g -w 2\n-a -t 192.0.2.101:80 -r 192.0.2.12:80 -g -w 1"},
	} {
		s.write(step.config)
		if !strings.Contains(step.name, "persistence") {
			s.wantPlan(step.plan...)
		}
		applied := s.must(0, "apply", "--auto-approve", "--json", "--drain-timeout", "2s")
		s.wantOn("dir1", "ipvsadm -Sn", step.table)
		s.wantPlan()
		open.wantAlive(step.name)
		if waited := strings.Contains(applied.out, `"connections":1`); waited != (step.name == "weight 0") {
			t.Errorf("%s: apply waited for the open connection: %v", step.name, waited)
		}
		if step.name == "weight 0" {
			if n := s.request("tcp", target, 4).Counts()["rs1"]; n != 0 {
				t.Errorf("a drained server answered %d new requests", n)
			}
		}
	}
	s.wantAnswers()
	s.destroy()
}

// What moby/ipvs would lose on an edit stays.
func TestAttributesSurviveAnUnrelatedEdit(t *testing.T) {
	config := func(weight string) string {
		return strings.ReplaceAll(`
topology "attributes" {}
host "dir1" {
  address = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.9/24", "2001:db8::9/64"] }
}
address "vip" {
  host   = host.dir1
  ip     = "192.0.2.101/32"
  device = "eth0"
}
virtual_service "sip" {
  host      = host.dir1
  protocol  = "udp"
  address   = "192.0.2.101"
  port      = 5060
  scheduler = "rr"
  forward   = "tun"
  persistence {
    timeout = "90s"
    engine  = "sip"
  }
  real_server "gue" {
    address = "192.0.2.21" # of nobody: the table is all that matters here
    weight  = WEIGHT
    tunnel {
      type     = "gue"
      port     = 6080
      checksum = "remcsum"
    }
  }
}
virtual_service "mixed" {
  host      = host.dir1
  protocol  = "tcp"
  address   = "192.0.2.101"
  port      = 80
  scheduler = "wlc"
  forward   = "tun"
  real_server "six" {
    address = "2001:db8::21"
    weight  = WEIGHT
  }
}
`, "WEIGHT", weight)
	}
	s := newScene(t, config("1"))
	before := s.dumps()
	s.apply()
	s.wantPlan()
	const table = `ipvsadm -Sn | sort; ipvsadm -Ln --persistent-conn | grep -c 'pe sip'`
	want := func(weight string) string {
		return strings.ReplaceAll(`
-A -t 192.0.2.101:80 -s wlc
-A -u 192.0.2.101:5060 -s rr -p 90 --pe sip
-a -t 192.0.2.101:80 -r [2001:db8::21]:80 -i -w WEIGHT --tun-type ipip
-a -u 192.0.2.101:5060 -r 192.0.2.21:5060 -i -w WEIGHT --tun-type gue --tun-port 6080 --tun-remcsum
1`, "WEIGHT", weight)
	}
	s.wantOn("dir1", table, want("1"))
	s.write(config("3"))
	s.wantPlan("dir1 update ipvs_destination tcp/192.0.2.101:80/[2001:db8::21]:80",
		"dir1 update ipvs_destination udp/192.0.2.101:5060/192.0.2.21:5060")
	s.apply()
	s.wantPlan()
	s.wantOn("dir1", table, want("3"))
	s.destroy()
	s.wantAsBefore(before)
}
