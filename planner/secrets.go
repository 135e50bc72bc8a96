package planner

import (
	"slices"
	"strings"

	"github.com/lvsform/lvsform/formats/keepalived"
	"github.com/lvsform/lvsform/formats/ldirectord"
	"github.com/lvsform/lvsform/state"
)

// What Change.Sensitive holds of a Config: that its text has passwords, which
// Masked hides, or that none of it may be shown.
const (
	SensitivePasswords = "text.passwords"
	SensitiveText      = "text"
)

// secretsOf names what of a Config is not to be shown. The format knows its
// passwords; where other values are sensitive nobody knows their places.
func secretsOf(w *want) []string {
	for _, r := range w.resources {
		if slices.ContainsFunc(r.Sensitive, func(name string) bool { return !strings.HasPrefix(name, "authentication") }) {
			return []string{SensitiveText}
		}
	}
	if Masked(w.object.(state.Config)) != w.object.(state.Config).Text {
		return []string{SensitivePasswords}
	}
	return nil
}

// Passwords are what Masked hides of a Config, as they stand there: what is told
// of the text elsewhere must not show them.
func Passwords(c state.Config) []string {
	var out []string
	masked := strings.Split(Masked(c), "\n")
	for i, line := range strings.Split(c.Text, "\n") {
		if i >= len(masked) || masked[i] == line {
			continue
		}
		if words := strings.Fields(line); len(words) > 0 {
			out = append(out, strings.Trim(words[len(words)-1], `"'`))
		}
	}
	return out
}

// Masked is the text of a Config with its passwords hidden.
func Masked(c state.Config) string {
	if c.Program == programLdirectord {
		return ldirectord.Mask(c.Text)
	}
	return keepalived.Mask(c.Text)
}
