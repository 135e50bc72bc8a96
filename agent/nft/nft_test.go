//go:build linux

package nft

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

var (
	byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	vip     = netip.MustParseAddr("203.0.113.7")
	server  = netip.MustParseAddr("192.0.2.20")
	six     = netip.MustParseAddr("2001:db8::7")

	web  = state.Mark{Protocol: "tcp", Address: vip, Ports: "80,443,8000-8100", Mark: 7}
	full = state.Masquerade{VIP: vip, Protocol: "tcp", Port: 80, To: server, Source: netip.MustParseAddr("192.0.2.1")}
)

func TestTagsNameTheirObjects(t *testing.T) {
	for _, o := range []state.Object{
		web, full, state.Mark{Protocol: "sctp", Address: six, Ports: "1-65535", Mark: 0xffffffff},
		state.Masquerade{VIP: vip, Protocol: "tcp", Port: 81, To: server, Idle: true},
		state.Masquerade{VIP: six, Protocol: "udp", To: netip.MustParseAddr("2001:db8::20")},
	} {
		if diff := cmp.Diff(o, objectOf(tagOf(o)), byValue); diff != "" {
			t.Errorf("%q: %s", tagOf(o), diff)
		}
	}
	for _, tag := range []string{
		"", "mark", "hello", "mark tcp 203.0.113.7 80 0", "mark tcp 203.0.113.7 080 7 ", "mark tcp 203.0.113.7  80 7", "mark icmp 203.0.113.7 80 7",
		"mark tcp 203.0.113.7 80 4294967296", "mark tcp 203.0.113.7 90-80 7", "masquerade tcp 203.0.113.7 80 2001:db8::1 interface",
		"masquerade tcp 203.0.113.7 80 192.0.2.20 0.0.0.0", "masquerade tcp 203.0.113.7 80 192.0.2.20 2001:db8::1",
	} {
		if o := objectOf(tag); o != nil {
			t.Errorf("%q is taken for %v", tag, o)
		}
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		object state.Object
		want   string
	}{
		"nothing":               {web, ""},
		"no mark":               {state.Mark{Protocol: "tcp", Address: vip, Ports: "80"}, "mark 0"},
		"no ports":              {state.Mark{Protocol: "tcp", Address: vip, Mark: 1}, "no port"},
		"a port too high":       {state.Mark{Protocol: "tcp", Address: vip, Ports: "65536", Mark: 1}, `"65536" is no port`},
		"a range upside down":   {state.Mark{Protocol: "tcp", Address: vip, Ports: "9-8", Mark: 1}, `"9-8" is no range`},
		"no protocol":           {state.Mark{Protocol: "icmp", Address: vip, Ports: "80", Mark: 1}, "needs a protocol"},
		"an address in a zone":  {state.Mark{Protocol: "tcp", Address: netip.MustParseAddr("fe80::1%eth0"), Ports: "80", Mark: 1}, "needs a protocol"},
		"too many ports":        {state.Mark{Protocol: "tcp", Address: vip, Mark: 1, Ports: "1" + strings.Repeat(",10000", 20)}, "21 ports are too many"},
		"two families":          {state.Masquerade{VIP: vip, Protocol: "tcp", To: six}, "one address family"},
		"a source that is none": {state.Masquerade{VIP: vip, Protocol: "tcp", To: server, Source: netip.IPv4Unspecified()}, "source 0.0.0.0"},
		"another kind":          {state.Module{Name: "x"}, "no object of nftables"},
	} {
		err := check(test.object)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want %q, got %v", name, test.want, err)
		}
	}
}

// live is a table that has the objects' rules.
func live(objects ...state.Object) found {
	f := found{there: true, rules: map[string]*tagged{}}
	for _, o := range objects {
		f.rules[tagOf(o)] = &tagged{o, expected(o)}
	}
	return f
}

