package hcl

import (
	"fmt"
	"strings"
)

// plain reports a text that is empty, too long, or holds what means something
// else in a configuration file. With others, it holds letters, digits and these
// alone.
func (o *object) plain(name, others string, bad func(string) string) {
	o.written(name, func(s string) string {
		why := badText(s, maxCheckText)
		if why == "" && others != "" {
			why = badName(strings.TrimLeft(s, others), others, maxCheckText)
		}
		if why == "" && bad != nil {
			why = bad(s)
		}
		return why
	})
}

// written reports a text that bad has something against.
func (o *object) written(name string, bad func(string) string) {
	if !o.has(name) || o.bad[name] {
		return
	}
	if s := o.text(name); bad(s) != "" {
		o.fail(name, "Invalid "+name, "%q cannot be used: %s.", clip(s), bad(s))
	}
}

// badText says what keeps a text from standing in keepalived.conf and in
// ldirectord.cf: neither has a way to write comments, blocks, parameters and
// quotes so that they are text.
func badText(s string, longest int) string {
	if why := badPhrase(s, longest); why != "" {
		return why
	}
	if i := strings.IndexAny(s, "#!{}$"); i >= 0 {
		return fmt.Sprintf("it holds %q, which means something else in the files of keepalived or ldirectord", s[i])
	}
	return ""
}

// badPhrase is badText for what stands between quotes in both.
func badPhrase(s string, longest int) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > longest:
		return fmt.Sprintf("it has %d characters, and may have %d", len(s), longest)
	case s[0] == ' ' || s[len(s)-1] == ' ':
		return "it begins or ends with a space"
	}
	for _, c := range s {
		switch {
		case c < ' ' || c >= 0x7f:
			return "it holds a character that is not printable ASCII"
		case strings.ContainsRune("\"'`\\", c):
			return fmt.Sprintf("it holds %q, which the files of keepalived and ldirectord cannot carry", c)
		}
	}
	return ""
}
