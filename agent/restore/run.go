package restore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// passes bounds the tries of one restoration: a route may need what a later
// object brings, and an address may cost its routes, which the next pass makes.
const passes = 6

// Report is what became of a restoration.
type Report struct {
	Made []state.Key // put back, in the order in which they were made
	// Left is what is not as it should be, in the order of Wanted.
	Left []Failure
}

// Failure is one object that could not be put back, and why.
type Failure struct {
	Key state.Key
	Err error
	// Untried: it was lost when all else was over.
	Untried bool
	// Vain is the change of a live object that was tried and had no lasting
	// effect; zero: there is none.
	Vain state.Change
}

var (
	errUnstable = errors.New("it does not stay as it is put back")
	errOther    = errors.New("another link has that name now: remove it, or plan and apply")
	errWaits    = errors.New("it waits for the arp_ignore and arp_announce that are claimed: without them the host would answer for it")
)

// Task is what a restoration is to do.
type Task struct {
	Wanted state.Objects // in the order of the function Wanted
	// Loose are objects that are left as they are where they are live.
	Loose map[state.Key]bool
	// Vain are changes that came to nothing before, and are not tried again: each
	// try would change the network, and be the reason of the next.
	Vain map[state.Change]error
}

// Run puts back what is not live of the wanted objects. Objects do not depend on each other further than the kernel makes
// them: what fails is left, and the rest is made. Nothing else is touched: what
// a change takes along is put back with it. An error says that the host cannot
// be read.
func Run(k txn.Kernel, t Task) (Report, error) {
	r := run{Task: t, kernel: k, query: queryOf(t.Wanted), errs: map[state.Key]error{}}
	left, err := r.missing()
	var last []state.Change
	for range passes {
		if err != nil {
			return r.report, err
		}
		r.errs = map[state.Key]error{}
		r.apply(slices.DeleteFunc(slices.Clone(left), func(c state.Change) bool {
			r.errs[c.Key()] = r.Vain[c]
			return r.Vain[c] != nil
		}))
		last = left
		if left, err = r.missing(); slices.Equal(left, last) {
			break // no progress, or nothing to do
		}
	}
	gone := map[state.Key]bool{}
	for i, c := range left {
		key := c.Key()
		gone[key] = true
		failure := Failure{Key: key, Err: cmp.Or(r.errs[key], errUnstable),
			Untried: (i >= len(last) || last[i] != c) && !slices.Contains(last, c)}
		if c.Before != nil && !failure.Untried {
			failure.Vain = c
		}
		r.report.Left = append(r.report.Left, failure)
	}
	seen := map[state.Key]bool{}
	r.report.Made = slices.DeleteFunc(r.report.Made, func(key state.Key) bool {
		again := seen[key]
		seen[key] = true
		return again || gone[key]
	})
	return r.report, err
}

// run is one restoration under way.
type run struct {
	Task
	kernel txn.Kernel
	query  txn.Query
	errs   map[state.Key]error // of the last try
	report Report
}

func queryOf(wanted state.Objects) (q txn.Query) {
	for _, o := range wanted {
		switch o := o.(type) {
		case state.Module:
			q.Modules = append(q.Modules, o.Name)
		case state.Sysctl:
			q.Sysctls = append(q.Sysctls, o.Name)
		case state.Mark, state.Masquerade:
			q.NFT = true
		case state.Timeouts, state.Sync, state.Service, state.Destination:
			q.IPVS = true
		default:
			q.Network = true
		}
	}
	return q
}

// missing are the changes that the host lacks, in the order of wanted.
func (r *run) missing() ([]state.Change, error) {
	host, err := r.kernel.Read(r.query)
	if err != nil {
		return nil, err
	}
	live := host.Objects.ByKey()
	var out []state.Change
	for _, want := range r.Wanted {
		have := live[want.Key()]
		switch {
		case have == nil:
			out = append(out, state.Change{After: want})
		case r.Loose[want.Key()]:
		case rank(want) == 0: // a module keeps the parameters that it was loaded with
		case want.Resolve(have) != have:
			out = append(out, state.Change{Before: have, After: want.Resolve(have)})
		}
	}
	return out, nil
}

