//go:build lab

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// knows tells whether a director has an established connection to a target in its
// table.
func (s *scene) knows(director, target string) bool {
	s.t.Helper()
	for line := range strings.Lines(s.on(director, "ipvsadm -Lnc")) {
		if strings.Contains(line, " ESTABLISHED ") && strings.Contains(line, " "+target+" ") {
			return true
		}
	}
	return false
}

func TestConnectionsSurviveAFailover(t *testing.T) {
	const target = pairVIP + ":3306"
	s := newExample(t, "dr-keepalived-mysql")
	before := s.dumps()
	for _, db := range []string{"db01", "db02"} {
		if err := s.lab.Serve(t.Context(), db, "tcp", 3306); err != nil {
			t.Fatal(err)
		}
	}
	s.apply()
	for _, h := range []string{"lvs01", "lvs02"} {
		s.wantOn(h, "ipvsadm -Ln --daemon | sed 's/, maxlen=.*//' | sort", "backup sync daemon (mcast=ens160, syncid=51\nmaster sync daemon (mcast=ens160, syncid=51")
	}
	s.untilHeld(pairVIP, "lvs01")
	s.until("both databases are in the pool", func() bool { return s.inPool("lvs01", "192.168.113.11") && s.inPool("lvs01", "192.168.113.142") })
	s.wantNoChanges()

	open := s.open(target)
	open.wantAlive("more packets") // the third tells the backup
	s.until("lvs02 knows the connection", func() bool { return s.knows("lvs02", target) })
	s.die("lvs01", pairVIP)
	s.untilHeld(pairVIP, "lvs02")
	open.wantAlive("a failover")
	for n := range 60 { // the kernel tells again with every fiftieth packet
		open.wantAlive(fmt.Sprintf("%d packets", n))
	}
	s.until("lvs01 knows the connection again", func() bool { return s.knows("lvs01", target) })
	s.apply()
	s.untilHeld(pairVIP, "lvs01")
	open.wantAlive("the return of lvs01")
	s.destroy()
	s.wantAsBefore(before)
}
