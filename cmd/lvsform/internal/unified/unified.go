// Package unified compares texts as diff -u does.
package unified

import (
	"fmt"
	"strings"

	"github.com/sergi/go-diff/diffmatchpatch"
)

// diffContext is the number of unchanged lines around a change.
const diffContext = 3

type diffLine struct {
	sign byte // ' ', '-' or '+'
	text string
}

// Diff compares two texts line by line, in the form of diff -u. It is
// empty when they are equal.
func Diff(name, before, after string) string {
	lines := diffLines(before, after)
	var b strings.Builder
	for from := 0; from < len(lines); {
		from = nextChange(lines, from)
		if from == len(lines) {
			break
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "--- %s\n+++ %s\n", name, name)
		}
		start, end := hunk(lines, from)
		writeHunk(&b, lines, start, end)
		from = end
	}
	return b.String()
}

func diffLines(before, after string) []diffLine {
	d := diffmatchpatch.New()
	d.DiffTimeout = 0 // or a slow machine would see larger differences
	a, b, texts := d.DiffLinesToChars(before, after)
	signs := map[diffmatchpatch.Operation]byte{diffmatchpatch.DiffEqual: ' ', diffmatchpatch.DiffDelete: '-', diffmatchpatch.DiffInsert: '+'}
	var out []diffLine
	for _, part := range d.DiffCharsToLines(d.DiffMain(a, b, false), texts) {
		for _, text := range strings.SplitAfter(part.Text, "\n") {
			if text != "" {
				out = append(out, diffLine{signs[part.Type], text})
			}
		}
	}
	return out
}

func nextChange(lines []diffLine, from int) int {
	for from < len(lines) && lines[from].sign == ' ' {
		from++
	}
	return from
}

// hunk is the stretch around a change, with the changes that follow closely.
func hunk(lines []diffLine, change int) (start, end int) {
	start = max(0, change-diffContext)
	end = change
	for {
		for end < len(lines) && lines[end].sign != ' ' {
			end++
		}
		next := nextChange(lines, end)
		if next == len(lines) || next-end > 2*diffContext {
			return start, min(len(lines), end+diffContext)
		}
		end = next
	}
}

func writeHunk(b *strings.Builder, lines []diffLine, start, end int) {
	var oldFirst, newFirst, oldLines, newLines int
	for i, l := range lines[:end] {
		inOld, inNew := l.sign != '+', l.sign != '-'
		switch {
		case i < start:
			oldFirst, newFirst = oldFirst+one(inOld), newFirst+one(inNew)
		default:
			oldLines, newLines = oldLines+one(inOld), newLines+one(inNew)
		}
	}
	// A side without lines is numbered by the line before it.
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", oldFirst+one(oldLines > 0), oldLines, newFirst+one(newLines > 0), newLines)
	for _, l := range lines[start:end] {
		b.WriteByte(l.sign)
		b.WriteString(l.text)
		if !strings.HasSuffix(l.text, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
