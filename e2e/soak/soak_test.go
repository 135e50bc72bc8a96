//go:build linux && kernel

package soak

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestSoak is make soak with LVSFORM_SOAK=all, and a part of it otherwise.
func TestSoak(t *testing.T) {
	all := os.Getenv("LVSFORM_SOAK") == "all"
	count := &tally{began: time.Now()}
	failures := 0
	run := func(name string, f func(*testing.T, bool, *tally)) {
		if !t.Run(name, func(t *testing.T) { f(t, all, count) }) {
			failures++
		}
	}
	run("kills", kills)
	run("pairs", pairs)
	run("clock", clock)
	run("hang", hang)
	run("disk", disk)
	run("left", left)
	fmt.Printf("soak: %d kills, %d pairs, %d of the tests failed, %s\n", count.kills, count.pairs, failures, time.Since(count.began).Round(time.Second))
}
