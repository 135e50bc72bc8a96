package view

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/lvsform/lvsform/topology"
)

// Diagnostics writes findings in the order given: what is wrong, where, the
// source line with the place underlined, and what to do.
func (s Style) Diagnostics(w io.Writer, ds topology.Diagnostics) {
	for _, d := range ds {
		io.WriteString(w, s.diagnostic(d)+"\n")
	}
}

func (s Style) diagnostic(d topology.Diagnostic) string {
	var b strings.Builder
	word, color := "Error", red
	switch d.Severity {
	case topology.Warning:
		word, color = "Warning", yellow
	case topology.Info:
		word, color = "Note", cyan
	}
	summary := line(d.Summary)
	if d.Check != "" {
		summary += " (" + line(d.Check) + ")"
	}
	fmt.Fprintf(&b, "%s %s\n", s.paint(bold+";"+color, word+":"), s.paint(bold, summary))
	b.WriteString(s.place(d, color))
	if len(d.Also) > 0 {
		places := make([]string, len(d.Also))
		for i, r := range d.Also {
			places[i] = fmt.Sprintf("%s, line %d", line(r.File), r.Start.Line)
		}
		fmt.Fprintf(&b, "  see also %s\n", strings.Join(places, "; "))
	}
	if d.Detail != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(Clean(d.Detail)))
	}
	return b.String()
}

// place says where a finding is: file and line, else object and host.
func (s Style) place(d topology.Diagnostic, color string) string {
	where := ""
	if d.Object != "" {
		where = " in " + line(d.Object)
	}
	if d.Host != "" && !strings.Contains(d.Summary, d.Host) && !strings.Contains(d.Object, d.Host) {
		where += " on " + line(d.Host)
	}
	if d.Range == nil || d.Range.IsZero() {
		if where == "" {
			return ""
		}
		return "\n  " + strings.TrimSpace(where) + "\n"
	}
	at := fmt.Sprintf("\n  %s, line %d", line(d.Range.File), d.Range.Start.Line)
	if where != "" {
		at += "," + where
	}
	if d.Source == "" {
		return at + "\n"
	}
	number := fmt.Sprintf("%4d: ", d.Range.Start.Line)
	source, under := underline(d.Source, *d.Range)
	at += ":\n" + number + source + "\n"
	if under != "" {
		at += strings.Repeat(" ", len(number)) + s.paint(color, under) + "\n"
	}
	return at
}

// underline returns the source line, made safe, and the marks to print below
// it. A range that goes on in further lines is marked to the end of this one.
func underline(source string, r topology.Range) (text, marks string) {
	runes := []rune(strings.TrimRight(source, "\r\n"))
	from := r.Start.Column - 1
	to := r.End.Column - 1
	if r.End.Line != r.Start.Line || to > len(runes) {
		to = len(runes)
	}
	text = Clean(string(runes))
	if from < 0 || from >= len(runes) || utf8.RuneCountInString(text) != len(runes) {
		return text, ""
	}
	to = max(to, from+1)
	var b strings.Builder
	for i := range to {
		switch {
		case i >= from:
			b.WriteByte('^')
		case runes[i] == '\t':
			b.WriteByte('\t') // as wide as above, whatever the terminal's tabs are
		default:
			b.WriteByte(' ')
		}
	}
	return text, b.String()
}
