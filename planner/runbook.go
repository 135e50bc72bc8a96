package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// Declared is one object that a host shall have.
type Declared struct {
	Object    state.Object
	Addresses []string // of the resources that declare it
	Sensitive bool     // sensitive values went into it
}

// Desired lists what a host shall have, managed or not, in the order in which an
// apply makes it on a host that has none of it.
func Desired(t *topology.Topology, host string) ([]Declared, error) {
	h := t.Host(host)
	switch {
	case h == nil:
		return nil, fmt.Errorf("the topology has no host %q", host)
	case h.Retired:
		return nil, fmt.Errorf("host %s is retired: nothing that is declared on it is to be there", host)
	}
	hosts, diags := declare(byHand(t))
	for _, d := range diags {
		if d.Host == host && d.Severity == topology.Error {
			return nil, fmt.Errorf("%s: %s", d.Summary, d.Detail)
		}
	}
	b := &builder{in: Input{Topology: t}, plan: &Plan{Topology: t.Name}, hosts: hosts}
	hp := hostPlanner{b: b, host: h, live: interfaces(h), want: hosts[host]}
	hp.settleDevices(hosts[host])
	return b.inOrder(host), nil
}

// interfaces are the addresses that a host has by its own administration.
func interfaces(h *topology.Host) map[state.Key]state.Object {
	out := map[state.Key]state.Object{}
	for _, nic := range h.Interfaces {
		for _, p := range nic.Addresses {
			a := state.Address{Device: nic.Name, IP: p}
			out[a.Key()] = a
		}
	}
	return out
}

// inOrder lists a host's objects by wave, then as they depend on each other.
func (b *builder) inOrder(host string) []Declared {
	role := b.roles()[host]
	type placed struct {
		Declared
		wave Wave
		rank int
	}
	var list []placed
	for key, w := range b.hosts[host] {
		c := Change{ID: host + ":" + key.String(), Host: host, Action: Create, After: w.object}
		list = append(list, placed{Declared{withoutSecrets(w), w.addresses, len(sensitive(w)) > 0}, role.wave(c), role.rank(c)})
	}
	slices.SortFunc(list, func(x, y placed) int {
		return cmp.Or(cmp.Compare(x.wave, y.wave), cmp.Compare(x.rank, y.rank), x.Object.Key().Compare(y.Object.Key()))
	})
	out := make([]Declared, len(list))
	for i, p := range list {
		out[i] = p.Declared
	}
	return out
}

// withoutSecrets is an object as it may be shown, where its type has a way to.
func withoutSecrets(w *want) state.Object {
	c, ok := w.object.(state.Config)
	switch {
	case !ok:
		return w.object
	case slices.Contains(sensitive(w), SensitiveText):
		c.Text = ""
	case len(sensitive(w)) > 0:
		c.Text = Masked(c)
	}
	return c
}

// argument writes a host's name as a shell takes it: rs["a"] has a meaning there.
func argument(name string) string {
	if strings.ContainsAny(name, "[\"") {
		return "'" + name + "'"
	}
	return name
}
