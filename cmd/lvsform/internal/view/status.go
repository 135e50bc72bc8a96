package view

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/status"
)

// Status writes what the directors serve.
func (s Style) Status(w io.Writer, r status.Report) {
	for i, h := range r.Hosts {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s (%s)\n", s.paint(bold, line(h.Name)), line(h.Address))
		switch {
		case !h.Managed:
			fmt.Fprintln(w, "  is not managed, and not read")
		case h.Error != "":
			fmt.Fprintf(w, "  %s %s\n", s.paint(red, "not read:"), line(h.Error))
		}
		for _, v := range h.VRRP {
			s.vrrp(w, v)
		}
		for _, v := range h.Services {
			s.service(w, v)
		}
	}
	if len(r.Hosts) == 0 {
		fmt.Fprintln(w, "The configuration declares no virtual service and no VRRP instance.")
	}
}

func (s Style) vrrp(w io.Writer, v status.VRRP) {
	code := map[string]string{status.Master: green, status.Backup: cyan, status.Stopped: red}[v.State]
	text := ""
	switch {
	case len(v.Held) > 0 && len(v.Missing) > 0:
		text = "  holds " + addressList(v.Held) + " but not " + addressList(v.Missing)
	case len(v.Held) > 0:
		text = "  holds " + addressList(v.Held)
	}
	if v.State == status.Master && !v.Running {
		text += "; keepalived does not run"
	}
	fmt.Fprintf(w, "  vrrp %s %d  %s%s  %s\n", line(v.Interface), v.RouterID, s.paint(code, v.State), text, line(v.Address))
}

func addressList(list []netip.Addr) string {
	text := make([]string, len(list))
	for i, a := range list {
		text[i] = a.String()
	}
	return strings.Join(text, ", ")
}

func (s Style) service(w io.Writer, v status.Service) {
	health := fmt.Sprintf("%d of %d up", v.Up, v.Of)
	switch {
	case v.Fallback:
		health = s.paint(red, health+", fallback active")
	case !v.Present:
		health = s.paint(red, health+", not in the table")
	case v.Up < v.Of:
		health = s.paint(yellow, health)
	default:
		health = s.paint(green, health)
	}
	fmt.Fprintf(w, "\n  %s%s  %s  %s\n", s.paint(bold, serviceName(v.ID)), how(v), health, ownerOf(v))
	if len(v.Servers) == 0 {
		return
	}
	t := grid{indent: "    ", right: map[int]bool{5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true}}
	t.row("SERVER", "ADDRESS", "FORWARD", "WEIGHT", "STATE", "ACTIVE", "INACTIVE", "CONN/S", "PKT/S IN", "OUT", "B/S IN", "OUT")
	for _, server := range v.Servers {
		name := server.Name
		if name == "" {
			name = "-"
		}
		cells := []string{line(name), line(server.Destination), line(server.Forward), weightText(server), server.State}
		for _, n := range []uint64{server.Active, server.Inactive, server.Rates.Conns, server.PacketsIn, server.PacketsOut, server.BytesIn, server.BytesOut} {
			text := number(n)
			if server.Weight == nil && !server.Sensitive { // it is not there
				text = "-"
			}
			cells = append(cells, text)
		}
		t.row(cells...)
		t.paint(4, stateColours[server.State])
	}
	t.write(w, s)
}

var stateColours = map[string]string{status.Up: green, status.Down: red, status.Missing: red, status.Draining: yellow,
	status.Undeclared: yellow, status.Fallback: yellow}

// serviceName is the ID of a service as people write it: tcp 192.0.2.1:80.
func serviceName(id string) string {
	protocol, rest, _ := strings.Cut(id, "/")
	return line(protocol + " " + strings.ReplaceAll(rest, "/", " "))
}

// how is the scheduler and who keeps the service.
func how(v status.Service) string {
	out := "  (sensitive)"
	if v.Scheduler != nil {
		out = "  " + line(*v.Scheduler)
	}
	if v.Persistence > 0 {
		out += "  persistent " + strconv.FormatFloat(v.Persistence, 'f', -1, 64) + "s"
	}
	if v.Checker != "" {
		out += "  kept by " + line(v.Checker)
	}
	return out
}

func ownerOf(v status.Service) string {
	switch {
	case v.Address != "":
		return line(v.Address)
	case v.Topology != "":
		return "of topology " + line(strconv.Quote(v.Topology))
	}
	return "declared by nobody"
}

// weightText is the live weight, and the declared one behind it where they differ.
func weightText(s status.Server) string {
	switch {
	case s.Sensitive:
		return "(sensitive)"
	case s.Weight == nil && s.Declared == nil:
		return "-"
	case s.Weight == nil:
		return "- (" + itoa(*s.Declared) + ")"
	case s.Declared == nil || *s.Declared == *s.Weight:
		return itoa(*s.Weight)
	}
	return itoa(*s.Weight) + " (" + itoa(*s.Declared) + ")"
}

// number writes five digits and what they are thousands of: 99999, 100k, 12M.
func number(n uint64) string {
	for _, unit := range []string{"", "k", "M", "G", "T"} {
		if n < 100_000 {
			return strconv.FormatUint(n, 10) + unit
		}
		n /= 1000
	}
	return strconv.FormatUint(n, 10) + "P"
}

// grid is a table with aligned columns.
type grid struct {
	indent string
	right  map[int]bool // columns that are aligned there
	rows   [][]string
	colour map[[2]int]string
}

func (g *grid) row(cells ...string) { g.rows = append(g.rows, cells) }

// paint colours a cell of the last row.
func (g *grid) paint(column int, code string) {
	if g.colour == nil {
		g.colour = map[[2]int]string{}
	}
	g.colour[[2]int{len(g.rows) - 1, column}] = code
}

func (g *grid) write(w io.Writer, s Style) {
	var widths []int
	for _, row := range g.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range g.rows {
		text := g.indent
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if code := g.colour[[2]int{n, i}]; code != "" {
				cell = s.paint(code, cell)
			}
			switch {
			case g.right[i]:
				cell = space + cell
			case i < len(row)-1:
				cell += space
			}
			if i > 0 {
				text += "  "
			}
			text += cell
		}
		fmt.Fprintln(w, text)
	}
}
