package view

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/planner"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Plan writes the changes of a plan, hosts with the same changes together, and
// the line that counts them.
func (s Style) Plan(w io.Writer, p *planner.Plan) {
	for _, l := range planLines(p) {
		if sign, ok := fileLine(l); ok {
			fmt.Fprintf(w, "      %s\n", s.paint(colors[sign], Clean(sign+l.text)))
			continue
		}
		if l.symbol != "" {
			fmt.Fprintf(w, "  %s\n", s.paint(colors[l.symbol], Clean(l.symbol+" "+l.text)))
			continue
		}
		if l.text == "" {
			fmt.Fprintln(w)
			continue
		}
		fmt.Fprintf(w, "  %s\n", s.paint(bold, Clean(l.text)))
	}
	if unreachable := p.Unreachable(); len(unreachable) > 0 {
		fmt.Fprintf(w, "%s\n", s.paint(bold, Count(len(unreachable), "host")+" could not be read:"))
		for _, h := range unreachable {
			fmt.Fprintf(w, "  %s  %s\n", s.paint(red, line(h.Name)), line(h.Error))
		}
		fmt.Fprintln(w)
	}
	if note := fleeting(p); note != "" {
		fmt.Fprintf(w, "%s\n\n", s.paint(yellow, note))
	}
	fmt.Fprintln(w, s.paint(bold, Summary(p)))
}

// fleeting says where nothing puts back after a reboot what is applied.
func fleeting(p *planner.Plan) string {
	if len(p.Fleeting) == 0 {
		return ""
	}
	return line("What is applied on " + hostList(p.Fleeting) + " will not survive a reboot there: systemd would put it back, and does not run.")
}

var colors = map[string]string{"+": green, "-": red, "~": yellow, "-/+": red, "=": cyan}

// Summary is the last line of a plan.
func Summary(p *planner.Plan) string {
	unreachable := len(p.Unreachable())
	if p.Empty() {
		hosts := len(p.Hosts) - unreachable
		switch {
		case hosts == 0 && unreachable > 0:
			return "No plan: no host could be read."
		case p.Destroy && unreachable == 0:
			return "No changes. Nothing of " + line(p.Topology) + " is left on " + Count(hosts, "host") + "."
		case unreachable > 0:
			return fmt.Sprintf("No changes. %s the configuration; %d could not be read.", matching(hosts), unreachable)
		}
		return "No changes. " + matching(hosts) + " the configuration."
	}
	sum := p.Summary
	text := fmt.Sprintf("Plan: %d to add, %d to change, %d to remove", sum.Add, sum.Change, sum.Remove)
	if sum.Adopt > 0 {
		text += fmt.Sprintf(", %d to adopt", sum.Adopt)
	}
	if sum.Forget > 0 {
		text += fmt.Sprintf(", %d to forget", sum.Forget)
	}
	text += " on " + Count(sum.Hosts, "host")
	if unreachable > 0 {
		text += fmt.Sprintf("; %d could not be read", unreachable)
	}
	return text + "."
}

func matching(hosts int) string {
	if hosts == 1 {
		return "1 host matches"
	}
	return itoa(hosts) + " hosts match"
}

// row is one line of a plan: a heading, or what happens to one thing. A symbol
// of "" is a heading, and an empty text then an empty line.
type row struct{ symbol, text string }

// planLines are the lines of a plan without their colours.
func planLines(p *planner.Plan) []row {
	var out []row
	for _, g := range planner.Groups(p.Changes) {
		for rest := g.Changes; len(rest) > 0; {
			n := sameHeading(rest)
			out = append(out, row{text: heading(rest[0], g.Hosts)})
			for _, same := range rest[:n] {
				out = append(out, changeRows(same[0])...)
			}
			out = append(out, row{})
			rest = rest[n:]
		}
	}
	return out
}

