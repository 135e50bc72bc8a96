package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/planner"
)

// Outcome is everything that an apply's report tells.
type Outcome struct {
	Plan   *planner.Plan
	Report *apply.Report
	// Continue is the command that goes on; "" when nothing is left to do.
	Continue string
}

var statusOrder = []struct {
	status apply.Status
	words  string
}{
	{apply.Done, "done"},
	{apply.RolledBack, "rolled back"},
	{apply.Failed, "failed"},
	{apply.Skipped, "skipped"},
	{apply.NotStarted, "not started"},
}

// Complete tells whether every change of the plan was made and every host read.
func (o Outcome) Complete() bool {
	for _, s := range o.Report.Changes {
		if s != apply.Done {
			return false
		}
	}
	return len(o.Plan.Unreachable()) == 0
}

// Report writes what was done, host by host where something was not.
func (s Style) Report(w io.Writer, o Outcome) {
	if o.Complete() {
		fmt.Fprintln(w, s.paint(bold+";"+green, completeLine(o.Plan)))
		return
	}
	fmt.Fprintln(w, s.paint(bold+";"+yellow, incompleteLine(o)))
	for _, h := range o.Report.Hosts {
		fmt.Fprintf(w, "  %s  %s\n", s.paint(bold, line(h.Name)), counts(h))
		if h.Err != nil {
			fmt.Fprintf(w, "    %s\n", s.paint(red, line(h.Err.Error())))
		}
		s.unfinished(w, o, h.Name)
	}
	for _, h := range o.Plan.Unreachable() {
		fmt.Fprintf(w, "  %s  %s\n    %s\n", s.paint(bold, line(h.Name)), "left out: could not be read", s.paint(red, line(h.Error)))
	}
	if o.Continue != "" {
		fmt.Fprintf(w, "\nTo go on, run:\n  %s\n", Clean(o.Continue))
	}
}

// unfinished lists the changes of a host that were not made.
func (s Style) unfinished(w io.Writer, o Outcome, host string) {
	const most = 10
	n := 0
	for _, c := range o.Plan.Changes {
		status := o.Report.Changes[c.ID]
		if c.Host != host || status == apply.Done {
			continue
		}
		if n++; n > most {
			continue
		}
		word := string(status)
		for _, known := range statusOrder {
			if known.status == status {
				word = known.words
			}
		}
		fmt.Fprintf(w, "    %s: %s (%s)\n", word, line(c.Address()), line(Title(object(c))))
	}
	if n > most {
		fmt.Fprintf(w, "    and %d more\n", n-most)
	}
}

func completeLine(p *planner.Plan) string {
	verb := "Apply"
	if p.Destroy {
		verb = "Destroy"
	}
	sum := p.Summary
	text := fmt.Sprintf("%s complete: %d added, %d changed, %d removed", verb, sum.Add, sum.Change, sum.Remove)
	if sum.Adopt > 0 {
		text += fmt.Sprintf(", %d adopted", sum.Adopt)
	}
	if sum.Forget > 0 {
		text += fmt.Sprintf(", %d forgotten", sum.Forget)
	}
	return text + " on " + Count(sum.Hosts, "host") + "."
}

func incompleteLine(o Outcome) string {
	done := 0
	for _, s := range o.Report.Changes {
		if s == apply.Done {
			done++
		}
	}
	text := fmt.Sprintf("Apply incomplete: %d of %s done", done, Count(len(o.Plan.Changes), "change"))
	if o.Plan.Destroy {
		text = strings.Replace(text, "Apply", "Destroy", 1)
	}
	if o.Report.Interrupted {
		text += "; interrupted, so nothing further was begun"
	}
	return text + "."
}

func counts(h apply.HostReport) string {
	var parts []string
	for _, known := range statusOrder {
		if n := h.Counts[known.status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, known.words))
		}
	}
	return strings.Join(parts, ", ")
}
