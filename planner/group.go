package planner

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Group is hosts that get the same changes in one stage. Changes[i][j] is the
// i-th change on Hosts[j]; those of one i differ only in host, id and instance
// keys of addresses.
type Group struct {
	Hosts   []string
	Changes [][]Change
}

// Groups puts the hosts with equal changes together, stage by stage, in the
// order of the plan.
func Groups(changes []Change) []Group {
	var out []Group
	for start := 0; start < len(changes); {
		end := start
		for end < len(changes) && changes[end].Stage == changes[start].Stage {
			end++
		}
		out = append(out, stageGroups(changes[start:end])...)
		start = end
	}
	return out
}

func stageGroups(changes []Change) []Group {
	byHost := map[string][]Change{}
	var hosts []string
	for _, c := range changes {
		if byHost[c.Host] == nil {
			hosts = append(hosts, c.Host)
		}
		byHost[c.Host] = append(byHost[c.Host], c)
	}
	at := map[string]int{} // fingerprint → index in out
	var out []Group
	for _, host := range hosts {
		print := fingerprint(byHost[host])
		i, ok := at[print]
		if !ok {
			i = len(out)
			at[print] = i
			out = append(out, Group{Changes: make([][]Change, len(byHost[host]))})
		}
		out[i].Hosts = append(out[i].Hosts, host)
		for n, c := range byHost[host] {
			out[i].Changes[n] = append(out[i].Changes[n], c)
		}
	}
	return out
}

var instanceKey = regexp.MustCompile(`\[(?:"(?:[^"\\]|\\.)*"|\d+)\]`)

// fingerprint is equal for hosts whose changes read the same.
func fingerprint(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		sides, err := json.Marshal(c.plain())
		if err != nil {
			sides = []byte(c.ID) // alone in its group
		}
		fmt.Fprintf(&b, "%s %s %s %v %v %s\n", c.Action, c.Key().Kind, sides, c.Hazards, c.Sensitive,
			instanceKey.ReplaceAllString(strings.Join(c.Addresses, " "), "[]"))
	}
	return b.String()
}

// plain is the change of the object alone.
func (c Change) plain() any {
	type sides struct{ Before, After any }
	return sides{c.Before, c.After}
}
