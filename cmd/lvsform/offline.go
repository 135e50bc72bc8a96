package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/remote/agentbin"
	"github.com/lvsform/lvsform/topology"
	"github.com/lvsform/lvsform/wire"
	"github.com/spf13/cobra"
)

func (c *cli) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration without contacting any host",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			return c.validate()
		},
	}
	c.configFlags(cmd.Flags())
	cmd.Flags().BoolVar(&c.flags.json, "json", false, "print the findings as JSON")
	return cmd
}

func (c *cli) validate() error {
	config, ds := c.loadConfig()
	t := config.Topology
	if !ds.HasErrors() {
		// What contradicts itself shows without a host, in the plan of hosts
		// that cannot be read.
		p := c.planOf(planner.Input{Topology: t, Version: buildVersion()})
		ds = append(ds, findings(p)...)
	}
	valid := !c.blocking(ds)
	if c.flags.json {
		c.writeJSON(validation(valid, ds))
	} else {
		c.diagnose(ds)
		if valid {
			c.print(func(w io.Writer) {
				fmt.Fprintf(w, "The configuration is valid: topology %q, %s, %s.\n", t.Name,
					view.Count(len(t.Hosts), "host"), view.Count(len(t.Resources), "resource"))
			})
		}
	}
	if !valid {
		return silent(exitError)
	}
	return nil
}

type validationJSON struct {
	FormatVersion string               `json:"format_version"`
	Valid         bool                 `json:"valid"`
	ErrorCount    int                  `json:"error_count"`
	WarningCount  int                  `json:"warning_count"`
	Diagnostics   topology.Diagnostics `json:"diagnostics"`
	Checks        topology.Diagnostics `json:"checks"`
}

func validation(valid bool, ds topology.Diagnostics) validationJSON {
	out := validationJSON{FormatVersion: planner.FormatVersion, Valid: valid}
	out.Diagnostics, out.Checks = apart(ds)
	for _, d := range ds {
		switch d.Severity {
		case topology.Error:
			out.ErrorCount++
		case topology.Warning:
			out.WarningCount++
		}
	}
	return out
}

func (c *cli) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show PLANFILE",
		Short: "Show a saved plan",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			in, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("saved plan: %w", err)
			}
			defer in.Close() //nolint:errcheck // it is only read
			p, err := planner.Open(in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			c.showPlan(p, nil)
			return nil
		},
	}
	cmd.Flags().BoolVar(&c.flags.json, "json", false, "print the plan as JSON")
	cmd.Flags().BoolVar(&c.flags.markdown, "markdown", false, "print the plan as a comment for a change request")
	return cmd
}

func (c *cli) outputCommand() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "output [NAME]",
		Short: "Print what the configuration publishes",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			if raw && len(args) == 0 {
				return &usageError{cmd.CommandPath(), errors.New("--raw prints one output: name it")}
			}
			if raw && c.flags.json {
				return &usageError{cmd.CommandPath(), errors.New("--raw and --json exclude each other")}
			}
			t, _, err := c.load()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return c.outputs(t.Outputs)
			}
			return c.output(t.Outputs, args[0], raw)
		},
	}
	c.configFlags(cmd.Flags())
	cmd.Flags().BoolVar(&raw, "raw", false, "print the text itself, without quotes or a line's end; sensitive values too")
	cmd.Flags().BoolVar(&c.flags.json, "json", false, "print JSON; sensitive values are null")
	return cmd
}

func (c *cli) outputs(list []topology.Output) error {
	if c.flags.json {
		type outputJSON struct {
			Value       json.RawMessage `json:"value"`
			Sensitive   bool            `json:"sensitive"`
			Description string          `json:"description,omitempty"`
		}
		all := map[string]outputJSON{}
		for _, o := range list {
			all[o.Name] = outputJSON{shownOutput(o), o.Sensitive, o.Description}
		}
		c.writeJSON(all)
		return nil
	}
	c.print(func(w io.Writer) {
		for _, o := range list {
			fmt.Fprintf(w, "%s = %s\n", o.Name, outputText(o))
		}
	})
	return nil
}

func (c *cli) output(list []topology.Output, name string, raw bool) error {
	for _, o := range list {
		if o.Name != name {
			continue
		}
		switch {
		case raw:
			text, err := rawOutput(o)
			if err != nil {
				return err
			}
			c.print(func(w io.Writer) { io.WriteString(w, text) }) //nolint:errcheck // to memory
		case c.flags.json:
			c.writeJSON(shownOutput(o))
		default:
			c.print(func(w io.Writer) { fmt.Fprintln(w, outputText(o)) })
		}
		return nil
	}
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no output %q: the configuration has no output blocks", name)
	}
	return &hintError{fmt.Errorf("there is no output %q", name), "The configuration has: " + strings.Join(names, ", ") + "."}
}

func shownOutput(o topology.Output) json.RawMessage {
	if o.Sensitive {
		return json.RawMessage("null")
	}
	return o.Value
}

func outputText(o topology.Output) string {
	if o.Sensitive {
		return "(sensitive)"
	}
	var b bytes.Buffer
	if err := json.Indent(&b, o.Value, "", "  "); err != nil {
		return string(view.CleanJSON(o.Value))
	}
	return string(view.CleanJSON(b.Bytes()))
}

// rawOutput is the text of a string, number or bool for use in a script. Asked
// for by name, it is given even when it is sensitive.
func rawOutput(o topology.Output) (string, error) {
	var text string
	if json.Unmarshal(o.Value, &text) == nil {
		return text, nil
	}
	if bytes.ContainsAny(o.Value, "{[") || string(o.Value) == "null" {
		return "", &hintError{fmt.Errorf("output %q is no text, number or bool", o.Name), "Use --json for values that hold others."}
	}
	return string(o.Value), nil
}

func (c *cli) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program and of its agents",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return c.showVersion() },
	}
	cmd.Flags().BoolVar(&c.flags.json, "json", false, "print JSON")
	cmd.Flags().StringVar(&c.flags.agentDir, "agent-dir", "", "look at the agent binaries in `DIR` instead of the built-in ones")
	return cmd
}

func (c *cli) showVersion() error {
	agents := map[string]string{}
	set := agentbin.New(c.flags.agentDir)
	archs, err := set.Archs()
	if err != nil && !errors.Is(err, agentbin.ErrMissing) {
		return err
	}
	for _, arch := range archs {
		agent, err := set.Get(arch)
		if err != nil {
			return err
		}
		agents[arch] = agent.SHA256
	}
	if c.flags.json {
		c.writeJSON(struct {
			Version       string            `json:"version"`
			Platform      string            `json:"platform"`
			FormatVersion string            `json:"format_version"`
			Protocol      int               `json:"protocol"`
			Agents        map[string]string `json:"agents"` // SHA-256 by architecture
		}{buildVersion(), runtime.GOOS + "/" + runtime.GOARCH, planner.FormatVersion, wire.Protocol, agents})
		return nil
	}
	c.print(func(w io.Writer) {
		fmt.Fprintf(w, "lvsform %s on %s/%s, agent protocol %d\n", buildVersion(), runtime.GOOS, runtime.GOARCH, wire.Protocol)
		if len(archs) == 0 {
			fmt.Fprintln(w, "no agents built in: build with `make build`, or name a directory with --agent-dir")
		}
		for _, arch := range archs {
			fmt.Fprintf(w, "agent linux/%s %s\n", arch, agents[arch])
		}
	})
	return nil
}
