package remote

import (
	"strings"
	"testing"
	"unicode"
)

func TestCleanLeavesOneLineOfText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"plain text", "eth0: no such device", "eth0: no such device"},
		{"lines and tabs", " a\r\n\tb \n", "a b"},
		{"colours", "\x1b[1;31mred\x1b[0m", "red"},
		{"a window title", "\x1b]0;title\x07text\x1b]2;x\x1b\\!", "text!"},
		{"a sequence without an end", "a\x1b[31", "a"},
		{"a lone escape", "a\x1b", "a"},
		{"bells and backspaces", "rm\x08\x07 x", "rm x"},
		{"C1 controls", "a\u009b31mb", "a31mb"},
		{"direction overrides", "abc\u202edcba\u2066", "abcdcba"},
		{"bytes that are no UTF-8", "a\xffb", "a?b"},
		{"other scripts", "größer 日本", "größer 日本"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := clean(c.text); got != c.want {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

func TestCleanBoundsItsResult(t *testing.T) {
	got := clean(strings.Repeat("x", 10*maxText) + "end")
	if len(got) > maxText+4 || !strings.HasSuffix(got, "end") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-5:])
	}
}

func TestTailKeepsTheLastWords(t *testing.T) {
	var last tail
	for range 1000 {
		if _, err := last.Write([]byte(strings.Repeat("noise ", 100))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := last.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if got := last.String(); !strings.HasSuffix(got, "the end") || len(last.text) > maxTail {
		t.Errorf("%d bytes kept", len(last.text))
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"a", "\x1b[0m", "\x1b]0;\x07", "\u202e", "\xff\x1b\xff[", "\x1bPq\x1b\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range clean(text) {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("%q is left of %q", r, text)
			}
		}
	})
}
