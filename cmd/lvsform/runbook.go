package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/formats/runbook"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/topology"
)

func (c *cli) runbookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runbook HOST",
		Short: "Print what to do by hand on a host",
		Long: `Prints the commands that give a host what is declared on it: a script for sh, or
for PowerShell where the host runs Windows. No host is contacted.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			return c.runbook(args[0])
		},
	}
	c.configFlags(cmd.Flags())
	return cmd
}

func (c *cli) runbook(name string) error {
	t, diags, err := c.load()
	if err != nil {
		return err
	}
	c.diagnose(diags)
	h := hostNamed(t, name)
	if h == nil {
		var names []string
		for _, h := range t.Hosts {
			names = append(names, h.Name)
		}
		return &hintError{fmt.Errorf("there is no host %q", name), "The configuration has: " + strings.Join(names, ", ") + "."}
	}
	objects, err := planner.Desired(t, h.Name)
	if err != nil {
		return err
	}
	book := runbook.Host{Name: h.Name, Topology: t.Name, OS: h.OS, Address: h.Address}
	for _, o := range objects {
		book.Steps = append(book.Steps, runbook.Step{Object: o.Object, Addresses: o.Addresses, Hidden: o.Sensitive})
	}
	text, err := runbook.Render(book)
	if err != nil {
		return err
	}
	c.print(func(w io.Writer) { io.WriteString(w, text) }) //nolint:errcheck // to memory
	return nil
}

// hostNamed finds a host by its name, or by the address of its block.
func hostNamed(t *topology.Topology, name string) *topology.Host {
	for _, h := range t.Hosts {
		if name == h.Name || name == h.Path || name == "host."+h.Name {
			return h
		}
	}
	return nil
}
