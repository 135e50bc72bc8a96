package planner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lvsform/lvsform/state"
)

// changeJSON is Change as documented in docs/cli.md.
type changeJSON struct {
	ID              string              `json:"id"`
	Address         string              `json:"address"`
	Addresses       []string            `json:"addresses"`
	Host            string              `json:"host"`
	Kind            state.Kind          `json:"kind"`
	Actions         []string            `json:"actions"`
	Key             string              `json:"key"`
	Before          json.RawMessage     `json:"before"`
	After           json.RawMessage     `json:"after"`
	BeforeSensitive map[string]bool     `json:"before_sensitive"`
	AfterSensitive  map[string]bool     `json:"after_sensitive"`
	Hazards         []Hazard            `json:"hazards"`
	AfterIDs        []string            `json:"after_ids"`
	Wave            Wave                `json:"wave"`
	Stage           int                 `json:"stage"`
	Announce        bool                `json:"announce,omitempty"`
	DrainTimeout    string              `json:"drain_timeout,omitempty"` // as time.Duration writes it
	Connections     *int                `json:"connections,omitempty"`
	Drained         []state.Destination `json:"drained,omitempty"`
	Gives           []state.ServiceID   `json:"gives,omitempty"`
	Claim           *state.ClaimChange  `json:"claim,omitempty"`
}

// MarshalJSON writes the change as plan JSON has it.
func (c Change) MarshalJSON() ([]byte, error) {
	j := changeJSON{
		ID: c.ID, Address: c.Address(), Addresses: c.Addresses, Host: c.Host, Kind: c.Key().Kind,
		Actions: c.Action.Actions(), Key: c.Key().ID,
		Hazards: nonNil(c.Hazards), AfterIDs: nonNil(c.AfterIDs),
		Wave: c.Wave, Stage: c.Stage, Announce: c.Announce, Claim: c.Claim,
		Drained: c.Drained, Gives: c.Gives,
	}
	if c.Drain > 0 {
		j.DrainTimeout, j.Connections = c.Drain.String(), c.Connections
	}
	if c.redacted {
		j.Claim = nil
	}
	var err error
	if j.Before, j.BeforeSensitive, err = c.side(c.Before); err != nil {
		return nil, err
	}
	if j.After, j.AfterSensitive, err = c.side(c.After); err != nil {
		return nil, err
	}
	return json.Marshal(j)
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// side encodes one side of the change and names its sensitive attributes.
func (c Change) side(o state.Object) (json.RawMessage, map[string]bool, error) {
	sensitive := map[string]bool{}
	if o == nil {
		return json.RawMessage("null"), sensitive, nil
	}
	passwords := slices.Contains(c.Sensitive, SensitivePasswords)
	if config, ok := o.(state.Config); ok && passwords && c.redacted {
		masked := Masked(config)
		sensitive[SensitiveText] = masked != config.Text
		config.Text = masked
		raw, err := json.Marshal(config)
		return raw, sensitive, err
	}
	raw, err := json.Marshal(o)
	if err != nil || len(c.Sensitive) == 0 {
		return raw, sensitive, err
	}
	if passwords {
		sensitive[SensitivePasswords] = true
		return raw, sensitive, err
	}
	var attrs map[string]json.RawMessage
	if err := json.Unmarshal(raw, &attrs); err != nil {
		return nil, nil, err
	}
	for _, name := range c.Sensitive {
		if _, ok := attrs[name]; ok {
			sensitive[name] = true
			if c.redacted {
				attrs[name] = json.RawMessage("null")
			}
		}
	}
	raw, err = json.Marshal(attrs)
	return raw, sensitive, err
}

// UnmarshalJSON reads what MarshalJSON wrote for an unredacted change.
func (c *Change) UnmarshalJSON(b []byte) error {
	var j changeJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return err
	}
	*c = Change{ID: j.ID, Addresses: j.Addresses, Host: j.Host, Hazards: j.Hazards, AfterIDs: j.AfterIDs,
		Wave: j.Wave, Stage: j.Stage, Announce: j.Announce, Claim: j.Claim, Connections: j.Connections,
		Drained: j.Drained, Gives: j.Gives}
	if j.DrainTimeout != "" {
		var err error
		if c.Drain, err = time.ParseDuration(j.DrainTimeout); err != nil || c.Drain <= 0 {
			return fmt.Errorf("change %s: drain_timeout %q", j.ID, j.DrainTimeout)
		}
	}
	switch {
	case slices.Equal(j.Actions, Replace.Actions()):
		c.Action = Replace
	case len(j.Actions) == 1:
		c.Action = Action(j.Actions[0])
	}
	if !slices.Contains([]Action{Create, Update, Replace, Delete, Adopt, Forget}, c.Action) {
		return fmt.Errorf("change %s: unknown actions %q", j.ID, j.Actions)
	}
	for _, side := range []struct {
		raw json.RawMessage
		to  *state.Object
	}{{j.Before, &c.Before}, {j.After, &c.After}} {
		if len(side.raw) == 0 || string(side.raw) == "null" {
			continue
		}
		boxed, err := json.Marshal(map[state.Kind]json.RawMessage{j.Kind: side.raw})
		if err != nil {
			return err
		}
		var x state.Boxed
		if err := json.Unmarshal(boxed, &x); err != nil {
			return fmt.Errorf("change %s: %w", j.ID, err)
		}
		*side.to = x.Object
	}
	for name := range j.BeforeSensitive {
		c.Sensitive = append(c.Sensitive, name)
	}
	for name := range j.AfterSensitive {
		if !slices.Contains(c.Sensitive, name) {
			c.Sensitive = append(c.Sensitive, name)
		}
	}
	slices.Sort(c.Sensitive)
	return c.validate()
}

// validate refuses a change that apply could not execute.
func (c *Change) validate() error {
	if c.Before == nil && c.After == nil {
		return fmt.Errorf("change %s: no object", c.ID)
	}
	if c.Before != nil && c.After != nil && c.Before.Key() != c.After.Key() {
		return fmt.Errorf("change %s: its sides are different objects", c.ID)
	}
	if (c.Before == nil) != (c.Action == Create) || (c.After == nil) != (c.Action == Delete) {
		return fmt.Errorf("change %s: what is before and after it is no %s", c.ID, c.Action)
	}
	if len(c.Addresses) == 0 || c.Host == "" || c.ID == "" {
		return fmt.Errorf("change %q: address, host or id missing", c.ID)
	}
	if c.Stage < 0 {
		return fmt.Errorf("change %s: stage %d out of range", c.ID, c.Stage)
	}
	return nil
}
