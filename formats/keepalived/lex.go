package keepalived

import (
	"fmt"
	"strings"
)

// statement is a keyword with its values, or a line of a block of values.
type statement struct {
	line  int
	last  int      // line of its block's end
	raw   string   // without comments
	words []string // at least one
	block []*statement
	// opened tells an empty block from none.
	opened bool
	// odd is why the statement cannot be read at all: a condition, a parameter, …
	odd string
}

func (s *statement) keyword() string { return s.words[0] }

// frame is a block that is not closed yet.
type frame struct {
	owner *statement // nil: the whole text
	list  []*statement
}

// lex makes a tree of the text: physical lines, split where a brace stands
// outside double quotes.
func lex(text string) ([]*statement, error) {
	if strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("keepalived: the text holds a NUL: it is no configuration")
	}
	stack := []*frame{{}}
	definition := false
	n := 0
	for physical := range strings.Lines(text) {
		n++
		line, err := uncomment(strings.TrimRight(physical, "\r\n"))
		if err != nil {
			return nil, fmt.Errorf("keepalived: line %d: %w", n, err)
		}
		if definition { // the rest of a parameter of many lines
			definition = strings.HasSuffix(line, `\`)
			continue
		}
		if line == "" {
			continue
		}
		line, odd := oddity(line)
		if odd == oddDefinition {
			definition = strings.HasSuffix(line, `\`)
			top := stack[len(stack)-1]
			top.list = append(top.list, &statement{line: n, last: n, raw: line, words: []string{line[:strings.IndexByte(line, '=')]}, odd: odd})
			continue
		}
		if stack, err = lexLine(stack, n, line, odd); err != nil {
			return nil, fmt.Errorf("keepalived: line %d: %w", n, err)
		}
	}
	if open := stack[len(stack)-1]; open.owner != nil {
		return nil, fmt.Errorf("keepalived: the block %q of line %d is not closed: add a }", open.owner.keyword(), open.owner.line)
	}
	return stack[0].list, nil
}

// lexLine adds the statements of a line, and returns the blocks then open.
func lexLine(stack []*frame, n int, line, odd string) ([]*frame, error) {
	for _, piece := range pieces(line) {
		top := stack[len(stack)-1]
		switch piece {
		case "{":
			if len(top.list) == 0 || top.list[len(top.list)-1].opened {
				return nil, fmt.Errorf("a { without a keyword before it")
			}
			owner := top.list[len(top.list)-1]
			owner.opened = true
			stack = append(stack, &frame{owner: owner})
		case "}":
			if top.owner == nil {
				return nil, fmt.Errorf("a } that closes nothing")
			}
			top.owner.block, top.owner.last = top.list, n
			stack = stack[:len(stack)-1]
		default:
			s := &statement{line: n, last: n, raw: piece, words: words(piece), odd: odd}
			if s.odd == "" && hasParameter(piece) {
				s.odd = "uses a parameter, which is not filled in: write the value"
			}
			top.list = append(top.list, s)
		}
	}
	return stack, nil
}

const (
	oddDefinition = "defines a parameter, which is not filled in: write its value where it is used"
	oddCondition  = "counts on hosts with a certain config-id alone: keep the one that counts here"
	oddSequence   = "is a sequence or a list, which is not expanded: write its lines"
)

// oddity finds what stands before a line proper.
func oddity(line string) (rest, odd string) {
	switch {
	case strings.HasPrefix(line, "@"):
		_, rest, found := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		if rest = strings.TrimSpace(rest); !found || rest == "" {
			return line, oddCondition
		}
		return rest, oddCondition
	case strings.HasPrefix(line, "$") && isDefinition(line):
		return line, oddDefinition
	case strings.HasPrefix(line, "~SEQ"), strings.HasPrefix(line, "~LST"):
		return line, oddSequence
	}
	return line, ""
}

// isDefinition tells $NAME=VALUE.
func isDefinition(line string) bool {
	name, _, found := strings.Cut(line[1:], "=")
	return found && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// hasParameter tells $NAME and ${NAME}.
func hasParameter(piece string) bool {
	for i := strings.IndexByte(piece, '$'); i >= 0 && i+1 < len(piece); {
		if c := piece[i+1]; c == '{' || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			return true
		}
		next := strings.IndexByte(piece[i+1:], '$')
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

// uncomment takes out what follows # or ! outside double quotes, and blanks
// around.
func uncomment(line string) (string, error) {
	var out strings.Builder
	quoted := false
loop:
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\\' && i+1 < len(line):
			i++
			if quoted || line[i] != '#' && line[i] != '!' {
				out.WriteByte(c)
			}
			c = line[i]
		case !quoted && (c == '#' || c == '!'):
			break loop
		}
		out.WriteByte(c)
	}
	if quoted {
		return "", fmt.Errorf(`a quote that is not closed: add a "`)
	}
	return strings.Trim(out.String(), " \t"), nil
}

// pieces splits a line at braces outside double quotes; those of ${NAME} stay
// with it.
func pieces(line string) []string {
	var out []string
	start, quoted, parameter := 0, false, false
	cut := func(end int) {
		if piece := strings.Trim(line[start:end], " \t"); piece != "" {
			out = append(out, piece)
		}
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' && i > 0 && line[i-1] == '$':
			parameter = true
		case c == '}' && parameter:
			parameter = false
		case c == '{' || c == '}':
			cut(i)
			out, start = append(out, string(c)), i+1
		}
	}
	cut(len(line))
	return out
}

