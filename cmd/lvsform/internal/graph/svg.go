package graph

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// The colours of the way there and back, on a light and on a dark ground; blue
// and orange are told apart by colour-blind readers too.
const (
	thereLight, thereDark = "#0b62c4", "#58a6ff"
	backLight, backDark   = "#b4540a", "#f0a35e"
)

// style is written out twice: programs that know nothing of colour schemes draw
// the light one, on its own ground.
const style = `
text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328; white-space: pre; }
.ground { fill: #ffffff; }
.title, .heading, .name, .vip { font-weight: bold; }
.dim, .network { fill: #59636e; }
.there { fill: ` + thereLight + `; } .back { fill: ` + backLight + `; }
.client { fill: #f6f8fa; stroke: #59636e; } .director { fill: #eaf2fd; stroke: #0b62c4; }
.server { fill: #f1f8f2; stroke: #2f7d3b; } .more { fill: #f6f8fa; stroke: #59636e; stroke-dasharray: 3 3; }
.rule { stroke: #b6c8e0; } .bar { fill: #d0d7de; }
.way { fill: none; stroke-width: 2; } .way.t { stroke: ` + thereLight + `; } .way.b { stroke: ` + backLight + `; }
.tunnel { stroke-dasharray: 7 5; } .number { fill: #ffffff; font-weight: bold; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .ground { fill: #0d1117; } .dim, .network { fill: #9198a1; }
.there { fill: ` + thereDark + `; } .back { fill: ` + backDark + `; }
.client, .more { fill: #161b22; stroke: #9198a1; } .director { fill: #10243f; stroke: #58a6ff; }
.server { fill: #12261a; stroke: #57ab5a; } .rule { stroke: #2f4a70; } .bar { fill: #3d444d; }
.way.t { stroke: ` + thereDark + `; } .way.b { stroke: ` + backDark + `; } .number { fill: #0d1117; }
}
`

// SVG writes a picture that needs nothing beside itself.
func SVG(p Picture) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`+"\n", p.W, p.H, p.W, p.H)
	fmt.Fprintf(&b, "<title>%s</title>\n<desc>%s</desc>\n<style>%s</style>\n", escaped(p.Title), escaped(p.Description), style)
	for _, c := range []struct{ id, class string }{{"t", "there"}, {"b", "back"}} {
		fmt.Fprintf(&b, `<marker id="%s" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">`+
			`<path class="%s" d="M0 0L10 5L0 10z"/></marker>`+"\n", c.id, c.class)
	}
	fmt.Fprintf(&b, `<rect class="ground" width="%d" height="%d"/>`+"\n", p.W, p.H)
	for _, bar := range p.Bars {
		fmt.Fprintf(&b, `<rect class="bar" x="%d" y="%d" width="%d" height="%d" rx="6"/>`+"\n", bar.X, bar.Y, bar.W, bar.H)
	}
	for _, l := range p.Lines {
		svgLine(&b, l)
	}
	for _, box := range p.Boxes {
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="8"/>`+"\n", box.Class, box.X, box.Y, box.W, box.H)
		for _, y := range box.Rules {
			fmt.Fprintf(&b, `<path class="rule" d="M%d %dH%d"/>`+"\n", box.X+pad, y, box.Right()-pad)
		}
		for _, t := range box.Texts {
			svgText(&b, t)
		}
	}
	for _, t := range p.Labels {
		svgText(&b, t)
	}
	for _, m := range p.Markers {
		fmt.Fprintf(&b, `<circle class="%s" cx="%d" cy="%d" r="%d"/>`, wayClass(m.Back), m.X, m.Y, radius)
		svgText(&b, Text{X: m.X, Y: m.Y + 4, Size: small, Anchor: Middle, Class: "number", Text: fmt.Sprint(m.Number)})
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func svgLine(b *bytes.Buffer, l Line) {
	id := "t"
	if l.Back {
		id = "b"
	}
	class := "way " + id
	if l.Tunnel {
		class += " tunnel"
	}
	var points []string
	for _, p := range l.Points {
		points = append(points, fmt.Sprintf("%d,%d", p.X, p.Y))
	}
	arrow := ""
	if l.Arrow {
		arrow = fmt.Sprintf(` marker-end="url(#%s)"`, id)
	}
	fmt.Fprintf(b, `<polyline class="%s" points="%s"%s/>`+"\n", class, strings.Join(points, " "), arrow)
}

func svgText(b *bytes.Buffer, t Text) {
	attributes := fmt.Sprintf(`x="%d" y="%d" font-size="%d"`, t.X, t.Y, t.Size)
	if t.Anchor != Start {
		attributes += fmt.Sprintf(` text-anchor="%s"`, t.Anchor)
	}
	if t.Class != "" {
		attributes += fmt.Sprintf(` class="%s"`, t.Class)
	}
	full := ""
	if t.Full != "" {
		full = "<title>" + escaped(t.Full) + "</title>"
	}
	fmt.Fprintf(b, "<text %s>%s%s</text>\n", attributes, full, escaped(t.Text))
}

func escaped(s string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "" // a buffer takes everything
	}
	return b.String()
}
