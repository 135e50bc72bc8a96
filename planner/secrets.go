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

// Masked is the text of a Config with its passwords hidden.
func Masked(c state.Config) string {
	if c.Program == programLdirectord {
		return ldirectord.Mask(c.Text)
	}
	return keepalived.Mask(c.Text)
}
