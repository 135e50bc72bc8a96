package check_test

import (
	"testing"

	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/topology"
)

func TestTrafficIsAskedForWhereAServiceOrASyncDaemonWantsIt(t *testing.T) {
	for name, test := range map[string]struct {
		body topology.Body
		want bool
	}{
		"sysctls alone":        {&topology.Sysctl{}, false},
		"a service":            {&topology.VirtualService{}, true},
		"timeouts of IPVS":     {&topology.IPVS{}, false},
		"a sync daemon":        {&topology.IPVS{Sync: []topology.Sync{{}}}, true},
		"an address by itself": {&topology.Address{}, false},
	} {
		got := check.Traffic(&topology.Topology{Resources: []*topology.Resource{{Body: test.body}}})
		if got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
