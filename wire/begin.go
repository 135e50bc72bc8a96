package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lvsform/lvsform/state"
)

// beginJSON is Begin as it is sent: the objects of all steps in the compact form
// of state.Objects, and beside them what a step adds to its object. The table of
// a large director then costs the agent little more than the kernel's work.
type beginJSON struct {
	Topology string   `json:"topology"`
	Members  []string `json:"members"`

	Transient bool           `json:"transient,omitempty"`
	Modules   []state.Module `json:"modules,omitempty"`
	Token     string         `json:"token,omitempty"`
	Confirm   time.Duration  `json:"confirm,omitempty"` // in ns

	Before state.Objects `json:"before"` // of the changes
	After  state.Objects `json:"after"`
	// Values are claimed values that are not the change's After, Found the
	// objects before a first claim that are not its Before.
	Values state.Objects `json:"values"`
	Found  state.Objects `json:"found"`
	Steps  []stepJSON    `json:"steps"`
}

type stepJSON struct {
	ID        string   `json:"id"`
	Key       string   `json:"key"`              // state.Key.String
	Change    bool     `json:"change,omitempty"` // the object changes, not its claim alone
	Claim     string   `json:"claim,omitempty"`  // record or drop
	Addresses []string `json:"addresses,omitempty"`
	Sensitive []string `json:"sensitive,omitempty"`
	Draining  bool     `json:"draining,omitempty"`
	Loose     bool     `json:"loose,omitempty"`
	Announce  bool     `json:"announce,omitempty"`
	Gives     []string `json:"gives,omitempty"` // by ServiceID.String
}

// MarshalJSON refuses two steps on one object, and claims of another topology.
func (b Begin) MarshalJSON() ([]byte, error) {
	j := beginJSON{Topology: b.Topology, Members: b.Members, Transient: b.Transient, Modules: b.Modules, Token: b.Token, Confirm: b.Confirm, Steps: make([]stepJSON, 0, len(b.Steps))}
	for _, s := range b.Steps {
		if err := j.add(s); err != nil {
			return nil, err
		}
	}
	return json.Marshal(j)
}

func (j *beginJSON) add(s Step) error {
	out := stepJSON{ID: s.ID, Announce: s.Announce}
	for _, id := range s.Gives {
		out.Gives = append(out.Gives, id.String())
	}
	var before, after state.Object
	if s.Change != nil {
		out.Change, out.Key = true, s.Change.Key().String()
		before, after = s.Change.Before, s.Change.After
		appendSome(&j.Before, before)
		appendSome(&j.After, after)
	}
	if c := s.Claim; c != nil {
		value := c.Claim.Value.Object
		if value == nil || c.Claim.Topology != j.Topology {
			return fmt.Errorf("wire: step %s: claim of topology %q without a value, or in a transaction of %q", s.ID, c.Claim.Topology, j.Topology)
		}
		out.Claim, out.Key, out.Addresses = "record", value.Key().String(), c.Claim.Addresses
		out.Sensitive, out.Draining, out.Loose = c.Claim.Sensitive, c.Claim.Draining, c.Claim.Loose
		if c.Drop {
			out.Claim = "drop"
		}
		if value != after {
			j.Values = append(j.Values, value)
		}
		if !c.Drop && c.Before.Object != before {
			appendSome(&j.Found, c.Before.Object)
		}
	}
	j.Steps = append(j.Steps, out)
	return nil
}

func appendSome(os *state.Objects, o state.Object) {
	if o != nil {
		*os = append(*os, o)
	}
}

// UnmarshalJSON reads what MarshalJSON wrote. For a dropped claim Before stays
// empty: nothing uses it.
func (b *Begin) UnmarshalJSON(raw []byte) error {
	var j beginJSON
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return err
	}
	sides := j.byKey()
	*b = Begin{Topology: j.Topology, Members: j.Members, Transient: j.Transient, Modules: j.Modules, Token: j.Token, Confirm: j.Confirm, Steps: make([]Step, 0, len(j.Steps))}
	for _, s := range j.Steps {
		x, ok := sides[s.Key]
		if !ok {
			return fmt.Errorf("wire: step %s: no object %s, or a second step on it", s.ID, s.Key)
		}
		delete(sides, s.Key)
		step, err := x.step(s, j.Topology)
		if err != nil {
			return err
		}
		b.Steps = append(b.Steps, step)
	}
	return nil
}

// sides is what is said about one object.
type sides struct{ before, after, value, found state.Object }

func (j *beginJSON) byKey() map[string]*sides {
	out := make(map[string]*sides, len(j.Steps))
	note := func(os state.Objects, set func(*sides, state.Object)) {
		for _, o := range os {
			key := o.Key().String()
			if out[key] == nil {
				out[key] = &sides{}
			}
			set(out[key], o)
		}
	}
	note(j.Before, func(x *sides, o state.Object) { x.before = o })
	note(j.After, func(x *sides, o state.Object) { x.after = o })
	note(j.Values, func(x *sides, o state.Object) { x.value = o })
	note(j.Found, func(x *sides, o state.Object) { x.found = o })
	return out
}

func (x *sides) step(s stepJSON, topology string) (Step, error) {
	out := Step{ID: s.ID, Announce: s.Announce}
	for _, text := range s.Gives {
		id, err := state.ParseServiceID(text)
		if err != nil {
			return out, fmt.Errorf("wire: step %s: %w", s.ID, err)
		}
		out.Gives = append(out.Gives, id)
	}
	if s.Change {
		if x.before == nil && x.after == nil {
			return out, fmt.Errorf("wire: step %s: a change without an object", s.ID)
		}
		out.Change = &state.Change{Before: x.before, After: x.after}
	}
	value := x.value
	if value == nil {
		value = x.after
	}
	switch s.Claim {
	case "":
	case "record", "drop":
		if value == nil || len(s.Addresses) == 0 {
			return out, fmt.Errorf("wire: step %s: a claim without a value or an address", s.ID)
		}
		out.Claim = &state.ClaimChange{Drop: s.Claim == "drop",
			Claim: state.Claim{Topology: topology, Addresses: s.Addresses, Value: state.Boxed{Object: value}, Sensitive: s.Sensitive,
				Draining: s.Draining, Loose: s.Loose}}
		if !out.Claim.Drop {
			out.Claim.Before = state.Boxed{Object: x.before}
			if x.found != nil {
				out.Claim.Before = state.Boxed{Object: x.found}
			}
		}
	default:
		return out, fmt.Errorf("wire: step %s: unknown claim %q", s.ID, s.Claim)
	}
	return out, nil
}
