package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// LedgerVersion is the format of Ledger that this code reads and writes.
const LedgerVersion = 1

// Ledger is what a host remembers of the topologies that use it: for each
// claimed kernel object the value before the first claim, and the claims.
type Ledger struct {
	Version int `json:"version"`
	// Members are the host names of every topology that has claims here, as
	// of its last apply; sorted.
	Members map[string][]string `json:"members,omitempty"`
	// Transient are the topologies whose objects are not put back after a
	// reboot; sorted.
	Transient []string `json:"transient,omitempty"`
	// Modules are those that a topology needs, by topology; sorted by name. They
	// are claimed by nobody, for they are never unloaded, and loaded at boot.
	Modules map[string][]Module `json:"modules,omitempty"`
	// Last are the tokens of the newest transactions that wrote the ledger, the
	// last one first.
	Last    []string `json:"last,omitempty"`
	Entries []Entry  `json:"entries,omitempty"` // sorted by key
}

// Entry is one claimed kernel object.
type Entry struct {
	// Before is the object as it was before the first claim; nil when it did
	// not exist.
	Before Boxed `json:"before"`
	// Claims are sorted by topology; there is one for each.
	Claims []Claim `json:"claims"`
}

// Claim says that a topology wants an object to have a value.
type Claim struct {
	Topology string `json:"topology"`
	// Addresses are the configuration addresses that declare the object, sorted.
	Addresses []string `json:"addresses"`
	Value     Boxed    `json:"value"`
	// Sensitive names the attributes of Value that are not to be shown, sorted:
	// also when the configuration that said so is gone.
	Sensitive []string `json:"sensitive,omitempty"`
	// Draining: Value has the weight 0 for a drain alone, because the topology
	// is about to delete the destination or to change its way of forwarding.
	Draining bool `json:"draining,omitempty"`
	// Loose: the configuration leaves attributes of the object to others, so
	// that a restoration leaves it alone where it is live.
	Loose bool `json:"loose,omitempty"`
}

// Key is the key of the claimed object.
func (e Entry) Key() Key { return e.Claims[0].Value.Key() }

// Claim returns the claim of a topology.
func (e Entry) Claim(topology string) (Claim, bool) {
	i := slices.IndexFunc(e.Claims, func(c Claim) bool { return c.Topology == topology })
	if i < 0 {
		return Claim{}, false
	}
	return e.Claims[i], true
}

// SetModules returns the ledger with the modules that a topology needs; l stays
// as it is.
func (l Ledger) SetModules(topology string, modules []Module) Ledger {
	l.Modules = maps.Clone(l.Modules)
	delete(l.Modules, topology)
	if len(modules) > 0 {
		if l.Modules == nil {
			l.Modules = map[string][]Module{}
		}
		l.Modules[topology] = modules
	}
	if len(l.Modules) == 0 {
		l.Modules = nil
	}
	return l
}

// Persists tells whether what a topology has claimed is put back after a reboot.
func (l Ledger) Persists(topology string) bool {
	_, not := slices.BinarySearch(l.Transient, topology)
	return !not
}

// Lasting tells whether any topology on the host persists.
func (l Ledger) Lasting() bool {
	for name := range l.Members {
		if l.Persists(name) {
			return true
		}
	}
	return false
}

// SetTransient returns the ledger with the persistence of a topology set; l
// stays as it is.
func (l Ledger) SetTransient(topology string, transient bool) Ledger {
	i, is := slices.BinarySearch(l.Transient, topology)
	switch {
	case transient && !is:
		l.Transient = slices.Insert(slices.Clone(l.Transient), i, topology)
	case !transient && is:
		l.Transient = slices.Delete(slices.Clone(l.Transient), i, i+1)
	}
	if len(l.Transient) == 0 {
		l.Transient = nil
	}
	return l
}

// ByKey indexes the entries.
func (l Ledger) ByKey() map[Key]Entry {
	m := make(map[Key]Entry, len(l.Entries))
	for _, e := range l.Entries {
		m[e.Key()] = e
	}
	return m
}

// ClaimChange records or drops one claim.
type ClaimChange struct {
	Claim Claim `json:"claim"`
	// Before is the live object when the claim is recorded; it is kept only
	// with the first claim on the object.
	Before Boxed `json:"before"`
	Drop   bool  `json:"drop,omitempty"` // Claim.Value then only tells the key
}

