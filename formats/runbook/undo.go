package runbook

import (
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// undo tells how to take it all away again, last things first.
func undo(b *strings.Builder, steps []Step) {
	b.WriteString("\n")
	comment(b, "", "To undo it:")
	nft := false
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Hidden {
			continue // it was left to a person
		}
		switch steps[i].Object.(type) {
		case state.Mark, state.Masquerade:
			if nft {
				continue
			}
			nft = true
		}
		if text := inverse(steps[i].Object); text != "" {
			comment(b, "  ", text)
		}
	}
}

func inverse(o state.Object) string {
	command := func(first []string, rest ...string) string { return words(append(first, rest...)...).String() }
	switch o := o.(type) {
	case state.Package:
		return "(package " + o.Name + " can stay; remove it with the package manager if nothing else needs it)"
	case state.Sysctl:
		return "(sysctl " + o.Name + ": write back the value that it had)"
	case state.Unit:
		return "(service " + o.Name + ": set it back to what it was)"
	case state.Config:
		if o.Program == "ldirectord" {
			return "(" + ldirectordFile + ": take out the lines between # lvsform begins and ends: " + o.Topology + ")"
		}
		return command([]string{"rm", partPath(o)})
	case state.Link:
		switch {
		case o.Kind == "":
			return "(link " + o.Name + ": set it back to what it was)"
		case fallback[o.Name] == o.Kind:
			return command([]string{"ip", "link", "set", "dev", o.Name, "down"})
		}
		return command([]string{"ip", "link", "delete", "dev", o.Name})
	case state.FOU:
		return command([]string{"ip", family(o.Family == "ipv6"), "fou", "del", "port", strconv.Itoa(int(o.Port))})
	case state.Address:
		return command([]string{"ip", "address", "delete", o.IP.String(), "dev", o.Device})
	case state.Route:
		return command([]string{"ip", family(o.To.Addr().Is6()), "route", "delete"}, routeID(o)...)
	case state.Rule:
		return command([]string{"ip", family(o.Family == "ipv6"), "rule", "delete"}, ruleWords(o)...)
	case state.Mark, state.Masquerade:
		return command([]string{"nft", "delete", "table", "inet", "lvsform"})
	case state.Timeouts:
		return command([]string{"ipvsadm", "--set"}, timeouts(state.DefaultTimeouts)...)
	case state.Sync:
		return command([]string{"ipvsadm", "--stop-daemon", o.Role})
	case state.Service:
		return command([]string{"ipvsadm", "--delete-service"}, serviceWords(o.ServiceID)...)
	}
	return "" // modules stay, and destinations go with their service
}
