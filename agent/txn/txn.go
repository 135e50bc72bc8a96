package txn

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Txn is what a transaction works with.
type Txn struct {
	Kernel Kernel
	// Token names the transaction in the ledger that Record gets.
	Token string
	// Prepare makes the transaction durable before its first change; if it
	// fails nothing is changed.
	Prepare func(Pending) error
	// Record makes the ledger durable. It is called once, last, and only when
	// objects or claims have changed; if it fails the changes are undone.
	Record func(state.Ledger) error
	// Stands tells whether the transaction that Prepare made durable is still
	// pending: a process that was held up while another took it back must not
	// change anything any more. nil: nobody can.
	Stands func() bool
	// Done hears of steps that were made, in order, many at a time.
	Done func(ids []string)
}

// Run makes the changes of b and records its claims in the ledger, or leaves
// the host as it was. The error is a *wire.Error: ErrorStale and ErrorFailed
// have changed nothing, ErrorRolledBack has restored everything, ErrorBroken
// has not.
func (t Txn) Run(ledger state.Ledger, b wire.Begin) error {
	r := newRun(t, b)
	if err := r.snapshot(); err != nil {
		return &wire.Error{Code: wire.ErrorFailed, Message: err.Error()}
	}
	if err := r.checkBefore(); err != nil {
		return err
	}
	if len(r.final) > 0 {
		if err := r.Prepare(Pending{Token: t.Token, Begin: b, Before: r.before}); err != nil {
			return &wire.Error{Code: wire.ErrorFailed, Message: err.Error()}
		}
	}
	failed, err := r.attempt(ledger, b)
	if err == nil {
		return nil
	}
	out := &wire.Error{Code: wire.ErrorRolledBack, Message: err.Error()}
	if errors.Is(err, errOvertaken) {
		return out // and the host is another's to restore
	}
	if failed >= 0 {
		out.Step = r.steps[failed].ID
	}
	if left := r.reconcile(); left != nil {
		out.Code = wire.ErrorBroken
		out.Message += "; the host could not be brought back: " + left.Error()
	}
	return out
}

// errOvertaken: somebody else has taken the transaction back.
var errOvertaken = errors.New("this transaction was taken back while it was held up")

// remembered is how many transactions a ledger tells apart from those that were
// taken back. Whoever asks does so within minutes.
const remembered = 16

// run is one transaction under way.
type run struct {
	Txn
	steps []wire.Step
	keys  []state.Key // of the steps' changes; zero for a claim alone
	// final is the last change of every touched key, as a step's index.
	final map[state.Key]int
	query Query

	before   state.Objects
	place    map[state.Key]int          // when an address of before is to be made
	expected map[state.Key]state.Object // what ought to be live by now
	// learned are the sysctls and links that came to be on the way (with a
	// module or a link), with the values that they came with.
	learned   map[state.Key]state.Object
	disturbed disturbance
	secret    map[state.Key]bool // what messages must not show
	given     []state.ServiceID  // that programs give up in this transaction
	freed     map[state.Key]bool // addresses that keepalived had, and that are made when it has given them up
}

func newRun(t Txn, b wire.Begin) *run {
	r := &run{
		Txn: t, steps: b.Steps, keys: make([]state.Key, len(b.Steps)),
		final: make(map[state.Key]int, len(b.Steps)), learned: map[state.Key]state.Object{},
		disturbed: newDisturbance(), secret: map[state.Key]bool{}, freed: map[state.Key]bool{},
	}
	for i, s := range r.steps {
		r.given = append(r.given, s.Gives...)
		if s.Claim != nil && len(s.Claim.Claim.Sensitive) > 0 {
			r.secret[s.Claim.Claim.Value.Key()] = true
		}
		if s.Change == nil {
			continue
		}
		key := s.Change.Key()
		r.keys[i] = key
		r.final[key] = i
		switch groupOf(key.Kind) {
		case groupModule:
			r.query.Modules = append(r.query.Modules, key.ID)
		case groupSysctl:
			r.query.Sysctls = append(r.query.Sysctls, key.ID)
		case groupPackage:
			r.query.Packages = append(r.query.Packages, key.ID)
		case groupUnit:
			r.query.Units = append(r.query.Units, key.ID)
		case groupNFT:
			r.query.NFT = true
		case groupConfig:
			r.query.Configs = true
		case groupNetwork:
			r.query.Network = true
		case groupIPVS:
			r.query.IPVS = true
		}
		r.query.Sysctls = append(r.query.Sysctls, sysctlsBeside(*s.Change)...)
		if sysctl, ok := s.Change.After.(state.Sysctl); ok && reachesNetwork(sysctl) {
			r.query.Network = true
		}
	}
	return r
}

