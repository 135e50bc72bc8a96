//go:build lab

package e2e

import (
	"strings"
	"testing"
)

// guarded is a host whose packet filter is to be off, as write-ups of LVS have
// it, and a package that every host has.
const guarded = `
topology "guarded" {}
host "rs1" {
  address = "192.0.2.11"
  interface "eth0" { addresses = ["192.0.2.11/24"] }
}
package "base" {
  host  = host.rs1
  names = ["base-files"]
}
service "filter" {
  host    = host.rs1
  name    = "wallguard"
  running = false
  enabled = false
}
`

// wallguard is a service of /etc/init.d: hosts of the lab have no other init.
const wallguard = `cat >/etc/init.d/wallguard <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          wallguard
# Required-Start:    $network
# Required-Stop:     $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: a packet filter that filters nothing
### END INIT INFO
pid=$(cat /run/wallguard.pid 2>/dev/null)
up() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
case $1 in
start) up || { setsid sleep 10000 </dev/null >/dev/null 2>&1 & echo $! >/run/wallguard.pid; } ;;
stop) ! up || kill "$pid"; rm -f /run/wallguard.pid ;;
status) up && exit 0; exit 3 ;;
*) exit 2 ;;
esac
END
chmod 755 /etc/init.d/wallguard
update-rc.d wallguard defaults
/etc/init.d/wallguard start`

// wallguardIs tells how the service is, from its script and its links.
const wallguardIs = `/etc/init.d/wallguard status && echo running || echo stopped; ls /etc/rc3.d | grep wallguard`

func TestAServiceIsStoppedAndComesBack(t *testing.T) {
	s := newScene(t, guarded)
	if got := s.must(6, "apply", "--auto-approve"); !strings.Contains(got.out+got.err, "install its package") {
		t.Errorf("a service that is not there: %s%s", got.out, got.err)
	}
	s.on("rs1", wallguard)
	defer s.on("rs1", "/etc/init.d/wallguard stop")
	before := s.on("rs1", wallguardIs)
	if !strings.HasPrefix(before, "running\nS") {
		t.Fatalf("the service is %q", before)
	}
	s.wantPlan("rs1 adopt package base-files", "rs1 update service wallguard")
	s.apply()
	s.wantPlan()
	stopped := s.on("rs1", wallguardIs)
	if !strings.HasPrefix(stopped, "stopped\nK") {
		t.Errorf("the service is %q", stopped)
	}

	s.on("rs1", "/etc/init.d/wallguard start; update-rc.d wallguard enable")
	s.wantDrift("# service.filter on rs1 will be updated in place", "~ running = true -> false", "~ enabled = true -> false")
	s.apply()
	s.wantPlan()
	s.wantOn("rs1", wallguardIs, stopped)

	s.destroy()
	s.wantOn("rs1", wallguardIs, before)
	s.wantOn("rs1", "dpkg-query -W -f '${Status}' base-files", "install ok installed")
}
