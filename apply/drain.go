package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// drainPause is the time between two looks at the connections that are left.
const drainPause = 200 * time.Millisecond

// quietLooks is how many looks in a row must find no connection: one that is
// being opened when new ones are stopped counts as active when the client's
// second packet has come, which takes a second more where a packet was lost.
const quietLooks = 10

// drain waits until the destinations that the changes took new connections from
// have none any more, each for its own time at most. An interrupted run waits no
// longer. Only a failure to look is an error.
func (r *run) drain(ctx context.Context, host string, changes []planner.Change) error {
	left := slices.DeleteFunc(slices.Clone(changes), func(c planner.Change) bool { return c.Drain == 0 })
	start, quiet := time.Now(), map[string]int{}
	for len(left) > 0 {
		open, err := r.connections(ctx, host, left)
		if err != nil {
			return fmt.Errorf("%s: count the connections of what is drained: %w", host, err)
		}
		waited := time.Since(start)
		left = slices.DeleteFunc(left, func(c planner.Change) bool {
			n := open[c.Key().ID]
			r.observer.Draining(c, n)
			if quiet[c.ID]++; n > 0 {
				quiet[c.ID] = 0
			}
			return quiet[c.ID] == quietLooks || waited >= c.Drain
		})
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(drainPause):
		}
	}
	return nil
}

// connections are the open connections of the changes' destinations, by key.
func (r *run) connections(ctx context.Context, host string, changes []planner.Change) (map[string]int, error) {
	var services []state.ServiceID
	protocol := map[string]string{}
	for _, c := range changes {
		d, ok := c.After.(state.Destination)
		if !ok {
			return nil, fmt.Errorf("%s is no destination", c.Key())
		}
		protocol[c.Key().ID] = d.Service.Protocol
		if !slices.Contains(services, d.Service) {
			services = append(services, d.Service)
		}
	}
	counts, err := r.hosts[host].Connections(context.WithoutCancel(ctx), services)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, c := range counts {
		out[c.Destination] = c.Open(protocol[c.Destination])
	}
	return out, nil
}