// words are separated by blanks; double quotes keep blanks, and end a word.
func words(piece string) []string {
	var out []string
	for {
		piece = strings.TrimLeft(piece, " \t")
		if piece == "" {
			break
		}
		end := strings.IndexAny(piece, " \t\"")
		switch {
		case piece[0] == '"':
			word, rest, _ := strings.Cut(piece[1:], `"`)
			out, piece = append(out, word), rest
		case end < 0:
			out, piece = append(out, piece), ""
		default:
			out, piece = append(out, piece[:end]), piece[end:]
		}
	}
	if len(out) == 0 {
		out = []string{""}
	}
	return out
}

// unescaped are the words of a piece where keepalived knows both quotes and
// escapes: scripts and regular expressions.
func unescaped(piece string) ([]string, error) {
	var out []string
	for {
		piece = strings.TrimLeft(piece, " \t")
		if piece == "" {
			return out, nil
		}
		var word []byte
		quote := byte(0)
		for piece != "" && (quote != 0 || piece[0] != ' ' && piece[0] != '\t') {
			c := piece[0]
			piece = piece[1:]
			switch {
			case c == '\\' && piece == "":
				return nil, fmt.Errorf("ends with an escape of nothing")
			case c == '\\':
				c, piece = escape(piece)
				word = append(word, c)
			case c == quote:
				quote = 0
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			default:
				word = append(word, c)
			}
		}
		if quote != 0 {
			return nil, fmt.Errorf("has a quote %c that is not closed", quote)
		}
		out = append(out, string(word))
	}
}

// escape is the byte that an escape stands for, and what follows it.
func escape(s string) (byte, string) {
	c := s[0]
	switch {
	case c == 'x' && len(s) > 1 && digit(s[1]) < 16:
		value := byte(0)
		s = s[1:]
		for s != "" && digit(s[0]) < 16 {
			value, s = value<<4|byte(digit(s[0])), s[1:]
		}
		return value, s
	case c == 'c' && len(s) > 1:
		return s[1] & 0x1f, s[2:]
	case digit(c) < 8:
		value := byte(0)
		for n := 0; n < 3 && s != "" && digit(s[0]) < 8; n++ {
			value, s = value<<3|byte(digit(s[0])), s[1:]
		}
		return value, s
	}
	if i := strings.IndexByte("abEfnrtv", c); i >= 0 {
		return "\a\b\x1b\f\n\r\t\v"[i], s[1:]
	}
	return c, s[1:]
}

// digit is the value of a hexadecimal digit, 16 for anything else.
func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return 16
}
