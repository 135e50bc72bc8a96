package graph

import (
	"bytes"
	"fmt"
	"strings"
)

// DOT writes a drawing for Graphviz.
func DOT(d Drawing) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "digraph %s {\n", dotQuote(orUnnamed(d.Title)))
	b.WriteString("  rankdir=LR\n  node [shape=box style=\"rounded,filled\" fillcolor=\"#f6f8fa\" fontname=\"monospace\" fontsize=11]\n")
	b.WriteString("  edge [fontname=\"monospace\" fontsize=10]\n")
	for i, f := range d.Flows {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s\n    fontname=\"monospace\"\n    color=\"#b6bec7\"\n", i, dotQuote(f.Mode.Title()))
		for _, n := range nodes(i, f) {
			fmt.Fprintf(&b, "    %s [label=%s%s]\n", n.id, dotQuote(n.lines...), dotFill(n.class))
		}
		for _, e := range edges(i, f) {
			fmt.Fprintf(&b, "    %s -> %s [%s]\n", e.from, e.to, dotEdge(e))
		}
		b.WriteString("  }\n")
	}
	if len(d.Others) > 0 {
		fmt.Fprintf(&b, "  others [shape=plaintext style=\"\" label=%s]\n", dotQuote("No service's packets pass: "+list(d.Others, 6)))
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func dotFill(class string) string {
	switch class {
	case "director":
		return ` fillcolor="#eaf2fd"`
	case "server":
		return ` fillcolor="#f1f8f2"`
	}
	return ""
}

func dotEdge(e edge) string {
	color := thereLight
	if e.leg.Back() {
		color = backLight
	}
	out := fmt.Sprintf(`label=%s color="%s" fontcolor="%s"`, dotQuote(e.label()), color, color)
	if e.leg.Tunnel {
		out += " style=dashed"
	}
	if e.leg.Back() {
		out += " constraint=false"
	}
	return out
}

// dotQuote writes lines as one quoted string of the DOT language.
func dotQuote(lines ...string) string {
	quoted := make([]string, len(lines))
	for i, l := range lines {
		quoted[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(l)
	}
	return `"` + strings.Join(quoted, `\n`) + `"`
}

// node is a box of a graph language.
type node struct {
	id, class string
	lines     []string
}

// nodes are the boxes of the i-th flow.
func nodes(i int, f Flow) []node {
	director := node{id: fmt.Sprintf("f%d_director", i), class: "director"}
	for _, d := range f.Directors {
		director.lines = append(director.lines, d.Name, "DIP "+d.Address)
	}
	for _, s := range f.Services {
		director.lines = append(director.lines, vipTitle(s.VIP)+" "+s.Text)
	}
	out := []node{{fmt.Sprintf("f%d_clients", i), "client", []string{"Clients", "CIP"}}, director}
	for n, s := range f.Servers {
		lines := append([]string{s.Name, "RIP " + s.Address, s.Weight}, s.Notes...)
		out = append(out, node{serverID(i, n), "server", lines})
	}
	if f.More != "" {
		out = append(out, node{serverID(i, len(f.Servers)), "more", []string{f.More}})
	}
	return out
}

func serverID(flow, n int) string { return fmt.Sprintf("f%d_server%d", flow, n) }

// edge is one arrow of a graph language.
type edge struct {
	from, to string
	number   int
	leg      Leg
	quiet    bool // says nothing: one like it already does
}

func (e edge) label() string {
	if e.quiet {
		return fmt.Sprint(e.number)
	}
	return fmt.Sprintf("%d: %s", e.number, e.leg.Packet)
}

// edges are the arrows of the i-th flow. Only the first of several equal ones
// tells the packet's addresses.
func edges(i int, f Flow) []edge {
	single := map[Place]string{Clients: fmt.Sprintf("f%d_clients", i), Directors: fmt.Sprintf("f%d_director", i)}
	servers := len(f.Servers)
	if f.More != "" {
		servers++
	}
	var out []edge
	for number, l := range f.Legs {
		e := edge{from: single[l.From], to: single[l.To], number: number + 1, leg: l}
		if l.From != Servers && l.To != Servers {
			out = append(out, e)
			continue
		}
		for n := range servers {
			if l.From == Servers {
				e.from = serverID(i, n)
			} else {
				e.to = serverID(i, n)
			}
			e.quiet = n > 0
			out = append(out, e)
		}
	}
	return out
}
