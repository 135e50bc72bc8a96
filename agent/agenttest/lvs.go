package agenttest

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lvsform/lvsform/state"
)

// changeTimeouts sets those that are not zero; they are never deleted.
func (k *Kernel) changeTimeouts(c state.Change, t state.Timeouts) error {
	if c.After == nil {
		return nil
	}
	for _, d := range []time.Duration{t.TCP, t.TCPFin, t.UDP} {
		if d < 0 || d%time.Second != 0 {
			return ErrInvalid
		}
	}
	if err := k.load("ip_vs"); err != nil {
		return err
	}
	k.put(t.Resolve(k.get(t.Key())))
	return nil
}

// changeSync starts and stops a sync daemon.
func (k *Kernel) changeSync(c state.Change, s state.Sync) error {
	if c.After == nil {
		return k.putOrDrop(c)
	}
	if err := k.load("ip_vs"); err != nil {
		return err
	}
	l, ok := k.get(state.Link{Name: s.Interface}.Key()).(state.Link)
	switch {
	case !ok:
		return ErrNoDevice
	case s.Role != "master" && s.Role != "backup", s.ID < 0, s.ID > 255, !s.Group.IsMulticast(), s.TTL < 1:
		return ErrInvalid
	case !l.Up.Value:
		return ErrUnreachable
	case slices.ContainsFunc(k.objects, func(o state.Object) bool { d, ok := o.(state.Destination); return ok && mixed(d) }):
		return fmt.Errorf("%w: there are destinations of another family than their service", ErrInvalid)
	}
	if s.MaxLength == 0 {
		s.MaxLength = 1472
		if s.Group.Is6() {
			s.MaxLength = 1452
		}
	}
	k.put(s)
	return nil
}

// mixed tells whether a destination is of another family than its service.
func mixed(d state.Destination) bool { return d.Address.Is4() != (d.Service.Family == "ipv4") }

// syncs tells whether a sync daemon runs.
func (k *Kernel) syncs() bool {
	return slices.ContainsFunc(k.objects, func(o state.Object) bool { _, ok := o.(state.Sync); return ok })
}

// changeFOU takes a UDP port, or gives it back.
func (k *Kernel) changeFOU(c state.Change, f state.FOU) error {
	if c.After == nil {
		return k.putOrDrop(c)
	}
	if err := k.load("fou"); err != nil {
		return err
	}
	if f.Family != "ipv4" && f.Family != "ipv6" || !slices.Contains([]string{"gue", "ipip", "ipv6", "gre"}, f.Protocol) {
		return ErrInvalid
	}
	taken := func(l state.Listener) bool {
		return l.Protocol == "udp" && l.Port == f.Port && l.Address.Is4() == (f.Family == "ipv4")
	}
	if slices.ContainsFunc(k.facts.Listeners, taken) {
		return ErrInUse
	}
	k.put(f)
	return nil
}

// changePacketRule makes a mark or masquerade.
func (k *Kernel) changePacketRule(c state.Change) error {
	if c.After == nil {
		return k.putOrDrop(c)
	}
	if err := k.load("nf_tables"); err != nil {
		return fmt.Errorf("%w: the kernel has no nftables: %w", ErrUnsupported, err)
	}
	ok := false
	switch o := c.After.(type) {
	case state.Mark:
		ok = o.Mark != 0 && o.Ports != "" && known(o.Protocol) && o.Address.IsValid()
	case state.Masquerade:
		same := func(a netip.Addr) bool { return a.IsValid() && a.Is4() == o.VIP.Is4() }
		ok = known(o.Protocol) && same(o.VIP) && same(o.To) && (!o.Source.IsValid() || same(o.Source))
	}
	if !ok {
		return ErrInvalid
	}
	return k.putOrDrop(c)
}

func known(protocol string) bool { return slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) }
