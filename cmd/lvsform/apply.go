package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/remote"
	"github.com/lvsform/lvsform/topology"
	"github.com/spf13/cobra"
)

const applyCodes = `
Exit codes: 0 done, 1 error and nothing was changed, 3 partly applied, 4 the
saved plan is stale and nothing was changed, 5 a host is locked by another run
and nothing was changed, 6 a host was rolled back.`

func (c *cli) applyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply [PLANFILE]",
		Short: "Change the hosts to what the configuration says",
		Long: `apply reads every host, shows the plan, asks, and makes the changes. With the
file of a saved plan it makes exactly the changes of that plan, without asking
and without reading the configuration.
` + applyCodes,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			if len(args) == 1 {
				if err := c.onlyForConfiguration(cmd); err != nil {
					return err
				}
				return c.applyFile(cmd, args[0])
			}
			return c.applyConfiguration(cmd)
		},
	}
	c.applyFlags(cmd)
	return cmd
}

func (c *cli) destroyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Remove what the topology owns and restore what was before",
		Long: `destroy removes from every host what the topology owns there, gives sysctls
their earlier values back, and leaves nothing of lvsform on hosts that no other
topology uses.
` + applyCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			c.flags.destroy = true
			return c.applyConfiguration(cmd)
		},
	}
	c.applyFlags(cmd)
	return cmd
}

func (c *cli) applyFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	c.configFlags(f)
	c.connectFlags(f)
	c.selectFlags(f)
	f.BoolVar(&c.flags.autoApprove, "auto-approve", false, "do not ask")
	f.Func("drain-timeout", "how long connections of drained real servers get to end, `D` like 30s or 5m, whatever their services say", func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errors.New("want a time like 30s or 5m")
		}
		c.flags.drainTimeout = &d
		return nil
	})
	f.DurationVar(&c.flags.confirmTimeout, "confirm-timeout", 2*time.Minute, "hosts take changes back that are not confirmed over a new connection within `D`")
	f.IntVar(&c.flags.maxRemovals, "max-removals", -1, "refuse a plan that removes more than `N` objects")
	f.Lookup("max-removals").DefValue = "0" // what is not limited needs no default in the help
	f.BoolVar(&c.flags.json, "json", false, "print what happens as JSON, one object a line; needs --auto-approve or a plan file")
}

// onlyForConfiguration refuses flags that a saved plan has no use for.
func (c *cli) onlyForConfiguration(cmd *cobra.Command) error {
	for _, name := range []string{"var", "var-file", "target", "exclude", "checks"} {
		if cmd.Flags().Changed(name) {
			return &usageError{cmd.CommandPath(), fmt.Errorf("--%s has no effect on a saved plan: give it to lvsform plan", name)}
		}
	}
	return nil
}

// applyRun is one apply or destroy.
type applyRun struct {
	c   *cli
	cmd *cobra.Command
	// source makes the plan from the live hosts; a saved plan is checked
	// against them.
	machines []machine
	topology string
	source   func(live map[string]planner.Live, errs map[string]error) (*planner.Plan, error)
	announce func(*planner.Plan)
	file     string // of a saved plan
	hosts    map[string]*remoteHost
}

func (c *cli) applyConfiguration(cmd *cobra.Command) error {
	if c.flags.json && !c.flags.autoApprove {
		return &usageError{cmd.CommandPath(), errors.New("--json asks nothing: it needs --auto-approve or a plan file")}
	}
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	return c.configurationRun(cmd, t, diags).run(cmd.Context())
}

// configurationRun applies a topology; without a cmd there is none to go on with.
func (c *cli) configurationRun(cmd *cobra.Command, t *topology.Topology, diags topology.Diagnostics) *applyRun {
	r := &applyRun{c: c, cmd: cmd, machines: topologyMachines(t), topology: t.Name, announce: c.announcePlan}
	r.source = func(live map[string]planner.Live, errs map[string]error) (*planner.Plan, error) {
		p := c.build(t, diags, live, errs)
		c.drainFor(p)
		r.announce(p)
		if c.blocking(findings(p)) {
			return nil, silent(exitError)
		}
		return p, nil
	}
	return r
}

