package planner

import "testing"

func TestEveryWaveHasAReason(t *testing.T) {
	for i, name := range waveNames() {
		if w := Wave(i); w.reason() == w.String() {
			t.Errorf("wave %s has no reason", name)
		}
	}
}
