//go:build linux

// Package network reads and changes links, fou ports, addresses, routes and
// rules of the current network namespace.
package network

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Network remembers how the kernel described what it has read, so that an
// object that was lost is put back with all its attributes, those included that
// state does not know.
type Network struct {
	// Load loads the module of a kind of links.
	Load func(module string) error

	raw      map[state.Object]original
	siblings map[routePlace]int // IPv6 routes, as last read
}

// original is the kernel's own description of an object.
type original struct {
	message []byte
	names   map[int]string // of the links, by index, at that time
}

// New returns a Network that loads modules with load.
func New(load func(module string) error) *Network {
	return &Network{Load: load, raw: map[state.Object]original{}}
}

// errMoved says that links came or went while the host was read.
var errMoved = errors.New("the links keep changing")

// Read reads all links, fou ports, addresses, rules and routes but those of the
// local table.
func (n *Network) Read() (objects []state.Object, err error) {
	const tries = 10
	for range tries {
		objects, err = n.readOnce()
		if !errors.Is(err, errMoved) {
			break
		}
	}
	return objects, err
}

func (n *Network) readOnce() (objects []state.Object, err error) {
	links, err := readLinks()
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	names := make(map[int]string, len(links))
	seen := map[state.Key]bool{}
	add := func(o state.Object, message []byte) {
		// Where the kernel has two of one key, the first is the one it uses.
		if key := o.Key(); !seen[key] {
			seen[key] = true
			objects = append(objects, o)
			n.raw[o] = original{message, names}
		}
	}
	for _, l := range links {
		names[l.index] = l.link.Name
		add(l.link, l.message)
	}
	if err := readFOU(add); err != nil {
		return nil, fmt.Errorf("read fou ports: %w", err)
	}
	if err := readAddresses(names, add); err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	n.siblings = map[routePlace]int{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := n.readRoutes(family, names, add); err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		if err := readRules(family, add); err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
	}
	return objects, nil
}

// Apply makes the changes in order and returns how many were made. Deleting
// what is already gone succeeds. What a change takes along is not put back.
func (n *Network) Apply(changes []state.Change) (done int, err error) {
	for i, c := range changes {
		if err := n.apply(c); err != nil {
			return i, err
		}
	}
	return len(changes), nil
}

func (n *Network) apply(c state.Change) error {
	o := c.After
	if o == nil {
		o = c.Before
	}
	switch o.(type) {
	case state.Link:
		return n.changeLink(c)
	case state.FOU:
		return n.changeFOU(c)
	case state.Address:
		return n.changeAddress(c)
	case state.Route:
		return n.changeRoute(c)
	case state.Rule:
		return n.changeRule(c)
	}
	return fmt.Errorf("%s is no object of the network", o.Key())
}

// gone tells whether an error of a deletion says that there is nothing to
// delete.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV)
}
