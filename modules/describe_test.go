package modules_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// declared lists what a plan on bare hosts creates, one line an object.
func declared(t *testing.T, topo *topology.Topology) []string {
	t.Helper()
	p := planner.Build(planner.Input{Topology: topo, Live: bareHosts(t, topo)})
	if p.Diagnostics.HasErrors() {
		t.Fatalf("findings: %+v", p.Diagnostics)
	}
	var lines []string
	for _, c := range p.Changes {
		if text := describeObject(c.After); text != "" {
			lines = append(lines, c.Host+" "+strings.TrimPrefix(c.Address(), "module.m.")+": "+text)
		}
	}
	return lines
}

// bareHosts have an interface with their address, and no sysctl as wanted.
func bareHosts(t *testing.T, topo *topology.Topology) map[string]planner.Live {
	t.Helper()
	live := map[string]planner.Live{}
	for host, names := range planner.Queries(topo) {
		address := topo.Host(host).Address
		bits := 24
		if address.Is6() {
			bits = 64
		}
		var l planner.Live
		for _, name := range names.Sysctls {
			l.Objects = append(l.Objects, state.Sysctl{Name: name, Value: "9"})
		}
		l.Objects = append(l.Objects, state.Address{Device: "nic", IP: netip.PrefixFrom(address, bits), Scope: "global"})
		live[host] = l
	}
	return live
}

// describeObject is one line about an object; "" for a kernel module.
func describeObject(o state.Object) string {
	var words []string
	add := func(condition bool, more ...string) {
		if condition {
			words = append(words, more...)
		}
	}
	switch o := o.(type) {
	case state.Sysctl:
		add(true, o.Name, "=", o.Value)
	case state.Address:
		add(true, "address", o.IP.String(), "on", o.Device)
		add(o.Label != "", "labelled", o.Label)
		add(o.Broadcast.IsValid(), "broadcast", o.Broadcast.String())
		add(o.NoDAD, "nodad")
		add(o.Deprecated, "deprecated")
	case state.Route:
		add(true, "route", o.To.String())
		add(o.Via.IsValid(), "via", o.Via.String())
		add(o.Device != "", "dev", o.Device)
		add(o.Table != state.TableMain, "table", strconv.Itoa(o.Table))
		add(o.AdvMSS > 0, "advmss", strconv.Itoa(o.AdvMSS))
	case state.Rule:
		add(true, "rule", strconv.Itoa(o.Priority), "from", o.From.String(), "table", strconv.Itoa(o.Table))
	case state.Link:
		add(true, "link", o.Name, o.Kind, o.Mode)
		add(o.Local.IsValid(), "local", o.Local.String())
		add(o.Up.Value, "up")
		add(o.MTU.Set, "mtu", strconv.Itoa(o.MTU.Value))
	case state.FOU:
		add(true, "fou", o.Family, strconv.Itoa(int(o.Port)), o.Protocol)
	case state.Masquerade:
		add(true, "masquerade", o.Protocol, netip.AddrPortFrom(o.VIP, o.Port).String(), "to", o.To.String())
		add(o.Source.IsValid(), "source", o.Source.String())
	case state.Service:
		add(true, "service", o.ServiceID.String(), o.Scheduler)
		add(o.SchedulerFlags != "", "flags", o.SchedulerFlags)
		add(o.Timeout > 0, "persistent", o.Timeout.String()+"/"+strconv.Itoa(o.Netmask))
	case state.Destination:
		add(true, "destination", netip.AddrPortFrom(o.Address, o.Port).String(), o.Forward, "weight", strconv.Itoa(o.Weight))
		add(o.TunnelType != "", o.TunnelType)
		add(o.TunnelPort > 0, strconv.Itoa(int(o.TunnelPort)), o.TunnelChecksum)
		add(o.Upper > 0, "thresholds", strconv.FormatUint(uint64(o.Upper), 10), strconv.FormatUint(uint64(o.Lower), 10))
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
