package hcl

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/topology"
)

// maxFound is how many messages are collected. With more, the rest of the
// configuration is not looked at: they would not be shown.
const maxFound = 5 * maxDiagnostics

// crowded tells whether there are messages enough.
func (l *loader) crowded() bool { return len(l.r.found) > maxFound }

// done tells whether to leave the rest: the work is used up, or there are
// messages enough.
func (l *loader) done() bool { return l.b.exhausted || l.crowded() }

// maxDiagnostics keeps a report readable when one mistake is repeated by a
// large for_each.
const maxDiagnostics = 200

// reporter collects what is wrong, together with what must not be shown.
type reporter struct {
	found   topology.Diagnostics
	sources map[string][]byte      // by file name
	secret  map[string][]hcl.Range // stretches of a file whose text is sensitive
	words   map[string]bool        // sensitive texts, wherever they turn up
}

func newReporter() *reporter {
	return &reporter{
		sources: map[string][]byte{},
		secret:  map[string][]hcl.Range{},
		words:   map[string]bool{},
	}
}

func (r *reporter) add(d topology.Diagnostic) { r.found = append(r.found, d) }

func (r *reporter) error(rng hcl.Range, summary, detail string, args ...any) {
	r.add(diagnostic(topology.Error, rng, summary, detail, args))
}

func (r *reporter) warn(rng hcl.Range, summary, detail string, args ...any) {
	r.add(diagnostic(topology.Warning, rng, summary, detail, args))
}

// check reports the finding of one of the numbered LVS checks.
func (r *reporter) check(id string, rng hcl.Range, summary, detail string, args ...any) {
	d := diagnostic(topology.Error, rng, summary, detail, args)
	d.Check = id
	r.add(d)
}

func diagnostic(sev topology.Severity, rng hcl.Range, summary, detail string, args []any) topology.Diagnostic {
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	d := topology.Diagnostic{Severity: sev, Summary: summary, Detail: detail}
	if rng.Filename != "" {
		d.Range = rangePointer(rng)
	}
	return d
}

// take adds what the HCL library found and tells whether there were errors.
func (r *reporter) take(diags hcl.Diagnostics) bool {
	for _, d := range diags {
		sev := topology.Error
		if d.Severity == hcl.DiagWarning {
			sev = topology.Warning
		}
		out := topology.Diagnostic{Severity: sev, Summary: strings.TrimSuffix(d.Summary, "."), Detail: oneStop(withoutSecret(d))}
		if d.Subject != nil && d.Subject.Filename != "" {
			out.Range = rangePointer(*d.Subject)
		}
		r.add(out)
	}
	return diags.HasErrors()
}

// oneStop takes the second of two full stops away, which arise where a sentence
// is put into another.
func oneStop(s string) string {
	if strings.HasSuffix(s, "..") && !strings.HasSuffix(s, "...") {
		return s[:len(s)-1]
	}
	return s
}

// since names the object that the messages after the first n are about.
func (r *reporter) since(n int, object, host string) {
	for i := n; i < len(r.found); i++ {
		if r.found[i].Object == "" {
			r.found[i].Object, r.found[i].Host = object, host
		}
	}
}

// calledAt points the messages after the first n that are about lines of a
// module from elsewhere to the call of the module: that is what its reader can
// change.
func (r *reporter) calledAt(n int, call topology.Range) {
	if call.IsZero() {
		return
	}
	for i := n; i < len(r.found); i++ {
		d := &r.found[i]
		if d.Range == nil || !strings.Contains(d.Range.File, "://") {
			continue
		}
		d.Also = append([]topology.Range{*d.Range}, d.Also...)
		d.Range = &call
	}
}

// takeContent is take for the content of a block: to an unknown name without a
// near one it adds what the block takes.
func (r *reporter) takeContent(diags hcl.Diagnostics, s *hcl.BodySchema) bool {
	for _, d := range diags {
		unknown := d.Summary == "Unsupported argument" || d.Summary == "Unsupported block type" || d.Summary == "Extraneous JSON object property"
		if unknown && !strings.Contains(d.Detail, "Did you mean") {
			d.Detail += " There can be " + strings.Join(schemaNames(s), ", ") + "."
		}
	}
	return r.take(diags)
}

