package ldirectord

import "strings"

// Block is the lines of a text that a service comes from: its first line and the
// directives below.
type Block struct {
	First, Last int // from 1
	ID          string
}

// Blocks are the blocks of the services that Parse finds in a text, by line. A
// text that Parse does not take has none.
func Blocks(text string) []Block {
	p := parser{seen: map[string]int{}}
	for raw := range strings.Lines(text) {
		p.line++
		p.read(strings.TrimSuffix(raw, "\n"))
	}
	p.close()
	p.inherit()
	if len(p.mistakes) > 0 {
		return nil
	}
	out := make([]Block, len(p.done))
	for i, d := range p.done {
		out[i] = Block{First: d.line, Last: max(d.line, d.last), ID: d.ID()}
	}
	return out
}
