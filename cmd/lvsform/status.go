package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/status"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/remote"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
)

// watchInterval is the time between two readings where --watch does not say.
const watchInterval = 2 * time.Second

func (c *cli) statusCommand() *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the directors serve at the moment",
		Long: `status reads every director of the topology and shows the VRRP state, the
services, their servers with weights and health, and connections and rates. It
changes nothing. A weight in brackets is the declared one, where the live one
differs.

Exit codes: 0 done, 1 error or a director that could not be read.`,
		Example: `  lvsform status -C examples/dr-wlc
  lvsform status --watch=5s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			watch := cmd.Flags().Changed("watch")
			if watch && every < 100*time.Millisecond {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--watch must be at least 100ms, not %s", every)}
			}
			if !watch {
				every = 0
			}
			return c.status(cmd.Context(), every)
		},
	}
	f := cmd.Flags()
	c.configFlags(f)
	c.connectFlags(f)
	f.BoolVar(&c.flags.json, "json", false, "print one JSON object; with --watch one a line")
	f.DurationVar(&every, "watch", watchInterval, "show it again every `D` (--watch=5s) until interrupted")
	f.Lookup("watch").NoOptDefVal = watchInterval.String()
	return cmd
}

// status shows the directors once, or every so often until it is interrupted.
func (c *cli) status(ctx context.Context, every time.Duration) error {
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	if !c.flags.json {
		c.diagnose(diags)
	}
	c.watching.Store(every > 0)
	l, err := c.newLookout(t, status.Directors(t))
	if err != nil {
		return err
	}
	defer l.close()
	for first := true; ; first = false {
		report := l.report(ctx)
		if ctx.Err() != nil && every > 0 {
			return nil
		}
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was changed")
		}
		if err := c.showStatus(report, every > 0, first); err != nil {
			return nil //nolint:nilerr // who reads it has gone
		}
		if every == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
	if len(l.errs) > 0 && (!c.skippable(l.errs) || len(l.live) == 0) {
		return silent(exitError)
	}
	return nil
}

// clearScreen begins a terminal anew (ECMA-48).
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

func (c *cli) showStatus(r status.Report, watch, first bool) error {
	if c.flags.json {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(r); err != nil {
			return err
		}
		_, err := c.stdout.Write(view.CleanJSON(b.Bytes()))
		return err
	}
	var b bytes.Buffer
	switch {
	case watch && isTerminal(c.stdout):
		b.WriteString(clearScreen)
	case watch && !first:
		b.WriteString("\n")
	}
	if watch {
		fmt.Fprintf(&b, "%s\n\n", time.Now().Format(time.DateTime))
	}
	c.style(c.stdout).Status(&b, r)
	_, err := c.stdout.Write(b.Bytes())
	return err
}

// lookout reads directors again and again over the same sessions.
type lookout struct {
	c        *cli
	topology *topology.Topology
	f        *fleet
	shown    bool   // the first reading's progress is over
	extra    string // a host beside the directors that has a session
	mu       sync.Mutex
	live     map[string]status.Live
	errs     map[string]error
}

func (c *cli) newLookout(t *topology.Topology, directors []*topology.Host) (*lookout, error) {
	var machines []machine
	for _, m := range topologyMachines(t) {
		if slices.ContainsFunc(directors, func(h *topology.Host) bool { return h.Name == m.name }) {
			machines = append(machines, m)
		}
	}
	bar := c.newProgress(len(machines))
	f, err := c.newFleet(machines, bar)
	if err != nil {
		bar.close()
		return nil, err
	}
	return &lookout{c: c, topology: t, f: f}, nil
}

func (l *lookout) close() {
	l.settle()
	l.f.close()
	l.f.release(l.extra)
}

// settle ends the progress of the first reading.
func (l *lookout) settle() {
	if !l.shown {
		l.shown = true
		l.f.progress.close()
		l.f.progress = quiet{l.c.stderr}
	}
}

// report reads all directors.
func (l *lookout) report(ctx context.Context) status.Report {
	l.live, l.errs = map[string]status.Live{}, map[string]error{}
	each(l.f.machines, l.f.parallelism, func(m machine) {
		live, err := l.read(ctx, m)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			l.errs[m.name] = err
			l.f.release(m.name) // another session may do better
			l.f.progress.end(m.name, "failed", false)
			return
		}
		l.live[m.name] = live
		l.f.progress.end(m.name, "read", true)
	})
	l.settle()
	texts := map[string]string{}
	for name, err := range l.errs {
		texts[name] = l.c.blot(err.Error())
	}
	r := status.Build(l.topology, l.live, texts)
	r.LvsformVersion = buildVersion()
	return r
}

func (l *lookout) read(ctx context.Context, m machine) (status.Live, error) {
	s, err := l.connect(ctx, m)
	if err != nil {
		return status.Live{}, err
	}
	l.f.progress.set(m.name, "reading")
	seen, err := s.Observe(ctx, wire.Observe{})
	if err != nil {
		return status.Live{}, err
	}
	activity, err := s.Activity(ctx, serviceIDs(seen.Objects))
	return status.Live{Objects: seen.Objects, Ledger: seen.Ledger, Activity: activity}, err
}

// connect returns the session with a host, a new one where there is none.
func (l *lookout) connect(ctx context.Context, m machine) (*remote.Session, error) {
	if s := l.f.session(m.name); s != nil {
		return s, nil
	}
	l.f.progress.set(m.name, "connecting")
	s, err := l.f.dialer.Connect(ctx, target(m))
	if err == nil {
		l.f.adopt(m.name, s)
	}
	return s, err
}

func serviceIDs(objects state.Objects) []state.ServiceID {
	var out []state.ServiceID
	for _, o := range objects {
		if s, ok := o.(state.Service); ok {
			out = append(out, s.ServiceID)
		}
	}
	slices.SortFunc(out, func(a, b state.ServiceID) int { return cmp.Compare(a.String(), b.String()) })
	return out
}
