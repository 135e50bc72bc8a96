package agenttest

import (
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// Host is what a plain machine has: lo, and eth0 with 192.0.2.10/24 and a
// default route by 192.0.2.1.
func Host() []state.Object { return HostAt("192.0.2.10/24", "192.0.2.1") }

// HostAt is Host with another address and gateway; no gateway where it is "".
func HostAt(address, gateway string) []state.Object {
	ip := netip.MustParsePrefix(address)
	eth0 := state.Address{Device: "eth0", IP: ip, Scope: "global"}
	objects := []state.Object{
		state.Link{Name: "lo", Kind: "device", Up: state.Some(true), MTU: state.Some(65536)},
		state.Link{Name: "eth0", Kind: "device", Up: state.Some(true), MTU: state.Some(1500)},
		state.Address{Device: "lo", IP: netip.MustParsePrefix("127.0.0.1/8"), Scope: "host"},
		eth0,
	}
	if r, ok := connected(eth0); ok {
		objects = append(objects, r)
	}
	if gateway != "" {
		via := netip.MustParseAddr(gateway)
		everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		scope, metric := "global", 0
		if via.Is6() {
			everywhere, scope, metric = netip.PrefixFrom(netip.IPv6Unspecified(), 0), "", 1024
		}
		objects = append(objects, state.Route{To: everywhere, Table: state.TableMain, Metric: metric,
			Via: via, Device: "eth0", Scope: scope, Protocol: 3})
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		objects = append(objects,
			state.Rule{Family: family, Priority: 32766, Table: state.TableMain})
	}
	objects = append(objects,
		state.Rule{Family: "ipv4", Priority: 0, Table: state.TableLocal},
		state.Rule{Family: "ipv6", Priority: 0, Table: state.TableLocal},
		state.Rule{Family: "ipv4", Priority: 32767, Table: 253})
	return append(objects, sysctls()...)
}

func sysctls() []state.Object {
	objects := []state.Object{
		state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"},
		state.Sysctl{Name: "net.ipv4.ip_local_port_range", Value: "32768 60999"},
	}
	values := []struct{ name, value string }{
		{"accept_redirects", "1"}, {"arp_announce", "0"}, {"arp_ignore", "0"},
		{"forwarding", "0"}, {"rp_filter", "0"}, {"send_redirects", "1"},
	}
	for _, device := range []string{"all", "default", "lo", "eth0"} {
		for _, v := range values {
			objects = append(objects, state.Sysctl{Name: "net.ipv4.conf." + device + "." + v.name, Value: v.value})
		}
		objects = append(objects, state.Sysctl{Name: "net.ipv6.conf." + device + ".forwarding", Value: "0"})
	}
	return objects
}
