package view

import (
	"slices"
	"strings"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/unified"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

const (
	// fileSymbol begins the symbol of a row that is a line of a file's difference,
	// whose blanks count.
	fileSymbol = "|"
	// otherSecret stands for a secret that is not the one of before.
	otherSecret = "(sensitive value, changed)"
)

// fileLine tells whether a row is a line of a file's difference, and its sign.
func fileLine(r row) (sign string, ok bool) {
	return strings.CutPrefix(r.symbol, fileSymbol)
}

// configPath is the file that a Config is a part of, or the whole of.
func configPath(c state.Config) string {
	if c.Program == "ldirectord" {
		return "/etc/ha.d/ldirectord.cf"
	}
	if c.Topology == "" {
		return "/etc/keepalived/keepalived.conf"
	}
	return "/etc/keepalived/lvsform/" + c.Topology + ".conf"
}

// configRows show the change of a configuration as a difference of its file.
func configRows(c planner.Change) []row {
	before, _ := c.Before.(state.Config)
	after, _ := c.After.(state.Config)
	title := Title(object(c))
	symbol := map[planner.Action]string{planner.Create: "+", planner.Delete: "-"}[c.Action]
	if symbol == "" {
		symbol = "~"
	}
	secret := slices.Contains(c.Sensitive, planner.SensitiveText)
	switch {
	case c.Action == planner.Adopt || c.Action == planner.Forget:
		return []row{{"=", title}}
	case secret && symbol != "~":
		return []row{{symbol, title + " { text = " + hidden + " }"}}
	case secret:
		return []row{{symbol, title + " text = " + hidden + " -> " + otherSecret}}
	}
	out := []row{{symbol, title}}
	diff := unified.Diff(configPath(object(c).(state.Config)), masked(before, nil), masked(after, secretLines(before)))
	diff = strings.TrimSuffix(diff, "\n")
	if diff == "" {
		return out
	}
	for i, text := range strings.Split(diff, "\n") {
		sign := text[:1]
		if i < 2 || sign != "+" && sign != "-" {
			sign = ""
		}
		if i < 2 && c.Before == nil && i == 0 || i == 1 && c.After == nil {
			text = text[:4] + "/dev/null"
		}
		out = append(out, row{fileSymbol + sign, text[len(sign):]})
	}
	return out
}

// secretLines are the lines that hold secrets, as they are.
func secretLines(c state.Config) map[string]bool {
	out := map[string]bool{}
	shown := strings.Split(planner.Masked(c), "\n")
	for i, text := range strings.Split(c.Text, "\n") {
		if i < len(shown) && shown[i] != text {
			out[strings.TrimSpace(text)] = true
		}
	}
	return out
}

// masked is the text of a configuration without its secrets. Those that are not
// among the secret lines of before are told to be others.
func masked(c state.Config, before map[string]bool) string {
	shown := strings.Split(planner.Masked(c), "\n")
	if len(before) == 0 {
		return strings.Join(shown, "\n")
	}
	for i, text := range strings.Split(c.Text, "\n") {
		if i < len(shown) && shown[i] != text && !before[strings.TrimSpace(text)] {
			shown[i] = strings.ReplaceAll(shown[i], hidden, otherSecret)
		}
	}
	return strings.Join(shown, "\n")
}

// meanwhile says of a configuration on the way what it is good for.
func meanwhile(c planner.Change) string {
	_, config := object(c).(state.Config)
	switch _, step, _ := strings.Cut(c.ID, ":"); {
	case !config:
	case strings.HasPrefix(step, "aside "):
		return ", its VRRP instances put aside until its peer has changed"
	case strings.HasPrefix(step, "before "):
		return ", with what goes still in it"
	}
	return ""
}
