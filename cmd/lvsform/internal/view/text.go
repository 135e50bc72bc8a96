// Package view renders plans, reports and diagnostics for people.
package view

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Style wraps text in terminal colours; the zero Style leaves it plain.
type Style struct{ Color bool }

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// escapes are whole terminal sequences (ECMA-48): without its ESC the rest of
// one would stay as text.
var escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(\x07|\x1b\\)?|[ -~])?`)

// Clean drops what could move a terminal's cursor or reorder its text: hosts
// and files are not trusted to choose what a reader sees. Newlines and tabs stay.
func Clean(s string) string {
	s = escapes.ReplaceAllString(s, "")
	return strings.Map(func(r rune) rune {
		if unsafe(r) {
			return -1
		}
		return r
	}, s)
}

func unsafe(r rune) bool {
	return r != '\n' && r != '\t' &&
		(unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029')
}

// CleanJSON writes what Clean drops as escapes of JSON, which mean the same:
// encoding/json leaves DEL, the C1 controls and the bidirectional ones bare.
func CleanJSON(text []byte) []byte {
	if bytes.IndexFunc(text, unsafe) < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for _, r := range string(text) {
		if unsafe(r) { // all of them are below U+10000
			out = fmt.Appendf(out, "\\u%04x", r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// line is Clean for text that must stay on one line.
func line(s string) string {
	return strings.Join(strings.Fields(Clean(s)), " ")
}

// Count writes a number with its noun: 1 host, 3 hosts.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return itoa(n) + " " + noun + "s"
}
