package apply

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
			n := open[c.ID]
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

// connections are the open connections that the changes wait for, by id.
func (r *run) connections(ctx context.Context, host string, changes []planner.Change) (map[string]int, error) {
	var services []state.ServiceID
	for _, c := range changes {
		for _, service := range drained(c) {
			if !slices.Contains(services, service) {
				services = append(services, service)
			}
		}
	}
	counts, err := r.hosts[host].Connections(context.WithoutCancel(ctx), services)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, change := range changes {
		for _, c := range counts {
			if service, ok := concerns(change, c.Destination); ok {
				out[change.ID] += c.Open(service.Protocol)
			}
		}
	}
	return out, nil
}

// drained are the services whose connections a change waits for.
func drained(c planner.Change) []state.ServiceID {
	if m, ok := c.After.(state.Masquerade); ok {
		return []state.ServiceID{planner.MasqueradedService(m)}
	}
	var out []state.ServiceID
	for _, d := range c.Waiting() {
		out = append(out, d.Service)
	}
	return out
}

// concerns tells whether a change waits for the connections of a destination, and
// of which service that is: of a masquerade they are those of every port of its
// real server.
func concerns(c planner.Change, destination string) (state.ServiceID, bool) {
	m, ok := c.After.(state.Masquerade)
	if !ok {
		for _, d := range c.Waiting() {
			if destination == d.Key().ID {
				return d.Service, true
			}
		}
		return state.ServiceID{}, false
	}
	service := planner.MasqueradedService(m)
	server, ok := strings.CutPrefix(destination, service.String()+"/")
	at, err := netip.ParseAddrPort(server)
	return service, ok && err == nil && at.Addr() == m.To
}
