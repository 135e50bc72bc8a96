package graph

import (
	"bytes"
	"fmt"
	"strings"
)

// Mermaid writes a drawing as a Mermaid flowchart.
func Mermaid(d Drawing) []byte {
	var b bytes.Buffer
	b.WriteString("flowchart LR\n")
	var there, back []string // numbers of the arrows, in the order of the text
	arrows := 0
	for i, f := range d.Flows {
		fmt.Fprintf(&b, "  subgraph f%d[%s]\n", i, mermaidQuote(f.Mode.Title()))
		for _, n := range nodes(i, f) {
			fmt.Fprintf(&b, "    %s[%s]\n", n.id, mermaidQuote(n.lines...))
		}
		for _, e := range edges(i, f) {
			arrow := "-->"
			if e.leg.Tunnel {
				arrow = "-.->"
			}
			fmt.Fprintf(&b, "    %s %s|%s| %s\n", e.from, arrow, mermaidQuote(e.label()), e.to)
			if e.leg.Back() {
				back = append(back, fmt.Sprint(arrows))
			} else {
				there = append(there, fmt.Sprint(arrows))
			}
			arrows++
		}
		b.WriteString("  end\n")
	}
	if len(d.Others) > 0 {
		fmt.Fprintf(&b, "  others[%s]\n", mermaidQuote("No service's packets pass: "+list(d.Others, 6)))
	}
	if len(d.Flows)+len(d.Others) == 0 {
		fmt.Fprintf(&b, "  empty[%s]\n", mermaidQuote("No virtual service is declared"))
	}
	for _, c := range []struct {
		arrows []string
		color  string
	}{{there, thereLight}, {back, backLight}} {
		if len(c.arrows) > 0 {
			fmt.Fprintf(&b, "  linkStyle %s stroke:%s\n", strings.Join(c.arrows, ","), c.color)
		}
	}
	return b.Bytes()
}

// mermaidQuote writes lines as one quoted label. What Mermaid could read as
// syntax, as HTML or as Markdown becomes a character number.
func mermaidQuote(lines ...string) string {
	const plain = " .:,/-→…()_"
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("<br/>")
		}
		for _, r := range l {
			if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(plain, r) {
				b.WriteRune(r)
				continue
			}
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return `"` + b.String() + `"`
}
