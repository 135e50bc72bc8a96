package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lvsform/lvsform/topology"
)

// Steps are what the story needs of the command line, which connects to the
// lab's hosts as Lab.SSHConfig says.
type Steps interface {
	// Plan prints the plan and counts its changes.
	Plan(ctx context.Context, l *Lab) (changes int, err error)
	// Apply applies the configuration without asking.
	Apply(ctx context.Context, l *Lab) error
}

// Run tells a configuration's whole story on w: the hosts, the plan, its
// application, who answers requests through each VIP, the live tables, and the
// second plan. It is an error when a request stays unanswered, when a share is
// far from what scheduler and weights promise, or when the second plan is not
// empty. Nothing is left of the lab afterwards, however Run ends.
func Run(ctx context.Context, w io.Writer, t *topology.Topology, steps Steps, o Options) (err error) {
	s := &story{w: w, started: time.Now()}
	config, err := New(t)
	if err != nil {
		return err
	}
	if o.Progress == nil {
		o.Progress = func(line string) { s.title(line) }
	}
	l, err := Up(ctx, o, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down(context.WithoutCancel(ctx))) }()
	s.title(fmt.Sprintf("%d hosts are up: %s", len(config.Hosts), describe(config)))
	if err := s.tell(ctx, l, t, steps); err != nil {
		return err
	}
	s.title("done")
	return nil
}

type story struct {
	w       io.Writer
	started time.Time
}

func (s *story) title(what string) {
	fmt.Fprintf(s.w, "\n== %s (%.1f s)\n", what, time.Since(s.started).Seconds())
}

func describe(c Config) string {
	var words []string
	for _, h := range c.Hosts {
		var nics []string
		for _, i := range h.Interfaces {
			for _, a := range i.Addresses {
				nics = append(nics, i.Name+" "+a.String())
			}
		}
		words = append(words, h.Name+" ("+strings.Join(nics, ", ")+")")
	}
	return strings.Join(words, ", ")
}

func (s *story) tell(ctx context.Context, l *Lab, t *topology.Topology, steps Steps) error {
	// The servers run before there is a cluster, as they do elsewhere.
	for _, v := range Services(t) {
		if err := l.ServeFor(ctx, v); err != nil {
			return err
		}
	}
	s.title("plan")
	if _, err := steps.Plan(ctx, l); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	s.title("apply")
	if err := steps.Apply(ctx, l); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	wrong := s.services(ctx, l, Services(t))
	for _, d := range directors(t) {
		s.title("IPVS table of " + d)
		if err := s.table(ctx, l, d); err != nil {
			return err
		}
	}
	s.title("second plan")
	changes, err := steps.Plan(ctx, l)
	if err != nil {
		return fmt.Errorf("second plan: %w", err)
	}
	if changes != 0 {
		wrong = errors.Join(wrong, fmt.Errorf("the second plan has %d changes", changes))
	}
	return wrong
}

// services sends requests to each service, and collects what went wrong.
func (s *story) services(ctx context.Context, l *Lab, services []Service) error {
	var wrong error
	for _, v := range services {
		client := l.Config.ClientFor(v.Address)
		a, err := l.Request(ctx, client, Requests{Network: v.Protocol, Target: v.Target(), Count: v.Sample()})
		if err != nil {
			return err
		}
		s.title(fmt.Sprintf("%d requests from %s to %s %s, scheduler %s", len(a.By), client, v.Protocol, v.Target(), v.Scheduler))
		if err := v.print(s.w, a); err != nil {
			return err
		}
		wrong = errors.Join(wrong, v.Judge(a))
	}
	return wrong
}

// ServeFor answers on the real servers of a service.
func (l *Lab) ServeFor(ctx context.Context, v Service) error {
	for _, r := range v.RealServers {
		if l.Config.Host(r.Host) == nil {
			continue // an address outside the topology: nobody can serve there
		}
		if err := l.Serve(ctx, r.Host, v.Protocol, r.Port); err != nil {
			return fmt.Errorf("serve %s/%d on %s: %w", v.Protocol, r.Port, r.Host, err)
		}
	}
	return nil
}

func directors(t *topology.Topology) []string {
	var names []string
	for _, r := range t.Resources {
		if _, ok := r.Body.(*topology.VirtualService); ok && !slices.Contains(names, r.Host) {
			names = append(names, r.Host)
		}
	}
	slices.Sort(names)
	return names
}

// table prints what ipvsadm sees, or the kernel's own table where it is not
// installed.
func (s *story) table(ctx context.Context, l *Lab, director string) error {
	r, err := l.Exec(ctx, director, "sh", "-c", "ipvsadm -Ln 2>/dev/null || cat /proc/net/ip_vs")
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("%s has no IPVS table: %s", director, r.Stderr)
	}
	_, err = s.w.Write(r.Stdout)
	return err
}

func (v Service) print(w io.Writer, a Answers) error {
	counts, shares := a.Counts(), v.Shares(len(a.By))
	tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  real server\tweight\texpected\tanswered")
	for _, r := range v.RealServers {
		expected := "-"
		if shares != nil {
			expected = fmt.Sprintf("%.0f", shares[r.Host])
		}
		fmt.Fprintf(tw, "  %s\t%d\t%s\t%d\n", r.Host, r.Weight, expected, counts[r.Host])
	}
	if n := len(a.Failures); n > 0 {
		fmt.Fprintf(tw, "  nobody\t\t0\t%d\t(%s)\n", n, a.Failures[0])
	}
	return tw.Flush()
}
