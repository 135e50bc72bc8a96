package check

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// managementAddress is where SSH connects, as far as it is an address.
func managementAddress(h *topology.Host) netip.Addr {
	if h.SSH.Address == "" {
		return h.Address
	}
	a, err := netip.ParseAddr(h.SSH.Address)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// managed are the hosts that are spoken to, by anybody, under an address.
func (w *world) managed(a netip.Addr) []*machine {
	if w.management == nil {
		w.management = map[netip.Addr][]*machine{}
		for _, name := range w.names {
			m := w.hosts[name]
			for _, own := range slices.Compact([]netip.Addr{m.host.Address, managementAddress(m.host)}) {
				if own.IsValid() && !own.IsLoopback() {
					w.management[own] = append(w.management[own], m)
				}
			}
		}
	}
	return w.management[a]
}

// cutOff looks for changes of what carries the run's own SSH connections.
func (w *world) cutOff() {
	for _, name := range w.names {
		m := w.hosts[name]
		own := managementAddress(m.host)
		if !own.IsValid() || own.IsLoopback() {
			continue
		}
		for _, c := range w.changes[name] {
			if what, severity := cuts(w, m, own, c); what != "" {
				w.reportAs(finding{id: "LVS022", host: name, object: c.Address,
					summary: fmt.Sprintf("A change on %s may cut off its SSH connection", name),
					detail: fmt.Sprintf("%s is managed under %s, and apply %s. Where that ends the connection, the change cannot be confirmed and the host goes back to what it was. Keep another way to the host at hand.",
						name, own, what),
					at: []topology.Range{w.declaring(m, c), m.host.Range}}, severity)
			}
		}
	}
}

// declaring is the place of the resource behind a change.
func (w *world) declaring(m *machine, c Change) topology.Range {
	for _, r := range m.resources {
		if r.Path == c.Address {
			return r.Range
		}
	}
	return topology.Range{}
}

// cuts says what a change does to the way of a host's SSH connection; "" where
// it has nothing to do with it. Whether a new default route is part of that way
// is known to the reader only.
func cuts(w *world, m *machine, own netip.Addr, c Change) (string, topology.Severity) {
	switch before := c.Before.(type) {
	case state.Address:
		if before.IP.Addr() == own && (c.After == nil || state.Change{Before: c.Before, After: c.After}.Replaces()) {
			return fmt.Sprintf("takes %s away from %s", before.IP, before.Device), topology.Warning
		}
	case state.Link:
		after, stays := c.After.(state.Link)
		carries := slices.ContainsFunc(m.addrs, func(a held) bool { return a.device == before.Name && a.ip.Addr() == own })
		if carries && (!stays || before.Up.Value && after.Up.Set && !after.Up.Value || (state.Change{Before: before, After: after}).Replaces()) {
			return fmt.Sprintf("takes the link %s down or away", before.Name), topology.Warning
		}
	case state.Rule:
		if c.After == nil && concernsRule(before, own) {
			return "deletes a policy-routing rule for it", topology.Warning
		}
	case state.Route:
		return cutsRoute(w, own, before, c.After)
	case nil:
		switch after := c.After.(type) {
		case state.Rule:
			if concernsRule(after, own) {
				return fmt.Sprintf("sends what comes from it to table %d", after.Table), topology.Warning
			}
		case state.Route:
			return cutsRoute(w, own, m.covered(after), after)
		}
	}
	return "", ""
}

// covered is the default route that a new one comes before, by its metric; the
// zero Route where there is none.
func (m *machine) covered(r state.Route) state.Route {
	if r.To.Bits() > 0 || r.Table != state.TableMain {
		return state.Route{}
	}
	for _, o := range m.routes[state.TableMain].to[r.To] {
		if o.metric > r.Metric {
			return state.Route{To: o.to, Table: state.TableMain, Via: o.via, Device: o.device, Type: o.kind}
		}
	}
	return state.Route{}
}

func concernsRule(r state.Rule, own netip.Addr) bool {
	return r.FWMark == 0 && (r.Family == "ipv4") == own.Is4() && !r.To.IsValid() && (!r.From.IsValid() || r.From.Contains(own))
}

func cutsRoute(w *world, own netip.Addr, before state.Route, to state.Object) (string, topology.Severity) {
	after, stays := to.(state.Route)
	same := stays && before.Via == after.Via && before.Device == after.Device && before.Type == after.Type
	switch {
	case same || before.Table != state.TableMain || before.To.Addr().Is4() != own.Is4():
		return "", ""
	case before.To.Bits() > 0 && !before.To.Contains(own) && before.Source != own:
		return "", ""
	case before.To.Bits() > 0:
		return fmt.Sprintf("changes the route to %s", before.To), topology.Warning
	case stays && w.hostOf(after.Via) != nil:
		return fmt.Sprintf("points its default route at %s instead of %s", after.Via, before.Via), topology.Info
	case stays:
		return fmt.Sprintf("points its default route at %s instead of %s", after.Via, before.Via), topology.Warning
	}
	return "deletes its default route", topology.Warning
}
