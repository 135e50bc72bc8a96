//go:build linux && kernel

package kernel_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

var (
	vip4, vip6 = netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:7::7")
	real4      = netip.MustParseAddr("192.0.2.20")
	real6      = netip.MustParseAddr("2001:db8::20")
)

// packetObjects are of every form.
func packetObjects() state.Objects {
	return state.Objects{
		state.Mark{Protocol: "tcp", Address: vip4, Ports: "80,443,8000-8100", Mark: 7},
		state.Mark{Protocol: "udp", Address: vip6, Ports: "53", Mark: 0xfffffffe},
		state.Mark{Protocol: "sctp", Address: vip4, Ports: "1-65535", Mark: 1},
		state.Masquerade{VIP: vip4, Protocol: "tcp", Port: 80, To: real4},
		state.Masquerade{VIP: vip4, Protocol: "udp", To: real4, Source: netip.MustParseAddr("192.0.2.10")},
		state.Masquerade{VIP: vip6, Protocol: "tcp", Port: 443, To: real6, Source: netip.MustParseAddr("2001:db8::10")},
		state.Masquerade{VIP: vip6, Protocol: "sctp", To: real6},
	}
}

// packets are the live marks and masquerades.
func packets(t *testing.T, k *kernel.Kernel) state.Objects {
	t.Helper()
	h, err := k.Read(txn.Query{NFT: true})
	if err != nil {
		t.Fatal(err)
	}
	h.Objects.Sort()
	return h.Objects
}

func apply(t *testing.T, k *kernel.Kernel, changes ...state.Change) {
	t.Helper()
	if done, err := k.Apply(changes); err != nil || done != len(changes) {
		t.Fatalf("%d of %d: %v", done, len(changes), err)
	}
}

// converge takes the host's packet rules to want.
func converge(t *testing.T, k *kernel.Kernel, want state.Objects) {
	t.Helper()
	apply(t, k, state.Diff(packets(t, k), want)...)
	want = append(state.Objects{}, want...)
	want.Sort()
	if diff := cmp.Diff(want, packets(t, k), comparable, cmpopts.EquateEmpty()); diff != "" {
		t.Fatal(diff)
	}
}

var comparable = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// foreignTables are of all that other programs make.
const foreignTables = `
ip link set lo up
nft -f - <<END
table inet firewall {
  set allowed { type inet_service; flags interval; elements = { 22, 8000-8100 } }
  chain input { type filter hook input priority filter; policy drop; ct state established,related accept; tcp dport @allowed counter accept; jump more; }
  chain more { ip saddr 10.0.0.0/8 log prefix "more " drop; }
}
table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "eth9" masquerade; }; }
table ip6 lvsform { chain input { type filter hook input priority 0; tcp dport 1 drop; }; }
END
`

