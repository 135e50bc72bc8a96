package main

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/topology"
)

// explainAddress says why something of the configuration is there, what it
// stands for, and what a plan would do about it. Hosts are read unless offline.
func (c *cli) explainAddress(ctx context.Context, address string, offline bool) error {
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	p, unread, err := c.planToExplain(ctx, t, diags, offline)
	if err != nil {
		return err
	}
	if p != nil {
		c.diagnose(slices.DeleteFunc(p.Diagnostics, func(d topology.Diagnostic) bool { return d.Severity != topology.Error }))
	}
	e, err := planner.Explain(t, p, address)
	if err != nil {
		return err
	}
	if c.flags.json {
		c.writeJSON(struct {
			FormatVersion  string `json:"format_version"`
			LvsformVersion string `json:"lvsform_version"`
			*planner.Explanation
			NotPlanned string `json:"not_planned,omitempty"`
		}{planner.FormatVersion, buildVersion(), e, unread})
		return nil
	}
	c.print(func(w io.Writer) { c.style(c.stdout).Explain(w, e, unread) })
	return nil
}

// planToExplain is the plan, or nil and why there is none.
func (c *cli) planToExplain(ctx context.Context, t *topology.Topology, diags topology.Diagnostics, offline bool) (*planner.Plan, string, error) {
	if offline {
		return nil, "no host was read, because of --offline", nil
	}
	p, live, errs, err := c.read(ctx, t, diags)
	switch {
	case ctx.Err() != nil:
		return nil, "", errors.New("interrupted; nothing was changed")
	case err != nil:
		return nil, "no host was read: " + err.Error(), nil
	case len(live) == 0 && len(errs) > 0:
		return nil, "no host could be read: " + firstOf(errs), nil
	}
	return p, "", nil
}

// firstOf is the error of the first host.
func firstOf(errs map[string]error) string {
	first := ""
	for host := range errs {
		if first == "" || host < first {
			first = host
		}
	}
	return "host " + first + ": " + errs[first].Error()
}
