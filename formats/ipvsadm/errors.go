package ipvsadm

import (
	"fmt"
	"strings"
	"unicode"
)

// Mistake is one line that cannot be read.
type Mistake struct {
	Line  int    // from 1; 0: the whole text
	Cause string // what is wrong
	Fix   string // what to do
}

func (m *Mistake) Error() string {
	if m.Line == 0 {
		return m.Cause + ". " + m.Fix
	}
	return fmt.Sprintf("line %d: %s. %s", m.Line, m.Cause, m.Fix)
}

// Mistakes are all that were found in a text, by line.
type Mistakes []*Mistake

func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

func mistake(cause, fix string) error { return &Mistake{Cause: cause, Fix: fix} }

// clip makes a foreign word fit to be shown.
func clip(word string) string {
	const most = 60
	runes := []rune(strings.ToValidUTF8(word, "?"))
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}
