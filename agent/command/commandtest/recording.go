//go:build linux

// Package commandtest answers command lines from recordings.
package commandtest

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/lvsform/lvsform/agent/command"
)

// Recording answers command lines as the programs of a distribution do: with
// the next output of the line, and with the last one from then on.
type Recording struct {
	Programs []string // that the host has
	Outputs  map[string][]command.Output
	Errs     map[string]error
	Ran      []string // the lines so far
}

// Find tells of the programs that the host has.
func (r *Recording) Find(program string) string {
	if slices.Contains(r.Programs, program) {
		return "/usr/bin/" + program
	}
	return ""
}

// Run answers a line; one that was not recorded is an error, as is one without
// a timeout.
func (r *Recording) Run(c command.Command) (command.Output, error) {
	line := c.String()
	r.Ran = append(r.Ran, line)
	if c.Timeout <= 0 || !filepath.IsAbs(c.Path) {
		return command.Output{}, fmt.Errorf("%s: no path or no timeout", line)
	}
	if err := r.Errs[line]; err != nil {
		return command.Output{}, err
	}
	outputs := r.Outputs[line]
	if len(outputs) == 0 {
		return command.Output{}, fmt.Errorf("unexpected command %q", line)
	}
	if len(outputs) > 1 {
		r.Outputs[line] = outputs[1:]
	}
	return outputs[0], nil
}