// Update returns the ledger with the claims changed; l stays as it is. An entry
// goes with its last claim.
func (l Ledger) Update(changes []ClaimChange) Ledger {
	entries := l.ByKey()
	for _, c := range changes {
		key := c.Claim.Value.Key()
		e, ok := entries[key]
		if !ok {
			e.Before = c.Before
		}
		claims := make([]Claim, 0, len(e.Claims)+1)
		for _, o := range e.Claims {
			if o.Topology != c.Claim.Topology {
				claims = append(claims, o)
			}
		}
		if !c.Drop {
			i := 0
			for i < len(claims) && claims[i].Topology < c.Claim.Topology {
				i++
			}
			claims = slices.Insert(claims, i, c.Claim)
		}
		e.Claims = claims
		entries[key] = e
	}
	out := Ledger{Version: LedgerVersion, Members: l.Members, Transient: l.Transient, Modules: l.Modules, Last: l.Last}
	for _, e := range entries {
		if len(e.Claims) > 0 {
			out.Entries = append(out.Entries, e)
		}
	}
	sortByKey(out.Entries)
	return out
}

// ledgerJSON is the ledger as it is written: objects in Objects' compact form,
// so that a table of ten thousand destinations is read and written quickly.
type ledgerJSON struct {
	Version    int                   `json:"version"`
	Members    map[string][]string   `json:"members,omitempty"`
	Transient  []string              `json:"transient,omitempty"`
	Modules    map[string][]Module   `json:"modules,omitempty"`
	Last       []string              `json:"last,omitempty"`
	Before     Objects               `json:"before"`
	Topologies map[string]claimsJSON `json:"topologies"`
}

type claimsJSON struct {
	Values    Objects             `json:"values"`
	Addresses map[string][]string `json:"addresses"` // by Key.String
	Sensitive map[string][]string `json:"sensitive,omitempty"`
	Draining  []string            `json:"draining,omitempty"` // by Key.String
	Loose     []string            `json:"loose,omitempty"`    // by Key.String
}

// MarshalJSON writes the claims topology by topology.
func (l Ledger) MarshalJSON() ([]byte, error) {
	j := ledgerJSON{Version: l.Version, Members: l.Members, Transient: l.Transient, Modules: l.Modules, Last: l.Last, Before: Objects{}, Topologies: map[string]claimsJSON{}}
	for _, e := range l.Entries {
		if e.Before.Object != nil {
			j.Before = append(j.Before, e.Before.Object)
		}
		key := e.Key().String()
		for _, c := range e.Claims {
			t, ok := j.Topologies[c.Topology]
			if !ok {
				t.Addresses, t.Sensitive = map[string][]string{}, map[string][]string{}
			}
			t.Values = append(t.Values, c.Value.Object)
			t.Addresses[key] = c.Addresses
			if len(c.Sensitive) > 0 {
				t.Sensitive[key] = c.Sensitive
			}
			if c.Draining {
				t.Draining = append(t.Draining, key)
			}
			if c.Loose {
				t.Loose = append(t.Loose, key)
			}
			j.Topologies[c.Topology] = t
		}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote, strictly.
func (l *Ledger) UnmarshalJSON(b []byte) error {
	var j ledgerJSON
	if err := strict(b, &j); err != nil {
		return err
	}
	before := j.Before.ByKey()
	entries := map[Key]*Entry{}
	for _, name := range slices.Sorted(maps.Keys(j.Topologies)) {
		t := j.Topologies[name]
		draining, loose := setOf(t.Draining), setOf(t.Loose)
		for _, value := range t.Values {
			key := value.Key()
			text := key.String()
			addresses := t.Addresses[text]
			if len(addresses) == 0 {
				return fmt.Errorf("state: ledger: the claim of %q on %s has no address", name, key)
			}
			e := entries[key]
			if e == nil {
				e = &Entry{Before: Boxed{before[key]}}
				entries[key] = e
			}
			e.Claims = append(e.Claims, Claim{Topology: name, Addresses: addresses, Value: Boxed{value},
				Sensitive: t.Sensitive[text], Draining: draining[text], Loose: loose[text]})
		}
	}
	*l = Ledger{Version: j.Version, Members: j.Members, Transient: j.Transient, Modules: j.Modules, Last: j.Last}
	for _, e := range entries {
		l.Entries = append(l.Entries, *e)
	}
	sortByKey(l.Entries)
	return nil
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}
