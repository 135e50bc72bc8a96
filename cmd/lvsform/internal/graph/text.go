package graph

import "unicode"

// Sizes of text in pixels.
const (
	large  = 17
	medium = 13
	small  = 12
)

// Anchor says which part of a text is at its X.
type Anchor string

const (
	Start  Anchor = "start"
	Middle Anchor = "middle"
	End    Anchor = "end"
)

// Text is one line; Y is its base line.
type Text struct {
	X, Y   int
	Size   int
	Anchor Anchor
	Class  string
	Text   string
	Full   string // what Text was shortened from, or ""
}

// width is the room that text takes in any of the usual monospaced fonts: their
// characters are 0.55 (Consolas) to 0.602 (DejaVu Sans Mono) of the size wide.
func width(text string, size int) int {
	columns := 0
	for _, r := range text {
		columns += columnsOf(r)
	}
	return (columns*size*605 + 999) / 1000
}

func columnsOf(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r):
		return 0
	case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0x1f300):
		return 2 // East Asian wide, emoji
	}
	return 1
}

// Rect is a place in the picture.
type Rect struct{ X, Y, W, H int }

// Right and Bottom are the first pixels outside.
func (r Rect) Right() int  { return r.X + r.W }
func (r Rect) Bottom() int { return r.Y + r.H }

// Middle is half way down.
func (r Rect) Middle() int { return r.Y + r.H/2 }

// Rect is the place that a text takes: ascent and descent are those of the
// tallest usual font.
func (t Text) Rect() Rect {
	w := width(t.Text, t.Size)
	x := t.X
	switch t.Anchor {
	case Middle:
		x -= w / 2
	case End:
		x -= w
	}
	ascent := t.Size * 95 / 100
	return Rect{x, t.Y - ascent, w, ascent + t.Size*25/100}
}

// widest is how many characters a line in a box may have.
const widest = 44

// text makes a text that is not wider than widest.
func text(size int, class, s string) Text {
	t := Text{Size: size, Anchor: Start, Class: class, Text: shortened(s, widest)}
	if t.Text != s {
		t.Full = s
	}
	return t
}

// shortened keeps both ends: names differ at either.
func shortened(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	tail := most / 3
	return string(runes[:most-tail-1]) + "…" + string(runes[len(runes)-tail:])
}
