package sources

import (
	"cmp"
	"slices"
	"strings"
)

// Lock is what the lock file holds: one pin for each repository and ref.
type Lock struct{ Pins []Pin }

// Pin says which files a repository's ref stands for.
type Pin struct {
	Repository
	Commit   string // 40 hexadecimal digits
	Checksum string // of the tree, as Examine returns it
}

// Find returns the pin of a repository.
func (l Lock) Find(r Repository) (Pin, bool) {
	for _, p := range l.Pins {
		if p.Repository == r {
			return p, true
		}
	}
	return Pin{}, false
}

const lockHeader = `# Written by "lvsform init". Commit this file: it pins the modules that come from git.
# "lvsform init --upgrade" moves the pins; do not edit them by hand.
`

// Format writes the lock file: the same pins give the same bytes.
func (l Lock) Format() []byte {
	pins := slices.Clone(l.Pins)
	slices.SortFunc(pins, func(a, b Pin) int { return cmp.Or(cmp.Compare(a.URL, b.URL), cmp.Compare(a.Ref, b.Ref)) })
	var b strings.Builder
	b.WriteString(lockHeader)
	for _, p := range pins {
		b.WriteString("\nmodule {\n")
		b.WriteString("  source   = " + quote(GitPrefix+p.URL) + "\n")
		b.WriteString("  ref      = " + quote(p.Ref) + "\n")
		b.WriteString("  commit   = " + quote(p.Commit) + "\n")
		b.WriteString("  checksum = " + quote(p.Checksum) + "\n}\n")
	}
	return []byte(b.String())
}

// quote writes a text without control characters as the language does.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{").Replace(s) + `"`
}
