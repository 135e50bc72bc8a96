package state

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MarshalJSON writes an unset value as null.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.Set {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON reads null as unset.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = Opt[T]{}
		return nil
	}
	o.Set = true
	return json.Unmarshal(b, &o.Value)
}

// byKind holds objects in typed lists, and destinations as text below their
// service: a table of ten thousand is then read in one cheap pass.
type byKind struct {
	Packages     []Package    `json:"package,omitempty"`
	Modules      []Module     `json:"module,omitempty"`
	Sysctls      []Sysctl     `json:"sysctl,omitempty"`
	Links        []Link       `json:"link,omitempty"`
	FOUs         []FOU        `json:"fou,omitempty"`
	Addresses    []Address    `json:"address,omitempty"`
	Routes       []Route      `json:"route,omitempty"`
	Rules        []Rule       `json:"rule,omitempty"`
	Marks        []Mark       `json:"mark,omitempty"`
	Masquerades  []Masquerade `json:"masquerade,omitempty"`
	Timeouts     []Timeouts   `json:"ipvs_timeouts,omitempty"`
	Syncs        []Sync       `json:"ipvs_sync,omitempty"`
	Services     []Service    `json:"ipvs_service,omitempty"`
	Destinations destinations `json:"ipvs_destination,omitempty"`
	Configs      []Config     `json:"config,omitempty"`
	Units        []Unit       `json:"service,omitempty"`
}

// MarshalJSON writes the objects as one list for each kind, in their order;
// destinations are put together by service, one line of text each.
func (os Objects) MarshalJSON() ([]byte, error) {
	var k byKind
	for _, o := range os {
		switch o := o.(type) {
		case Package:
			k.Packages = append(k.Packages, o)
		case Module:
			k.Modules = append(k.Modules, o)
		case Sysctl:
			k.Sysctls = append(k.Sysctls, o)
		case Link:
			k.Links = append(k.Links, o)
		case FOU:
			k.FOUs = append(k.FOUs, o)
		case Address:
			k.Addresses = append(k.Addresses, o)
		case Route:
			k.Routes = append(k.Routes, o)
		case Rule:
			k.Rules = append(k.Rules, o)
		case Mark:
			k.Marks = append(k.Marks, o)
		case Masquerade:
			k.Masquerades = append(k.Masquerades, o)
		case Timeouts:
			k.Timeouts = append(k.Timeouts, o)
		case Sync:
			k.Syncs = append(k.Syncs, o)
		case Service:
			k.Services = append(k.Services, o)
		case Config:
			k.Configs = append(k.Configs, o)
		case Unit:
			k.Units = append(k.Units, o)
		case Destination:
			k.Destinations.add(o)
		default:
			return nil, fmt.Errorf("state: unknown object type %T", o)
		}
	}
	return json.Marshal(k)
}

// UnmarshalJSON reads what MarshalJSON wrote; the objects come ordered by kind.
// Unknown kinds and attributes are errors, as is a key that occurs twice.
func (os *Objects) UnmarshalJSON(b []byte) error {
	var k byKind
	if err := strict(b, &k); err != nil {
		return err
	}
	*os = nil
	appendAll(os, k.Packages)
	appendAll(os, k.Modules)
	appendAll(os, k.Sysctls)
	appendAll(os, k.Links)
	appendAll(os, k.FOUs)
	appendAll(os, k.Addresses)
	appendAll(os, k.Routes)
	appendAll(os, k.Rules)
	appendAll(os, k.Marks)
	appendAll(os, k.Masquerades)
	appendAll(os, k.Timeouts)
	appendAll(os, k.Syncs)
	appendAll(os, k.Services)
	if err := k.Destinations.appendTo(os); err != nil {
		return err
	}
	appendAll(os, k.Configs)
	appendAll(os, k.Units)
	seen := make(map[Key]bool, len(*os))
	for _, o := range *os {
		key := o.Key()
		if seen[key] {
			return fmt.Errorf("state: %s occurs twice", key)
		}
		seen[key] = true
	}
	return nil
}

func appendAll[T Object](os *Objects, list []T) {
	for _, o := range list {
		*os = append(*os, o)
	}
}

// Boxed is an object, or nil, that can stand in a JSON document by itself.
type Boxed struct{ Object }

// MarshalJSON writes {"KIND": {…}}, or null.
func (x Boxed) MarshalJSON() ([]byte, error) {
	if x.Object == nil {
		return []byte("null"), nil
	}
	return json.Marshal(map[Kind]Object{x.Key().Kind: x.Object})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (x *Boxed) UnmarshalJSON(b []byte) error {
	x.Object = nil
	if string(b) == "null" {
		return nil
	}
	var one map[Kind]json.RawMessage
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	if len(one) != 1 {
		return fmt.Errorf("state: want one object, have %d", len(one))
	}
	for kind, raw := range one {
		o, err := decode(kind, raw)
		if err != nil {
			return err
		}
		x.Object = o
	}
	return nil
}

func decode(kind Kind, raw []byte) (Object, error) {
	switch kind {
	case KindPackage:
		return decodeAs[Package](raw)
	case KindModule:
		return decodeAs[Module](raw)
	case KindSysctl:
		return decodeAs[Sysctl](raw)
	case KindLink:
		return decodeAs[Link](raw)
	case KindFOU:
		return decodeAs[FOU](raw)
	case KindAddress:
		return decodeAs[Address](raw)
	case KindRoute:
		return decodeAs[Route](raw)
	case KindRule:
		return decodeAs[Rule](raw)
	case KindMark:
		return decodeAs[Mark](raw)
	case KindMasquerade:
		return decodeAs[Masquerade](raw)
	case KindTimeouts:
		return decodeAs[Timeouts](raw)
	case KindSync:
		return decodeAs[Sync](raw)
	case KindService:
		return decodeAs[Service](raw)
	case KindDestination:
		return decodeAs[Destination](raw)
	case KindConfig:
		return decodeAs[Config](raw)
	case KindUnit:
		return decodeAs[Unit](raw)
	}
	return nil, fmt.Errorf("state: unknown kind %q", kind)
}

func decodeAs[T Object](raw []byte) (Object, error) {
	var o T
	err := strict(raw, &o)
	return o, err
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

type changeJSON struct {
	Before Boxed `json:"before"`
	After  Boxed `json:"after"`
}

// MarshalJSON writes both sides as Boxed does.
func (c Change) MarshalJSON() ([]byte, error) {
	return json.Marshal(changeJSON{Boxed{c.Before}, Boxed{c.After}})
}

// UnmarshalJSON refuses a change with no side, or with sides of two keys.
func (c *Change) UnmarshalJSON(b []byte) error {
	var j changeJSON
	if err := strict(b, &j); err != nil {
		return err
	}
	*c = Change{j.Before.Object, j.After.Object}
	switch {
	case c.Before == nil && c.After == nil:
		return fmt.Errorf("state: change without an object")
	case c.Before != nil && c.After != nil && c.Before.Key() != c.After.Key():
		return fmt.Errorf("state: change from %s to %s", c.Before.Key(), c.After.Key())
	}
	return nil
}
