//go:build linux && kernel

package soak

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/wire"
)

// pairs lets two runs apply at once, then two destroy at once, again and again.
func pairs(t *testing.T, all bool, count *tally) {
	s := newScene(t, count)
	rounds := 3
	if all {
		rounds = 50
	}
	pristine := s.dumps()
	var applied map[string]string
	for n := range rounds {
		now := s.pair(n, false)
		if applied == nil {
			applied = now
		}
		s.wantDumps(fmt.Sprintf("after pair %d of applies", n), applied, now)
		s.wantDumps(fmt.Sprintf("after pair %d of destructions", n), pristine, s.pair(n, true))
		if (n+1)%10 == 0 {
			t.Logf("%d pairs of applies, and as many of destructions", n+1)
		}
	}
}

func (s *scene) wantDumps(when string, want, got map[string]string) {
	s.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("%s (-before +after):\n%s", when, diff)
	}
}

// pair starts two runs at once and expects one of them to do everything, and
// the other to do nothing and to be told why. It returns what the hosts are then.
func (s *scene) pair(n int, destroy bool) (dumps map[string]string) {
	s.Helper()
	owners := []string{fmt.Sprintf("left %d", n), fmt.Sprintf("right %d", n)}
	errs := make([]error, 2)
	written := make([]bool, 2)
	var runs [2]*controller
	for i, owner := range owners {
		c, err := s.connect(owner, nil)
		if err != nil {
			s.Fatal(err)
		}
		defer c.close()
		runs[i] = c
	}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, c := range runs {
		wg.Go(func() {
			<-start
			report, err := c.run(destroy)
			errs[i], written[i] = err, report != nil && report.Wrote()
			c.close()
		})
	}
	close(start)
	wg.Wait()
	s.tally.pairs++
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	var held *wire.Error
	if errs[winner] != nil || !errors.As(errs[1-winner], &held) || held.Code != wire.ErrorLocked || held.Lock.Owner != owners[winner] {
		s.Errorf("pair %d (destroy: %v): %v; %v", n, destroy, errs[0], errs[1])
	}
	if !written[winner] || written[1-winner] {
		s.Errorf("pair %d (destroy: %v): wrote: %v", n, destroy, written)
	}
	s.quiet()
	looks := s.looks()
	dumps = map[string]string{}
	for _, h := range s.hosts {
		h.tidy(fmt.Sprintf("pair %d", n))
		dumps[h.name] = looks[h.name].Dump
	}
	if p := s.plan(lives(looks), destroy); !p.Empty() {
		s.Errorf("pair %d: the next plan (destroy: %v) is not empty: %v", n, destroy, outline(p))
	}
	if destroy {
		// Looking took the lock, which makes its file.
		s.forget()
	}
	return dumps
}

// forget lets the hosts' directories be as they were.
func (s *scene) forget() {
	c, err := s.connect("leaving", nil)
	if err != nil {
		s.Fatal(err)
	}
	defer c.close()
	for _, h := range s.hosts {
		if _, err := c.sessions[h.name].ask(wire.Request{Leave: &wire.Leave{Topology: s.topology.Name}}); err != nil {
			s.Error(err)
		}
		if left := h.files(); len(left) > 0 {
			s.Errorf("%s: %v is left", h.name, left)
		}
	}
}
