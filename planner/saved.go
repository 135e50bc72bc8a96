package planner

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// scope returns the live objects that a topology declares or claims on a host,
// and the destinations beside its own; sorted. They are what a plan rests on.
func scope(live Live, want desired, topologyName string) state.Objects {
	claims, kept := live.Ledger.ByKey(), kept(live.Objects)
	services := map[string]bool{}
	mine := func(o state.Object) bool {
		if kept[serviceID(o)] { // its program changes weights as servers die
			return false
		}
		key := o.Key()
		if c, ok := o.(state.Config); ok && c.Topology == "" { // with what lvsform has there
			c.Topology = topologyName
			_, claimed := claims[c.Key()].Claim(topologyName)
			return claimed || want[key] != nil || want[c.Key()] != nil
		}
		_, claimed := claims[key].Claim(topologyName)
		return claimed || want[key] != nil
	}
	for _, o := range live.Objects {
		if s, ok := o.(state.Service); ok && mine(s) {
			services[s.ServiceID.String()] = true
		}
	}
	out := state.Objects{}
	for _, o := range live.Objects {
		d, ok := o.(state.Destination)
		if mine(o) || ok && services[d.Service.String()] {
			out = append(out, o)
		}
	}
	out.Sort()
	return out
}

// digest is the SHA-256, in hex, of the observed objects, of the topology's
// claims on the host, and of other topologies' claims on the same objects: what
// becomes of an object depends on who else wants it.
func digest(observed state.Objects, l state.Ledger, topologyName string) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, o := range observed {
		enc.Encode(state.Boxed{Object: o}) //nolint:errcheck // a hash takes everything
	}
	keys := observed.ByKey()
	for _, e := range l.Entries {
		if _, mine := e.Claim(topologyName); mine || keys[e.Key()] != nil {
			enc.Encode(e.Claims) //nolint:errcheck
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Difference is one object that is not as it was when a plan was made.
type Difference struct {
	Host      string
	Key       state.Key
	Then, Now state.Object // nil: there was, or is, none
	// Ledger: the claims on the topology's objects changed; Key is then empty.
	Ledger bool
}

func (d Difference) String() string {
	if d.Ledger {
		return fmt.Sprintf("%s: the claims in its ledger are others", d.Host)
	}
	return fmt.Sprintf("%s: %s was %s, and is %s", d.Host, d.Key, Describe(d.Then), Describe(d.Now))
}

// Stale compares hosts with what the plan saw. Hosts that the plan could not
// read are left out.
func (p *Plan) Stale(live map[string]Live) []Difference {
	changed := map[string]map[state.Key]bool{}
	for _, c := range p.Changes {
		if changed[c.Host] == nil {
			changed[c.Host] = map[state.Key]bool{}
		}
		changed[c.Host][c.Key()] = true
	}
	var out []Difference
	for _, h := range p.Hosts {
		now, ok := live[h.Name]
		if !ok || h.Error != "" {
			continue
		}
		keys := desired{}
		for _, o := range h.Observed {
			keys[o.Key()] = &want{}
		}
		for key := range changed[h.Name] {
			keys[key] = &want{}
		}
		observed := scope(now, keys, p.Topology)
		used := map[state.Key]bool{}
		for _, o := range h.Facts {
			used[o.Key()] = true
		}
		facts := facts(now, used, observed)
		if digest(append(observed[:len(observed):len(observed)], facts...), now.Ledger, p.Topology) == h.Digest {
			continue
		}
		before := len(out)
		for _, c := range append(state.Diff(h.Observed, observed), state.Diff(h.Facts, facts)...) {
			out = append(out, Difference{Host: h.Name, Key: c.Key(), Then: c.Before, Now: c.After})
		}
		if len(out) == before {
			out = append(out, Difference{Host: h.Name, Ledger: true})
		}
	}
	return out
}

// magic begins a saved plan: it names the format, and the SHA-256 of the rest.
const magic = "lvsform-plan"

// Save writes the plan with everything that apply needs, secrets included.
func (p *Plan) Save(w io.Writer) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s %s %x\n", magic, FormatVersion, checksum(FormatVersion, body)); err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	return nil
}

// checksum covers the whole file but itself.
func checksum(version string, body []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(version+"\n"), body...))
}

// maxPlan is the largest saved plan that Open reads, in bytes.
const maxPlan = 1 << 30

// Open reads a saved plan and checks that it is whole.
func Open(r io.Reader) (*Plan, error) {
	in := bufio.NewReader(io.LimitReader(r, maxPlan))
	head, err := in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	fields := strings.Fields(head)
	if len(fields) != 3 || fields[0] != magic {
		return nil, errors.New("this is no saved plan: make one with `lvsform plan --out FILE`")
	}
	if major(fields[1]) != major(FormatVersion) {
		return nil, fmt.Errorf("the plan has format %s and this lvsform reads %s: make the plan again", fields[1], FormatVersion)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	if fmt.Sprintf("%x", checksum(fields[1], body)) != fields[2] {
		return nil, errors.New("the plan file is damaged: its checksum does not match; make the plan again")
	}
	p := &Plan{}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("the plan file cannot be read: %w", err)
	}
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("the plan file contradicts itself: %w", err)
	}
	return p, nil
}

func major(version string) string {
	m, _, _ := strings.Cut(version, ".")
	return m
}

// validate checks what the types cannot: unique ids, hosts that exist, stages
// in order.
func (p *Plan) validate() error {
	ids, hosts := map[string]bool{}, map[string]bool{}
	for _, h := range p.Hosts {
		hosts[h.Name] = true
	}
	stage := 0
	for _, c := range p.Changes {
		switch {
		case ids[c.ID]:
			return fmt.Errorf("change %s occurs twice", c.ID)
		case !hosts[c.Host]:
			return fmt.Errorf("change %s is on host %s, which the plan does not have", c.ID, c.Host)
		case c.Stage < stage:
			return fmt.Errorf("change %s is out of order", c.ID)
		}
		if i := slices.IndexFunc(c.AfterIDs, func(id string) bool { return !ids[id] }); i >= 0 {
			return fmt.Errorf("change %s waits for %s, which does not come before it", c.ID, c.AfterIDs[i])
		}
		ids[c.ID] = true
		stage = c.Stage
	}
	return nil
}
