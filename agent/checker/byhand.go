//go:build linux

package checker

import (
	"errors"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// cut splits a main file in what somebody has written by hand and what lvsform
// has added to it, from its note on. false: the file is lvsform's, or its note is
// not where it was.
func cut(text string, end int) (byHand, added string, ok bool) {
	start := strings.Index("\n"+text, "\n"+noteStart)
	if end < 0 {
		return text, "", start < 0
	}
	if start < 0 || start > end {
		return "", "", false
	}
	n, _ := parseNote(firstLine(text[start:]))
	byHand = text[:start]
	if n.ended && end == len(text) {
		byHand = strings.TrimSuffix(byHand, "\n")
	}
	return byHand + text[end:], text[start:end], !n.made
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// join is the reverse of cut, for another text by hand.
func join(byHand, added string) string {
	if added == "" {
		return byHand
	}
	n, _ := parseNote(firstLine(added))
	n.ended = byHand != "" && !strings.HasSuffix(byHand, "\n")
	if n.ended {
		byHand += "\n"
	}
	_, rest, _ := strings.Cut(added, "\n")
	return byHand + n.String() + rest
}

// addedEnd is where lvsform's additions to keepalived's main file end; -1: there
// are none.
func (k keepalived) addedEnd(text string) (int, error) {
	at := includeAt(text)
	if at < 0 || !strings.Contains("\n"+text[:at], "\n"+noteStart) {
		return -1, nil
	}
	return at + len(firstLine(text[at:])) + 1, nil
}

func (l ldirectord) addedEnd(text string) (int, error) {
	found, err := sections(text)
	if err != nil || len(found) == 0 {
		return -1, err
	}
	for i, s := range found[1:] {
		if found[i].end != s.begin {
			return -1, errors.New("somebody has written between the sections of lvsform")
		}
	}
	return found[len(found)-1].end, nil
}

// byHand is what the file f says beside lvsform's additions.
func byHand(f files, main file) (text string, ok bool) {
	end, err := f.addedEnd(main.text)
	if err != nil || !main.there {
		return "", false
	}
	text, _, ok = cut(main.text, min(end, len(main.text)))
	return text, ok
}

// rewritten is a main file with another text by hand.
func rewritten(f files, main file, rest string) (file, error) {
	end, err := f.addedEnd(main.text)
	if err != nil {
		return main, err
	}
	_, added, ok := cut(main.text, min(end, len(main.text)))
	if !ok || !main.there {
		return main, errors.New("its own file is not as it was read")
	}
	main.text = join(rest, added)
	return main, nil
}

// texts are all that a program is told that may change: a part, and what is
// written by hand, where that changes with it.
type texts struct{ part, byHand string }

func (t texts) all() string { return t.part + "\n" + t.byHand }

// pair is how many of the first changes belong together: what is written by
// hand, and the part that takes blocks of it over or gives them back.
func pair(changes []state.Change) int {
	if len(changes) < 2 {
		return 1
	}
	a, b := configOf(changes[0]), configOf(changes[1])
	if a.Program == b.Program && (a.Topology == "") != (b.Topology == "") {
		return 2
	}
	return 1
}

func configOf(c state.Change) state.Config {
	config, ok := c.After.(state.Config)
	if !ok {
		config, _ = c.Before.(state.Config)
	}
	return config
}

// rest is the change of what is written by hand among changes: what it is to be;
// nil: no such change.
func (p Parts) rest(f files, changes []state.Change) (was string, is *string, err error) {
	at := 0
	if configOf(changes[0]).Topology != "" {
		if at = len(changes) - 1; configOf(changes[at]).Topology != "" {
			return "", nil, nil
		}
	}
	config, ok := changes[at].After.(state.Config)
	if !ok {
		return "", nil, errors.New("what is written by hand is not lvsform's to remove")
	}
	main, err := read(f.main()) // a link is refused: its file is others' too
	if err != nil {
		return "", nil, err
	}
	was, _ = byHand(f, main)
	if was == config.Text {
		return was, nil, nil
	}
	before, _ := changes[at].Before.(state.Config)
	if was != before.Text {
		return "", nil, errors.New("what is written by hand has changed meanwhile")
	}
	return was, &config.Text, nil
}
