//go:build linux

package ipvs

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// batchSize is the number of requests that go to the kernel together. More of
// them gain little and would hold more answers back if all of them failed.
const batchSize = 256

// requestSize is about the size of one, in bytes.
const requestSize = 168

// ApplyError tells which changes of an Apply the kernel refused.
type ApplyError struct {
	// Attempted changes, from the first one on, were handed to the kernel;
	// those after them were not. All of them are made but the Failed ones.
	Attempted int
	Failed    []Failure // by Index
}

// Failure is one refused change.
type Failure struct {
	Index int // in the changes given to Apply
	Err   error
}

// Error names the first failure: the others often follow from it.
func (e *ApplyError) Error() string {
	if n := len(e.Failed) - 1; n > 0 {
		return fmt.Sprintf("%s (and %d more)", e.Failed[0].Err, n)
	}
	return e.Failed[0].Err.Error()
}

// Unwrap returns the first failure.
func (e *ApplyError) Unwrap() error { return e.Failed[0].Err }

// Apply makes changes of services and destinations, in order, and returns how
// many of them were made. A change that cannot be expressed is an error before
// anything is changed. When the kernel refuses a change, the error is an
// *ApplyError: changes shortly after it have been attempted too, and it names
// every refused one. After any other error it is not known whether the changes
// that follow the first done ones were made: read the table.
//
// Deleting a service takes its destinations along; deletions of these may follow
// in the same call.
func (t *Table) Apply(changes []state.Change) (done int, err error) {
	q, err := newQueue(t.family, changes)
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(q.batch.starts); i += batchSize {
		j := min(i+batchSize, len(q.batch.starts))
		refusals, err := t.transact(q.batch.part(i, j))
		if err != nil {
			return done, fmt.Errorf("ipvs: from %s on, the kernel's answer is lost: read the table: %w", name(changes[q.index[i]]), err)
		}
		done = len(changes)
		if j < len(q.index) {
			done = q.index[j]
		}
		if len(refusals) > 0 {
			return q.failure(changes, done, i, refusals)
		}
	}
	return done, nil
}

// queue is the requests that make changes.
type queue struct {
	batch batch
	index []int // the change that each request makes
	// implied are the destinations' deletions that a service's deletion makes:
	// the index of the one by that of the other. They need no request.
	implied map[int]int
}

func newQueue(family uint16, changes []state.Change) (*queue, error) {
	q := &queue{
		batch:   batch{messages: make([]byte, 0, requestSize*len(changes)), starts: make([]int, 0, len(changes))},
		index:   make([]int, 0, len(changes)),
		implied: make(map[int]int),
	}
	deleted := make(map[state.ServiceID]int) // services, by the change
	for i, c := range changes {
		switch service, isService := serviceID(c); {
		case !isService && c.After == nil:
			if by, ok := deleted[service]; ok {
				q.implied[i] = by
				continue
			}
		case isService && c.After == nil:
			deleted[service] = i
		case isService:
			delete(deleted, service)
		}
		start := len(q.batch.messages)
		b, err := appendChange(q.batch.messages, family, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name(c), err)
		}
		q.batch.messages, q.batch.starts = b, append(q.batch.starts, start)
		q.index = append(q.index, i)
	}
	return q, nil
}

// failure reports the refusals of the batch that starts at request i and ends
// before change attempted.
func (q *queue) failure(changes []state.Change, attempted, i int, refusals []failed) (done int, err error) {
	e := &ApplyError{Attempted: attempted}
	refused := make(map[int]error)
	for _, f := range refusals {
		index := q.index[i+f.place]
		refused[index] = explain(changes[index], f.err)
		e.Failed = append(e.Failed, Failure{index, refused[index]})
	}
	for index, by := range q.implied {
		if err := refused[by]; err != nil && index < attempted {
			e.Failed = append(e.Failed, Failure{index, err})
		}
	}
	slices.SortStableFunc(e.Failed, func(a, b Failure) int { return a.Index - b.Index })
	return attempted - len(e.Failed), e
}

// serviceID returns the service that a change is about, or that its destination
// belongs to.
func serviceID(c state.Change) (id state.ServiceID, isService bool) {
	object := c.After
	if object == nil {
		object = c.Before
	}
	switch o := object.(type) {
	case state.Service:
		return o.ServiceID, true
	case state.Destination:
		return o.Service, false
	}
	return state.ServiceID{}, false
}

// appendChange appends the request that makes a change.
func appendChange(b []byte, family uint16, c state.Change) ([]byte, error) {
	object := c.After
	if object == nil {
		object = c.Before
	}
	switch o := object.(type) {
	case state.Service:
		return appendServiceRequest(b, family, c, o)
	case state.Destination:
		return appendDestinationRequest(b, family, c, o)
	}
	return nil, errors.New("it is neither a service nor a destination")
}

func appendServiceRequest(b []byte, family uint16, c state.Change, o state.Service) ([]byte, error) {
	if c.After == nil {
		s, err := fromID(o.ServiceID)
		if err != nil {
			return nil, err
		}
		b, start := beginMessage(b, family, unix.NLM_F_REQUEST, cmdDelService)
		b = appendNest(b, attrService, &s, appendServiceID)
		endMessage(b, start)
		return b, nil
	}
	s, err := fromService(o)
	if err != nil {
		return nil, err
	}
	b, start := beginMessage(b, family, unix.NLM_F_REQUEST, command(c, cmdNewService, cmdSetService))
	b = appendNest(b, attrService, &s, appendService)
	endMessage(b, start)
	return b, nil
}

func appendDestinationRequest(b []byte, family uint16, c state.Change, o state.Destination) ([]byte, error) {
	s, err := fromID(o.Service)
	if err != nil {
		return nil, fmt.Errorf("its service: %w", err)
	}
	if c.After == nil {
		d, err := fromDestinationID(o)
		if err != nil {
			return nil, err
		}
		b, start := beginMessage(b, family, unix.NLM_F_REQUEST, cmdDelDest)
		b = appendNest(b, attrService, &s, appendServiceID)
		b = appendNest(b, attrDest, &d, appendDestinationID)
		endMessage(b, start)
		return b, nil
	}
	d, err := fromDestination(o)
	if err != nil {
		return nil, err
	}
	b, start := beginMessage(b, family, unix.NLM_F_REQUEST, command(c, cmdNewDest, cmdSetDest))
	b = appendNest(b, attrService, &s, appendServiceID)
	b = appendNest(b, attrDest, &d, appendDestination)
	endMessage(b, start)
	return b, nil
}

func command(c state.Change, create, update uint8) uint8 {
	if c.Before == nil {
		return create
	}
	return update
}
