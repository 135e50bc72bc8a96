package view

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/lvsform/lvsform/planner/check"
	"github.com/lvsform/lvsform/topology"
)

// Check writes everything about one of the numbered checks, in lines of at most
// width characters where words allow it.
func (s Style) Check(w io.Writer, c check.Check, width int) {
	color := map[topology.Severity]string{topology.Error: red, topology.Warning: yellow, topology.Info: cyan}[c.Severity]
	fmt.Fprintf(w, "%s (%s): %s\n", s.paint(bold, c.ID), s.paint(color, string(c.Severity)), c.Title)
	fmt.Fprintf(w, "\n%s\n\n%s\n", wrap(c.Why, width), s.paint(bold, "To see it:"))
	for _, command := range c.See {
		fmt.Fprintf(w, "  %s\n", command)
	}
	fmt.Fprintf(w, "\n%s\n%s\n", s.paint(bold, "What to do:"), wrap(c.Fix, width))
}

// wrap breaks a text between words. Lines longer than 100 characters are hard to
// read, however wide the terminal is.
func wrap(text string, width int) string {
	width = max(20, min(width, 100))
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case at == 0:
		case at+1+n > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