// reachesNetwork tells whether a sysctl's change may cost addresses or routes.
func reachesNetwork(s state.Sysctl) bool {
	d := newDisturbance()
	d.add(state.Change{After: s})
	return d.ipv6
}

func (r *run) snapshot() error {
	host, err := r.Kernel.Read(r.query)
	if err != nil {
		return err
	}
	r.begin(host.Objects)
	return nil
}

// begin takes up what the host was before the transaction.
func (r *run) begin(before state.Objects) {
	r.before, r.expected = before, before.ByKey()
	r.place = map[state.Key]int{}
	for i, o := range r.before {
		if a, ok := o.(state.Address); ok {
			r.place[a.Key()] = i
			if a.IP.Addr().Is6() { // the kernel lists the newest first
				r.place[a.Key()] = -i
			}
		}
	}
}

// checkBefore compares every step's pre-image with the host, steps that came
// before it on the same object taken into account.
func (r *run) checkBefore() error {
	now := make(map[state.Key]state.Object, len(r.final))
	given, config := map[state.ServiceID]bool{}, false
	for i, s := range r.steps {
		for _, id := range s.Gives {
			given[id] = true
		}
		if s.Change == nil {
			continue
		}
		if s.Change.Before == nil && given[serviceOf(s.Change.After)] {
			// Whatever its program has made of it by now, it takes it away first.
			delete(r.expected, r.keys[i])
		}
		config = config || mayFree(s.Change.Before)
		if a, ok := s.Change.After.(state.Address); ok && s.Change.Before == nil && config && r.expected[a.Key()] != nil {
			r.freed[a.Key()] = true
			delete(r.expected, a.Key())
		}
		live, ok := now[r.keys[i]]
		if !ok {
			live = r.expected[r.keys[i]]
		}
		if !same(s.Change.Before, live) {
			return &wire.Error{Code: wire.ErrorStale, Step: s.ID, Message: fmt.Sprintf(
				"%s has changed since it was looked at: it was %s, it is %s; plan again",
				r.keys[i], r.describe(s.Change.Before), r.describe(live))}
		}
		now[r.keys[i]] = resolve(s.Change.After, live)
	}
	return nil
}

// attempt makes the changes, checks their effect and records the claims. On an
// error it returns the failed step's index too, or -1.
func (r *run) attempt(ledger state.Ledger, b wire.Begin) (failed int, err error) {
	failed = -1
	// A panic half way must not leave the host half changed.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal fault: %v", p)
		}
	}()
	var changes []state.Change
	for _, s := range r.steps {
		if s.Change != nil {
			changes = append(changes, *s.Change)
		}
	}
	release := r.hold(changes)
	failed, err = r.apply()
	release()
	if err != nil {
		return failed, err
	}
	if failed, err = r.checkAfter(); err != nil {
		return failed, err
	}
	if failed, err = r.announce(); err != nil {
		return failed, err
	}
	after := r.record(ledger, b)
	if len(r.final) == 0 && reflect.DeepEqual(after, ledger) {
		return -1, nil
	}
	after.Last = append([]string{r.Token}, ledger.Last...)
	after.Last = after.Last[:min(len(after.Last), remembered)]
	return -1, r.Record(after)
}

