package state_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/state"
)

var web = state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Family: "ipv4"}

// every holds an object of each kind with all that it can carry.
func every() state.Objects {
	v6 := netip.MustParseAddr("2001:db8::1")
	return state.Objects{
		state.Module{Name: "ip_vs"},
		state.Sysctl{Name: "net.ipv4.conf.eth0/100.rp_filter", Value: "4096 87380 6291456"},
		state.Link{Name: "eth9", Kind: "dummy", Up: state.Some(false)},
		state.Link{Name: "tunl0", Kind: "ipip", Mode: "any", Local: v6, Remote: v6, Up: state.Some(true), MTU: state.Some(1480), Fallback: true},
		state.Address{Device: "eth0", IP: netip.PrefixFrom(v6, 128), Scope: "global", NoDAD: true, Deprecated: true},
		state.Address{Device: "lo", IP: netip.MustParsePrefix("192.0.2.1/32"), Label: "lo:0", Broadcast: web.Address, Scope: "host",
			Peer: netip.MustParsePrefix("192.0.2.9/32")},
		state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: 100, Metric: 5, Type: "blackhole", Via: web.Address, Device: "eth0",
			Source: web.Address, Scope: "global", OnLink: true, MTU: 1400, AdvMSS: 1360, NextHops: "via 192.0.2.3", Protocol: 4},
		state.Rule{Family: "ipv4", Priority: 100, From: netip.MustParsePrefix("192.0.2.0/24"), To: netip.MustParsePrefix("198.51.100.0/24"),
			FWMark: 7, Table: 100, Other: "iif eth0"},
		state.Service{ServiceID: state.ServiceID{FWMark: 1 << 31, Family: "ipv6"}, Scheduler: "sh", SchedulerFlags: "sh-fallback,sh-port",
			OnePacket: true, Timeout: 50 * time.Second, Netmask: 64, Engine: "sip"},
		state.Service{ServiceID: web, Scheduler: "rr", Netmask: 32},
		state.Destination{Service: web, Address: v6, Port: 80, Weight: 65535, Forward: "tun", Upper: 9, Lower: 3,
			TunnelType: "gue", TunnelPort: 6080, TunnelChecksum: "remcsum"},
		state.Destination{Service: web, Address: web.Address, Port: 80, Forward: "nat"},
	}
}

func TestObjectsSurviveJSON(t *testing.T) {
	want := every()
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got state.Objects
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(want, got) {
		t.Errorf("\nwant %v\n got %v", want, got)
	}
	for _, o := range want {
		b, err := json.Marshal(state.Change{Before: o, After: o})
		if err != nil {
			t.Fatal(err)
		}
		var c state.Change
		if err := json.Unmarshal(b, &c); err != nil || c.Before != o || c.After != o {
			t.Errorf("%s: %v %v", o.Key(), err, c)
		}
	}
}