// sameHeading counts the changes at the front that share a heading.
func sameHeading(changes [][]planner.Change) int {
	first := changes[0][0]
	n := 1
	for n < len(changes) && slices.Equal(changes[n][0].Addresses, first.Addresses) &&
		changes[n][0].Action == first.Action && changes[n][0].Drain == first.Drain && slices.Equal(changes[n][0].Hazards, first.Hazards) {
		n++
	}
	return n
}

// heading says what happens to which resource on which hosts.
func heading(same []planner.Change, hosts []string) string {
	var addresses []string
	for i := range same[0].Addresses {
		var each []string
		for _, c := range same {
			if i < len(c.Addresses) {
				each = append(each, c.Addresses[i])
			}
		}
		addresses = append(addresses, common(each))
	}
	what := words[same[0].Action]
	if same[0].Drain > 0 {
		what = "drained: no new connections, up to " + same[0].Drain.String() + " for the others" + openConnections(same)
	}
	text := "# " + strings.Join(addresses, ", ") + " on " + hostList(hosts) + " will be " + what + meanwhile(same[0])
	if hazards := hazardText(same[0].Hazards); hazards != "" {
		text += " (" + hazards + ")"
	}
	return line(text)
}

// openConnections tells how many connections drains wait for, where somebody
// looked.
func openConnections(drains []planner.Change) string {
	n := 0
	for _, c := range drains {
		if c.Connections == nil {
			return ""
		}
		n += *c.Connections
	}
	return " (" + Count(n, "connection") + ")"
}

var words = map[planner.Action]string{
	planner.Create:  "created",
	planner.Update:  "updated in place",
	planner.Replace: "replaced",
	planner.Delete:  "removed",
	planner.Adopt:   "adopted (already there)",
	planner.Forget:  "forgotten (left as it is)",
}

var hazardWords = map[planner.Hazard]string{
	planner.HazardExistedBefore:  "it was there before lvsform",
	planner.HazardUnverified:     "its host is not managed, so nothing checks that it is ready for traffic",
	planner.HazardConnections:    "connections through it end",
	planner.HazardRefusesClients: "clients that its scheduler maps to it are refused",
	planner.HazardChangedByHand:  "it was changed by hand, so it is left alone",
	planner.HazardAddressGap:     "keepalived gives the address up first: for a moment nobody has it",
}

func hazardText(hazards []planner.Hazard) string {
	var out []string
	for _, h := range hazards {
		text, ok := hazardWords[h]
		if !ok {
			text = string(h)
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// instance is the key in an address that tells for_each instances apart.
var instance = regexp.MustCompile(`\[(?:"(?:[^"\\]|\\.)*"|\d+)\]`)

// common writes the addresses of one thing on several hosts as one address,
// with [*] where their instance keys differ.
func common(addresses []string) string {
	if len(addresses) == 0 {
		return ""
	}
	first := addresses[0]
	keys := instance.FindAllStringIndex(first, -1)
	differ := make([]bool, len(keys))
	for _, a := range addresses[1:] {
		if instance.ReplaceAllString(a, "[*]") != instance.ReplaceAllString(first, "[*]") {
			return fmt.Sprintf("%s and %d more", first, len(addresses)-1)
		}
		for i, k := range instance.FindAllString(a, -1) {
			differ[i] = differ[i] || k != first[keys[i][0]:keys[i][1]]
		}
	}
	var b strings.Builder
	end := 0
	for i, k := range keys {
		b.WriteString(first[end:k[0]])
		end = k[1]
		if differ[i] {
			b.WriteString("[*]")
			continue
		}
		b.WriteString(first[k[0]:k[1]])
	}
	return b.String() + first[end:]
}

// hostList names the hosts, and counts them where a reader would have to.
func hostList(hosts []string) string {
	list := strings.Join(hosts, ", ")
	if len(hosts) > 3 {
		return Count(len(hosts), "host") + " (" + list + ")"
	}
	return list
}
