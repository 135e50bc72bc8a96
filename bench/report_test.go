//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedianTakesEachColumnForItself(t *testing.T) {
	got := median([]sample{
		{Wall: 3 * time.Second, CPU: 10, RSS: 7},
		{Wall: 1 * time.Second, CPU: 30, RSS: 8},
		{Wall: 2 * time.Second, CPU: 20, RSS: 9},
	})
	if diff := cmp.Diff(sample{Wall: 2 * time.Second, CPU: 20, RSS: 8}, got); diff != "" {
		t.Error(diff)
	}
	if got := median(nil); got != (sample{}) {
		t.Errorf("median of nothing is %v", got)
	}
}

func TestTargetsHoldAtTheLimitAndNotBeyond(t *testing.T) {
	second := func(n float64) row {
		return row{Name: "peer", Sample: sample{Wall: time.Duration(n * float64(time.Second))}}
	}
	for name, tc := range map[string]struct {
		note func(*row)
		want row
	}{
		"as slow as allowed": {func(r *row) { r.slower(second(2), 1.5) },
			row{Ratios: []string{"1.50 x peer (at most 1.5)"}, Held: []bool{true}}},
		"too slow": {func(r *row) { r.slower(second(1), 1.5) },
			row{Ratios: []string{"3.00 x peer (at most 1.5)"}, Held: []bool{false}}},
		"a comparison is no target": {func(r *row) { r.slower(second(1), 0) },
			row{Ratios: []string{"3.00 x peer"}}},
		"fast enough": {func(r *row) { r.faster(second(30), 10) },
			row{Ratios: []string{"10.0 times faster than peer (at least 10)"}, Held: []bool{true}}},
		"not fast enough": {func(r *row) { r.faster(second(27), 10) },
			row{Ratios: []string{"9.0 times faster than peer (at least 10)"}, Held: []bool{false}}},
		"too much memory": {func(r *row) { r.atMost("MB", 26, 25) },
			row{Ratios: []string{"26.0 MB (at most 25)"}, Held: []bool{false}}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Sample = second(3).Sample
			got := row{Sample: second(3).Sample}
			tc.note(&got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReportIsOneTableAndCountsWhatWasMissed(t *testing.T) {
	all := report{
		{Group: "50 hosts", Name: "floor", Sample: sample{Wall: 470 * time.Millisecond, CPU: 60 * time.Millisecond}, Runs: 5},
		{Group: "50 hosts", Name: "plan", Sample: sample{Wall: 12 * time.Second, RSS: 34e6}, Runs: 5,
			Ratios: []string{"a", "b"}, Held: []bool{true, false}},
	}
	var b strings.Builder
	all.print(&b)
	want := `| what | run | wall s | controller CPU s | peak MB | ratio (target) | holds | runs |
|---|---|---:|---:|---:|---|---|---:|
| 50 hosts | floor | 0.47 | 0.06 |  |  |  | 5 |
| 50 hosts | plan | 12 |  | 34 | a; b | NO | 5 |
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	if got := all.missed(); got != 1 {
		t.Errorf("missed %d, want 1", got)
	}
}

func TestCommandLineRefusesWhatItCannotMeasure(t *testing.T) {
	for _, args := range [][]string{
		{"--only", "everything"}, {"--hosts", "0"}, {"--hosts", "501"}, {"--hosts", "many"}, {"--runs", "0"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	o, err := parse([]string{"--hosts", "200,50", "--only", "fleet"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{50, 200}, o.Hosts); diff != "" {
		t.Error(diff)
	}
}

// Both sides of the comparison must bring about the same table.
func TestIpvsadmGetsTheWholeTable(t *testing.T) {
	j := tableJob{want: largeTable(2, 2)}
	want := `-A -t 192.0.0.1:80 -s wlc
-a -t 192.0.0.1:80 -r 10.0.0.1:80 -g -w 1
-a -t 192.0.0.1:80 -r 10.0.0.2:80 -g -w 1
-A -t 192.0.0.2:80 -s wlc
-a -t 192.0.0.2:80 -r 10.1.0.1:80 -g -w 1
-a -t 192.0.0.2:80 -r 10.1.0.2:80 -g -w 1
`
	if diff := cmp.Diff(want, j.forIpvsadm()); diff != "" {
		t.Error(diff)
	}
	seen := map[string]bool{}
	for _, o := range largeTable(1000, 10) {
		seen[o.Key().String()] = true
	}
	if len(seen) != 11000 {
		t.Errorf("%d different objects, want 11000", len(seen))
	}
}
