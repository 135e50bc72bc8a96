package hcl

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// hidden stands where a sensitive value was.
const hidden = "(sensitive)"

// hide keeps the text of a stretch of a file out of every message.
func (r *reporter) hide(rng hcl.Range) {
	r.secret[rng.Filename] = append(r.secret[rng.Filename], rng)
}

// shortest is the length of the shortest text that is kept out of messages, in
// bytes: blotting shorter ones out would leave nothing to read.
const shortest = 3

// hideWord keeps a text out of every message.
func (r *reporter) hideWord(s string) {
	for line := range strings.SplitSeq(s, "\n") {
		r.hideForms(line)
	}
	r.hideForms(s)
}

// hideForms also hides a text as it stands between quotes.
func (r *reporter) hideForms(s string) {
	if len(s) < shortest {
		return
	}
	r.words[s] = true
	if quoted := strconv.Quote(s); len(quoted) != len(s)+2 {
		r.words[quoted[1:len(quoted)-1]] = true
	}
}

// sortedWords returns the sensitive texts, the longest first, so that none is
// torn by a shorter one.
func (r *reporter) sortedWords() []string {
	words := make([]string, 0, len(r.words))
	for w := range r.words {
		words = append(words, w)
	}
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	return words
}

// Blot takes the configuration's sensitive values out of a text about it.
func (c *Config) Blot(text string) string { return blot(text, c.l.r.sortedWords()) }

// blot takes the words out of a text, and the beginnings of words where the text
// was cut.
func blot(s string, words []string) string {
	for _, w := range words {
		s = strings.ReplaceAll(s, w, hidden)
	}
	before, after, cut := strings.Cut(s, "…")
	if !cut || len(words) == 0 {
		return s
	}
	for _, w := range words {
		if n := overlap(before, w); n >= shortest {
			before = before[:len(before)-n] + hidden
			break
		}
	}
	return before + "…" + blot(after, words)
}

// overlap is the length of the longest beginning of word that text ends with.
func overlap(text, word string) int {
	for n := min(len(text), len(word)); n > 0; n-- {
		if strings.HasSuffix(text, word[:n]) {
			return n
		}
	}
	return 0
}

// withoutSecret is the detail of what the HCL library found. A function's own
// words may repeat its arguments, also such as were made from a sensitive value
// and are no value of the configuration by themselves.
func withoutSecret(d *hcl.Diagnostic) string {
	if d.Summary != "Invalid function argument" && d.Summary != "Error in function call" || d.Expression == nil ||
		!slices.ContainsFunc(d.Expression.Variables(), func(t hcl.Traversal) bool { return sensitiveAt(t, d.EvalContext) }) {
		return d.Detail
	}
	what, _, _ := strings.Cut(d.Detail, ": ")
	return what + ": what is wrong with it is not shown, because a sensitive value went into it."
}

// sensitiveAt tells whether a variable, or a part of it, is sensitive.
func sensitiveAt(t hcl.Traversal, ctx *hcl.EvalContext) bool {
	for ; ctx != nil; ctx = ctx.Parent() {
		if _, ok := ctx.Variables[t.RootName()]; !ok {
			continue
		}
		v, diags := t.TraverseAbs(ctx)
		return diags.HasErrors() || hasSensitive(v)
	}
	return false
}
