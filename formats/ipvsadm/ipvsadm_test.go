package ipvsadm

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

var (
	web    = state.ServiceID{Protocol: "tcp", Address: addr("192.0.2.100"), Port: 80, Family: "ipv4"}
	every  = state.ServiceID{Protocol: "tcp", Address: addr("192.0.2.101"), Family: "ipv4"}
	calls  = state.ServiceID{Protocol: "udp", Address: addr("192.0.2.102"), Port: 5060, Family: "ipv4"}
	stream = state.ServiceID{Protocol: "sctp", Address: addr("192.0.2.102"), Port: 99, Family: "ipv4"}
	six    = state.ServiceID{Protocol: "tcp", Address: addr("2001:db8::100"), Port: 443, Family: "ipv6"}
	mark   = state.ServiceID{FWMark: 7, Family: "ipv4"}
	mark6  = state.ServiceID{FWMark: 4294967295, Family: "ipv6"}
)

// saved is a table in the words and the order of ipvsadm-save -n, with what it
// leaves out.
const saved = `-A -f 4294967295 -6 -s mh -o -b mh-fallback,mh-port
-a -f 4294967295 -6 -r [2001:db8::11]:0 -g -w 1
-A -f 7 -s sh -p 600 -M 255.255.0.0 -b sh-fallback,sh-port
-a -f 7 -r 192.0.2.11:80 -g -w 1
-a -f 7 -r 192.0.2.12:0 -i -w 1
-A --sctp-service 192.0.2.102:99 -s wlc -b flag-1,flag-3
-a --sctp-service 192.0.2.102:99 -r 192.0.2.11:99 -g -w 1
-A -t 192.0.2.100:80 -s wrr
-a -t 192.0.2.100:80 -r 192.0.2.11:80 -g -w 100000
-a -t 192.0.2.100:80 -r 192.0.2.12:8080 -m -w 1 -x 70000 -y 1
-a -t 192.0.2.100:80 -r 192.0.2.13:80 -i -w 0
-a -t 192.0.2.100:80 -r 192.0.2.14:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 192.0.2.100:80 -r 192.0.2.15:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum
-a -t 192.0.2.100:80 -r 192.0.2.16:80 -i -w 1 --tun-type gre --tun-nocsum
-a -t 192.0.2.100:80 -r [2001:db8::17]:80 -i -w 1
-A -t 192.0.2.101:0 -s wlc -p 300 -M 255.255.255.0
-a -t 192.0.2.101:0 -r 192.0.2.12:81 -m -w 1
-A -t [2001:db8::100]:443 -s nq -p 2678400 -M 64
-a -t [2001:db8::100]:443 -r [2001:db8::11]:443 -g -w 1
-A -u 192.0.2.102:5060 -s rr -p 90 --pe sip -o
--set 120 0 60
--start-daemon backup --mcast-interface eth0 --syncid 9 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1
--start-daemon master --mcast-interface eth0 --syncid 7 --sync-maxlen 1400 --mcast-group 224.0.0.99 --mcast-port 9000 --mcast-ttl 2
`

