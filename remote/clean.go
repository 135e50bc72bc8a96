package remote

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxText bounds what is quoted of a host's free text, in bytes.
const maxText = 2000

// clean makes a host's text fit for a terminal: one line, without control
// characters, without the characters that change the direction of writing,
// and bounded.
func clean(text string) string {
	if len(text) > maxText {
		text = "…" + text[len(text)-maxText:]
	}
	text = stripEscapes(strings.ToValidUTF8(text, "?"))
	var b strings.Builder
	space := false
	for _, r := range text {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// stripEscapes takes out whole terminal sequences (ECMA-48: CSI, and strings
// such as OSC): without its ESC the rest of one would be left as text.
func stripEscapes(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != 0x1b {
			b.WriteByte(text[i])
			i++
			continue
		}
		i += escapeLength(text[i:])
	}
	return b.String()
}

func escapeLength(text string) int {
	if len(text) < 2 {
		return 1
	}
	switch text[1] {
	case '[':
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				return i + 1
			}
			if text[i] < 0x20 || text[i] > 0x7e {
				return i
			}
		}
		return len(text)
	case ']', 'P', 'X', '^', '_':
		for i := 2; i < len(text); i++ {
			if text[i] == 0x07 {
				return i + 1
			}
			if text[i] == 0x1b {
				if i+1 < len(text) && text[i+1] == '\\' {
					return i + 2
				}
				return i
			}
		}
		return len(text)
	}
	if text[1] < 0x20 || text[1] > 0x7e {
		return 1
	}
	return 2
}

// tail keeps the last bytes that were written to it: a host may write without
// end, and its last words are the ones that explain.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if n > maxTail {
		p = p[n-maxTail:]
	}
	t.text = append(t.text, p...)
	if len(t.text) > maxTail {
		t.text = append(t.text[:0], t.text[len(t.text)-maxTail:]...)
	}
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return clean(string(t.text))
}
