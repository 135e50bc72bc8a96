//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// row is one line of the table: a measurement, and the target it must meet.
type row struct {
	Group  string   `json:"group"` // fleet of 50, 1000 services x 10, …
	Name   string   `json:"name"`
	Sample sample   `json:"sample"` // medians
	Runs   int      `json:"runs"`
	Ratios []string `json:"ratios"` // one for each target, or a plain comparison
	Held   []bool   `json:"held"`   // one for each target
}

// sample is what one run cost.
type sample struct {
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu,omitempty"` // user and system, of the controller and its children
	RSS  int64         `json:"rss,omitempty"` // bytes at the peak
}

// median takes the median of each column for itself.
func median(samples []sample) sample {
	return sample{
		Wall: middle(samples, func(s sample) time.Duration { return s.Wall }),
		CPU:  middle(samples, func(s sample) time.Duration { return s.CPU }),
		RSS:  middle(samples, func(s sample) int64 { return s.RSS }),
	}
}

func middle[T cmp.Ordered](samples []sample, column func(sample) T) T {
	values := make([]T, 0, len(samples))
	for _, s := range samples {
		values = append(values, column(s))
	}
	slices.Sort(values)
	var zero T
	if len(values) == 0 {
		return zero
	}
	return values[(len(values)-1)/2]
}

// slower notes how many times longer than the base this took. A limit of 0 is
// no target.
func (r *row) slower(base row, limit float64) {
	ratio := r.Sample.Wall.Seconds() / base.Sample.Wall.Seconds()
	text := fmt.Sprintf("%.2f x %s", ratio, base.Name)
	if limit > 0 {
		text += fmt.Sprintf(" (at most %g)", limit)
		r.Held = append(r.Held, ratio <= limit)
	}
	r.Ratios = append(r.Ratios, text)
}

// faster notes how many times faster than a peer this was.
func (r *row) faster(peer row, limit float64) {
	ratio := peer.Sample.Wall.Seconds() / r.Sample.Wall.Seconds()
	text := fmt.Sprintf("%.1f times faster than %s", ratio, peer.Name)
	if limit > 0 {
		text += fmt.Sprintf(" (at least %g)", limit)
		r.Held = append(r.Held, ratio >= limit)
	}
	r.Ratios = append(r.Ratios, text)
}

// atMost notes a figure that is no ratio of times.
func (r *row) atMost(what string, value, limit float64) {
	r.Ratios = append(r.Ratios, fmt.Sprintf("%.1f %s (at most %g)", value, what, limit))
	r.Held = append(r.Held, value <= limit)
}

type report []row

func (all report) missed() int {
	missed := 0
	for _, r := range all {
		for _, held := range r.Held {
			if !held {
				missed++
			}
		}
	}
	return missed
}

// print writes one Markdown table.
func (all report) print(w io.Writer) {
	fmt.Fprintln(w, "| what | run | wall s | controller CPU s | peak MB | ratio (target) | holds | runs |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---|---|---:|")
	for _, r := range all {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %d |\n", r.Group, r.Name,
			seconds(r.Sample.Wall), seconds(r.Sample.CPU), megabytes(r.Sample.RSS),
			strings.Join(r.Ratios, "; "), r.holds(), r.Runs)
	}
}

func (r row) holds() string {
	switch {
	case len(r.Held) == 0:
		return ""
	case slices.Contains(r.Held, false):
		return "NO"
	}
	return "yes"
}

func seconds(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.4f", d.Seconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f", d.Seconds())
	}
	return fmt.Sprintf("%.0f", d.Seconds())
}

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", float64(n)/1e6)
}

// decode reads the rows that a part in another process wrote.
func decodeRows(out []byte) (report, error) {
	var rows report
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	return rows, nil
}
