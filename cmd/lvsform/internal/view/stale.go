package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

// Differences writes what is no longer as a saved plan saw it. Values that the
// plan does not change are not shown, for it does not know which are sensitive.
func Differences(w io.Writer, p *planner.Plan, list []planner.Difference) {
	byID := map[string]map[state.Key]planner.Change{}
	for _, c := range p.Changes {
		if byID[c.Host] == nil {
			byID[c.Host] = map[state.Key]planner.Change{}
		}
		byID[c.Host][c.Key()] = c
	}
	for _, d := range list {
		if d.Ledger {
			fmt.Fprintf(w, "  %s: what lvsform has recorded there changed\n", line(d.Host))
			continue
		}
		c, planned := byID[d.Host][d.Key]
		fmt.Fprintf(w, "  %s: %s\n", line(d.Host), line(difference(d, c, planned)))
	}
}

func difference(d planner.Difference, c planner.Change, planned bool) string {
	if d.Then == nil {
		return Title(d.Now) + " was not there, and is now"
	}
	if d.Now == nil {
		return Title(d.Then) + " was there, and is gone"
	}
	if _, ok := d.Now.(state.Config); ok {
		return Title(d.Now) + " has another text"
	}
	rows := differences(planner.Change{Before: d.Then, After: d.Now, Sensitive: c.Sensitive})
	var texts []string
	for _, r := range rows {
		text := r.text
		if !planned {
			text, _, _ = strings.Cut(text, " = ")
		}
		texts = append(texts, text)
	}
	what := "changed: "
	if !planned {
		what = "has another value of "
	}
	if d.Key.Kind == state.KindSysctl && !planned {
		return Title(d.Now) + " has another value"
	}
	return Title(d.Now) + " " + what + strings.Join(texts, ", ")
}
