package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/status"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/verify"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
)

// The traffic that verify makes.
const (
	maxRequests    = 10_000
	knocksAtOnce   = 8
	knockTimeout   = 3 * time.Second // of one connection
	hopelessKnocks = 16              // after so many without an answer no more are sent
)

// The kernel sums its counters up every two seconds (ip_vs_est.c): what is read
// may be so old.
const (
	countersAge   = 2500 * time.Millisecond
	countersPause = 250 * time.Millisecond
	countersWait  = 6 * time.Second
)

func (c *cli) verifyCommand() *cobra.Command {
	var from string
	var requests int
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Open connections through each VIP and compare who got them with the weights",
		Long: `verify opens connections through the VIP of every virtual service, from this
machine or from a managed host, and reads from the directors' counters which real
server got how many. It sends nothing over a connection; for UDP it sends
datagrams without content.

Exit codes: 0 all is as expected, 1 it is not, or an error.`,
		Example: `  lvsform verify --from ops1
  lvsform verify --requests 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			if requests < 1 || requests > maxRequests {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--requests must be from 1 to %d, not %d", maxRequests, requests)}
			}
			return c.verify(cmd.Context(), from, requests)
		},
	}
	f := cmd.Flags()
	c.configFlags(f)
	c.connectFlags(f)
	f.BoolVar(&c.flags.json, "json", false, "print the result as JSON")
	f.StringVar(&from, "from", "", "open the connections on this `HOST` of the topology instead of here")
	f.IntVar(&requests, "requests", 100, "open `N` connections to each service")
	return cmd
}

func (c *cli) verify(ctx context.Context, from string, requests int) error {
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	if !c.flags.json {
		c.diagnose(diags)
	}
	trials := c.newTrials(t, from)
	if len(trials) == 0 {
		return &hintError{errors.New("the configuration declares no virtual service on a managed host"), "There is nothing to verify."}
	}
	directors := slices.DeleteFunc(status.Directors(t), func(h *topology.Host) bool { return !servesAny(t, h.Name) })
	l, err := c.newLookout(t, directors)
	if err != nil {
		return err
	}
	defer l.close()
	knock := knockHere
	if from != "" {
		if knock, err = l.knockFrom(ctx, from); err != nil {
			return err
		}
	}
	v := &verification{c: c, lookout: l, trials: trials, requests: requests, knock: knock}
	report, err := v.run(ctx)
	if err != nil {
		return err
	}
	report.Topology, report.From = t.Name, from
	if c.flags.json {
		c.writeJSON(report)
	} else {
		c.print(func(w io.Writer) { c.style(c.stdout).Verify(w, report) })
	}
	if !report.OK {
		return silent(exitError)
	}
	return nil
}

func servesAny(t *topology.Topology, host string) bool {
	return slices.ContainsFunc(t.Resources, func(r *topology.Resource) bool {
		_, ok := r.Body.(*topology.VirtualService)
		return ok && r.Host == host
	})
}

// trial is one virtual service, whatever number of directors serve it.
type trial struct {
	id        state.ServiceID
	address   string // in the configuration, of the first director
	scheduler string
	flags     []string
	secret    bool // the scheduler is not shown
	protocol  string
	target    netip.AddrPort
	skipped   string // why no connection can be opened
	sent      verify.Sent
}

// newTrials are the services of managed directors, in the configuration's order.
func (c *cli) newTrials(t *topology.Topology, from string) []*trial {
	var out []*trial
	for _, r := range t.Resources {
		b, ok := r.Body.(*topology.VirtualService)
		h := t.Host(r.Host)
		id := state.ServiceID{}
		if ok {
			id = status.ID(b)
		}
		if !ok || h == nil || !h.Managed || h.Retired || slices.ContainsFunc(out, func(o *trial) bool { return o.id == id }) {
			continue
		}
		o := &trial{id: id, address: r.Path, scheduler: b.Scheduler, flags: b.SchedulerFlags, secret: slices.Contains(r.Sensitive, "scheduler"),
			protocol: b.Protocol, target: netip.AddrPortFrom(b.Address, b.Port), sent: verify.Sent{Failures: map[string]int{}}}
		o.aim(t, r.Host, b, from)
		out = append(out, o)
	}
	return out
}

// aim finds an address and port that lead to the service.
func (o *trial) aim(t *topology.Topology, host string, b *topology.VirtualService, from string) {
	if b.FWMark != 0 {
		o.skipped = "nothing in the configuration gives packets its mark"
		for _, r := range t.Resources {
			m, ok := r.Body.(*topology.Mark)
			if ok && r.Host == host && m.Mark == b.FWMark && m.Address.Is4() == (b.Family == "ipv4") && len(m.Ports) > 0 {
				o.protocol, o.target, o.skipped = m.Protocol, netip.AddrPortFrom(m.Address, m.Ports[0].First), ""
				break
			}
		}
	}
	if o.target.Port() == 0 && o.skipped == "" {
		if b.HealthCheck == nil || b.HealthCheck.Port == 0 {
			o.skipped = "it takes every port, and none is known to answer"
			return
		}
		o.target = netip.AddrPortFrom(b.Address, b.HealthCheck.Port)
	}
	if o.protocol == "sctp" && from == "" && o.skipped == "" {
		o.skipped = "connections of SCTP can be opened only with --from"
	}
	if o.skipped == "" && holdsVIP(t, o.id, from) {
		o.skipped = "with direct routing and tunnels a host that holds the VIP is no client of it: name another one with --from"
	}
}

// holdsVIP tells whether a host is a director or a real server of a service whose
// real servers answer from the VIP. Answers that a director gets from its own
// address it drops, and a real server answers itself.
func holdsVIP(t *topology.Topology, id state.ServiceID, host string) bool {
	return host != "" && slices.ContainsFunc(t.Resources, func(r *topology.Resource) bool {
		b, ok := r.Body.(*topology.VirtualService)
		return ok && status.ID(b) == id && slices.ContainsFunc(b.RealServers, func(rs topology.RealServer) bool {
			return rs.Forward != "nat" && (r.Host == host || rs.Host == host)
		})
	})
}

// knocker opens connections at once and tells why each was not taken, "" for one
// that was.
type knocker func(ctx context.Context, k wire.Knock) ([]string, error)

// knockFrom opens connections on a host of the topology.
func (l *lookout) knockFrom(ctx context.Context, host string) (knocker, error) {
	machines := topologyMachines(l.topology)
	i := slices.IndexFunc(machines, func(m machine) bool { return m.name == host })
	if i < 0 {
		var names []string
		for _, m := range machines {
			names = append(names, m.name)
		}
		return nil, &hintError{fmt.Errorf("the configuration has no managed host %q", host), "It has: " + strings.Join(names, ", ") + "."}
	}
	if _, err := l.connect(ctx, machines[i]); err != nil {
		return nil, fmt.Errorf("host %s: %w", host, err)
	}
	if !slices.ContainsFunc(l.f.machines, func(m machine) bool { return m.name == host }) {
		l.extra = host
	}
	return func(ctx context.Context, k wire.Knock) ([]string, error) {
		s := l.f.session(host)
		if s == nil {
			return nil, fmt.Errorf("host %s cannot be reached any more", host)
		}
		out, err := s.Knock(ctx, k)
		if err != nil {
			err = fmt.Errorf("host %s: %w", host, err)
		}
		return out, err
	}, nil
}

// knockHere opens connections on this machine.
func knockHere(ctx context.Context, k wire.Knock) ([]string, error) {
	out := make([]string, k.Count)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i] = knockOnce(ctx, k) })
	}
	wg.Wait()
	return out, nil
}

func knockOnce(ctx context.Context, k wire.Knock) string {
	conn, err := (&net.Dialer{Timeout: k.Timeout}).DialContext(ctx, k.Protocol, k.Address.String())
	if err == nil && k.Protocol == "udp" {
		_, err = conn.Write(nil)
	}
	if conn != nil {
		conn.Close() //nolint:errcheck // it has served
	}
	var system *os.SyscallError
	var timeout net.Error
	var op *net.OpError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within " + k.Timeout.String()
	case errors.As(err, &system):
		return system.Err.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// verification is one run over all services.
type verification struct {
	c        *cli
	lookout  *lookout
	trials   []*trial
	requests int
	knock    knocker
}

func (v *verification) run(ctx context.Context) (verify.Report, error) {
	report := verify.Report{FormatVersion: status.FormatVersion, LvsformVersion: buildVersion(), OK: true, Unread: []verify.Unread{}, Services: []verify.Service{}}
	found := v.lookout.report(ctx)
	for _, h := range found.Hosts {
		if h.Error != "" {
			report.Unread = append(report.Unread, verify.Unread{Host: h.Name, Error: h.Error})
			report.OK = report.OK && v.c.skippable(v.lookout.errs)
		}
	}
	before, err := v.settled(ctx)
	if err == nil {
		err = v.send(ctx)
	}
	var after map[string][]state.Counters
	if err == nil {
		after, err = v.counted(ctx, before)
	}
	if ctx.Err() != nil {
		return report, errors.New("interrupted; nothing was changed")
	}
	if err != nil {
		return report, err
	}
	for _, o := range v.trials {
		s := v.judge(o, found, before, after)
		report.OK = report.OK && (s.OK || s.Skipped != "")
		report.Services = append(report.Services, s)
	}
	tried := func(s verify.Service) bool { return s.Skipped == "" }
	report.OK = report.OK && slices.ContainsFunc(report.Services, tried)
	return report, nil
}

// judge compares one service.
func (v *verification) judge(o *trial, found status.Report, before, after map[string][]state.Counters) verify.Service {
	var watched []verify.Watched
	for _, h := range found.Hosts {
		i := slices.IndexFunc(h.Services, func(s status.Service) bool { return s.ServiceID == o.id && s.Address != "" })
		if i >= 0 {
			watched = append(watched, verify.Watched{Host: h.Name, Status: h.Services[i], Before: before[h.Name], After: after[h.Name]})
		}
	}
	if o.skipped == "" && len(watched) == 0 {
		o.skipped = "none of its directors could be read"
	}
	if o.skipped != "" {
		out := verify.Service{Address: o.address, ID: o.id.String(), Skipped: o.skipped, Failures: map[string]int{},
			Servers: []verify.Server{}, Problems: []string{}, Notes: []string{}}
		if !o.secret {
			out.Scheduler = &o.scheduler
		}
		return out
	}
	out := verify.Judge(o.scheduler, o.flags, watched, o.sent)
	out.Target = o.protocol + " " + o.target.String()
	return out
}

// send opens the connections, service by service.
func (v *verification) send(ctx context.Context) error {
	timeout := min(knockTimeout, v.c.flags.timeout/2)
	for _, o := range v.trials {
		for o.skipped == "" && o.sent.Count < v.requests && !(o.sent.Answered == 0 && o.sent.Count >= hopelessKnocks) {
			failures, err := v.knock(ctx, wire.Knock{Protocol: o.protocol, Address: o.target, Timeout: timeout,
				Count: min(knocksAtOnce, v.requests-o.sent.Count)})
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			for _, failure := range failures {
				o.sent.Count++
				if failure == "" {
					o.sent.Answered++
				} else {
					o.sent.Failures[failure]++
				}
			}
		}
	}
	return nil
}

// settled reads counters in which all that came before is summed up. Where no
// connection is remembered none came lately.
func (v *verification) settled(ctx context.Context) (map[string][]state.Counters, error) {
	counters, err := v.counters(ctx)
	if err != nil || !slices.ContainsFunc(v.trials, func(o *trial) bool { return v.onePacket(o) || remembered(counters, o) }) {
		return counters, err
	}
	// Nothing tells when the kernel has summed up, but how often it does.
	if err := pause(ctx, countersAge); err != nil {
		return nil, err
	}
	return v.counters(ctx)
}

// onePacket tells whether a service remembers no connections.
func (v *verification) onePacket(o *trial) bool {
	return slices.ContainsFunc(v.lookout.topology.Resources, func(r *topology.Resource) bool {
		b, ok := r.Body.(*topology.VirtualService)
		return ok && b.OnePacket && status.ID(b) == o.id
	})
}

func remembered(counters map[string][]state.Counters, o *trial) bool {
	for _, list := range counters {
		for _, c := range list {
			if strings.HasPrefix(c.Destination, o.id.String()+"/") && c.Active+c.Inactive > 0 {
				return true
			}
		}
	}
	return false
}

// counted reads the counters when they hold what was taken, or will not any more.
func (v *verification) counted(ctx context.Context, before map[string][]state.Counters) (map[string][]state.Counters, error) {
	for until := time.Now().Add(countersWait); ; {
		after, err := v.counters(ctx)
		if err != nil || time.Now().After(until) || !slices.ContainsFunc(v.trials, func(o *trial) bool { return risen(before, after, o) < o.sent.Answered }) {
			return after, err
		}
		if err := pause(ctx, countersPause); err != nil {
			return nil, err
		}
	}
}

// risen is how many connections the directors have counted for a service.
func risen(before, after map[string][]state.Counters, o *trial) int {
	sum := func(counters map[string][]state.Counters) (n int) {
		for _, list := range counters {
			for _, c := range list {
				if strings.HasPrefix(c.Destination, o.id.String()+"/") {
					n += int(min(c.Total, 1<<53))
				}
			}
		}
		return n
	}
	return sum(after) - sum(before)
}

// counters reads the counters of all services on the directors that were read.
func (v *verification) counters(ctx context.Context) (map[string][]state.Counters, error) {
	var ids []state.ServiceID
	for _, o := range v.trials {
		ids = append(ids, o.id)
	}
	var mu sync.Mutex
	out := map[string][]state.Counters{}
	var errs []error
	each(v.lookout.f.machines, v.lookout.f.parallelism, func(m machine) {
		s := v.lookout.f.session(m.name)
		if s == nil || v.lookout.errs[m.name] != nil {
			return
		}
		a, err := s.Activity(ctx, ids)
		mu.Lock()
		defer mu.Unlock()
		if out[m.name] = a.Counters; err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", m.name, err))
		}
	})
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return out, errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
