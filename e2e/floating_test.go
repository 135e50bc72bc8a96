//go:build lab

package e2e

import (
	"strings"
	"testing"
)

// An address that keepalived has moved becomes a fixed one, and floats again: an
// apply for each is enough.
func TestAFloatingAddressBecomesFixed(t *testing.T) {
	floats := pairWith("first", true, map[string]string{"a": pairVIP})
	from, to := strings.Index(floats, `vrrp_instance "db"`), strings.Index(floats, `virtual_service "db"`)
	fixed := floats[:from] + `
address "director" {
  host   = host.lvs01
  ip     = "192.168.113.100/32"
  device = "ens160"
}
` + strings.Replace(floats[to:], "local.directors", "{ lvs01 = local.directors.lvs01 }", 1)
	s := newScene(t, floats)
	before := s.dumps()
	s.apply()
	s.untilHeld(pairVIP, "lvs01")
	for _, step := range []struct{ what, config string }{{"fixed", fixed}, {"floating again", floats}} {
		s.write(step.config)
		s.apply()
		s.wantNoChanges()
		s.untilHeld(pairVIP, "lvs01")
		s.wantNoChanges()
	}
	s.destroy()
	s.wantAsBefore(before)
}
