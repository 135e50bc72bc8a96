package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/formats/ipvsadm"
	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// everyOption is a table with each option that one can hold, as ipvsadm-save
// and, from -x on, ipvsadm -R have it.
const everyOption = `-A -f 2147483648 -s sh -p 600 -M 255.255.0.0 -b sh-fallback,sh-port
-a -f 2147483648 -r 192.0.2.11:80 -g -w 1
-a -f 2147483648 -r 192.0.2.12:0 -i -w 1
-A -f 2147483648 -6 -s mh -o -b mh-fallback,mh-port
-a -f 2147483648 -6 -r [2001:db8::11]:0 -g -w 1
-A --sctp-service 192.0.2.102:99 -s wlc -b flag-1,flag-3
-a --sctp-service 192.0.2.102:99 -r 192.0.2.11:99 -g -w 1
-A -t 192.0.2.100:80 -s wrr
-a -t 192.0.2.100:80 -r 127.0.0.1:80 -g -w 1
-a -t 192.0.2.100:80 -r 192.0.2.9:8080 -m -w 1
-a -t 192.0.2.100:80 -r 192.0.2.11:80 -g -w 100000
-a -t 192.0.2.100:80 -r 192.0.2.12:8080 -m -w 1 -x 70000 -y 1
-a -t 192.0.2.100:80 -r 192.0.2.12:8081 -m -w 1
-a -t 192.0.2.100:80 -r 192.0.2.13:80 -i -w 0
-a -t 192.0.2.100:80 -r 192.0.2.14:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 192.0.2.100:80 -r 192.0.2.15:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum
-a -t 192.0.2.100:80 -r 192.0.2.16:80 -i -w 1 --tun-type gre --tun-nocsum
-a -t 192.0.2.100:80 -r 192.0.2.17:80 -i -w 1 --tun-type gre --tun-csum
-A -t 192.0.2.101:0 -s wlc -p 300 -M 255.255.255.0
-a -t 192.0.2.101:0 -r 192.0.2.11:0 -g -w 1
-a -t 192.0.2.101:0 -r 192.0.2.12:81 -m -w 1
-A -t 192.0.2.102:80 -s rr
-A -t [2001:db8::100]:443 -s nq -p 2678400 -M 64
-a -t [2001:db8::100]:443 -r [2001:db8::11]:443 -g -w 1
-A -t [2001:db8::101]:443 -s nq -p 60 -M 32
-A -u 192.0.2.102:5060 -s rr -p 90 --pe sip -o
-a -u 192.0.2.102:5060 -r 192.0.2.11:5060 -m -w 1
--set 120 30 60
--start-daemon backup --mcast-interface eth0 --syncid 9 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1
--start-daemon master --mcast-interface eth0 --syncid 7 --sync-maxlen 1400 --mcast-group 224.0.0.99 --mcast-port 9000 --mcast-ttl 2
`

func parseTable(t *testing.T, text string) state.Objects {
	t.Helper()
	table, err := ipvsadm.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return table.Objects
}

func dir1() *topology.Host {
	return &topology.Host{Name: "dir1", Path: "host.dir1", Address: netip.MustParseAddr("192.0.2.9"), Managed: true}
}

// load is the configuration of one file.
func load(t *testing.T, text []byte) *topology.Topology {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	top, diags := hcl.Load(hcl.Options{Dir: dir})
	if diags.HasErrors() {
		t.Fatalf("%+v", diags)
	}
	return top
}

