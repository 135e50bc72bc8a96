package hcl

import "testing"

func TestSecretsAreBlottedOutInEveryForm(t *testing.T) {
	r := newReporter()
	r.hideWord("se\"cr\\et one\nsecond line")
	r.hideWord("no")
	r.hideWord("a very long secret of many words")
	words := r.sortedWords()
	for in, want := range map[string]string{
		`got se"cr\et one.`:               "got (sensitive).",
		`got "se\"cr\\et one"`:            `got "(sensitive)"`,
		"here: second line!":              "here: (sensitive)!",
		`"se\"cr\\et one\nsecond line"`:   `"(sensitive)"`,
		"no word":                         "no word",
		"it is a very long sec…":          "it is (sensitive)…",
		`"/x/a very lo…" and se"cr\et o…`: `"/x/(sensitive)…" and (sensitive)…`,
		"cut here…":                       "cut here…",
	} {
		if got := blot(in, words); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
