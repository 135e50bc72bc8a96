// Package restore brings a host back to what its ledger says.
package restore

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// Placed tells whether an agent's file is in a directory of its own, where it stays.
func Placed(executable string) bool { return filepath.Base(filepath.Dir(executable)) == "lvsform" }

// Wanted are the values that the topologies that persist have claimed, in the
// order in which they are made. Packages and the configurations of programs
// outlive a reboot, and services are started by the host's own init system: all
// of them are left out.
func Wanted(l state.Ledger) state.Objects {
	out := modules(l)
	for _, e := range l.Entries {
		switch e.Key().Kind {
		case state.KindPackage, state.KindConfig, state.KindUnit:
			continue
		}
		var value state.Object
		for _, c := range e.Claims {
			switch {
			case !l.Persists(c.Topology):
			case value == nil:
				value = c.Value.Object
			default:
				// Claims on one object agree; what one leaves open another may say.
				value = value.Resolve(c.Value.Object)
			}
		}
		if value != nil {
			out = append(out, value)
		}
	}
	slices.SortStableFunc(out, func(a, b state.Object) int { return cmp.Compare(rank(a), rank(b)) })
	return byService(out)
}

// Loose are the claimed objects with attributes that the configuration leaves to
// others: what an operator did to them is kept until the next boot.
func Loose(l state.Ledger) map[state.Key]bool {
	out := map[state.Key]bool{}
	for _, e := range l.Entries {
		if slices.ContainsFunc(e.Claims, func(c state.Claim) bool { return c.Loose && l.Persists(c.Topology) }) {
			out[e.Key()] = true
		}
	}
	return out
}

// modules are those of the topologies that persist, each once. Where two want a
// module with parameters the first by name has its way, as it had at its load.
func modules(l state.Ledger) (out state.Objects) {
	found := map[string]state.Module{}
	for _, topology := range slices.Sorted(maps.Keys(l.Modules)) {
		for _, m := range l.Modules[topology] {
			if have, ok := found[m.Name]; l.Persists(topology) && (!ok || have.Parameters == "") {
				found[m.Name] = m
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[name])
	}
	return out
}

// byService puts every destination behind its service, so that the two are
// tried together.
func byService(sorted state.Objects) state.Objects {
	destinations := map[state.ServiceID]state.Objects{}
	for _, o := range sorted {
		if d, ok := o.(state.Destination); ok {
			destinations[d.Service] = append(destinations[d.Service], d)
		}
	}
	out := make(state.Objects, 0, len(sorted))
	var alone state.Objects // their services are not ours
	for _, o := range sorted {
		switch o := o.(type) {
		case state.Service:
			out = append(append(out, o), destinations[o.ServiceID]...)
			delete(destinations, o.ServiceID)
		case state.Destination: // the services have all been
			if _, left := destinations[o.Service]; left {
				alone = append(alone, o)
			}
		default:
			out = append(out, o)
		}
	}
	return append(out, alone...)
}

// rank orders what is made: what a thing rests on comes before it, and the
// settings that keep a real server silent before its VIP.
func rank(o state.Object) int {
	switch o := o.(type) {
	case state.Module:
		return 0
	case state.Link: // before the sysctls that come with it
		return 1
	case state.Sysctl:
		if hostWide(o.Name) {
			return 2
		}
		return 3
	case state.FOU:
		return 4
	case state.Address:
		return 5
	case state.Route:
		if !o.Via.IsValid() && o.NextHops == "" {
			return 6
		}
		return 7 // its gateway is reached by a direct route
	case state.Rule:
		return 8
	case state.Mark, state.Masquerade:
		return 9
	case state.Timeouts, state.Sync:
		return 10
	case state.Service:
		return 11
	}
	return 12 // destinations
}

// hostWide tells whether a sysctl sets others by the way, which are to be
// written after it.
func hostWide(name string) bool {
	switch name {
	case "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.all.disable_ipv6":
		return true
	}
	return false
}

// Watched tells whether an object is put back whenever it is lost: the network,
// of which link flaps and the host's own network tool take things. The rest
// goes with the running kernel only, and is made at boot.
func Watched(o state.Object) bool { return WatchedKey(o.Key()) }

// WatchedKey is Watched of an object's key.
func WatchedKey(key state.Key) bool {
	switch key.Kind {
	case state.KindSysctl:
		return !strings.HasPrefix(key.ID, "net.ipv4.vs.") // those of the IPVS table
	case state.KindLink, state.KindFOU, state.KindAddress, state.KindRoute, state.KindRule:
		return true
	}
	return false
}

// isNetwork tells whether a change of the object may take others with it.
func isNetwork(o state.Object) bool {
	key := o.Key()
	return key.Kind != state.KindSysctl && WatchedKey(key)
}