// checkAfter reads back and compares what every touched object has become.
func (r *run) checkAfter() (failed int, err error) {
	if len(r.final) == 0 {
		return -1, nil
	}
	host, err := r.Kernel.Read(r.query)
	if err != nil {
		return -1, err
	}
	live := host.Objects.ByKey()
	for i, s := range r.steps {
		if s.Change == nil || r.final[r.keys[i]] != i || r.gone(s.Change) {
			continue
		}
		have := live[r.keys[i]]
		if s.Change.After == nil && stays(s.Change.Before, have) {
			continue
		}
		if !same(s.Change.After, have) {
			return i, fmt.Errorf("%s took no effect: wanted %s, the kernel has %s",
				verb(*s.Change), r.describe(s.Change.After), r.describe(have))
		}
	}
	return -1, nil
}

func (r *run) announce() (failed int, err error) {
	for i, s := range r.steps {
		if !s.Announce || s.Change == nil || r.final[r.keys[i]] != i {
			continue
		}
		a, ok := s.Change.After.(state.Address)
		if !ok || s.Change.Before != nil && !s.Change.Replaces() {
			continue
		}
		if err := r.Kernel.Announce(a); err != nil {
			return i, fmt.Errorf("announce %s: %w", r.keys[i], err)
		}
	}
	return -1, nil
}

// record returns the ledger with the claims of all steps and the members.
func (r *run) record(ledger state.Ledger, b wire.Begin) state.Ledger {
	var claims []state.ClaimChange
	for _, s := range r.steps {
		if s.Claim == nil {
			continue
		}
		c := *s.Claim
		if c.Before.Object == nil && c.Claim.Value.Object != nil {
			// What came with its module or link had a value before it was
			// set, which nobody could know when the plan was made.
			c.Before.Object = r.learned[c.Claim.Value.Key()]
		}
		claims = append(claims, c)
	}
	after := ledger.Update(claims)
	after.Members = maps.Clone(ledger.Members)
	if after.Members == nil {
		after.Members = map[string][]string{}
	}
	if b.Topology != "" {
		after.Members[b.Topology] = b.Members
		after = after.SetTransient(b.Topology, b.Transient).SetModules(b.Topology, b.Modules)
	}
	return after
}

// same tells whether a wanted object, its open attributes resolved, is live.
func same(want, live state.Object) bool {
	if want == nil || live == nil {
		return want == nil && live == nil
	}
	return want.Resolve(live) == live
}

func resolve(want, live state.Object) state.Object {
	if want == nil {
		return nil
	}
	return want.Resolve(live)
}

// stays tells whether a deleted object is one of those that remain: a module
// is never unloaded and a package never removed, a sysctl keeps its value, a
// fallback link goes down.
func stays(before, live state.Object) bool {
	switch live := live.(type) {
	case state.Module, state.Sysctl, state.Package, state.Unit, state.Timeouts:
		return before.Key() == live.Key()
	case state.Link:
		return live.Fallback && !live.Up.Value
	}
	return false
}

func verb(c state.Change) string {
	switch {
	case c.Before == nil:
		return "create " + c.Key().String()
	case c.After == nil:
		return "delete " + c.Key().String()
	}
	return "update " + c.Key().String()
}

// describe writes an object for a message, unless a claim says that it holds
// something sensitive.
func (r *run) describe(o state.Object) string {
	if o == nil {
		return "absent"
	}
	if r.secret[o.Key()] {
		return "(sensitive)"
	}
	switch o := o.(type) {
	case state.Sysctl:
		return fmt.Sprintf("%q", o.Value)
	case state.Config: // it may hold passwords
		return fmt.Sprintf("a text of %d lines", strings.Count(o.Text, "\n"))
	}
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Sprintf("%+v", o)
	}
	return string(text)
}