func TestOnlyIntactRulesAreTrusted(t *testing.T) {
	heavier := web
	heavier.Mark = 9
	for name, test := range map[string]struct {
		table func() found
		want  state.Objects
	}{
		"intact": {func() found { return live(full, web) }, state.Objects{web, full}},
		"a rule gone": {func() found {
			f := live(web, full)
			f.rules[tagOf(web)].have = expected(web)[1:]
			return f
		}, state.Objects{breakUp(web), full}},
		"a rule twice": {func() found {
			f := live(web)
			f.rules[tagOf(web)].have = append(expected(web), expected(web)[0])
			return f
		}, state.Objects{breakUp(web)}},
		"another object's rule": {func() found {
			f := live(web)
			f.rules[tagOf(web)].have = expected(heavier)
			return f
		}, state.Objects{breakUp(web)}},
		"two objects of one key": {func() found { return live(web, heavier) }, state.Objects{breakUp(web)}},
		"something foreign":      {func() found { f := live(web, full); f.foreign = true; return f }, state.Objects{breakUp(web), breakUp(full)}},
	} {
		if diff := cmp.Diff(test.want, test.table().objects(), byValue); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, o := range []state.Object{web, full} {
		if broken(o) || !broken(breakUp(o)) || breakUp(o).Key() != o.Key() || check(breakUp(o)) == nil {
			t.Errorf("broken, %v becomes %v", o, breakUp(o))
		}
	}
}

func TestAnswersOfNewerKernelsAreTheSameRule(t *testing.T) {
	marshal := func(x expr.Any) []byte {
		b, err := expr.Marshal(unix.NFPROTO_INET, x)
		if err != nil {
			t.Fatal(err)
		}
		return put(nil, unix.NFTA_LIST_ELEM, b)
	}
	more := func(kind string, number uint16, value []byte) []byte {
		data := put32(nil, unix.NFTA_META_KEY, uint32(expr.MetaKeyMARK))
		data = put(put32(data, unix.NFTA_META_DREG, 1), number, value)
		return put(nil, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, put(putString(nil, unix.NFTA_EXPR_NAME, kind), unix.NFTA_EXPR_DATA, data))
	}
	load := marshal(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1})
	if canonical(more("meta", 20, []byte{1})) != canonical(load) {
		t.Error("an attribute of the future makes another rule")
	}
	if canonical(more("meta", unix.NFTA_META_SREG, []byte{0, 0, 0, 1})) == canonical(load) {
		t.Error("a known attribute is not looked at")
	}
	plain := &expr.NAT{Type: expr.NATTypeSourceNAT, Family: 2, RegAddrMin: 1, RegAddrMax: 1}
	random := *plain
	random.Random = true
	if canonical(marshal(plain)) == canonical(marshal(&random)) {
		t.Error("random source ports are not seen")
	}
	if canonical(marshal(&expr.Masq{})) == canonical(marshal(&expr.Masq{Random: true})) {
		t.Error("random source ports of masquerading are not seen")
	}
}

// The rules as google/nftables makes them, who reads the same headers.
func TestRulesAreThoseOfAnotherEncoder(t *testing.T) {
	equal := func(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
	to := func(op expr.CmpOp, data ...byte) expr.Any { return &expr.Cmp{Op: op, Register: 1, Data: data} }
	mark := state.Mark{Protocol: "udp", Address: six, Ports: "8000-8100", Mark: 0x01020304}
	want := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV6),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16}, equal(six.AsSlice()...),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(unix.IPPROTO_UDP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		to(expr.CmpOpGte, 0x1f, 0x40), to(expr.CmpOpLte, 0x1f, 0xa4),
		&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, mark.Mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
	var encoded []byte
	for _, x := range want {
		b, err := expr.Marshal(unix.NFPROTO_INET, x)
		if err != nil {
			t.Fatal(err)
		}
		encoded = put(encoded, unix.NFTA_LIST_ELEM, b)
	}
	if diff := cmp.Diff(canonical(encoded), canonical(markRule(mark, [2]uint16{8000, 8100}))); diff != "" {
		t.Error(diff)
	}
	for name, test := range map[string]struct {
		last   expr.Any
		source string
	}{
		"masquerade": {&expr.Masq{}, ""},
		"snat":       {&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegAddrMax: 1}, "192.0.2.1"},
	} {
		b, err := expr.Marshal(unix.NFPROTO_INET, test.last)
		if err != nil {
			t.Fatal(err)
		}
		m := full
		m.Source = addr(test.source)
		if !strings.HasSuffix(canonical(masqueradeRule(m)), canonical(put(nil, unix.NFTA_LIST_ELEM, b))) {
			t.Errorf("%s is encoded in another way", name)
		}
	}
}

func TestSinglePortsComeBeforeEveryPort(t *testing.T) {
	every, single := full, full
	every.Port, every.To = 0, netip.MustParseAddr("192.0.2.9")
	got := sorted(state.Objects{every, single, web}.ByKey())
	if diff := cmp.Diff(state.Objects{web, single, every}, got, byValue); diff != "" {
		t.Error(diff)
	}
}

