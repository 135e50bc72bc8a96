package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/planner"
)

// Explain writes why something is there, what it stands for, what would change
// and why in this order. Unread says why no host was read, or is "".
func (s Style) Explain(w io.Writer, e *planner.Explanation, unread string) {
	title := line(e.Address)
	switch {
	case e.Type == "host" || e.Type == "no longer declared":
		title += " (" + e.Type + ")"
	case e.Host != "":
		title += " (" + e.Type + " on " + line(e.Host) + ")"
	}
	fmt.Fprintln(w, s.paint(bold, title))
	s.section(w, "Why it is there", whyRows(e))
	s.section(w, "What it stands for, after defaults", objectRows(e))
	s.section(w, "What would change", s.changeExplained(e, unread))
	var notes []string
	for _, n := range e.Notes {
		notes = append(notes, line(n))
	}
	if len(notes) > 0 {
		s.section(w, "Notes", notes)
	}
}

func (s Style) section(w io.Writer, heading string, rows []string) {
	fmt.Fprintf(w, "\n%s\n", s.paint(bold, heading))
	for _, r := range rows {
		fmt.Fprintln(w, strings.TrimRight("  "+r, " "))
	}
}

// whyRows say where it is declared and what it is connected with.
func whyRows(e *planner.Explanation) []string {
	var out []string
	row := func(name, value string) { out = append(out, fmt.Sprintf("%-15s %s", name, value)) }
	switch {
	case e.Declared != nil:
		row("declared", fmt.Sprintf("%s, line %d", line(e.Declared.File), e.Declared.Start.Line))
	case e.Type == "several":
		row("stands for", Count(len(e.Below), "resource"))
	case e.Type == "no longer declared":
		row("declared", "not any more: the hosts' ledgers remember it")
	}
	if len(e.Modules) > 0 {
		var steps []string
		for _, m := range e.Modules {
			text := "module." + line(m.Name)
			if m.Key != "" {
				text += "[" + line(m.Key) + "]"
			}
			steps = append(steps, text)
		}
		row("inside", strings.Join(steps, " → "))
	}
	if e.Instance != "" {
		row("instance", line(e.Instance))
	}
	for _, b := range e.Below {
		where := ""
		if e.Type == "several" {
			where = " on " + line(b.Host)
		}
		row("has", line(b.Address)+where)
	}
	for _, a := range e.DependsOn {
		row("needs", line(a))
	}
	for _, a := range e.ReferencedBy {
		row("is needed by", line(a))
	}
	return out
}

// objectRows list the objects of each host.
func objectRows(e *planner.Explanation) []string {
	if len(e.Objects) == 0 {
		return []string{"nothing on any host"}
	}
	var out []string
	host := ""
	for _, o := range e.Objects {
		if o.Host != host {
			host = o.Host
			out = append(out, "on "+line(host)+":")
		}
		out = append(out, "  "+Clean(block(o.Object, o.Sensitive)))
		if o.Follows != "" {
			out = append(out, "      "+line(o.Follows))
		}
		for _, a := range o.Shared {
			if e.Type == "host" {
				out = append(out, "      from "+line(a))
			} else {
				out = append(out, "      also declared by "+line(a))
			}
		}
	}
	return out
}

// changeExplained are the changes of the plan with their reasons.
func (s Style) changeExplained(e *planner.Explanation, unread string) []string {
	if !e.Planned {
		return []string{"not known: " + line(unread)}
	}
	var out []string
	for _, u := range e.Unread {
		out = append(out, "not known for "+line(u.Host)+", which could not be read: "+line(u.Error))
	}
	if len(e.Changes) == 0 && len(out) == 0 {
		return []string{"nothing: the hosts are as declared"}
	}
	for rest := e.Changes; len(rest) > 0; {
		n := 1
		for n < len(rest) && sameExplained(rest[0], rest[n]) {
			n++
		}
		c := rest[0]
		out = append(out, s.paint(bold, heading([]planner.Change{c.Change}, []string{c.Change.Host})))
		for _, same := range rest[:n] {
			for _, r := range changeRows(same.Change) {
				if sign, ok := fileLine(r); ok {
					out = append(out, "    "+s.paint(colors[sign], Clean(sign+r.text)))
					continue
				}
				out = append(out, s.paint(colors[r.symbol], Clean(r.symbol+" "+r.text)))
			}
		}
		out = append(out, orderRows(c)...)
		rest = rest[n:]
	}
	return out
}

// sameExplained tells whether two changes of one resource share all that is
// said of them.
func sameExplained(a, b planner.ExplainedChange) bool {
	return a.Change.Host == b.Change.Host && a.Change.Action == b.Change.Action && a.Change.Stage == b.Change.Stage &&
		slices.Equal(a.Change.Addresses, b.Change.Addresses) && slices.Equal(a.Change.Hazards, b.Change.Hazards) &&
		slices.Equal(a.Reasons, b.Reasons) && slices.Equal(a.WaitsFor, b.WaitsFor) && slices.Equal(a.WaitedFor, b.WaitedFor)
}

// orderRows say when a change comes, and why.
func orderRows(c planner.ExplainedChange) []string {
	out := []string{fmt.Sprintf("    step %d of the plan: %s", c.Change.Stage+1, c.Change.Wave)}
	for _, r := range c.Reasons {
		out = append(out, "    because "+line(r))
	}
	for _, id := range c.WaitsFor {
		out = append(out, "    waits for "+changeName(id)+", and what is done there before it")
	}
	for _, id := range c.WaitedFor {
		out = append(out, "    comes before "+changeName(id))
	}
	return out
}

// changeName writes a change's id, HOST:KEY, for a reader.
func changeName(id string) string {
	host, key, _ := strings.Cut(id, ":")
	return line(key) + " on " + line(host)
}
