package agent

import (
	"testing"
	"time"
)

func TestOfAFightOneAttemptInTwoSecondsIsLeft(t *testing.T) {
	var p pace
	now := time.Now()
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 2000, 2000} {
		next := p.after(now, now, true)
		if got := next.Sub(now); got != want*time.Millisecond {
			t.Fatalf("the gap is %v, want %v ms", got, int(want))
		}
		now = next
	}
	now = now.Add(calm + 1)
	if got := p.after(now, now, true).Sub(now); got != quiet {
		t.Errorf("after a calm the gap is %v", got)
	}
	if got := p.after(now.Add(-time.Minute), now, false).Sub(now); got != time.Minute {
		t.Errorf("after a round of a minute the gap is %v", got)
	}
}
