package keepalived

import (
	"cmp"
	"time"

	"github.com/lvsform/lvsform/state"
)

// What keepalived 2.2 takes where a text says nothing.
const (
	defaultDelayLoop = time.Minute
	defaultTimeout   = 5 * time.Second
	defaultAdvert    = time.Second
)

// Effective is the configuration with all of keepalived's own choices filled in:
// two that make keepalived do the same are the same.
func (c Config) Effective() Config {
	c = c.canonical()
	for i := range c.Instances {
		c.Instances[i].effective()
	}
	for i := range c.Services {
		c.Services[i].effective()
	}
	return c
}

func (i *Instance) effective() {
	if i.v3() {
		i.Version = 3
	}
	i.Version = cmp.Or(i.Version, 2)
	i.State = map[bool]string{true: "MASTER", false: "BACKUP"}[i.master()]
	i.AdvertInterval = cmp.Or(i.AdvertInterval, defaultAdvert)
	for _, list := range [][]Address{i.Addresses, i.Excluded} {
		for n := range list {
			if list[n].Device == i.Interface {
				list[n].Device = ""
			}
		}
	}
}

func (s *VirtualServer) effective() {
	s.Quorum = cmp.Or(s.Quorum, 1)
	s.DelayLoop = cmp.Or(s.DelayLoop, defaultDelayLoop)
	checked := false
	for i := range s.RealServers {
		c := &s.RealServers[i].Check
		checked = checked || c.Type != ""
		c.effective(s.DelayLoop, cmp.Or(s.RealServers[i].Port, s.Port))
	}
	if !checked { // nothing is done at any interval
		s.DelayLoop = defaultDelayLoop
	}
}

// effective fills a check in: its server is asked every so often at a port.
func (c *Check) effective(every time.Duration, port uint16) {
	if c.Type == "" {
		*c = Check{}
		return
	}
	retries, delay := 1, time.Second
	switch c.Type {
	case DNSCheck:
		retries, delay = 3, every
		c.Name, c.Record = cmp.Or(c.Name, "."), cmp.Or(c.Record, "SOA")
	case HTTPGet, SSLGet:
		delay = 3 * time.Second
		if len(c.Status) == 0 {
			c.Status = []StatusRange{{200, 299}}
		}
	case UDPCheck:
		c.MaxReply = cmp.Or(c.MaxReply, 255)
	case MiscCheck:
		retries = 0
		c.Timeout = cmp.Or(c.Timeout, every)
		c.Group = cmp.Or(c.Group, c.User)
	}
	if c.Type != MiscCheck && c.Type != PingCheck {
		c.Port = cmp.Or(c.Port, port)
	}
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Retries = c.Retries.Or(state.Some(retries))
	c.RetryDelay = cmp.Or(c.RetryDelay, delay)
}
