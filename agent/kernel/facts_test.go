//go:build linux && kernel

package kernel_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/state"
)

func ports(list ...uint16) (out [][2]uint16) {
	for _, p := range list {
		out = append(out, [2]uint16{p, p})
	}
	return out
}

const anyV4, anyV6 = "0.0.0.0/0", "::/0"

func TestFiltersAreTold(t *testing.T) {
	to := netip.MustParsePrefix
	drop, partly := state.Verdict{}, state.Verdict{Partial: true}
	taken := func(protocol int, p [][2]uint16) state.Verdict {
		return state.Verdict{Accept: true, Protocol: protocol, Ports: p}
	}
	for name, test := range map[string]struct {
		rules string
		want  []state.Filter
	}{
		"no chain that drops": {"table inet t { chain c { type filter hook input priority 0; tcp dport 22 accept; }; }", nil},
		"lvsform's own":       {"table inet lvsform { chain c { type filter hook input priority 0; policy drop; }; }", nil},
		"a sleeping table":    {"table inet t { flags dormant; chain c { type filter hook input priority 0; policy drop; }; }", nil},
		"a policy, and what it lets through": {
			`table inet t { set web { type inet_service; flags interval; elements = { 80, 443, 8000-8100 }; }
			chain c { type filter hook input priority 0; policy drop; iif lo accept; ct state established,related accept
			tcp dport 22 counter accept comment "ssh"; udp dport { 53, 5060-5061 } accept; tcp dport @web accept; tcp dport 90-99 accept; sctp dport != 9 accept; meta l4proto 112 accept; }; }`,
			[]state.Filter{{Family: "inet", Table: "t", Chain: "c", Hook: "input", Drops: true, Verdicts: []state.Verdict{
				{Accept: true, Partial: true, Replies: true}, {Accept: true, Partial: true, Replies: true}, taken(6, ports(22)), taken(17, [][2]uint16{{53, 53}, {5060, 5061}}),
				taken(6, [][2]uint16{{80, 80}, {443, 443}, {8000, 8100}}), taken(6, [][2]uint16{{90, 99}}),
				taken(132, [][2]uint16{{0, 8}, {10, 65535}}), taken(112, nil)}}},
		},
		"destinations": {
			`table inet t { chain c { type filter hook forward priority 0; ip daddr 192.0.2.0/25 drop; ip daddr 10.0.0.0/8 tcp dport 80 reject; ip6 daddr 2001:db8::/33 drop; ip daddr 192.0.2.200 drop; meta nfproto ipv6 drop; ip daddr != 10.0.0.1 drop; }; }`,
			[]state.Filter{{Family: "inet", Table: "t", Chain: "c", Hook: "forward", Verdicts: []state.Verdict{
				{To: to("192.0.2.0/25")}, {Protocol: 6, Ports: ports(80), To: to("10.0.0.0/8")}, {To: to("2001:db8::/33")},
				{To: to("192.0.2.200/32")}, {To: to(anyV6)}, {To: to(anyV4), Partial: true}}}},
		},
		"what follows a rule for everything is left out": {
			`table ip t { chain c { type filter hook output priority 0; tcp dport 22 accept; drop; tcp dport 80 accept; }; }`,
			[]state.Filter{{Family: "ip", Table: "t", Chain: "c", Hook: "output", Verdicts: []state.Verdict{taken(6, ports(22)), drop}}},
		},
		"jumps": {
			`table ip t { chain web { tcp dport 80 accept; ip daddr 10.0.0.0/8 return; udp dport 53 accept; tcp dport 443 accept; }
			chain never { drop; }
			chain rest { tcp dport 1 accept; drop; }
			chain c { type filter hook input priority 0; ip protocol tcp jump web; tcp dport 25 accept; udp dport 9 goto never; jump rest; accept; }; }`,
			[]state.Filter{{Family: "ip", Table: "t", Chain: "c", Hook: "input", Verdicts: []state.Verdict{
				taken(6, ports(80)), {Accept: true, Protocol: 6, Ports: ports(443), Partial: true}, taken(6, ports(25)),
				{Protocol: 17, Ports: ports(9)}, taken(6, ports(1)), drop}}},
		},
		"verdict maps": {
			`table ip6 t { chain ssh { ip6 saddr fd00::/8 accept; }
			chain c { type filter hook input priority 0; policy drop; ct state vmap { established : accept, invalid : drop }; tcp dport vmap { 22 : jump ssh, 80-81 : accept }; }; }`,
			[]state.Filter{{Family: "ip6", Table: "t", Chain: "c", Hook: "input", Drops: true, Verdicts: []state.Verdict{
				{Partial: true}, {Accept: true, Partial: true, Replies: true}, {Accept: true, Protocol: 6, Ports: ports(22), Partial: true},
				{Accept: true, Protocol: 6, Ports: [][2]uint16{{80, 81}}}}}},
		},
		"what is not understood": {
			`table inet t { chain c { type filter hook prerouting priority 0; limit rate 1/second accept; fib daddr type local drop; tcp flags syn drop; th dport 5 limit rate 1/second drop; }; }`,
			[]state.Filter{{Family: "inet", Table: "t", Chain: "c", Hook: "prerouting", Verdicts: []state.Verdict{
				{Accept: true, Partial: true}, partly, {Protocol: 6, Partial: true}, {Ports: ports(5), Partial: true}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			enter(t, "ip link set lo up\nnft -f - <<'END'\n"+test.rules+"\nEND\n")
			k := kernel.New()
			defer k.Close()
			f, err := k.Facts(true)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, f.Filters, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("%s\n%s", diff, shell(t, "nft --debug=netlink list ruleset"))
			}
		})
	}
}

func TestFactsAreBounded(t *testing.T) {
	enter(t, `ip link set lo up
{ echo "table inet t { chain c { type filter hook input priority 0; policy drop;"; seq 1 3000 | sed 's/.*/tcp dport & accept/'; echo "}; }"; } | nft -f -
`)
	k := kernel.New()
	defer k.Close()
	f, err := k.Facts(true)
	if err != nil || len(f.Filters) != 1 {
		t.Fatalf("%v, %v", f.Filters, err)
	}
	verdicts := f.Filters[0].Verdicts
	if len(verdicts) > 1001 || !verdicts[len(verdicts)-1].Partial {
		t.Errorf("%d verdicts, the last %+v", len(verdicts), verdicts[len(verdicts)-1])
	}
}
