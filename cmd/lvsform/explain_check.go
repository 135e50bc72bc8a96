package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/topology"
)

// checkJSON is a check as programs read it.
type checkJSON struct {
	ID       string            `json:"id"`
	Severity topology.Severity `json:"severity"`
	Title    string            `json:"title"`
	Why      string            `json:"why"`
	See      []string          `json:"see"`
	Fix      string            `json:"fix"`
}

// listChecks prints one line for every check.
func (c *cli) listChecks() {
	all := check.All()
	if c.flags.json {
		list := make([]checkJSON, len(all))
		for i, k := range all {
			list[i] = checkJSON(k)
		}
		c.writeJSON(struct {
			FormatVersion string      `json:"format_version"`
			Checks        []checkJSON `json:"checks"`
		}{planner.FormatVersion, list})
		return
	}
	c.print(func(w io.Writer) {
		for _, k := range all {
			fmt.Fprintf(w, "%s  %-7s  %s\n", k.ID, k.Severity, k.Title)
		}
	})
}

// explainCheck prints what there is to know about a check.
func (c *cli) explainCheck(given string) error {
	id := given
	if digits := strings.TrimLeft(given, "lvsLVS-_ "); len(digits) <= 3 {
		id = fmt.Sprintf("LVS%03s", digits)
	}
	k, ok := check.Find(strings.ToUpper(id))
	if !ok {
		return &hintError{fmt.Errorf("there is no check %s", given),
			fmt.Sprintf("There are %s. `lvsform explain` lists them all.", strings.Join(check.Near(id), ", "))}
	}
	if c.flags.json {
		c.writeJSON(struct {
			FormatVersion string `json:"format_version"`
			checkJSON
		}{planner.FormatVersion, checkJSON(k)})
		return nil
	}
	width, _ := terminalSize(c.stdout)
	c.print(func(w io.Writer) { c.style(c.stdout).Check(w, k, width) })
	return nil
}
