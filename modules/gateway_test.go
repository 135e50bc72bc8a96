package modules_test

import (
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// An earlier default route is changed, not doubled, and remembered for destroy.
func TestNatReplacesTheEarlierGateway(t *testing.T) {
	for name, tc := range map[string]struct {
		vip, arguments, host, earlier string
	}{
		"IPv4": {"192.0.2.99", four, "rs1", "10.0.0.253"},
		"IPv6": {"2001:db8:1::99", six, "rs6", "2001:db8::fd"},
	} {
		t.Run(name, func(t *testing.T) {
			topo, diags := loadModule(t, "nat", "vip = \""+tc.vip+"\"\nport = 80"+tc.arguments)
			if len(diags) > 0 {
				t.Fatalf("findings: %+v", diags)
			}
			live := bareHosts(t, topo)
			via := netip.MustParseAddr(tc.earlier)
			route := state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: state.TableMain, Via: via, Device: "nic", Scope: "global", Protocol: 3}
			if via.Is6() {
				route.To, route.Metric, route.Scope = netip.MustParsePrefix("::/0"), 1024, ""
			}
			rs := live[tc.host]
			rs.Objects = append(rs.Objects, route)
			live[tc.host] = rs
			p := planner.Build(planner.Input{Topology: topo, Live: live})
			for _, c := range p.Changes {
				if c.Host == tc.host && c.Key().Kind == state.KindRoute {
					if c.Action != planner.Update || c.Before != state.Object(route) || c.Claim.Before.Object != state.Object(route) {
						t.Errorf("%s %s from %+v, remembering %+v; want an update from %+v", c.Action, c.Key(), c.Before, c.Claim.Before.Object, route)
					}
					return
				}
			}
			t.Error("the route is not planned")
		})
	}
}