func TestStrictDecoding(t *testing.T) {
	for name, doc := range map[string]string{
		"unknown kind":      `{"teapot":[{}]}`,
		"unknown attribute": `{"module":[{"name":"x","colour":"red"}]}`,
		"no service":        `{"ipvs_destination":{"tcp":["192.0.2.9:80 dr 1"]}}`,
		"no weight":         `{"ipvs_destination":{"fwmark/1/ipv4":["192.0.2.9:80 dr"]}}`,
		"unknown option":    `{"ipvs_destination":{"fwmark/1/ipv4":["192.0.2.9:80 dr 1 colour=red"]}}`,
		"a key twice":       `{"module":[{"name":"x"},{"name":"x"}]}`,
		"port too large":    `{"ipvs_destination":{"tcp/192.0.2.1:80":["192.0.2.9:65536 dr 1"]}}`,
	} {
		var os state.Objects
		if err := json.Unmarshal([]byte(doc), &os); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, doc := range map[string]string{
		"no side":       `{"before":null,"after":null}`,
		"two keys":      `{"before":{"module":{"name":"a"}},"after":{"module":{"name":"b"}}}`,
		"two kinds":     `{"before":{"module":{"name":"a"},"link":{"name":"a"}},"after":null}`,
		"unknown field": `{"before":{"module":{"name":"a"}},"after":null,"x":1}`,
	} {
		var c state.Change
		if err := json.Unmarshal([]byte(doc), &c); err == nil {
			t.Errorf("change with %s is accepted", name)
		}
	}
}

func TestUnsetIsNotZero(t *testing.T) {
	live := state.Link{Name: "eth0", Kind: "device", Up: state.Some(true), MTU: state.Some(1500)}
	if d := state.Diff(state.Objects{live}, state.Objects{state.Link{Name: "eth0"}}); len(d) != 0 {
		t.Errorf("an open declaration changes %v", d)
	}
	down := state.Diff(state.Objects{live}, state.Objects{state.Link{Name: "eth0", Up: state.Some(false)}})
	want := live
	want.Up = state.Some(false)
	if len(down) != 1 || down[0].After != state.Object(want) || down[0].Replaces() {
		t.Errorf("want only the state changed in place, have %v", down)
	}
}

func TestWhatTheKernelCannotChangeInPlaceIsReplaced(t *testing.T) {
	a := state.Address{Device: "eth0", IP: netip.MustParsePrefix("192.0.2.1/32"), Label: "eth0:0", Scope: "global"}
	relabelled, deprecated := a, a
	relabelled.Label, deprecated.Deprecated = "eth0:1", true
	dst := state.Destination{Service: web, Address: web.Address, Port: 80, Weight: 1, Forward: "nat"}
	drained := dst
	drained.Weight = 0
	for name, c := range map[string]struct {
		change state.Change
		want   bool
	}{
		"label":    {state.Change{Before: a, After: relabelled}, true},
		"lifetime": {state.Change{Before: a, After: deprecated}, false},
		"weight":   {state.Change{Before: dst, After: drained}, false},
		"creation": {state.Change{After: a}, false},
	} {
		if got := c.change.Replaces(); got != c.want {
			t.Errorf("%s: replaces = %v", name, got)
		}
	}
}

// FuzzDiff applies the changes of a random pair and wants nothing left to do.
func FuzzDiff(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		live, want := random(a), random(b)
		objects := live.ByKey()
		for _, c := range state.Diff(live, want) {
			if objects[c.Key()] != c.Before {
				t.Fatalf("%s: from %v, is %v", c.Key(), c.Before, objects[c.Key()])
			}
			if c.After == nil {
				delete(objects, c.Key())
			} else {
				objects[c.Key()] = c.After
			}
		}
		var now state.Objects
		for _, o := range objects {
			now = append(now, o)
		}
		if left := state.Diff(now, want); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func random(seed uint64) state.Objects {
	r := rand.New(rand.NewPCG(seed, 0))
	var out state.Objects
	seen := map[state.Key]bool{}
	for range r.IntN(20) {
		var o state.Object
		switch r.IntN(4) {
		case 0:
			o = state.Sysctl{Name: string(rune('a' + r.IntN(4))), Value: string(rune('0' + r.IntN(3)))}
		case 1:
			l := state.Link{Name: string(rune('a' + r.IntN(4))), Kind: []string{"dummy", "ipip"}[r.IntN(2)], MTU: state.Some(r.IntN(3))}
			l.Up = state.Some(r.IntN(2) == 0)
			o = l
		case 2:
			o = state.Destination{Service: web, Address: web.Address, Port: uint16(r.IntN(5)), Weight: r.IntN(3), Forward: "dr"}
		case 3:
			o = state.Route{To: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(4))}), 16), Device: "eth0", Table: 254, Protocol: 3 + r.IntN(2)}
		}
		if !seen[o.Key()] {
			seen[o.Key()] = true
			out = append(out, o)
		}
	}
	return out
}

func claim(topology, name, value string, drop bool) state.ClaimChange {
	return state.ClaimChange{Drop: drop, Before: state.Boxed{Object: state.Sysctl{Name: name, Value: "before " + topology}},
		Claim: state.Claim{Topology: topology, Addresses: []string{"sysctl.x"}, Value: state.Boxed{Object: state.Sysctl{Name: name, Value: value}}}}
}

