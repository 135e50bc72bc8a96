//go:build linux

package ipvs

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// A read during which the table changed is repeated up to readAttempts times.
// The pause before doubles each time from firstPause; together 1.3 s, enough
// for another program to load a large table.
const (
	readAttempts = 8
	firstPause   = 10 * time.Millisecond
)

// ErrTorn is the error of Read when the table kept changing.
var ErrTorn = errors.New("ipvs: another program keeps changing the table: try again when it has settled, or stop it")

// errTorn is one read during which the table changed.
var errTorn = errors.New("torn read")

// Read returns every service and destination, in no certain order; counters are
// left out. No object comes twice. It needs CAP_NET_ADMIN.
func (t *Table) Read() ([]state.Object, error) {
	before, err := t.outline()
	if err != nil {
		return nil, err
	}
	for attempt := range readAttempts {
		if attempt > 0 {
			t.pause(firstPause << (attempt - 1))
		}
		objects, readErr := t.readOnce()
		after, err := t.outline()
		if err != nil {
			return nil, err
		}
		switch {
		case readErr == nil && after.equal(before) && after.counts(objects):
			return objects, nil
		case readErr != nil && !errors.Is(readErr, errTorn) && !errors.Is(readErr, errInterrupted):
			return nil, fmt.Errorf("ipvs: read the table: %w", explainRead(readErr))
		}
		before = after
	}
	return nil, ErrTorn
}

func explainRead(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("needs root (CAP_NET_ADMIN): %w", err)
	}
	return err
}

// readOnce dumps the services, then each one's destinations. The kernel resumes
// a long dump by position and answers for a vanished service with an empty list,
// so that the result can only be trusted if nothing changed meanwhile.
func (t *Table) readOnce() ([]state.Object, error) {
	var objects []state.Object
	var services []moby.Service
	seen := make(map[state.ServiceID]struct{})
	err := t.exchange(requestServices(t.family), func(attrs []byte) error {
		r, err := decodeService(attrs)
		if err != nil {
			return err
		}
		s, err := toService(&r)
		if err != nil {
			return err
		}
		if _, twice := seen[s.ServiceID]; twice {
			return errTorn
		}
		seen[s.ServiceID] = struct{}{}
		r.Address = slices.Clone(r.Address) // the datagram's buffer is used again
		services, objects = append(services, r), append(objects, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range services {
		id := objects[i].(state.Service).ServiceID
		if objects, err = t.readDestinations(objects, &services[i], id); err != nil {
			return nil, fmt.Errorf("destinations of %s: %w", id, err)
		}
	}
	return objects, nil
}

func (t *Table) readDestinations(objects []state.Object, service *moby.Service, id state.ServiceID) ([]state.Object, error) {
	seen := make(map[netip.AddrPort]struct{})
	err := t.exchange(requestDestinations(t.family, service), func(attrs []byte) error {
		r, err := decodeDestination(attrs, service.AddressFamily)
		if err != nil {
			return err
		}
		d, err := toDestination(id, &r)
		if err != nil {
			return err
		}
		key := netip.AddrPortFrom(d.Address, d.Port)
		if _, twice := seen[key]; twice {
			return errTorn
		}
		seen[key] = struct{}{}
		objects = append(objects, d)
		return nil
	})
	return objects, err
}

func requestServices(family uint16) []byte {
	b, start := beginMessage(nil, family, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, cmdGetService)
	endMessage(b, start)
	return b
}

func requestDestinations(family uint16, s *moby.Service) []byte {
	b, start := beginMessage(nil, family, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, cmdGetDest)
	b = appendNest(b, attrService, s, appendServiceID)
	endMessage(b, start)
	return b
}

// outline is the table as /proc shows it, without what traffic changes.
type outline struct {
	text                   []byte
	services, destinations int
}

const (
	outlineHeader     = 3 // lines: version and two of column names
	destinationPrefix = "  -> "
)

// outline reads the outline of the table.
func (t *Table) outline() (outline, error) {
	text, err := t.snapshot()
	if err != nil {
		return outline{}, fmt.Errorf("ipvs: read the table: %w", err)
	}
	return newOutline(text), nil
}

// newOutline takes the text over. A destination's last two columns count
// connections.
func newOutline(text []byte) outline {
	o := outline{text: text[:0]} // what is kept never overtakes what is read
	header := outlineHeader
	for line := range bytes.Lines(text) {
		switch {
		case header > 0: // its numbers may change without the table
			header--
			continue
		case bytes.HasPrefix(line, []byte(destinationPrefix)):
			o.destinations++
			line = cutColumn(cutColumn(line))
		default:
			o.services++
		}
		o.text = append(o.text, line...)
	}
	return o
}

// cutColumn cuts the last column off a line.
func cutColumn(line []byte) []byte {
	line = bytes.TrimRight(line, " \n")
	return line[:bytes.LastIndexByte(line, ' ')+1]
}

func (o outline) equal(other outline) bool { return bytes.Equal(o.text, other.text) }

// counts tells whether the outline has as many services and destinations.
func (o outline) counts(objects []state.Object) bool {
	services := 0
	for _, object := range objects {
		if _, ok := object.(state.Service); ok {
			services++
		}
	}
	return services == o.services && len(objects)-services == o.destinations
}