var savedObjects = state.Objects{
	state.Service{ServiceID: mark6, Scheduler: "mh", SchedulerFlags: "mh-fallback,mh-port", OnePacket: true, Netmask: 128},
	state.Destination{Service: mark6, Address: addr("2001:db8::11"), Weight: 1, Forward: "dr"},
	state.Service{ServiceID: mark, Scheduler: "sh", SchedulerFlags: "sh-fallback,sh-port", Timeout: 600 * time.Second, Netmask: 16},
	state.Destination{Service: mark, Address: addr("192.0.2.11"), Port: 80, Weight: 1, Forward: "dr"},
	state.Destination{Service: mark, Address: addr("192.0.2.12"), Weight: 1, Forward: "tun", TunnelType: "ipip"},
	state.Service{ServiceID: stream, Scheduler: "wlc", SchedulerFlags: "flag-1,flag-3", Netmask: 32},
	state.Destination{Service: stream, Address: addr("192.0.2.11"), Port: 99, Weight: 1, Forward: "dr"},
	state.Service{ServiceID: web, Scheduler: "wrr", Netmask: 32},
	state.Destination{Service: web, Address: addr("192.0.2.11"), Port: 80, Weight: 100000, Forward: "dr"},
	state.Destination{Service: web, Address: addr("192.0.2.12"), Port: 8080, Weight: 1, Forward: "nat", Upper: 70000, Lower: 1},
	state.Destination{Service: web, Address: addr("192.0.2.13"), Port: 80, Forward: "tun", TunnelType: "ipip"},
	state.Destination{Service: web, Address: addr("192.0.2.14"), Port: 80, Weight: 1, Forward: "tun", TunnelType: "gue", TunnelPort: 6080, TunnelChecksum: "csum"},
	state.Destination{Service: web, Address: addr("192.0.2.15"), Port: 80, Weight: 1, Forward: "tun", TunnelType: "gue", TunnelPort: 6081, TunnelChecksum: "remcsum"},
	state.Destination{Service: web, Address: addr("192.0.2.16"), Port: 80, Weight: 1, Forward: "tun", TunnelType: "gre"},
	state.Destination{Service: web, Address: addr("2001:db8::17"), Port: 80, Weight: 1, Forward: "tun", TunnelType: "ipip"},
	state.Service{ServiceID: every, Scheduler: "wlc", Timeout: 300 * time.Second, Netmask: 24},
	state.Destination{Service: every, Address: addr("192.0.2.12"), Port: 81, Weight: 1, Forward: "nat"},
	state.Service{ServiceID: six, Scheduler: "nq", Timeout: 31 * 24 * time.Hour, Netmask: 64},
	state.Destination{Service: six, Address: addr("2001:db8::11"), Port: 443, Weight: 1, Forward: "dr"},
	state.Service{ServiceID: calls, Scheduler: "rr", OnePacket: true, Timeout: 90 * time.Second, Engine: "sip", Netmask: 32},
	state.Timeouts{TCP: 2 * time.Minute, UDP: time.Minute},
	state.Sync{Role: "backup", Interface: "eth0", ID: 9, Group: addr("224.0.0.81"), Port: 8848, TTL: 1},
	state.Sync{Role: "master", Interface: "eth0", ID: 7, Group: addr("224.0.0.99"), Port: 9000, TTL: 2, MaxLength: 1400},
}

func TestSavedTableIsReadAndWrittenAsItStands(t *testing.T) {
	table, err := Parse([]byte(saved))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Table{Objects: savedObjects, Thresholds: true}, table, comparable); diff != "" {
		t.Error(diff)
	}
	text, err := Render(savedObjects)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved, text); diff != "" {
		t.Error(diff)
	}
}

func TestRenderOrdersAndLeavesOutWhatIsNoPartOfTheTable(t *testing.T) {
	backwards := state.Objects{state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}, state.Module{Name: "ip_vs"}}
	for i := range savedObjects {
		backwards = append(backwards, savedObjects[len(savedObjects)-1-i])
	}
	text, err := Render(backwards)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved, text); diff != "" {
		t.Error(diff)
	}
}

