//go:build linux

package ipvs

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

const fakeFamily = 33

// fakeKernel is an IPVS table behind a conn. Like the kernel it resumes a dump
// by position, answers every failed request and goes on with the next one.
type fakeKernel struct {
	t        *testing.T
	services []state.Service
	reals    map[state.ServiceID][]state.Destination
	perPart  int // objects in a datagram of a dump
	// during is called before each datagram of a dump, with its number in all.
	during  func(part int)
	parts   int
	answers [][]byte
	dump    func() []byte // the next datagram of the dump that runs
	lost    error         // of every Receive
	batches []int         // sizes of what was sent together, dumps left out
}

func newFake(t *testing.T, objects ...state.Object) (*fakeKernel, *Table) {
	k := &fakeKernel{t: t, perPart: 4, reals: map[state.ServiceID][]state.Destination{}}
	for _, o := range objects {
		k.add(o)
	}
	table := &Table{conn: k, family: fakeFamily, pause: func(time.Duration) {}}
	return k, table
}

func (k *fakeKernel) add(o state.Object) {
	switch o := o.(type) {
	case state.Service:
		k.services = append(k.services, o)
	case state.Destination: // the newest comes first
		k.reals[o.Service] = slices.Insert(k.reals[o.Service], 0, o)
	}
}

func (k *fakeKernel) remove(key state.Key) {
	k.services = slices.DeleteFunc(k.services, func(s state.Service) bool {
		if s.Key() == key {
			delete(k.reals, s.ServiceID)
		}
		return s.Key() == key
	})
	for id, reals := range k.reals {
		k.reals[id] = slices.DeleteFunc(reals, func(d state.Destination) bool { return d.Key() == key })
	}
}

func (k *fakeKernel) has(key state.Key) bool {
	return slices.ContainsFunc(k.objects(), func(o state.Object) bool { return o.Key() == key })
}

func (k *fakeKernel) objects() state.Objects {
	var all state.Objects
	for _, s := range k.services {
		all = append(all, s)
		for _, d := range k.reals[s.ServiceID] {
			all = append(all, d)
		}
	}
	all.Sort()
	return all
}

func (k *fakeKernel) Send(b []byte) error {
	requests := 0
	for len(b) > 0 {
		request := b
		m, rest, err := nextMessage(b)
		if err != nil {
			return err
		}
		b = rest
		if m.kind != fakeFamily {
			k.t.Errorf("request to family %d", m.kind)
		}
		if m.flags&unix.NLM_F_DUMP != 0 {
			k.startDump(m)
			continue
		}
		requests++
		errno := k.change(m.payload[0], m.payload[genericHeader:])
		if errno != 0 || m.flags&unix.NLM_F_ACK != 0 {
			k.answers = append(k.answers, fakeError(m.seq, errno, request[:netlinkHeader]))
		}
	}
	if requests > 0 {
		k.batches = append(k.batches, requests)
	}
	return nil
}

func fakeError(seq uint32, errno unix.Errno, request []byte) []byte {
	b, start := beginMessage(nil, unix.NLMSG_ERROR, unix.NLM_F_CAPPED, 0)
	b = binary.NativeEndian.AppendUint32(b[:netlinkHeader], uint32(-int32(errno)))
	b = append(b, request...)
	setSequence(b, seq)
	endMessage(b, start)
	return b
}

func (k *fakeKernel) startDump(m message) {
	list := func() []state.Object { return boxed(k.services) }
	if m.payload[0] == cmdGetDest {
		id := k.serviceID(m.payload[genericHeader:])
		list = func() []state.Object { return boxed(k.reals[id]) }
	}
	position := 0
	k.dump = func() []byte {
		var b []byte
		all := list()
		for end := position + k.perPart; position < min(end, len(all)); position++ {
			b = appendObject(k.t, b, m.seq, all[position])
		}
		if b == nil {
			k.dump = nil
			start := 0
			b, start = beginMessage(nil, unix.NLMSG_DONE, unix.NLM_F_MULTI, 0)
			b = append(b[:netlinkHeader], 0, 0, 0, 0)
			setSequence(b, m.seq)
			endMessage(b, start)
		}
		return b
	}
}

func boxed[T state.Object](list []T) []state.Object {
	var objects []state.Object
	for _, o := range list {
		objects = append(objects, o)
	}
	return objects
}

// appendObject appends the kernel's message of an object: the request that
// would create it has the same attributes.
func appendObject(t testing.TB, b []byte, seq uint32, o state.Object) []byte {
	t.Helper()
	start := len(b)
	b, err := appendChange(b, fakeFamily, state.Change{After: o})
	if err != nil {
		t.Fatal(err)
	}
	addFlags(b[start:], unix.NLM_F_MULTI)
	setSequence(b[start:], seq)
	return b
}

func (k *fakeKernel) serviceID(attrs []byte) state.ServiceID {
	r, err := decodeService(attrs)
	if err != nil {
		k.t.Fatal(err)
	}
	id, err := toID(&r)
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

func (k *fakeKernel) change(cmd uint8, attrs []byte) unix.Errno {
	r, err := decodeService(attrs)
	if err != nil {
		return unix.EINVAL
	}
	s, err := toService(&r)
	if err != nil {
		return unix.EINVAL
	}
	var object state.Object = s
	absent := unix.ESRCH
	if cmd >= cmdNewDest {
		if !k.has(s.Key()) {
			return unix.ESRCH
		}
		var d destination
		if d.decode(attrs, r.AddressFamily) != nil {
			return unix.EINVAL
		}
		if object, err = toDestination(s.ServiceID, &d); err != nil {
			return unix.EINVAL
		}
		absent = unix.ENOENT
	}
	create := cmd == cmdNewService || cmd == cmdNewDest
	switch there := k.has(object.Key()); {
	case create && there:
		return unix.EEXIST
	case !create && !there:
		return absent
	case create:
		k.add(object)
		return 0
	case cmd == cmdSetService:
		i := slices.IndexFunc(k.services, func(o state.Service) bool { return o.Key() == object.Key() })
		k.services[i] = s
		return 0
	}
	k.remove(object.Key())
	if cmd == cmdSetDest {
		k.add(object)
	}
	return 0
}

func (k *fakeKernel) Receive() ([]byte, error) {
	if k.lost != nil {
		return nil, k.lost
	}
	if k.dump != nil {
		if k.during != nil {
			k.during(k.parts)
		}
		k.parts++
		return k.dump(), nil
	}
	if len(k.answers) == 0 {
		return nil, errors.New("nothing to receive")
	}
	b := k.answers[0]
	k.answers = k.answers[1:]
	return b, nil
}
