package keepalived

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// keepalived reads a line into a buffer of 1024 bytes and takes what does not fit
// for the next line.
const maxLine = 1000

// writer writes lines; the first thing that cannot be written makes the rest
// worthless.
type writer struct {
	text   strings.Builder
	depth  int
	object string // that is being written, for errors
	errs   []error
}

// line writes words that need no look at what is in them.
func (w *writer) line(words ...string) {
	length := 2 * w.depth
	w.text.WriteString(strings.Repeat("  ", w.depth))
	for i, word := range words {
		if i > 0 {
			w.text.WriteByte(' ')
		}
		w.text.WriteString(word)
		length += len(word) + 1
	}
	w.text.WriteByte('\n')
	if length > maxLine {
		w.refuse(words[0], fmt.Sprintf("makes a line of %d bytes, keepalived reads %d: shorten it", length, maxLine))
	}
}

func (w *writer) open(words ...string) {
	w.line(append(words, "{")...)
	w.depth++
}

func (w *writer) close() {
	w.depth--
	w.line("}")
}

func (w *writer) refuse(attribute, why string) {
	w.errs = append(w.errs, fmt.Errorf("%s: %s %s", w.object, attribute, why))
}

// must refuses the attribute unless it is fine.
func (w *writer) must(fine bool, attribute, format string, args ...any) {
	if !fine {
		w.refuse(attribute, fmt.Sprintf(format, args...))
	}
}

func (w *writer) result() (string, error) {
	if len(w.errs) > 0 {
		return "", fmt.Errorf("keepalived: %w", errors.Join(w.errs...))
	}
	return w.text.String(), nil
}

// word is a value of one word.
func (w *writer) word(keyword, value string) { w.line(keyword, w.checked(keyword, value)) }

// phrase is a value that may hold blanks; it is then in quotes.
func (w *writer) phrase(keyword, value string) {
	if strings.ContainsAny(value, " ") {
		w.plain(keyword, value)
		w.line(keyword, `"`+value+`"`)
		return
	}
	w.word(keyword, value)
}

// checked refuses a value that is not one word.
func (w *writer) checked(attribute, value string) string {
	w.plain(attribute, value)
	if i := strings.IndexFunc(value, unicode.IsSpace); i >= 0 {
		w.refuse(attribute, fmt.Sprintf("%q has a blank where keepalived takes one word: take it out", value))
	}
	return value
}

// name is a word that may begin a line, where @ begins a conditional line and
// ~SEQ a sequence.
func (w *writer) name(attribute, value string) string {
	if strings.HasPrefix(value, "@") || strings.HasPrefix(value, "~") {
		w.refuse(attribute, fmt.Sprintf("%q begins with a sign that keepalived takes for a condition or a sequence: use another", value))
	}
	return w.checked(attribute, value)
}

// plain refuses what keepalived's syntax takes for something else wherever it
// stands: comments, blocks, quotes, escapes, parameters and ends of line.
func (w *writer) plain(attribute, value string) {
	if value == "" {
		w.refuse(attribute, "is empty: keepalived needs a value")
		return
	}
	if !utf8.ValidString(value) {
		w.refuse(attribute, "is not UTF-8: use other characters")
		return
	}
	for _, r := range value {
		if strings.ContainsRune("#!{}\"'`$\\", r) || r != ' ' && !unicode.IsGraphic(r) || unicode.IsControl(r) || r != ' ' && unicode.IsSpace(r) {
			w.refuse(attribute, fmt.Sprintf("has the character %q, which means something else in keepalived's configuration: use another", r))
			return
		}
	}
}

func (w *writer) number(keyword string, n, low, high int) {
	w.must(n >= low && n <= high, keyword, "is %d: it must be from %d to %d", n, low, high)
	w.line(keyword, strconv.Itoa(n))
}

// seconds writes a time as keepalived takes it: with up to six decimals.
func (w *writer) seconds(keyword string, d, low, high time.Duration) {
	w.must(d >= low && d <= high, keyword, "is %s: it must be from %s to %s", d, low, high)
	w.must(d%time.Microsecond == 0, keyword, "is %s: keepalived counts in microseconds", d)
	w.line(keyword, decimal(d))
}

func decimal(d time.Duration) string {
	whole := strconv.FormatInt(int64(d/time.Second), 10)
	micro := int64(d % time.Second / time.Microsecond)
	if micro == 0 {
		return whole
	}
	return whole + "." + strings.TrimRight(fmt.Sprintf("%06d", micro), "0")
}