func TestParseTakesWhatIpvsadmTakes(t *testing.T) {
	nat := state.Destination{Service: web, Address: addr("192.0.2.11"), Port: 80, Weight: 5, Forward: "nat"}
	for name, tc := range map[string]struct {
		text string
		want state.Objects
		note string
	}{
		"a script's lines": {"#!/bin/sh\n\n# the table\nipvsadm -C\nipvsadm -A -t 192.0.2.100:80 -s rr\nipvsadm -a -t 192.0.2.100:80 -r 192.0.2.11 -m -w 5\n",
			state.Objects{state.Service{ServiceID: web, Scheduler: "rr", Netmask: 32}, nat}, ""},
		"long options": {"--add-service --tcp-service=192.0.2.100:80 --scheduler rr\r\n--add-server --tcp-service 192.0.2.100:80 --real-server 192.0.2.11:80 --masquerading --weight=5",
			state.Objects{state.Service{ServiceID: web, Scheduler: "rr", Netmask: 32}, nat}, ""},
		"joined letters": {"-At192.0.2.100:80 -srr\n-at 192.0.2.100:80 -mw5 -r192.0.2.11",
			state.Objects{state.Service{ServiceID: web, Scheduler: "rr", Netmask: 32}, nat}, ""},
		"defaults": {"-A -t 192.0.2.100:80\n-a -t 192.0.2.100:80 -r 192.0.2.11",
			state.Objects{state.Service{ServiceID: web, Scheduler: "wlc", Netmask: 32}, state.Destination{Service: web, Address: addr("192.0.2.11"), Port: 80, Weight: 1, Forward: "dr"}}, ""},
		"persistence of its own choice": {"-A -t 192.0.2.101 -p -M 255.255.255.0",
			state.Objects{state.Service{ServiceID: every, Scheduler: "wlc", Timeout: 6 * time.Minute, Netmask: 24}}, ""},
		"a mark that was saved as a negative number": {"-A -f -1 -6 -s rr",
			state.Objects{state.Service{ServiceID: mark6, Scheduler: "rr", Netmask: 128}}, ""},
		"flags by their general names": {"-A -t 192.0.2.100:80 -s sh -b flag-2,flag-1",
			state.Objects{state.Service{ServiceID: web, Scheduler: "sh", SchedulerFlags: "sh-fallback,sh-port", Netmask: 32}}, ""},
		"a port that is not taken": {"-A -t 192.0.2.100:80\n-a -t 192.0.2.100:80 -r 192.0.2.11:81 -g",
			state.Objects{state.Service{ServiceID: web, Scheduler: "wlc", Netmask: 32}, state.Destination{Service: web, Address: addr("192.0.2.11"), Port: 80, Weight: 1, Forward: "dr"}},
			"port 81 of real server 192.0.2.11 is the service's port 80"},
		"timeouts that change nothing": {"--set 0 0 0", nil, ""},
		"nothing":                      {"", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := Parse([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, table.Objects, comparable); diff != "" {
				t.Error(diff)
			}
			if got := len(table.Notes); got > 1 || (got == 1) != (tc.note != "") || got == 1 && !strings.Contains(table.Notes[0].Text, tc.note) {
				t.Errorf("notes %+v, want %q", table.Notes, tc.note)
			}
		})
	}
}

