package ipvsadm

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/lvsform/lvsform/state"
)

// timeouts reads --set.
func (p *parser) timeouts(c command) error {
	if err := c.only(); err != nil {
		return err
	}
	var times []time.Duration
	for _, text := range c.rest {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > maxPersistence {
			return mistake(fmt.Sprintf("--set has %q", clip(text)), fmt.Sprintf("It takes seconds from 0 to %d.", maxPersistence))
		}
		times = append(times, time.Duration(n)*time.Second)
	}
	if len(times) != 3 {
		return mistake(fmt.Sprintf("--set has %d values", len(times)), "It takes three: for TCP, for TCP after a FIN, for UDP.")
	}
	t := state.Timeouts{TCP: times[0], TCPFin: times[1], UDP: times[2]}
	if t == (state.Timeouts{}) {
		return nil // 0 leaves a time as it is
	}
	return p.add(t)
}

// daemon reads --start-daemon.
func (p *parser) daemon(c command) error {
	err := c.only("mcast-interface", "syncid", "sync-maxlen", "mcast-group", "mcast-port", "mcast-ttl")
	if err != nil {
		return err
	}
	s := state.Sync{Role: c.values["start-daemon"], Interface: c.values["mcast-interface"], Group: netip.AddrFrom4([4]byte{224, 0, 0, 81})}
	if s.Role != "master" && s.Role != "backup" {
		return mistake(fmt.Sprintf("--start-daemon is %q", clip(s.Role)), "It is master or backup.")
	}
	if s.Interface, err = word("mcast-interface", cmp.Or(s.Interface, "eth0")); err != nil { // ipvsadm's default
		return err
	}
	if text, ok := c.values["mcast-group"]; ok {
		if s.Group, err = netip.ParseAddr(text); err != nil || !s.Group.IsMulticast() || s.Group.Zone() != "" {
			return mistake(fmt.Sprintf("--mcast-group is %q", clip(text)), "It is a multicast address.")
		}
	}
	var id, length, port, ttl int64
	for _, n := range []struct {
		name      string
		to        *int64
		low, high int64
	}{{"syncid", &id, 0, 255}, {"sync-maxlen", &length, 1, 65535}, {"mcast-port", &port, 1, 65535}, {"mcast-ttl", &ttl, 1, 255}} {
		if *n.to, err = c.number(n.name, n.low, n.high); err != nil {
			return err
		}
	}
	s.ID, s.MaxLength = int(id), int(length)
	s.Port, s.TTL = uint16(cmp.Or(port, defaultSyncPort)), int(cmp.Or(ttl, defaultSyncTTL))
	return p.add(s)
}
