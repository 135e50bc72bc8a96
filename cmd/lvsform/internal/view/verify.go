package view

import (
	"cmp"
	"fmt"
	"io"
	"strconv"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/verify"
)

// Verify writes who answered.
func (s Style) Verify(w io.Writer, r verify.Report) {
	for _, u := range r.Unread {
		fmt.Fprintf(w, "%s (%s) %s\n\n", s.paint(bold, line(u.Host)), s.paint(red, "not read"), line(u.Error))
	}
	good, tried := 0, 0
	for _, v := range r.Services {
		s.verified(w, v)
		if v.Skipped == "" {
			tried++
		}
		if v.OK {
			good++
		}
	}
	text := fmt.Sprintf("%d of %s as expected", good, Count(tried, "service"))
	if skipped := len(r.Services) - tried; skipped > 0 {
		text += fmt.Sprintf(", %d not tried", skipped)
	}
	colour := green
	if !r.OK {
		colour = red
	}
	fmt.Fprintln(w, s.paint(colour, text+"."))
}

func (s Style) verified(w io.Writer, v verify.Service) {
	scheduler := "(sensitive)"
	if v.Scheduler != nil {
		scheduler = line(*v.Scheduler)
	}
	fmt.Fprintf(w, "%s  %s  %s\n", s.paint(bold, serviceName(v.ID)), scheduler, line(v.Address))
	if v.Skipped != "" {
		fmt.Fprintf(w, "  %s %s\n\n", s.paint(yellow, "not tried:"), line(v.Skipped))
		return
	}
	fmt.Fprintf(w, "  %s to %s, %d taken; %s\n", Count(v.Sent, "connection"), line(v.Target), v.Answered, ruleText(v))
	if len(v.Servers) > 0 {
		g := grid{indent: "    ", right: map[int]bool{4: true, 5: true, 6: true}}
		g.row("SERVER", "ADDRESS", "WEIGHT", "STATE", "EXPECTED", "SEEN", "CONNECTIONS")
		for _, server := range v.Servers {
			weight, expected := "(sensitive)", "-"
			if server.Weight != nil {
				weight = itoa(*server.Weight)
			}
			if server.Expected != nil {
				expected = percent(*server.Expected)
			}
			g.row(line(cmp.Or(server.Name, "-")), line(server.Destination), weight, server.State, expected, percent(server.Share), strconv.FormatUint(server.Seen, 10))
			g.paint(3, stateColours[server.State])
		}
		g.write(w, s)
	}
	for _, problem := range v.Problems {
		fmt.Fprintf(w, "  %s %s\n", s.paint(red, "wrong:"), line(problem))
	}
	for _, note := range v.Notes {
		fmt.Fprintf(w, "  %s %s\n", s.paint(yellow, "note:"), line(note))
	}
	fmt.Fprintln(w)
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + "%" }

// ruleText says what is expected, and how exactly.
func ruleText(v verify.Service) string {
	switch v.Rule {
	case verify.Equal:
		return "each server the same, within " + percent(v.Tolerance)
	case verify.Weighted:
		return "shares by weight, within " + percent(v.Tolerance)
	case verify.One:
		return "one client, so one server (persistence)"
	}
	return "any server with a weight may have got them"
}