func TestPacketRulesReadBackAsWritten(t *testing.T) {
	enter(t, foreignTables)
	k := kernel.New()
	defer k.Close()
	foreign := shell(t, "nft -s list ruleset")
	converge(t, k, packetObjects())
	text := shell(t, "nft list table inet lvsform")
	for _, want := range []string{
		"ip daddr 203.0.113.7 tcp dport 443 meta mark set 0x00000007",
		"ip6 daddr 2001:db8:7::7 udp dport 53 meta mark set 0xfffffffe",
		"ip daddr 192.0.2.20 ct original ip daddr 203.0.113.7", "ct original proto-dst 80 masquerade",
		"ct original ip6 daddr 2001:db8:7::7", "snat ip6 to 2001:db8::10", "snat ip to 192.0.2.10",
		`comment "mark tcp 203.0.113.7 80,443,8000-8100 7"`,
		"type filter hook prerouting priority mangle; policy accept;", "type route hook output priority mangle; policy accept;",
		"type nat hook postrouting priority srcnat; policy accept;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nft does not list %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	// What nft lists it takes back, and it is still ours.
	shell(t, "nft list table inet lvsform >/tmp/saved; nft delete table inet lvsform; nft -f /tmp/saved; rm /tmp/saved")
	want := packetObjects()
	want.Sort()
	if diff := cmp.Diff(want, packets(t, k), comparable); diff != "" {
		t.Error("after nft -f of what nft lists:", diff)
	}
	for i := range want { // away one after the other
		converge(t, k, want[i+1:])
	}
	if diff := cmp.Diff(foreign, shell(t, "nft -s list ruleset")); diff != "" {
		t.Error(diff)
	}
}

// google/nftables reads what our own messages have made.
func TestAnotherReaderSeesTheSameChains(t *testing.T) {
	enter(t, foreignTables)
	k := kernel.New()
	defer k.Close()
	converge(t, k, packetObjects())
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]int{}
	for _, chain := range all {
		if chain.Table.Name != "lvsform" {
			continue
		}
		rules[fmt.Sprintf("%s %s %d %d %d", chain.Name, chain.Type, *chain.Hooknum, *chain.Priority, *chain.Policy)] = 0
		if chain.Type == nftables.ChainTypeNAT {
			continue // it cannot read the direction of ct
		}
		list, err := c.GetRules(chain.Table, chain)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			tag, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			if set, ok := r.Exprs[len(r.Exprs)-1].(*expr.Meta); !ok || !set.SourceRegister || set.Key != expr.MetaKeyMARK || !strings.HasPrefix(tag, "mark ") {
				t.Errorf("a rule of %s ends with %+v and has the comment %q", chain.Name, r.Exprs[len(r.Exprs)-1], tag)
			}
		}
		rules[fmt.Sprintf("%s %s %d %d %d", chain.Name, chain.Type, *chain.Hooknum, *chain.Priority, *chain.Policy)] = len(list)
	}
	want := map[string]int{"mark-prerouting filter 0 -150 1": 5, "mark-output route 3 -150 1": 5, "masquerade-postrouting nat 4 100 1": 0}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedPacketRulesAreSeenAndMended(t *testing.T) {
	mark := state.Mark{Protocol: "tcp", Address: vip4, Ports: "80,443", Mark: 7}
	other := state.Masquerade{VIP: vip4, Protocol: "tcp", Port: 80, To: real4}
	handle := `h=$(nft -a list chain inet lvsform CHAIN | sed -n 's/.*TEXT.*# handle //p'); `
	at := func(chain, text, command string) string {
		return strings.NewReplacer("CHAIN", chain, "TEXT", text).Replace(handle) + command
	}
	for name, test := range map[string]struct {
		damage string
		both   bool // also the object that the damage does not name
	}{
		"a rule replaced": {damage: at("mark-prerouting", "dport 80 ", "nft replace rule inet lvsform mark-prerouting handle $h ip daddr 203.0.113.7 tcp dport 80 meta mark set 9"), both: true},
		"a rule replaced under its tag": {damage: at("mark-prerouting", "dport 80 ",
			`nft replace rule inet lvsform mark-prerouting handle $h ip daddr 203.0.113.7 tcp dport 80 meta mark set 9 comment '"mark tcp 203.0.113.7 80,443 7"'`)},
		"a condition added": {damage: at("mark-output", "dport 443 ",
			`nft replace rule inet lvsform mark-output handle $h ip daddr 203.0.113.7 tcp dport 443 limit rate 1/second meta mark set 7 comment '"mark tcp 203.0.113.7 80,443 7"'`)},
		"a rule deleted":            {damage: at("mark-output", "dport 443 ", "nft delete rule inet lvsform mark-output handle $h")},
		"a rule doubled":            {damage: `nft add rule inet lvsform mark-prerouting ip daddr 203.0.113.7 tcp dport 80 meta mark set 7 comment '"mark tcp 203.0.113.7 80,443 7"'`},
		"a foreign rule":            {damage: "nft insert rule inet lvsform mark-prerouting accept", both: true},
		"a foreign chain":           {damage: "nft 'add chain inet lvsform x { type filter hook input priority 0; policy drop; }'", both: true},
		"a rule in the wrong place": {damage: `nft add rule inet lvsform masquerade-postrouting ip daddr 203.0.113.7 tcp dport 80 meta mark set 7 comment '"mark tcp 203.0.113.7 80,443 7"'`},
		"the table asleep":          {damage: "nft 'add table inet lvsform { flags dormant; }'", both: true},
	} {
		t.Run(name, func(t *testing.T) {
			enter(t, "ip link set lo up")
			k := kernel.New()
			defer k.Close()
			converge(t, k, state.Objects{mark, other})
			intact := shell(t, "nft -s list ruleset")
			shell(t, test.damage)
			damaged := shell(t, "nft -s list ruleset")
			have := packets(t, k).ByKey()
			if live := have[mark.Key()]; live == nil || live == state.Object(mark) {
				t.Errorf("the mark is read as %v", live)
			}
			if live := have[other.Key()]; (live == state.Object(other)) == test.both {
				t.Errorf("the masquerade is read as %v", live)
			}
			mend := step(have[mark.Key()], mark)
			wantRolledBack(t, k, mend)
			if diff := cmp.Diff(damaged, shell(t, "nft -s list ruleset")); diff != "" {
				t.Error("after a rollback:", diff)
			}
			must(t, k, step(packets(t, k).ByKey()[mark.Key()], mark))
			if diff := cmp.Diff(intact, shell(t, "nft -s list ruleset")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestThousandsOfPacketRulesInOneBatch(t *testing.T) {
	enter(t, "ip link set lo up")
	k := kernel.New()
	defer k.Close()
	var want state.Objects
	for i := range 600 {
		ip := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		want = append(want, state.Mark{Protocol: "tcp", Address: ip, Ports: "80,443", Mark: uint32(i + 1)},
			state.Masquerade{VIP: vip4, Protocol: "tcp", Port: 80, To: ip})
	}
	converge(t, k, want)
	if n := strings.Count(shell(t, "nft list table inet lvsform"), "comment"); n != 600*5 {
		t.Errorf("nft lists %d rules", n)
	}
	converge(t, k, want[:1])
	apply(t, k, state.Change{Before: want[0]})
	if text := shell(t, "nft list ruleset"); text != "" {
		t.Errorf("left: %s", text)
	}
}

func TestPacketRulesAreAllOrNothing(t *testing.T) {
	enter(t, foreignTables)
	k := kernel.New()
	defer k.Close()
	objects := packetObjects()
	converge(t, k, objects[:3])
	before := shell(t, "nft -s list ruleset")
	changed := objects[0].(state.Mark)
	changed.Mark = 8
	wantRolledBack(t, k, step(objects[0], changed), step(objects[1], nil), step(nil, objects[3]))
	if diff := cmp.Diff(before, shell(t, "nft -s list ruleset")); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string]state.Object{
		"mark 0":       state.Mark{Protocol: "tcp", Address: vip4, Ports: "80"},
		"no port":      state.Mark{Protocol: "tcp", Address: vip4, Ports: "http", Mark: 1},
		"two families": state.Masquerade{VIP: vip4, Protocol: "tcp", To: real6},
		"twice":        objects[0],
	} {
		if _, err := k.Apply([]state.Change{{After: objects[3]}, {After: bad}}); err == nil {
			t.Errorf("%s was taken", name)
		}
		if diff := cmp.Diff(before, shell(t, "nft -s list ruleset")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	many := state.Mark{Protocol: "tcp", Address: vip4, Mark: 1, Ports: "1" + strings.Repeat(",10000", 30)}
	if _, err := k.Apply([]state.Change{{After: many}}); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("got %v", err)
	}
}