func schemaNames(s *hcl.BodySchema) []string {
	var names []string
	for _, a := range s.Attributes {
		names = append(names, a.Name)
	}
	for _, b := range s.Blocks {
		names = append(names, b.Type)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// finish returns what was found, each finding once, in the order of the files.
func (r *reporter) finish() topology.Diagnostics {
	type key struct{ where, check, summary, detail string }
	seen := map[key]bool{}
	words := r.sortedWords()
	exhausted := false
	var out topology.Diagnostics
	for _, d := range r.found {
		d.Summary, d.Detail = printable(blot(d.Summary, words)), printable(blot(d.Detail, words))
		k := key{check: d.Check, summary: d.Summary, detail: d.Detail}
		if d.Range != nil {
			k.where = d.Range.String()
		}
		if seen[k] || exhausted && d.Detail == exhaustedText {
			continue
		}
		seen[k], exhausted = true, exhausted || d.Detail == exhaustedText
		out = append(out, d)
	}
	slices.SortStableFunc(out, compareDiagnostics)
	for i, d := range out[:min(len(out), maxDiagnostics)] {
		if d.Range != nil {
			out[i].Source = blot(r.line(*d.Range), words)
		}
	}
	if extra := len(out) - maxDiagnostics; extra > 0 {
		out = append(out[:maxDiagnostics:maxDiagnostics], topology.Diagnostic{
			Severity: topology.Error,
			Summary:  "Too many mistakes to show",
			Detail:   fmt.Sprintf("%d further messages are left out. Correct the ones above first.", extra),
		})
	}
	return out
}

func compareDiagnostics(a, b topology.Diagnostic) int {
	var ra, rb topology.Range
	if a.Range != nil {
		ra = *a.Range
	}
	if b.Range != nil {
		rb = *b.Range
	}
	return cmp.Or(
		cmp.Compare(ra.File, rb.File),
		cmp.Compare(ra.Start.Line, rb.Start.Line),
		cmp.Compare(ra.Start.Column, rb.Start.Column),
	)
}

// maxSourceLine is how many bytes of a line a message quotes.
const maxSourceLine = 400

// line returns the text of the line where the range starts.
func (r *reporter) line(rng topology.Range) string {
	src := r.sources[rng.File]
	if rng.Start.Byte > len(src) || rng.Start.Line < 1 {
		return ""
	}
	start := bytes.LastIndexByte(src[:rng.Start.Byte], '\n') + 1
	end := len(src)
	if i := bytes.IndexByte(src[start:], '\n'); i >= 0 {
		end = start + i
	}
	var b strings.Builder
	at := start
	for _, s := range mergeRanges(r.secret[rng.File]) {
		from, to := max(s[0], at), min(s[1], end)
		if from < to {
			b.Write(src[at:from])
			b.WriteString(hidden)
			at = to
		}
	}
	b.Write(src[at:end])
	text := strings.TrimSuffix(b.String(), "\r")
	if len(text) > maxSourceLine {
		text = strings.ToValidUTF8(text[:maxSourceLine], "") + "…"
	}
	return printable(text)
}

// printable shows control characters instead of sending them to a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && misleads(c) {
			return '�'
		}
		return c
	}, s)
}

func mergeRanges(ranges []hcl.Range) [][2]int {
	out := make([][2]int, 0, len(ranges))
	for _, s := range ranges {
		out = append(out, [2]int{s.Start.Byte, s.End.Byte})
	}
	slices.SortFunc(out, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	return out
}

func toRange(r hcl.Range) topology.Range {
	return topology.Range{
		File:  r.Filename,
		Start: topology.Pos{Line: r.Start.Line, Column: r.Start.Column, Byte: r.Start.Byte},
		End:   topology.Pos{Line: r.End.Line, Column: r.End.Column, Byte: r.End.Byte},
	}
}

func rangePointer(r hcl.Range) *topology.Range {
	out := toRange(r)
	return &out
}

// didYouMean returns a sentence, with a space before it, that offers the name
// nearest to given; "" when none is near.
func didYouMean(given string, names []string) string {
	if s := nearest(given, names); s != "" {
		return fmt.Sprintf(" Did you mean %q?", s)
	}
	return ""
}

func nearest(given string, names []string) string {
	best, bestDistance := "", max(3, (len(given)+2)/3)
	if len(given) > 100 {
		return ""
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if name == given || len(name) > 100 {
			continue
		}
		if d := levenshtein.Distance(given, name, nil); d < bestDistance && d < len(name) {
			best, bestDistance = name, d
		}
	}
	return best
}

// oneOf writes a list of choices: a, b or c.
func oneOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
