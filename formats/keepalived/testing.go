package keepalived

import "strings"

// ForTest is a text that Render made as keepalived -t can test it: keepalived 2.2
// ends itself by SIGTERM, without a word, when it tests a check that runs as
// another user than root.
func ForTest(text string) string {
	var out strings.Builder
	misc := false
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, MiscCheck):
			misc = true
		case trimmed == "}":
			misc = false
		case misc && strings.HasPrefix(trimmed, "user "):
			line = line[:strings.Index(line, "user ")] + "user root\n"
		}
		out.WriteString(line)
	}
	return out.String()
}
