package view

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/topology"
)

// maxMarkdown keeps a plan within a comment of the code forges, which take
// 65,536 characters.
const maxMarkdown = 58_000

// Markdown writes the plan as a comment on a change request: the summary, the
// findings, and the changes folded away.
func Markdown(w io.Writer, p *planner.Plan, diags topology.Diagnostics) {
	fmt.Fprintf(w, "**lvsform %s**: %s\n", codeSpan(p.Topology), Summary(p))
	room := maxMarkdown
	if len(diags) > 0 {
		var text strings.Builder
		Style{}.Diagnostics(&text, diags)
		shown := fit(strings.TrimSpace(text.String()), room/2)
		room -= utf8.RuneCountInString(shown)
		fmt.Fprintf(w, "\n%s\n", fence("", shown))
	}
	for _, h := range p.Unreachable() {
		text := fit(fmt.Sprintf("- %s could not be read: %s\n", codeSpan(h.Name), codeSpan(h.Error)), room/2)
		room -= utf8.RuneCountInString(text)
		fmt.Fprint(w, text)
	}
	if note := fleeting(p); note != "" {
		fmt.Fprintf(w, "\n%s\n", fence("", note))
	}
	if p.Empty() {
		return
	}
	fmt.Fprintf(w, "\n<details><summary>Changes</summary>\n\n%s\n\n</details>\n", fence("diff", fit(diffText(p), room)))
}

// diffText is the plan with its signs in the first column, where the forges
// colour them.
func diffText(p *planner.Plan) string {
	var b strings.Builder
	for _, l := range planLines(p) {
		if sign, ok := fileLine(l); ok {
			b.WriteString(Clean(sign+l.text) + "\n")
			continue
		}
		text := line(l.text)
		switch l.symbol {
		case "":
		case "~":
			text = "! " + text
		case "-/+":
			text = "! replace " + text
		case "=":
			text = "  " + text
		default:
			text = l.symbol + " " + text
		}
		b.WriteString(text + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// fit cuts text at a line's end so that it has at most n characters.
func fit(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	const note = "\n… cut here: the whole plan is longer than a comment may be."
	cut := string([]rune(text)[:max(0, n-utf8.RuneCountInString(note))])
	if i := strings.LastIndexByte(cut, '\n'); i >= 0 {
		cut = cut[:i]
	}
	return cut + note
}

// fence puts text into a code block that nothing in the text can end.
func fence(language, text string) string {
	ticks := "```"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	return ticks + language + "\n" + text + "\n" + ticks
}

// codeSpan puts a word into a code span that it cannot end.
func codeSpan(word string) string {
	word = line(word)
	if !strings.Contains(word, "`") {
		return "`" + word + "`"
	}
	return "`" + strings.ReplaceAll(word, "`", "'") + "`"
}
