package lab

import (
	"errors"
	"fmt"
	"math"
)

// weighs tells how a scheduler shares among new connections that are closed
// again: by weight, or evenly. The other schedulers look at the client, whose
// requests may all go to one server.
var weighs = map[string]bool{"rr": false, "lc": false, "wrr": true, "wlc": true, "sed": true, "nq": true}

// part is what a real server gets for each that the others get.
func (v Service) part(r RealServer) float64 {
	byWeight, known := weighs[v.Scheduler]
	switch {
	case !known || r.Weight == 0:
		return 0
	case byWeight:
		return float64(r.Weight)
	}
	return 1
}

// Shares says how many of n requests each host should answer; nil where the
// scheduler promises nothing, or persistence keeps the client on one server.
func (v Service) Shares(n int) map[string]float64 {
	total := 0.0
	for _, r := range v.RealServers {
		total += v.part(r)
	}
	if total == 0 || v.Persistent {
		return nil
	}
	shares := map[string]float64{}
	for _, r := range v.RealServers {
		shares[r.Host] += float64(n) * v.part(r) / total
	}
	return shares
}

// Sample is how many requests show the shares: six rounds, within bounds.
func (v Service) Sample() int {
	const rounds, least, most = 6, 12, 60
	total := 0.0
	for _, r := range v.RealServers {
		total += v.part(r)
	}
	return max(least, min(most, int(rounds*total)))
}

// Judge says what is wrong with the answers: requests that nobody answered,
// hosts that should not have, and shares off by more than a quarter (and more
// than one request).
func (v Service) Judge(a Answers) error {
	var wrong []error
	if n := len(a.Failures); n > 0 {
		wrong = append(wrong, fmt.Errorf("%s: %d of %d requests were not answered: %s", v.Target(), n, len(a.By), a.Failures[0]))
	}
	counts, mayAnswer := a.Counts(), map[string]bool{}
	shares := v.Shares(len(a.By))
	for _, r := range v.RealServers {
		mayAnswer[r.Host] = mayAnswer[r.Host] || r.Weight > 0
		want, got := shares[r.Host], float64(counts[r.Host])
		if shares != nil && math.Abs(got-want) > max(1, want/4) {
			wrong = append(wrong, fmt.Errorf("%s: %s answered %.0f of %d requests, not about %.0f", v.Target(), r.Host, got, len(a.By), want))
		}
	}
	for _, who := range a.By {
		if who != "" && !mayAnswer[who] {
			wrong = append(wrong, fmt.Errorf("%s: %s answered, which is no real server with a weight", v.Target(), who))
			break
		}
	}
	return errors.Join(wrong...)
}
