package main

import (
	"testing"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Only changes that leave a host's programs alone are confirmed without one.
func TestChangesOfTheNetworkAlone(t *testing.T) {
	address := wire.Step{Change: &state.Change{After: state.Address{Device: "lo"}}}
	claim := wire.Step{Claim: &state.ClaimChange{}}
	for name, c := range map[string]struct {
		change state.Change
		want   bool
	}{
		"a sysctl of the network": {state.Change{After: state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}}, true},
		"another sysctl":          {state.Change{After: state.Sysctl{Name: "vm.overcommit_memory", Value: "2"}}, false},
		"its removal":             {state.Change{Before: state.Sysctl{Name: "kernel.pid_max", Value: "9"}}, false},
		"a package":               {state.Change{After: state.Package{Name: "keepalived"}}, false},
		"a unit":                  {state.Change{After: state.Unit{Name: "keepalived"}}, false},
		"a configuration":         {state.Change{Before: state.Config{Program: "keepalived"}}, false},
		"a destination":           {state.Change{After: state.Destination{}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			steps := []wire.Step{claim, address, {Change: &c.change}}
			if got := networkAlone(steps); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
