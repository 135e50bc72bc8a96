package keepalived

import "strings"

// Masked stands for a secret.
const Masked = "(sensitive)"

// Mask replaces the secrets of any configuration of keepalived, hand-written
// ones too, for display; the lines stay.
func Mask(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(maskLine(line))
	}
	return out.String()
}

// maskLine hides everything after a keyword of a secret up to a brace or the end
// of the line, comments too: an old password may stand there.
func maskLine(line string) string {
	end := strings.TrimRight(line, "\r\n")
	for from := 0; ; {
		keyword, at := secretKeyword(end, from)
		if at < 0 {
			return line
		}
		after := at + len(keyword)
		value := strings.TrimLeft(end[after:], " \t\"'=")
		if value == "" || value[0] == '{' || value[0] == '}' {
			from = after
			continue
		}
		masked := end[:after] + " " + Masked
		if rest := strings.TrimSpace(value); strings.HasSuffix(rest, "}") {
			masked += " " + strings.TrimSpace(rest[len(strings.TrimRight(rest, "} ")):])
		}
		return strings.TrimRight(masked, " ") + line[len(end):]
	}
}

// secretKeyword finds the first keyword of a secret that stands as a word.
func secretKeyword(line string, from int) (keyword string, at int) {
	at = -1
	for _, k := range []string{"auth_pass", "password", "smtp_password"} {
		for start := from; start < len(line); {
			i := strings.Index(line[start:], k)
			if i < 0 {
				break
			}
			i += start
			start = i + len(k)
			if i > 0 && !strings.ContainsRune(" \t{\"'#!@=", rune(line[i-1])) {
				continue
			}
			if start < len(line) && !strings.ContainsRune(" \t\"'={", rune(line[start])) {
				continue
			}
			if at < 0 || i < at {
				keyword, at = k, i
			}
			break
		}
	}
	return keyword, at
}