func (c *cli) applyFile(cmd *cobra.Command, file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return &usageError{cmd.CommandPath(), fmt.Errorf("%s is a directory, not a saved plan: to apply its configuration, use -C %s", file, shellQuote(file))}
	}
	in, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("saved plan: %w", err)
	}
	p, err := planner.Open(in)
	in.Close() //nolint:errcheck // it was only read
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if p.Diagnostics.HasErrors() || p.Checks.HasErrors() {
		c.fail(findings(p))
		return silent(exitError)
	}
	c.flags.autoApprove = true // the plan was looked at when it was saved
	c.flags.destroy = p.Destroy
	r := applyRun{c: c, cmd: cmd, machines: planMachines(p), topology: p.Topology, file: file}
	r.source = func(live map[string]planner.Live, errs map[string]error) (*planner.Plan, error) {
		if differences := p.Stale(live); len(differences) > 0 {
			return nil, staleError(p, differences)
		}
		c.drainFor(p)
		c.announcePlan(p)
		return p, nil
	}
	return r.run(cmd.Context())
}

func staleError(p *planner.Plan, differences []planner.Difference) error {
	var b strings.Builder
	view.Differences(&b, p, differences)
	return &codedError{exitStale, &hintError{
		errors.New("the saved plan is stale: the hosts are no longer as it saw them"),
		b.String() + "\nNothing was changed. Make a new plan.",
	}}
}

// announcePlan prints the plan that is about to be applied.
func (c *cli) announcePlan(p *planner.Plan) {
	if !c.flags.json {
		c.showPlan(p, nil)
		return
	}
	stream{c}.planned(p)
}

// run connects, locks, observes, plans, asks and applies.
func (r *applyRun) run(ctx context.Context) error {
	c := r.c
	bar := c.newProgress(len(r.machines))
	f, err := c.newFleet(r.machines, bar)
	if err != nil {
		bar.close()
		return err
	}
	defer f.close()
	live, err := r.prepare(ctx, f)
	bar.close()
	if err != nil {
		return err
	}
	p, err := r.source(live, f.errs)
	if err != nil {
		return err
	}
	if err := c.tooMany(p); err != nil {
		return err
	}
	if !p.Empty() {
		if err := c.approve(ctx, p); err != nil {
			return err
		}
	}
	in := newPresence(p, live)
	report := r.execute(ctx, f, p, in)
	return r.finish(p, report, r.settle(f, p, in, report))
}

func (c *cli) drainFor(p *planner.Plan) {
	if c.flags.drainTimeout != nil {
		p.DrainFor(*c.flags.drainTimeout)
	}
}

// tooMany refuses a plan that removes more than the reader of --max-removals
// expects.
func (c *cli) tooMany(p *planner.Plan) error {
	if c.flags.maxRemovals < 0 || p.Summary.Remove <= c.flags.maxRemovals {
		return nil
	}
	return &hintError{fmt.Errorf("the plan removes %s, and --max-removals allows %d", view.Count(p.Summary.Remove, "object"), c.flags.maxRemovals),
		"Nothing was changed. Look at what it removes; if that is meant, allow as many."}
}

// prepare brings every host to the point where its plan can be made: connected,
// locked and observed. Nothing is written if any host fails, but for those that
// --skip-unreachable leaves out.
func (r *applyRun) prepare(ctx context.Context, f *fleet) (map[string]planner.Live, error) {
	f.connect(ctx, greet(ctx))
	if err := r.ready(ctx, f); err != nil {
		return nil, err
	}
	seen := f.newObservations()
	if err := f.lock(ctx, r.topology, seen.read(ctx)); err != nil {
		return nil, &codedError{exitLocked, err}
	}
	return seen.live, r.ready(ctx, f)
}

