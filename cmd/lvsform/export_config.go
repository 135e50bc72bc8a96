package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// exportConfig prints the whole file of keepalived or ldirectord.
func (c *cli) exportConfig(program, name string) error {
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	c.diagnose(diags)
	h, err := director(t, name, program == fromKeepalived)
	if err != nil {
		return err
	}
	out, err := planner.Export(t, h.Name, program)
	if err != nil {
		return err
	}
	if slices.Contains(out.Sensitive, planner.SensitiveText) {
		return &hintError{fmt.Errorf("what is declared on %s holds sensitive values, which are not exported", h.Name),
			"Use nonsensitive() in the configuration if they may be shown."}
	}
	left, err := c.notInConfig(t, h, out)
	if err != nil {
		return err
	}
	if out.Text == "" {
		c.diagnose(left)
		return fmt.Errorf("nothing that is declared on %s has a place in a configuration of %s", h.Name, program)
	}
	text := planner.Masked(state.Config{Program: program, Text: out.Text})
	if first, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, "# lvsform writes this file") {
		text = strings.TrimPrefix(rest, "\n")
	}
	c.print(func(w io.Writer) {
		fmt.Fprintf(w, "# What topology %q declares on %s, for %s.\n\n%s", t.Name, h.Name, program, text)
	})
	if len(out.Sensitive) > 0 {
		left = append(left, topology.Diagnostic{Severity: topology.Warning, Summary: "passwords are not printed",
			Detail: "Put them in where the file says (sensitive). Directors with different passwords would both take themselves for master."})
	}
	c.diagnose(left)
	return nil
}

// notInConfig lists what a program's file cannot say. Modules without parameters
// are no part of it: the kernel loads them by itself; neither are the program's
// own package and service.
func (c *cli) notInConfig(t *topology.Topology, h *topology.Host, out *planner.Exported) (topology.Diagnostics, error) {
	declared, err := planner.Desired(t, h.Name)
	if err != nil {
		return nil, err
	}
	lines := slices.Clone(out.Left)
	for _, d := range declared {
		m, isModule := d.Object.(state.Module)
		_, isConfig := d.Object.(state.Config)
		// Those of a service that is not taken are told of with it.
		ofService := slices.ContainsFunc(d.Addresses, func(a string) bool {
			return strings.HasPrefix(a, "virtual_service.") || strings.Contains(a, ".virtual_service.") ||
				strings.HasPrefix(a, "vrrp_instance.") || strings.Contains(a, ".vrrp_instance.")
		})
		switch {
		case isConfig || ofService || isModule && m.Parameters == "":
		case d.Sensitive:
			lines = append(lines, planner.Title(d.Object)+" (its value is sensitive)")
		default:
			lines = append(lines, planner.Describe(d.Object))
		}
	}
	if len(lines) == 0 {
		return nil, nil
	}
	return topology.Diagnostics{{Severity: topology.Info, Summary: fmt.Sprintf("%s on %s %s no place in the file", view.Count(len(lines), "thing"), h.Name, plural(len(lines), "has", "have")),
		Detail: strings.Join(lines, "\n") + "\n`lvsform runbook " + shellQuote(h.Name) + "` prints commands for what belongs to the kernel."}}, nil
}
