package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/remote"
	"github.com/lvsform/lvsform/topology"
	"github.com/spf13/cobra"
)

func (c *cli) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `plan reads every host of the topology and shows how it differs from the
configuration. It changes nothing.

Exit codes: 0 done, 1 error or a host that could not be read, 2 changes are
pending (with --detailed-exitcode).`,
		Example: `  lvsform plan -C examples/dr-wlc
  lvsform plan --out web.plan && lvsform apply web.plan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			return c.plan(cmd.Context())
		},
	}
	f := cmd.Flags()
	c.configFlags(f)
	c.connectFlags(f)
	c.selectFlags(f)
	f.BoolVar(&c.flags.json, "json", false, "print the plan as JSON")
	f.BoolVar(&c.flags.markdown, "markdown", false, "print the plan as a comment for a change request")
	f.BoolVar(&c.flags.destroy, "destroy", false, "plan the removal of everything that the topology owns")
	f.BoolVar(&c.flags.detailed, "detailed-exitcode", false, "exit 2 when changes are pending")
	f.BoolVar(&c.flags.foreign, "show-foreign", false, "also list what is on the hosts beside every topology")
	f.StringVar(&c.flags.out, "out", "", "save the plan in `FILE` for apply")
	return cmd
}

func (c *cli) plan(ctx context.Context) error {
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	p, live, errs, err := c.read(ctx, t, diags)
	if err != nil {
		return err
	}
	c.showPlan(p, live)
	if c.blocking(findings(p)) || len(errs) > 0 && (!c.skippable(errs) || len(live) == 0) {
		c.notSaved()
		return silent(exitError)
	}
	if c.flags.out != "" {
		if err := c.savePlan(p, c.flags.out); err != nil {
			return err
		}
	}
	if c.flags.detailed && !p.Empty() {
		return silent(exitPending)
	}
	return nil
}

// read connects to the hosts of a topology and plans; errs says which
// could not be read.
func (c *cli) read(ctx context.Context, t *topology.Topology, diags topology.Diagnostics) (
	p *planner.Plan, live map[string]planner.Live, errs map[string]error, err error) {
	machines := topologyMachines(t)
	bar := c.newProgress(len(machines))
	f, err := c.newFleet(machines, bar)
	if err != nil {
		bar.close()
		return nil, nil, nil, err
	}
	seen := f.newObservations()
	f.connect(ctx, func(m machine, s *remote.Session) error {
		defer f.release(m.name)
		return seen.read(ctx)(m, s)
	})
	bar.close()
	if ctx.Err() != nil {
		return nil, nil, nil, errors.New("interrupted; nothing was changed")
	}
	return c.build(t, diags, seen.live, f.errs), seen.live, f.errs, nil
}

// build makes the plan, with the findings about the configuration in it.
func (c *cli) build(t *topology.Topology, diags topology.Diagnostics, live map[string]planner.Live, errs map[string]error) *planner.Plan {
	p := c.planOf(planner.Input{Topology: t, Live: live, Errors: errs, Version: buildVersion(),
		Destroy: c.flags.destroy, Target: c.flags.target, Exclude: c.flags.exclude})
	others, checks := apart(diags)
	p.Diagnostics, p.Checks = append(others, p.Diagnostics...), append(checks, p.Checks...)
	return p
}

// findings are everything that a plan has to say beside its changes.
func findings(p *planner.Plan) topology.Diagnostics {
	return append(append(topology.Diagnostics{}, p.Diagnostics...), p.Checks...)
}

// showPlan prints a plan in the form that the flags ask for.
func (c *cli) showPlan(p *planner.Plan, live map[string]planner.Live) {
	var foreign []view.Foreign
	if c.flags.foreign {
		foreign = view.ForeignObjects(p, live)
	}
	switch {
	case c.flags.json:
		c.writeJSON(struct {
			*planner.Plan
			Foreign []view.Foreign `json:"foreign,omitempty"`
		}{p.Redacted(), foreign})
	case c.flags.markdown:
		c.print(func(w io.Writer) { view.Markdown(w, p, findings(p)) })
	default:
		c.diagnose(findings(p))
		c.print(func(w io.Writer) {
			if c.flags.foreign {
				c.style(c.stdout).Foreign(w, foreign)
			}
			c.style(c.stdout).Plan(w, p)
		})
	}
}

func (c *cli) notSaved() {
	if c.flags.out != "" {
		fmt.Fprintf(c.stderr, "The plan is not saved: nothing may be applied while there are errors.\n")
	}
}

// savePlan writes a plan for apply, whole or not at all, readable by its owner
// alone.
func (c *cli) savePlan(p *planner.Plan, file string) error {
	var b bytes.Buffer
	if err := p.Save(&b); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".lvsform-plan-*") // 0600
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // it is gone once renamed
	_, err = tmp.Write(b.Bytes())
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("--out %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	fmt.Fprintf(c.stderr, "Saved in %s. To make exactly these changes: lvsform apply %s\n", file, shellQuote(file))
	if holdsSecrets(p) {
		fmt.Fprintf(c.stderr, "The file holds sensitive values as they are: keep it as you keep a password.\n")
	}
	return nil
}

func holdsSecrets(p *planner.Plan) bool {
	for _, c := range p.Changes {
		if len(c.Sensitive) > 0 {
			return true
		}
	}
	for _, o := range p.Outputs {
		if o.Sensitive {
			return true
		}
	}
	return false
}
