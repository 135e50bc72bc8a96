//go:build lab

package e2e

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/lab"
)

// dumpLines print what a host is: everything that lvsform could have changed.
const dumpLines = `
echo "-- links"; ip -d link
echo "-- addresses"; ip -d address
echo "-- routes"; ip -4 -d route show table all; ip -6 -d route show table all
echo "-- rules"; ip -4 rule; ip -6 rule
echo "-- ipvs"; ipvsadm -Sn; ipvsadm -Ln --thresholds | awk '$1 == "->" { NF = 4 } 1'; ipvsadm -Ln --timeout
echo "-- nftables"; nft list ruleset
echo "-- files"; find /var/lib/lvsform /run/lvsform /usr/local/libexec /etc/systemd /etc/sysctl.d /etc/modules-load.d /etc/keepalived /etc/ha.d -printf '%y %m %u %p\n' 2>/dev/null || true
echo "-- sysctls"; sysctl -a --pattern '^net\.' 2>/dev/null
`

// moving are sysctls that change by themselves.
var moving = []string{"net.netfilter.nf_conntrack_count", "net.ipv6.route.gc_", "net.ipv4.tcp_fastopen_key"}

// dump is a host as text.
func (s *scene) dump(host string) string {
	s.t.Helper()
	return withoutMoving(s.on(host, dumpLines))
}

func withoutMoving(dump string) string {
	var kept strings.Builder
	for line := range strings.Lines(dump) {
		if !slices.ContainsFunc(moving, func(m string) bool { return strings.HasPrefix(line, m) }) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// inOrder makes dumps comparable of hosts that got the same in another order.
func inOrder(dump string) []string { return slices.Sorted(strings.Lines(dump)) }

// dumps is every declared host. One dump does not fill a machine.
func (s *scene) dumps() map[string]string {
	s.t.Helper()
	var (
		lock sync.Mutex
		errs error
		all  = map[string]string{}
		each sync.WaitGroup
	)
	for _, h := range s.lab.Config.Hosts {
		if h.Role != lab.Declared {
			continue
		}
		each.Go(func() {
			out, err := s.try(h.Name, dumpLines)
			lock.Lock()
			defer lock.Unlock()
			all[h.Name], errs = withoutMoving(out), errors.Join(errs, err)
		})
	}
	if each.Wait(); errs != nil {
		s.t.Fatal(errs)
	}
	return all
}

// wantAsBefore expects every host byte for byte as it was.
func (s *scene) wantAsBefore(before map[string]string) {
	s.t.Helper()
	after := s.dumps()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if diff := cmp.Diff(before[name], after[name]); diff != "" {
			s.t.Errorf("%s is not as it was (-before +after):\n%s", name, diff)
		}
	}
}