// ready tells whether the run may go on with the hosts that it has.
func (r *applyRun) ready(ctx context.Context, f *fleet) error {
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing was changed")
	}
	if len(f.errs) == 0 || r.c.skippable(f.errs) {
		return nil
	}
	var ds topology.Diagnostics
	for _, m := range f.machines {
		if err := f.errs[m.name]; err != nil {
			ds = append(ds, hostDiagnostic(m.name, err))
		}
	}
	r.c.fail(ds)
	return silent(exitError)
}

func hostDiagnostic(host string, err error) topology.Diagnostic {
	detail := "Nothing was changed."
	if remote.Unreachable(err) {
		detail += " To go on without hosts that cannot be reached, add --skip-unreachable."
	}
	return topology.Diagnostic{Severity: topology.Error, Host: host, Detail: detail,
		Summary: fmt.Sprintf("host %s: %v", host, err)}
}

// skippable tells whether --skip-unreachable covers all failures: a host that
// answers and refuses is not away.
func (c *cli) skippable(errs map[string]error) bool {
	if !c.flags.skipUnreachable {
		return false
	}
	for _, err := range errs {
		if !remote.Unreachable(err) {
			return false
		}
	}
	return true
}

// approve asks whether a plan is to be applied.
func (c *cli) approve(ctx context.Context, p *planner.Plan) error {
	question := "Do you want to perform these actions?"
	if p.Destroy {
		question = "Do you really want to destroy all of this?"
	}
	err := c.ask(ctx, question)
	if errors.Is(err, errNoTerminal) {
		return &hintError{err, "Add --auto-approve, or save the plan with `lvsform plan --out FILE` and apply the file."}
	}
	return err
}

// execute makes the changes and shows them as they are made.
func (r *applyRun) execute(ctx context.Context, f *fleet, p *planner.Plan, in presence) *apply.Report {
	c := r.c
	r.hosts = f.hosts(c.now, p, in.members, c.flags.confirmTimeout)
	hosts := make(map[string]apply.Host, len(r.hosts))
	for name, h := range r.hosts {
		hosts[name] = h
	}
	if c.flags.json {
		return apply.Run(ctx, p, hosts, f.parallelism, stream{c})
	}
	bar := c.newProgress(p.Summary.Hosts)
	defer bar.close()
	return apply.Run(ctx, p, hosts, f.parallelism, newFollower(p, bar))
}

// finish reports what was done.
func (r *applyRun) finish(p *planner.Plan, report *apply.Report, problems topology.Diagnostics) error {
	c := r.c
	o := view.Outcome{Plan: p, Report: report}
	code := outcomeCode(o)
	if code == exitDone && len(problems) > 0 {
		code = exitPartly
	}
	if code != exitDone && r.cmd != nil {
		o.Continue = r.continuation()
	}
	if c.flags.json {
		stream{c}.summary(o, problems, code)
	} else {
		if !p.Empty() || code != exitDone {
			c.print(func(w io.Writer) { c.style(c.stdout).Report(w, o) })
		}
		c.diagnose(problems)
	}
	if code != exitDone {
		return silent(code)
	}
	return nil
}

// outcomeCode is the exit code that tells what became of the hosts.
func outcomeCode(o view.Outcome) int {
	var written, rolledBack, stale, incomplete bool
	for _, s := range o.Report.Changes {
		written = written || s == apply.Done
		rolledBack = rolledBack || s == apply.RolledBack
		incomplete = incomplete || s != apply.Done
	}
	for _, h := range o.Report.Hosts {
		written = written || errors.Is(h.Err, apply.ErrBroken)
		rolledBack = rolledBack || errors.Is(h.Err, apply.ErrRolledBack)
		stale = stale || errors.Is(h.Err, apply.ErrStale)
		incomplete = incomplete || h.Err != nil
	}
	switch {
	case rolledBack:
		return exitRolledBack
	case incomplete && written:
		return exitPartly
	case incomplete && stale:
		return exitStale
	case incomplete:
		return exitError
	case len(o.Plan.Unreachable()) > 0:
		return exitPartly
	}
	return exitDone
}
