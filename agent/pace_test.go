package agent

import (
	"testing"
	"time"
)

func TestOfAFightOneAttemptInTwoSecondsIsLeft(t *testing.T) {
	var p pace
	now := time.Now()
	var got []time.Duration
	for range 7 {
		now = now.Add(p.gap(0))
		p.lost(now)
		got = append(got, p.gap(0))
	}
	want := []time.Duration{100, 200, 400, 800, 1600, 2000, 2000}
	for i := range want {
		if got[i] != want[i]*time.Millisecond {
			t.Fatalf("the gaps are %v", got)
		}
	}
	p.lost(now.Add(calm + 1))
	if p.gap(0) != quiet || p.gap(50*time.Millisecond) != 500*time.Millisecond || p.gap(time.Hour) != longest {
		t.Errorf("after a calm: %v, on a host that is slow to read: %v, %v", p.gap(0), p.gap(50*time.Millisecond), p.gap(time.Hour))
	}
}