// apply tries all changes, group by group: the network's one by one, those of a
// virtual service together, others together by their kind.
func (r *run) apply(changes []state.Change) {
	silent := !slices.ContainsFunc(changes, func(c state.Change) bool { return c.Before != nil && keepsSilent(c.After) })
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && together(changes[0], changes[n]) {
			n++
		}
		switch c := changes[0]; {
		case isNetwork(c.After):
			r.one(c, silent)
		default:
			r.all(changes[:n])
		}
		changes = changes[n:]
	}
}

// keepsSilent tells whether a sysctl keeps a real server from answering ARP.
func keepsSilent(o state.Object) bool {
	s, ok := o.(state.Sysctl)
	return ok && strings.HasPrefix(s.Name, "net.ipv4.conf.") &&
		(strings.HasSuffix(s.Name, ".arp_ignore") || strings.HasSuffix(s.Name, ".arp_announce"))
}

// together tells whether two changes that follow each other are tried in one go.
func together(a, b state.Change) bool {
	x, y := serviceOf(a.After), serviceOf(b.After)
	return !isNetwork(a.After) && x == y && (x != (state.ServiceID{}) || rank(a.After) == rank(b.After))
}

func serviceOf(o state.Object) state.ServiceID {
	switch o := o.(type) {
	case state.Service:
		return o.ServiceID
	case state.Destination:
		return o.Service
	}
	return state.ServiceID{}
}

// all makes as many of the changes as the kernel lets it.
func (r *run) all(changes []state.Change) {
	for len(changes) > 0 {
		done, err := r.kernel.Apply(changes)
		made := len(changes)
		if err != nil {
			made = min(done, len(changes)-1)
		}
		for _, c := range changes[:made] {
			r.made(c)
		}
		if err == nil {
			return
		}
		failed := changes[made]
		r.errs[failed.Key()] = err
		changes = changes[made+1:]
		if s, ok := failed.After.(state.Service); ok {
			for _, c := range changes { // no destination without its service
				r.errs[c.Key()] = fmt.Errorf("%s: %w", s.Key(), err)
			}
			return
		}
	}
}

// one makes a change of the network. One of an object that is there is a
// transaction of its own: it puts back what goes with it.
func (r *run) one(c state.Change, silent bool) {
	announced, isAddress := c.After.(state.Address)
	var err error
	switch _, link := c.After.(state.Link); {
	case isAddress && announced.IP.Addr().Is4() && !silent:
		err = errWaits
	case link && c.Replaces():
		err = errOther
	case c.Before == nil:
		_, err = r.kernel.Apply([]state.Change{c})
	default:
		err = r.transaction(c)
	}
	if err != nil {
		r.errs[c.Key()] = err
		return
	}
	r.made(c)
	if isAddress && r.announces(announced) && (c.Before == nil || c.Replaces()) {
		_ = r.kernel.Announce(announced) // neighbours learn it later by themselves
	}
}

func (r *run) transaction(c state.Change) error {
	return txn.Txn{
		Kernel: r.kernel, Prepare: func(txn.Pending) error { return nil },
		Record: func(state.Ledger) error { return nil }, Done: func([]string) {},
	}.Run(state.Ledger{}, wire.Begin{Steps: []wire.Step{{ID: c.Key().String(), Change: &c}}})
}

// announces tells whether neighbours are told of an address: those that a
// director has on its NICs.
func (r *run) announces(a state.Address) bool {
	return a.Device != "lo" && slices.ContainsFunc(r.Wanted, func(o state.Object) bool {
		switch o := o.(type) {
		case state.Service:
			return o.Address == a.IP.Addr()
		case state.Mark:
			return o.Address == a.IP.Addr()
		}
		return false
	})
}

func (r *run) made(c state.Change) { r.report.Made = append(r.report.Made, c.Key()) }
