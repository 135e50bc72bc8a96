package ldirectord

import "strings"

// hidden stands for a secret wherever it is shown.
const hidden = "(sensitive)"

// Mask replaces what may be a secret in a text, for display: the rest of every
// line behind passwd = or secret =, also in comments and in lines that
// ldirectord would refuse.
func Mask(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		end := len(strings.TrimRight(line, "\r\n"))
		if at := secretAt(line[:end]); at >= 0 {
			out.WriteString(line[:at] + ` "` + hidden + `"` + line[end:])
			continue
		}
		out.WriteString(line)
	}
	return out.String()
}

// secretAt is the place behind the = of the first secret of a line, or -1.
func secretAt(line string) int {
	lower := asciiLower(line)
	for i := range lower {
		for _, keyword := range [...]string{"passwd", "password", "secret"} {
			if !strings.HasPrefix(lower[i:], keyword) {
				continue
			}
			rest := line[i+len(keyword):]
			value := strings.TrimLeft(rest, " \t\v\f\r")
			if strings.HasPrefix(value, "=") {
				return len(line) - len(value) + 1
			}
		}
	}
	return -1
}

// asciiLower keeps every byte's place.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