func TestRulesOfIptables(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Log("the recorded rules are of a little-endian machine")
		return
	}
	body, err := os.ReadFile("testdata/iptables.txt")
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]string{}
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	for i := 0; i < len(lines); i += 2 {
		recorded[lines[i]] = lines[i+1]
	}
	accepted, dropped := []verdict{{code: accept}}, []verdict{{code: drop}}
	for rule, want := range map[string]filterRule{
		"-p tcp -m tcp --dport 22 -m comment --comment x -j ACCEPT": {condition{protocol: 6, ports: [][2]uint16{{22, 22}}}, accepted},
		"-p tcp -m multiport --dports 80,443,8000:8100 -j ACCEPT":   {condition{protocol: 6, ports: [][2]uint16{{80, 80}, {443, 443}, {8000, 8100}}}, accepted},
		"-p udp -m udp --dport 53 -d 192.0.2.0/24 -j ACCEPT": {condition{protocol: 17, ports: [][2]uint16{{53, 53}},
			to: netip.MustParsePrefix("192.0.2.0/24")}, accepted},
		"-m conntrack --ctstate ESTABLISHED -j ACCEPT": {condition{partial: true, replies: true}, accepted},
		"-j REJECT": {condition{}, dropped},
		"-p tcp -m tcp --dport 22:23 --tcp-flags SYN,ACK SYN -j DROP": {condition{protocol: 6, ports: [][2]uint16{{22, 23}}, partial: true}, dropped},
	} {
		expressions, err := hex.DecodeString(recorded[rule])
		if err != nil || len(expressions) == 0 {
			t.Fatalf("%s: %v", rule, err)
		}
		got, err := decodeRule(place{unix.NFPROTO_IPV4, "filter", "INPUT"}, expressions)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(filterRule{}, condition{}, verdict{}), byValue); diff != "" {
			t.Errorf("%s: %s", rule, diff)
		}
	}
}

func TestConditionsTogether(t *testing.T) {
	to := netip.MustParsePrefix
	for name, test := range map[string]struct{ a, b, want condition }{
		"nothing":             {condition{}, condition{}, condition{}},
		"one says more":       {condition{protocol: 6}, condition{ports: [][2]uint16{{80, 80}}}, condition{protocol: 6, ports: [][2]uint16{{80, 80}}}},
		"two protocols":       {condition{protocol: 6}, condition{protocol: 17}, condition{protocol: 6, never: true}},
		"ports of both":       {condition{ports: [][2]uint16{{1, 10}}}, condition{ports: [][2]uint16{{5, 5}, {9, 20}}}, condition{ports: [][2]uint16{{5, 5}, {9, 10}}}},
		"no port of both":     {condition{ports: [][2]uint16{{1, 2}}}, condition{ports: [][2]uint16{{3, 4}}}, condition{never: true}},
		"the smaller network": {condition{to: to("10.0.0.0/8")}, condition{to: to("10.1.0.0/16")}, condition{to: to("10.1.0.0/16")}},
		"two networks":        {condition{to: to("10.0.0.0/8")}, condition{to: to("::/0")}, condition{to: to("10.0.0.0/8"), never: true}},
		"a part":              {condition{partial: true}, condition{protocol: 6}, condition{protocol: 6, partial: true}},
	} {
		if diff := cmp.Diff(test.want, test.a.and(test.b), cmp.AllowUnexported(condition{}), byValue); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPrefixMasks(t *testing.T) {
	for text, want := range map[string]int{"ffffff00": 24, "ffffffff": 32, "fffe0000": 15, "00000000": 0, "ff00ff00": -1, "fffd0000": -1, "": -1} {
		mask, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		ones, ok := leadingOnes(mask)
		if !ok {
			ones = -1
		}
		if ones != want {
			t.Errorf("%s: want %d, got %d", text, want, ones)
		}
	}
}

func FuzzDecodeRule(f *testing.F) {
	f.Add(expectedBytes(web))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decodeRule(place{family: unix.NFPROTO_INET}, withoutLookups(b)); err != nil {
			t.Error(err)
		}
		canonical(b)
		comment(b)
	})
}

func expectedBytes(o state.Object) []byte { return rulesOf(o)[0].expressions }

// withoutLookups keeps the fuzzer from asking the kernel for sets.
func withoutLookups(b []byte) []byte {
	if strings.Contains(string(b), "lookup") {
		return nil
	}
	return b
}