func TestLedgerKeepsTheValueBeforeTheFirstClaim(t *testing.T) {
	var empty state.Ledger
	l := empty.Update([]state.ClaimChange{claim("web", "a", "1", false)})
	l = l.Update([]state.ClaimChange{claim("mail", "a", "1", false), claim("web", "b", "1", false)})
	e := l.ByKey()[state.Key{Kind: state.KindSysctl, ID: "a"}]
	if e.Before.Object != (state.Sysctl{Name: "a", Value: "before web"}) {
		t.Errorf("before: %v", e.Before.Object)
	}
	var topologies []string
	for _, c := range e.Claims {
		topologies = append(topologies, c.Topology)
	}
	if diff := cmp.Diff([]string{"mail", "web"}, topologies); diff != "" {
		t.Error(diff)
	}
	l = l.Update([]state.ClaimChange{claim("web", "a", "", true), claim("mail", "a", "", true)})
	if len(l.Entries) != 1 || !strings.HasSuffix(l.Entries[0].Key().String(), "b") {
		t.Errorf("entries left: %v", l.Entries)
	}
	if len(empty.Entries) != 0 {
		t.Error("Update changed its receiver")
	}
}

func TestLedgerSurvivesJSON(t *testing.T) {
	want := state.Ledger{Members: map[string][]string{"web": {"a", "b"}}}
	var claims []state.ClaimChange
	for i, o := range every() {
		for _, topology := range []string{"mail", "web"} {
			claims = append(claims, state.ClaimChange{Before: state.Boxed{Object: []state.Object{o, nil}[i%2]},
				Claim: state.Claim{Topology: topology, Addresses: []string{"x.y", "x.z"}, Value: state.Boxed{Object: o},
					Sensitive: [][]string{nil, {"value"}}[i%2]}})
		}
	}
	want = want.Update(claims)
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got state.Ledger
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b state.Boxed) bool { return a.Object == b.Object })); diff != "" {
		t.Error(diff)
	}
	if err := json.Unmarshal([]byte(`{"version":1,"topologies":{"web":{"values":{"module":[{"name":"a"}]}}}}`), &got); err == nil {
		t.Error("a claim without an address is accepted")
	}
}

func TestTopologiesPersistUnlessTheLedgerSaysOtherwise(t *testing.T) {
	l := state.Ledger{Version: state.LedgerVersion, Members: map[string][]string{"mail": {"a"}, "web": {"a"}}}
	one := l.SetTransient("web", true)
	if l.Transient != nil || !l.Lasting() || one.Persists("web") || !one.Persists("mail") || !one.Lasting() {
		t.Errorf("%+v became %+v", l, one)
	}
	both := one.SetTransient("mail", true).SetTransient("mail", true)
	if diff := cmp.Diff([]string{"mail", "web"}, both.Transient); diff != "" || both.Lasting() {
		t.Error(diff, both)
	}
	b, err := json.Marshal(both)
	if err != nil {
		t.Fatal(err)
	}
	var read state.Ledger
	if err := json.Unmarshal(b, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(both, read); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(l, both.SetTransient("web", false).SetTransient("mail", false)); diff != "" {
		t.Error(diff)
	}
}

func TestALedgerKeepsWhatClaimsAndTopologiesSay(t *testing.T) {
	by := func(name string, draining, loose bool) state.ClaimChange {
		return state.ClaimChange{Claim: state.Claim{Topology: "web", Addresses: []string{"sysctl.x"}, Draining: draining, Loose: loose,
			Value: state.Boxed{Object: state.Sysctl{Name: name, Value: "1"}}}}
	}
	want := state.Ledger{Members: map[string][]string{"web": {"a"}}}.Update([]state.ClaimChange{
		by("a", false, false), by("b", true, false), by("c", false, true)}).SetModules("web", []state.Module{{Name: "ip_vs", Parameters: "x=1"}})
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got state.Ledger
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if left := got.SetModules("web", nil).Modules; left != nil {
		t.Errorf("modules %v are left", left)
	}
}