func TestMistakesSayWhereAndWhatToDo(t *testing.T) {
	const head = "-A -t 192.0.2.100:80 -s rr\n"
	for name, tc := range map[string]struct{ text, want string }{
		"a name":                          {"-A -t web.example:80 -s rr", `line 1: "web.example" in -t is no address: it may be a name. Save the table with numbers: ipvsadm-save -n.`},
		"a service's name":                {"-A -t 192.0.2.100:http -s rr", `line 1: "http" in -t is no port number`},
		"a real server's name":            {head + "-a -t 192.0.2.100:80 -r rs1:80", `line 2: "rs1" in -r is no address`},
		"IPv6 without brackets":           {"-A -t 2001:db8::1:80 -s rr", "line 1: \"2001:db8::1:80\" is no address with a port. Write an IPv6 address in brackets"},
		"a service without a name":        {"-A -s rr", "line 1: the line names no service"},
		"two services in a line":          {"-A -t 192.0.2.100:80 -u 192.0.2.100:80", "line 1: -t and -u exclude each other"},
		"a server without its service":    {"-a -t 192.0.2.100:80 -r 192.0.2.11", "line 1: there is no service tcp/192.0.2.100:80 above"},
		"a service twice":                 {head + "\n" + head, "line 3: ipvs_service tcp/192.0.2.100:80 is in line 1 already"},
		"a server twice":                  {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -g\n-a -t 192.0.2.100:80 -r 192.0.2.11:80 -m", "is in line 2 already"},
		"an option twice":                 {"-A -t 192.0.2.100:80 -s rr -s wlc", "line 1: -s stands there twice"},
		"an option of the other command":  {"-A -t 192.0.2.100:80 -w 3", "line 1: -w has no meaning for -A"},
		"an option nobody knows":          {"-A -t 192.0.2.100:80 --colour", "line 1: --colour is no option that is known here"},
		"a letter nobody knows":           {"-A -t 192.0.2.100:80 -q", "line 1: -q is no option"},
		"a change":                        {head + "-E -t 192.0.2.100:80 -s wlc", "line 2: -E is no line of a saved table"},
		"a clearing in the midst":         {head + "-C", "line 2: -C is no line of a saved table"},
		"a listing":                       {"IP Virtual Server version 1.2.1 (size=4096)", "line 1: the line has no command"},
		"a cut-off line":                  {head + "-a -t 192.0.2.100:80 -r", "line 2: -r has no value"},
		"a word too many":                 {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 then", `line 2: "then" is no option`},
		"two commands":                    {"-A -t 192.0.2.100:80 -a", "line 1: -A and -a are two commands"},
		"every port without persistence":  {"-A -t 192.0.2.100 -s rr", "line 1: a service of every port has to be persistent"},
		"one packet of TCP":               {"-A -t 192.0.2.100:80 -o", "line 1: -o is for UDP services"},
		"-6 without a mark":               {"-A -t 192.0.2.100:80 -6", "line 1: -6 is for services of a firewall mark"},
		"a mark too large":                {"-A -f 4294967296", `line 1: "4294967296" is no firewall mark`},
		"mark 0":                          {"-A -f 0", `line 1: "0" is no firewall mark`},
		"a netmask with holes":            {"-A -t 192.0.2.100:80 -p 60 -M 255.0.255.0", "line 1: -M is \"255.0.255.0\""},
		"a netmask of nothing":            {"-A -t 192.0.2.100:80 -p 60 -M 0.0.0.0", "line 1: -M is \"0.0.0.0\""},
		"a netmask without persistence":   {"-A -t 192.0.2.100:80 -M 255.255.255.0", "line 1: -M is for persistent services"},
		"a time too long":                 {"-A -t 192.0.2.100:80 -p 2678401", `line 1: -p is "2678401". It takes a number from 1 to 2678400.`},
		"another scheduler's flag":        {"-A -t 192.0.2.100:80 -s rr -b sh-port", `line 1: -b has "sh-port", which is no flag of scheduler rr. It has flag-1, flag-2, flag-3.`},
		"a weight too large":              {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -w 2147483648", "line 2: -w is \"2147483648\""},
		"a negative weight":               {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -w -1", "line 2: -w is \"-1\""},
		"thresholds the wrong way round":  {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -x 1 -y 2", "line 2: -y is 2, above -x, which is 1"},
		"two ways of forwarding":          {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -g -m", "line 2: -g and -m exclude each other"},
		"a tunnel's option without one":   {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -g --tun-type gre", "line 2: --tun-type is for tunnels"},
		"gue without a port":              {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -i --tun-type gue", "line 2: --tun-port belongs to --tun-type gue"},
		"a checksum without a header":     {head + "-a -t 192.0.2.100:80 -r 192.0.2.11 -i --tun-csum", "line 2: --tun-csum has no meaning for an ipip tunnel"},
		"the other family without tunnel": {head + "-a -t 192.0.2.100:80 -r [2001:db8::1]:80 -m", "line 2: real server 2001:db8::1 is of the other address family"},
		"two timeouts":                    {"--set 1 2", "line 1: --set has 2 values"},
		"a daemon that is neither":        {"--start-daemon both", `line 1: --start-daemon is "both"`},
		"control characters":              {"-A -t \x1b[2J:80", `line 1: "?[2J" in -t is no address`},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := Parse([]byte(tc.text))
			if err == nil {
				t.Fatalf("read as %+v", table.Objects)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestMistakesAreCollectedUpToALimit(t *testing.T) {
	_, err := Parse([]byte("-A\n" + saved + strings.Repeat("-A -t x\n", 100)))
	mistakes, ok := err.(Mistakes)
	if !ok || len(mistakes) != maxMistakes+1 {
		t.Fatalf("%T with %d mistakes", err, len(mistakes))
	}
	if mistakes[0].Line != 1 || mistakes[1].Line != 25 || mistakes[maxMistakes].Line != 0 {
		t.Errorf("lines %d, %d, %d", mistakes[0].Line, mistakes[1].Line, mistakes[maxMistakes].Line)
	}
}

func TestRenderRefusesWhatWouldNotBeReadBack(t *testing.T) {
	service := state.Service{ServiceID: web, Scheduler: "rr", Netmask: 32}
	for name, tc := range map[string]struct {
		objects state.Objects
		want    string
	}{
		"a line in a name":              {state.Objects{state.Service{ServiceID: web, Scheduler: "rr\n-C", Netmask: 32}}, `cannot read back "rr\n-C"`},
		"a word in a name":              {state.Objects{state.Sync{Role: "master", Interface: "eth0 -C"}}, `cannot read back "eth0 -C"`},
		"a word that is skipped":        {state.Objects{state.Sync{Role: "master", Interface: "ipvsadm"}}, `cannot read back "ipvsadm"`},
		"no name":                       {state.Objects{state.Sync{Role: "master"}}, `cannot read back ""`},
		"a protocol ipvsadm lacks":      {state.Objects{state.Service{ServiceID: state.ServiceID{Protocol: "icmp", Address: web.Address, Family: "ipv4"}, Scheduler: "rr"}}, `no option for protocol "icmp"`},
		"a way of forwarding it lacks":  {state.Objects{service, state.Destination{Service: web, Address: addr("192.0.2.11"), Forward: "fullnat"}}, `no option for forward "fullnat"`},
		"a destination without service": {state.Objects{state.Destination{Service: web, Address: addr("192.0.2.11"), Forward: "dr"}}, "no such service"},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := Render(tc.objects); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q, %v; want %s", text, err, tc.want)
			}
		})
	}
}

// What was read can be written, and reads as the same; what cannot be read is a
// mistake of a line, and never more than a few of them.
func FuzzParse(f *testing.F) {
	f.Add([]byte(saved))
	f.Add([]byte("-At[::1]:80 -p -srr\nipvsadm -a -t [::1] -r 10.0.0.1 -iw=3 --tun-type=gue --tun-port 1"))
	f.Add([]byte("# comment\n-C\n-A -f -7 -6 -b flag-1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := Parse(text)
		if err != nil {
			mistakes, ok := err.(Mistakes)
			if !ok || len(mistakes) == 0 || len(mistakes) > maxMistakes+1 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, m := range mistakes {
				if m.Cause == "" || m.Fix == "" || len(m.Error()) > 1000 || strings.ContainsAny(m.Error(), "\n\x1b") {
					t.Errorf("mistake %q", m.Error())
				}
			}
			return
		}
		out, err := Render(table.Objects)
		if err != nil {
			t.Fatalf("%v, read from %q", err, text)
		}
		again, err := Parse([]byte(out))
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if diff := cmp.Diff(sorted(table.Objects), sorted(again.Objects), comparable); diff != "" {
			t.Errorf("%q\n%s", out, diff)
		}
	})
}

func sorted(objects state.Objects) state.Objects {
	out := append(state.Objects{}, objects...)
	out.Sort()
	return out
}

// Whatever an object's texts are, a line is one line of words that mean what
// the object says, or there is none.
func FuzzRender(f *testing.F) {
	f.Add("tcp", "rr", "sh-port", "sip", "eth0", "dr", uint32(0), uint16(80), 60, "gue", "csum")
	f.Add("", "wlc\n-C", "", "", "ipvsadm", "tun", uint32(1<<31), uint16(0), 0, "ipip", "")
	f.Fuzz(func(t *testing.T, protocol, scheduler, flags, engine, device, forward string, fwmark uint32, port uint16, timeout int, tunnel, checksum string) {
		id := state.ServiceID{Protocol: protocol, Address: addr("192.0.2.1"), Port: port, Family: "ipv4"}
		if fwmark != 0 {
			id = state.ServiceID{FWMark: fwmark, Family: "ipv4"}
		}
		objects := state.Objects{
			state.Service{ServiceID: id, Scheduler: scheduler, SchedulerFlags: flags, Timeout: time.Duration(timeout) * time.Second, Netmask: 32, Engine: engine},
			state.Destination{Service: id, Address: addr("192.0.2.9"), Port: port, Weight: 1, Forward: forward, TunnelType: tunnel, TunnelPort: port, TunnelChecksum: checksum},
			state.Sync{Role: "master", Interface: device, Group: addr("224.0.0.81"), Port: 8848, TTL: 1},
		}
		text, err := Render(objects)
		if err != nil {
			return
		}
		if lines := strings.Count(text, "\n"); lines != len(objects) {
			t.Fatalf("%d lines: %q", lines, text)
		}
		table, err := Parse([]byte(text))
		if err != nil {
			return // ipvsadm would refuse it too
		}
		for i, o := range table.Objects {
			if o.Key() != objects[i].Key() {
				t.Errorf("%s was read as %s from %q", objects[i].Key(), o.Key(), text)
			}
		}
	})
}
