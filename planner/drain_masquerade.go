package planner

import (
	"github.com/lvsform/lvsform/state"
)

// masqueradeDrain goes before the removal of a masquerade whose service stays:
// new connections keep their source, and those that were given another one get
// the time to end, for the kernel forgets them with the masquerade. false: the
// change is none.
func (b *builder) masqueradeDrain(c Change) (Change, bool) {
	m, ok := c.Before.(state.Masquerade)
	if !ok || c.Action != Delete || m.Port == 0 {
		return Change{}, false
	}
	service := MasqueradedService(m)
	if b.hosts[c.Host].table(b.plan.Topology, state.Key{Kind: state.KindService, ID: service.String()}) == nil || b.in.Destroy {
		return Change{}, false
	}
	idle := m
	idle.Idle = true
	return Change{ID: c.Host + ":drain " + m.Key().String(), Addresses: c.Addresses, Host: c.Host, Action: Update,
		Before: m, After: idle, Claim: b.drainClaim(c.Host, idle), Sensitive: c.Sensitive,
		Drain: max(b.drainTimeout(c.Host, service), momentary), partly: true}, true
}

// MasqueradedService is the service of whose connections a masquerade for one
// port changes the source.
func MasqueradedService(m state.Masquerade) state.ServiceID {
	family := "ipv6"
	if m.VIP.Is4() {
		family = "ipv4"
	}
	return state.ServiceID{Protocol: m.Protocol, Address: m.VIP, Port: m.Port, Family: family}
}
