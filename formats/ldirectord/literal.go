package ldirectord

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// special are the characters that mean something to a regular expression.
const special = `\.^$|?*+()[]{}`

// Literal writes a regular expression for Receive that is found where the text
// is found, and that Render takes whatever the text holds.
func Literal(text string) string {
	var b strings.Builder
	for i, size := 0, 0; i < len(text); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[i:])
		atEnd := i == 0 || i+size == len(text)
		switch {
		case strings.ContainsRune(special, r):
			b.WriteString(`\` + text[i:i+1])
		case r != utf8.RuneError && r != '"' && r != '#' && unicode.IsPrint(r) && (r != ' ' || !atEnd):
			b.WriteRune(r)
		default:
			for _, octet := range []byte(text[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, octet)
			}
		}
	}
	return b.String()
}

// Text is the text of which an expression is the Literal, in any way to write
// it. false: the expression says more than one text.
func Text(expression string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(expression); i++ {
		c := expression[i]
		switch {
		case c == '\\' && i+1 < len(expression):
			i++
			switch next := expression[i]; {
			case next == 'x' && i+2 < len(expression) && hex(expression[i+1]) >= 0 && hex(expression[i+2]) >= 0:
				b.WriteByte(byte(hex(expression[i+1])<<4 | hex(expression[i+2])))
				i += 2
			case next >= utf8.RuneSelf || strings.IndexByte(letters+"_", next) >= 0:
				return "", false
			default:
				b.WriteByte(next)
			}
		case strings.IndexByte(special, c) >= 0:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

func hex(c byte) int {
	if c >= 'A' {
		c |= 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}
