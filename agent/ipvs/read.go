//go:build linux

package ipvs

import (
	"errors"
	"fmt"
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

// Read returns every service and destination, in no certain order; counters are
// left out. It needs CAP_NET_ADMIN.
//
// The kernel resumes a dump that takes several datagrams by position, so that a
// change meanwhile hides an object or doubles it, and answers for a vanished
// service with an empty list. Therefore the services count only when they are
// the same before and after their destinations were read, and a service's
// destinations when they came at once, or twice the same. Those of most IPv4
// services come at once by the older interface. (A look at
// /proc/net/ip_vs before and after would not do: it leaves services out while
// other namespaces have some too.)
func (t *Table) Read() ([]state.Object, error) {
	services, err := t.dumpServices()
	if err != nil {
		return nil, err
	}
	for attempt := range readAttempts {
		t.wait(attempt)
		objects := make([]state.Object, 0, len(services))
		for _, s := range services {
			objects = append(objects, s)
		}
		counts := t.counts(services)
		for _, s := range services {
			if n, ok := counts[s.ServiceID]; ok {
				if objects, ok = t.options.appendDestinations(objects, s.ServiceID, n); ok {
					continue
				}
			}
			if objects, err = t.appendDestinations(objects, s.ServiceID); err != nil {
				return nil, err
			}
		}
		before := services
		if services, err = t.dumpServices(); err != nil {
			return nil, err
		}
		if slices.Equal(before, services) {
			return objects, nil
		}
	}
	return nil, ErrTorn
}

// counts returns the number of destinations of the services whose destinations
// can be read at once. Without it they are dumped.
func (t *Table) counts(services []state.Service) map[state.ServiceID]int {
	if t.options == nil || len(services) == 0 {
		return nil
	}
	counts, err := t.options.counts()
	if err != nil {
		return nil
	}
	return counts
}

// wait waits before an attempt: not before the first, then ever longer.
func (t *Table) wait(attempt int) {
	if attempt > 0 {
		t.pause(firstPause << (attempt - 1))
	}
}

// appendDestinations adds the destinations of a service to objects.
func (t *Table) appendDestinations(objects []state.Object, service state.ServiceID) ([]state.Object, error) {
	start := len(objects)
	objects, atOnce, err := t.dumpDestinations(objects, service)
	for attempt := 0; err == nil && !atOnce; attempt++ {
		if attempt == readAttempts {
			return nil, fmt.Errorf("destinations of %s: %w", service, ErrTorn)
		}
		t.wait(attempt)
		var again []state.Object
		again, atOnce, err = t.dumpDestinations(make([]state.Object, 0, len(objects)-start), service)
		if slices.Equal(objects[start:], again) {
			break
		}
		objects = append(objects[:start], again...)
	}
	return objects, err
}

func (t *Table) dumpServices() ([]state.Service, error) {
	var services []state.Service
	_, err := t.exchange(requestServices(t.family), func(attrs []byte) error {
		r, err := decodeService(attrs)
		if err != nil {
			return err
		}
		s, err := toService(&r)
		services = append(services, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ipvs: read the services: %w", explainRead(err))
	}
	return services, nil
}

// Services returns the IDs of all services.
func (t *Table) Services() ([]state.ServiceID, error) {
	services, err := t.dumpServices()
	ids := make([]state.ServiceID, 0, len(services))
	for _, s := range services {
		ids = append(ids, s.ServiceID)
	}
	return ids, err
}

// dumpDestinations adds the destinations of a service to objects and tells
// whether they came at once.
func (t *Table) dumpDestinations(objects []state.Object, service state.ServiceID) (all []state.Object, atOnce bool, err error) {
	r, err := fromID(service)
	if err != nil {
		return nil, false, err
	}
	var d destination
	atOnce, err = t.exchange(requestDestinations(t.family, &r), func(attrs []byte) error {
		if err := d.decode(attrs, r.AddressFamily); err != nil {
			return err
		}
		object, err := toDestination(service, &d)
		objects = append(objects, object)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("ipvs: read the destinations of %s: %w", service, explainRead(err))
	}
	return objects, atOnce, nil
}

// Counters reads what the kernel counts for the destinations of services; a
// service that does not exist has none. Destinations that come or go meanwhile
// may be missing.
func (t *Table) Counters(services []state.ServiceID) ([]state.Counters, error) {
	var out []state.Counters
	for _, service := range services {
		r, err := fromID(service)
		if err != nil {
			return nil, err
		}
		_, err = t.exchange(requestDestinations(t.family, &r), func(attrs []byte) error {
			c, err := decodeCounters(attrs, service, r.AddressFamily)
			out = append(out, c)
			return err
		})
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return nil, fmt.Errorf("ipvs: read the connections of %s: %w", service, explainRead(err))
		}
	}
	return out, nil
}

// Connections is the part of Counters that the kernel keeps at every moment.
func (t *Table) Connections(services []state.ServiceID) ([]state.Connections, error) {
	counters, err := t.Counters(services)
	var out []state.Connections
	for _, c := range counters {
		out = append(out, c.Connections)
	}
	return out, err
}

func explainRead(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("needs root (CAP_NET_ADMIN): %w", err)
	}
	return err
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
