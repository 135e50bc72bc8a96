package runbook

import (
	"fmt"
	"strings"
)

// parseSh splits a script into its words and syntax as POSIX's shell grammar
// has it. It knows only what a runbook may hold: single quotes, backslashes
// outside of quotes, comments, and the operators below. Anything else that has a
// meaning to a shell is an error, so that a text that got through cannot do
// more than be a word.
func parseSh(script string) (lines [][]string, err error) {
	var line []string
	var word strings.Builder
	inWord := false
	end := func() {
		if inWord {
			line = append(line, word.String())
		}
		word.Reset()
		inWord = false
	}
	for i := 0; i < len(script); i++ {
		switch c := script[i]; {
		case c == '\n':
			end()
			if len(line) > 0 {
				lines = append(lines, line)
			}
			line = nil
		case c == ' ' || c == '\t':
			end()
		case c == '#' && !inWord:
			next := strings.IndexByte(script[i:], '\n')
			if next < 0 {
				return nil, fmt.Errorf("a comment without an end")
			}
			i += next - 1
		case c == '\'':
			n := strings.IndexByte(script[i+1:], '\'')
			if n < 0 {
				return nil, fmt.Errorf("a quote without an end")
			}
			word.WriteString(script[i+1 : i+1+n])
			inWord, i = true, i+1+n
		case c == '\\':
			if i+1 >= len(script) || script[i+1] == '\n' {
				return nil, fmt.Errorf("a continued line")
			}
			word.WriteByte(script[i+1])
			inWord, i = true, i+1
		case strings.IndexByte("|&;<>", c) >= 0:
			digits := word.String()
			redirected := (c == '>' || c == '<') && strings.Trim(digits, "0123456789") == ""
			if redirected { // a number before > belongs to it
				word.Reset()
				inWord = false
			} else {
				end()
				digits = ""
			}
			op := digits + string(c)
			for i+1 < len(script) && strings.IndexByte("|&;<>", script[i+1]) >= 0 {
				i++
				op += string(script[i])
			}
			line = append(line, "\x00"+op)
		case strings.IndexByte("$`\"*?[]()~{}!", c) >= 0 || c == 0 || c == '=' && !strings.ContainsAny(word.String(), "./-"):
			return nil, fmt.Errorf("%q has a meaning at %q", c, script[max(0, i-20):i+1])
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord || len(line) > 0 {
		return nil, fmt.Errorf("no newline at the end")
	}
	return lines, nil
}

// withoutHead is a script without the lines that are the same in each.
func withoutHead(script string) (string, bool) { return strings.CutPrefix(script, shellHead) }

// body is what follows the constant lines.
func body(script string) string {
	script, _ = withoutHead(script)
	head, rest, found := strings.Cut(script, shellBegin)
	if !found {
		return script
	}
	return head + rest
}
