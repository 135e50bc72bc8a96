package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/graph"
	"github.com/spf13/cobra"
)

func (c *cli) graphCommand() *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw the packets' way through the topology, there and back",
		Long: `graph draws how a client's packets reach the real servers of each virtual
service, and how the answers come back. No host is contacted.`,
		Example: `  lvsform graph -C examples/dr-wlc --out dr.svg
  lvsform graph --format dot | dot -Tpdf -o topology.pdf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			draw := map[string]func(graph.Drawing) []byte{
				"svg":     func(d graph.Drawing) []byte { return graph.SVG(graph.Layout(d)) },
				"dot":     graph.DOT,
				"mermaid": graph.Mermaid,
			}[format]
			if draw == nil {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--format takes svg, dot or mermaid, not %q", format)}
			}
			t, diags, err := c.load()
			if err != nil {
				return err
			}
			c.diagnose(diags)
			return c.writeOut(out, draw(graph.New(t)))
		},
	}
	f := cmd.Flags()
	c.configFlags(f)
	f.StringVar(&format, "format", "svg", "`FORMAT`: svg, dot or mermaid")
	f.StringVar(&out, "out", "", "write to `FILE` instead of standard output")
	return cmd
}

// writeOut writes a result to a file, whole or not at all, or to stdout.
func (c *cli) writeOut(file string, content []byte) error {
	if file == "" {
		_, err := c.stdout.Write(content)
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".lvsform-out-*")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // it is gone once renamed
	_, err = bytes.NewReader(content).WriteTo(tmp)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("--out %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}
