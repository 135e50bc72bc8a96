//go:build linux

package nft

import "net/netip"

// condition is what packets a rule takes, as far as it is understood.
type condition struct {
	never    bool // it takes none
	protocol int
	ports    [][2]uint16 // nil: any
	to       netip.Prefix
	partial  bool // it takes fewer than that
	replies  bool // none that begins a connection from outside
}

func (c condition) any() bool {
	return !c.never && c.protocol == 0 && c.ports == nil && !c.to.IsValid() && !c.partial && !c.replies
}

// and is what both take.
func (c condition) and(o condition) condition {
	c.never = c.never || o.never
	c.partial = c.partial || o.partial
	c.replies = c.replies || o.replies
	switch {
	case c.protocol == 0:
		c.protocol = o.protocol
	case o.protocol != 0 && o.protocol != c.protocol:
		c.never = true
	}
	switch {
	case c.ports == nil:
		c.ports = o.ports
	case o.ports != nil:
		c.ports = intersect(c.ports, o.ports)
		c.never = c.never || len(c.ports) == 0
	}
	switch {
	case !c.to.IsValid():
		c.to = o.to
	case o.to.IsValid() && !c.to.Overlaps(o.to):
		c.never = true
	case o.to.IsValid() && o.to.Bits() > c.to.Bits():
		c.to = o.to
	}
	return c
}

func intersect(a, b [][2]uint16) (out [][2]uint16) {
	for _, x := range a {
		for _, y := range b {
			if low, high := max(x[0], y[0]), min(x[1], y[1]); low <= high {
				out = append(out, [2]uint16{low, high})
			}
		}
	}
	return out
}
