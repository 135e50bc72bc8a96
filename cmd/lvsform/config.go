package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/topology"
)

// load reads the configuration of the working directory. With errors in it,
// they are printed and the error is silent.
func (c *cli) load() (*topology.Topology, topology.Diagnostics, error) {
	config, diags := c.loadConfig()
	if c.blocking(diags) {
		c.fail(diags)
		return nil, nil, silent(exitError)
	}
	return config.Topology, diags, nil
}

func (c *cli) loadConfig() (*hcl.Config, topology.Diagnostics) {
	config, diags := hcl.LoadConfig(hcl.Options{Dir: ".", Inputs: c.flags.inputs, Environ: c.environ, Version: buildVersion()})
	c.blot = config.Blot
	return config, diags
}

// planOf makes a plan whose findings show their sources and no secrets.
func (c *cli) planOf(in planner.Input) *planner.Plan {
	p := planner.Build(in)
	for _, ds := range []topology.Diagnostics{p.Diagnostics, p.Checks} {
		sources(ds)
		for i := range ds {
			ds[i].Summary, ds[i].Detail = c.blot(ds[i].Summary), c.blot(ds[i].Detail)
		}
	}
	return p
}

// blocking tells whether findings stop the run.
func (c *cli) blocking(ds topology.Diagnostics) bool {
	return ds.HasErrors() || c.flags.checks == "error" && slices.ContainsFunc(ds, isWarning)
}

// apart tells the findings of the numbered checks from all others. Neither is
// nil.
func apart(ds topology.Diagnostics) (others, checks topology.Diagnostics) {
	others, checks = topology.Diagnostics{}, topology.Diagnostics{}
	for _, d := range ds {
		if d.Check != "" {
			checks = append(checks, d)
		} else {
			others = append(others, d)
		}
	}
	return others, checks
}

func isWarning(d topology.Diagnostic) bool { return d.Severity == topology.Warning }

// fail says why nothing comes of the run: on stderr, or as the JSON result.
func (c *cli) fail(ds topology.Diagnostics) {
	if c.flags.json {
		others, checks := apart(ds)
		c.writeJSON(struct {
			FormatVersion  string               `json:"format_version"`
			LvsformVersion string               `json:"lvsform_version"`
			Type           string               `json:"type"`
			Diagnostics    topology.Diagnostics `json:"diagnostics"`
			Checks         topology.Diagnostics `json:"checks"`
		}{planner.FormatVersion, buildVersion(), "diagnostics", others, checks})
		return
	}
	c.diagnose(ds)
}

// diagnose prints findings to stderr.
func (c *cli) diagnose(ds topology.Diagnostics) {
	var b bytes.Buffer
	c.style(c.stderr).Diagnostics(&b, ds)
	io.Copy(c.stderr, &b) //nolint:errcheck // nobody is left to tell
}

func (c *cli) writeJSON(v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	if err == nil {
		_, err = c.stdout.Write(view.CleanJSON(b.Bytes()))
	}
	if err != nil {
		fmt.Fprintf(c.stderr, "Error: write the result: %v\n", err)
	}
}

// print sends what write renders to stdout in one piece.
func (c *cli) print(write func(w io.Writer)) {
	var b bytes.Buffer
	write(&b)
	io.Copy(c.stdout, &b) //nolint:errcheck // a closed pipe is the reader's choice
}

// sources adds the source line to the findings of a plan, which knows places
// but not files. The line ends where the place ends, for what follows it may be
// a secret.
func sources(ds topology.Diagnostics) {
	files := map[string][][]byte{}
	for i, d := range ds {
		if d.Source != "" || d.Range == nil || d.Range.IsZero() || d.Range.Start.Line != d.Range.End.Line {
			continue
		}
		lines, ok := files[d.Range.File]
		if !ok {
			text, err := os.ReadFile(d.Range.File)
			if err != nil {
				text = nil // an embedded module: the place alone must do
			}
			lines = bytes.Split(text, []byte("\n"))
			files[d.Range.File] = lines
		}
		if n := d.Range.Start.Line; n >= 1 && n <= len(lines) {
			source := []rune(string(lines[n-1]))
			if end := d.Range.End.Column - 1; end >= 0 && end <= len(source) {
				ds[i].Source = string(source[:end])
			}
		}
	}
}
