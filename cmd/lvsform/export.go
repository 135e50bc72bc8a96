package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/formats/ipvsadm"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

func (c *cli) exportCommand() *cobra.Command {
	var format, host string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print what is declared on a director for another program",
		Long: `Prints what is declared on a director in the words of another program. The format
ipvsadm is what ipvsadm-save -n prints and ipvsadm -R restores; keepalived is a whole
keepalived.conf, ldirectord a whole ldirectord.cf, with every virtual service of the
director, whoever checks it. Passwords are not printed. What is declared there and has
no place in it is listed on stderr. No host is contacted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			switch format {
			case fromTable:
				return c.export(host)
			case fromKeepalived, fromLdirectord:
				return c.exportConfig(format, host)
			}
			return &usageError{cmd.CommandPath(), fmt.Errorf("--format takes ipvsadm, keepalived or ldirectord, not %q", format)}
		},
	}
	c.configFlags(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "", "ipvsadm, keepalived or ldirectord: the `PROGRAM` that is to read it")
	cmd.Flags().StringVar(&host, "host", "", "the director `NAME`; needed when there are several")
	return cmd
}

func (c *cli) export(name string) error {
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	c.diagnose(diags)
	h, err := director(t, name, false)
	if err != nil {
		return err
	}
	declared, err := planner.Desired(t, h.Name)
	if err != nil {
		return err
	}
	var objects state.Objects
	for _, d := range declared {
		if d.Sensitive && ipvsadm.Holds(d.Object) {
			return &hintError{fmt.Errorf("%s holds sensitive values, which are not exported", strings.Join(d.Addresses, ", ")),
				"Use nonsensitive() in the configuration if they may be shown."}
		}
		objects = append(objects, d.Object)
	}
	text, err := ipvsadm.Render(objects)
	if err != nil {
		return err
	}
	c.print(func(w io.Writer) { io.WriteString(w, text) }) //nolint:errcheck // to memory
	if left := notInTable(declared); len(left) > 0 {
		c.diagnose(topology.Diagnostics{{Severity: topology.Info,
			Summary: fmt.Sprintf("%s on %s %s no place in a table of ipvsadm", view.Count(len(left), "object"), h.Name, plural(len(left), "has", "have")),
			Detail:  strings.Join(left, "\n") + "\n`lvsform runbook " + shellQuote(h.Name) + "` prints commands for them too."}})
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// notInTable describes what a table cannot say. Modules without parameters are
// no part of it: the kernel loads them by itself.
func notInTable(declared []planner.Declared) []string {
	var out []string
	for _, d := range declared {
		m, isModule := d.Object.(state.Module)
		switch {
		case ipvsadm.Holds(d.Object) || isModule && m.Parameters == "":
		case d.Sensitive:
			out = append(out, planner.Title(d.Object)+" (its value is sensitive)")
		default:
			out = append(out, planner.Describe(d.Object))
		}
	}
	return out
}

// director is the host of a name, or without one the only host that has a table,
// or where that counts a VRRP instance.
func director(t *topology.Topology, name string, floats bool) (*topology.Host, error) {
	has := map[string]bool{}
	for _, r := range t.Resources {
		switch b := r.Body.(type) {
		case *topology.VirtualService:
			has[r.Host] = true
		case *topology.VRRPInstance:
			has[r.Host] = has[r.Host] || floats
		case *topology.IPVS:
			has[r.Host] = has[r.Host] || b.Timeouts != nil || len(b.Sync) > 0
		}
	}
	var names []string
	for _, h := range t.Hosts {
		if has[h.Name] && !h.Retired {
			names = append(names, h.Name)
		}
	}
	slices.Sort(names)
	list := "Directors: " + strings.Join(names, ", ") + "."
	switch {
	case len(names) == 0:
		return nil, errors.New("the configuration declares no virtual service on any host")
	case name == "" && len(names) > 1:
		return nil, &hintError{errors.New("a table is one director's, and there are several"), list + " Name one with --host."}
	case name == "":
		return hostNamed(t, names[0]), nil
	}
	h := hostNamed(t, name)
	switch {
	case h == nil:
		return nil, &hintError{fmt.Errorf("there is no host %q", name), list}
	case !slices.Contains(names, h.Name):
		return nil, &hintError{fmt.Errorf("the configuration declares no virtual service on %s", h.Name), list}
	}
	return h, nil
}
