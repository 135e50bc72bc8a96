package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/remote"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// remoteHost is a host as apply needs it: a stage's changes become one
// transaction of the agent, confirmed over a connection of its own.
type remoteHost struct {
	machine
	fleet     *fleet
	topology  string
	transient bool
	modules   []state.Module // that it needs on the host
	members   []string       // of the topology
	within    time.Duration
	now       context.Context // ends when the run must end at once

	// proven: the session has outlived the changes made over it.
	proven bool
}

// hosts are the fleet's hosts as apply needs them; changes are to be confirmed
// within some time.
func (f *fleet) hosts(now context.Context, p *planner.Plan, members []string, within time.Duration) map[string]*remoteHost {
	out := map[string]*remoteHost{}
	for _, m := range f.connected() {
		out[m.name] = &remoteHost{machine: m, fleet: f, topology: p.Topology, transient: p.Transient, modules: p.Host(m.name).Modules, members: members, within: within, now: now, proven: true}
	}
	return out
}

// Apply implements apply.Host.
func (h *remoteHost) Apply(ctx context.Context, changes []planner.Change, done func(id string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.now, cancel)()
	if err := h.reconnect(ctx); err != nil {
		return err
	}
	begin := wire.Begin{Topology: h.topology, Transient: h.transient, Modules: h.modules, Members: h.members, Token: newToken(), Confirm: h.within, Steps: steps(changes)}
	if err := h.transact(ctx, begin, done); err != nil {
		return fmt.Errorf("%s: %w", h.name, applyError(err, secrets(changes)))
	}
	return nil
}

// transact makes changes and confirms them. When the connection is lost on the
// way, the host knows what became of them.
func (h *remoteHost) transact(ctx context.Context, b wire.Begin, done func(id string)) error {
	result, err := h.fleet.session(h.name).Begin(ctx, b, func(e wire.StepEvent) { done(e.ID) })
	var answer *wire.Error
	if err != nil && (errors.As(err, &answer) || !remote.Lost(err)) {
		return err
	}
	if err == nil && !result.Unconfirmed {
		return nil
	}
	if confirmed := h.confirm(ctx, b.Token, err == nil && networkAlone(b.Steps)); confirmed != nil {
		if err != nil {
			confirmed = fmt.Errorf("%w (%w)", confirmed, err)
		}
		return confirmed
	}
	h.proven = false
	return nil
}

// Connections implements apply.Host.
func (h *remoteHost) Connections(ctx context.Context, services []state.ServiceID) ([]state.Connections, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.now, cancel)()
	if err := h.reconnect(ctx); err != nil {
		return nil, err
	}
	return h.fleet.session(h.name).Connections(ctx, services)
}

// steps are changes as the agent takes them.
func steps(changes []planner.Change) []wire.Step {
	out := make([]wire.Step, len(changes))
	for i, c := range changes {
		out[i] = wire.Step{ID: c.ID, Claim: c.Claim, Announce: c.Announce, Gives: c.Gives}
		if change, ok := c.Object(); ok {
			out[i].Change = &change
		}
	}
	return out
}

// applyError says in apply's terms what became of a transaction. An answer that
// never came leaves that open: the agent ends what it has begun by itself.
func applyError(err error, secrets []string) error {
	text := redact(err.Error(), secrets)
	for _, known := range []error{apply.ErrRolledBack, apply.ErrBroken} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w%s", known, strings.TrimPrefix(text, known.Error()))
		}
	}
	var e *wire.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%w: no answer came, and the host ends the transaction by itself; a new plan shows how: %s", apply.ErrBroken, text)
	}
	switch e.Code {
	case wire.ErrorStale:
		return fmt.Errorf("%w: %s", apply.ErrStale, text)
	case wire.ErrorRolledBack:
		return fmt.Errorf("%w: %s", apply.ErrRolledBack, text)
	case wire.ErrorBroken:
		return fmt.Errorf("%w: %s", apply.ErrBroken, text)
	}
	return errors.New(text)
}

// secrets are the sensitive values of changes, in the forms in which a host's
// complaint may repeat them.
func secrets(changes []planner.Change) []string {
	var out []string
	add := func(value string) {
		quoted := strconv.Quote(value)
		out = append(out, value, quoted[1:len(quoted)-1], strings.Join(strings.Fields(value), " "))
	}
	for _, c := range changes {
		for _, o := range []state.Object{c.Before, c.After} {
			if o == nil {
				continue
			}
			if config, ok := o.(state.Config); ok {
				for _, word := range planner.Passwords(config) {
					add(word)
				}
			}
			if s, ok := o.(state.Sysctl); ok && slices.Contains(c.Sensitive, "value") {
				add(s.Value)
			}
			for _, a := range planner.Attributes(o) {
				if slices.Contains(c.Sensitive, a.Name) {
					add(strings.Trim(a.Value, `"`))
				}
			}
		}
	}
	// The longest first, so that none is torn by a shorter one.
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(out)
}

// redact blots values out of a text: short ones, such as numbers, where they
// stand as a word, others anywhere.
func redact(text string, values []string) string {
	for _, v := range values {
		if v == "" {
			continue
		}
		if len(v) >= 8 {
			text = strings.ReplaceAll(text, v, "(sensitive)")
			continue
		}
		word := regexp.MustCompile(`(^|[^0-9A-Za-z])` + regexp.QuoteMeta(v) + `($|[^0-9A-Za-z])`)
		for range 2 { // neighbours share the character between them
			text = word.ReplaceAllString(text, "${1}(sensitive)${2}")
		}
	}
	return text
}