// observed is a director that has a table, the modules that it needs, and its
// addresses.
func observed(top *topology.Topology, objects state.Objects) map[string]planner.Live {
	live := planner.Live{Objects: append(state.Objects{}, objects...)}
	seen := map[netip.Addr]bool{}
	address := func(a netip.Addr) {
		if a.IsValid() && !seen[a] {
			seen[a] = true
			length := map[bool]int{true: 24, false: 64}[a.Is4()]
			live.Objects = append(live.Objects, state.Address{Device: "eth0", IP: netip.PrefixFrom(a, length), Label: "eth0", Scope: "global"})
		}
	}
	address(top.Host("dir1").Address)
	for _, o := range objects {
		if s, ok := o.(state.Service); ok {
			address(s.Address)
		}
	}
	declared, _ := planner.Desired(top, "dir1")
	for _, d := range declared {
		if m, ok := d.Object.(state.Module); ok {
			live.Objects = append(live.Objects, m)
		}
	}
	live.Objects = append(live.Objects, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"})
	live.Objects.Sort()
	return map[string]planner.Live{"dir1": live}
}

func TestImportedTableIsOnlyAdoptedAndThenNothingIsPlanned(t *testing.T) {
	objects := parseTable(t, everyOption)
	im, err := carryOver(dir1(), objects)
	if err != nil || len(im.left) > 0 {
		t.Fatalf("%v, left out %+v", err, im.left)
	}
	top := load(t, im.text)
	live := observed(top, objects)
	p := planner.Build(planner.Input{Topology: top, Live: live})
	for _, d := range append(p.Diagnostics, p.Checks...) {
		if d.Severity == topology.Error {
			t.Errorf("%s: %s", d.Summary, d.Detail)
		}
	}
	host := live["dir1"]
	for _, c := range p.Changes {
		if c.Action != planner.Adopt {
			t.Errorf("%s %s, want only adoptions", c.Action, c.ID)
		}
		if c.Claim != nil {
			host.Ledger = host.Ledger.Update([]state.ClaimChange{*c.Claim})
		}
	}
	if len(p.Changes) != len(objects) {
		t.Errorf("%d changes, want an adoption of each of %d objects", len(p.Changes), len(objects))
	}
	if again := planner.Build(planner.Input{Topology: top, Live: map[string]planner.Live{"dir1": host}}); !again.Empty() {
		t.Errorf("the second plan has %d changes", len(again.Changes))
	}
}

// A director can answer what no kernel does.
func TestServerWithoutItsServiceIsListed(t *testing.T) {
	table := parseTable(t, "-A -t 192.0.2.100:80 -s rr\n-a -t 192.0.2.100:80 -r 192.0.2.11:80 -g\n")
	orphan := state.Destination{Service: state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.101"), Port: 80, Family: "ipv4"},
		Address: netip.MustParseAddr("192.0.2.11"), Port: 80, Weight: 1, Forward: "dr"}
	for _, objects := range []state.Objects{{orphan}, append(state.Objects{orphan}, table...)} {
		im, err := carryOver(dir1(), objects)
		if err != nil || len(im.left) != 1 || len(im.carried) != len(objects)-1 {
			t.Errorf("%v, %d of %d carried over, left out %+v", err, len(im.carried), len(objects), im.left)
		}
	}
}

func TestExportOfAnImportIsTheTable(t *testing.T) {
	im, err := carryOver(dir1(), parseTable(t, everyOption))
	if err != nil {
		t.Fatal(err)
	}
	declared, err := planner.Desired(load(t, im.text), "dir1")
	if err != nil {
		t.Fatal(err)
	}
	var objects state.Objects
	for _, d := range declared {
		objects = append(objects, d.Object)
	}
	text, err := ipvsadm.Render(objects)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lineSet(everyOption), lineSet(text)); diff != "" {
		t.Error(diff)
	}
}

func lineSet(text string) map[string]bool {
	out := map[string]bool{}
	for l := range strings.Lines(text) {
		out[l] = true
	}
	return out
}

// Whatever table is read, what is written declares it, and all else is listed.
func FuzzImport(f *testing.F) {
	f.Add([]byte(everyOption))
	f.Add([]byte("-A -t 224.0.0.1:80 -s nope\n-a -t 224.0.0.1:80 -r 127.0.0.1 -m\n-A -u [::]:5 -p 1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := ipvsadm.Parse(text)
		if err != nil || len(text) > 4096 {
			return
		}
		im, err := carryOver(dir1(), table.Objects)
		if err != nil {
			t.Fatalf("%v, from %q", err, text)
		}
		if len(im.carried) < len(table.Objects) && len(im.left) == 0 {
			t.Errorf("%d of %d objects are carried over, and nothing is listed", len(im.carried), len(table.Objects))
		}
	})
}
