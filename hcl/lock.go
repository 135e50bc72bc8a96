package hcl

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/sources"
	"github.com/lvsform/lvsform/topology"
	"github.com/zclconf/go-cty/cty"
)

// ReadLock reads the lock file of the configuration in a directory. Without a
// file the lock is empty.
func ReadLock(dir string) (sources.Lock, topology.Diagnostics) {
	l := newLoader(Options{Dir: dir})
	var lock sources.Lock
	l.guard("The lock cannot be read", func() { lock = l.readLock() })
	return lock, l.r.finish()
}

func (l *loader) readLock() sources.Lock {
	src, err := readFile(filepath.Join(l.opts.Dir, sources.LockFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sources.Lock{}
	case err != nil:
		l.r.error(fileRange(sources.LockFile), "The lock cannot be read", "%v.", err)
		return sources.Lock{}
	}
	return l.parseLock(src)
}

// pinNames are the arguments of a block of the lock.
var pinNames = []string{"source", "ref", "commit", "checksum"}

func (l *loader) parseLock(src []byte) sources.Lock {
	var lock sources.Lock
	f := l.parse(sources.LockFile, src)
	if f == nil {
		return lock
	}
	content, diags := f.Body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "module"}}})
	l.r.take(diags)
	for _, b := range content.Blocks {
		p, ok := l.pin(b)
		if !ok {
			continue
		}
		if _, twice := lock.Find(p.Repository); twice {
			l.badLock(b.DefRange, p.String()+" is pinned twice")
			continue
		}
		lock.Pins = append(lock.Pins, p)
	}
	return lock
}

func (l *loader) pin(b *hcl.Block) (sources.Pin, bool) {
	schema := &hcl.BodySchema{}
	for _, name := range pinNames {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name, Required: true})
	}
	content, diags := b.Body.Content(schema)
	if l.r.take(diags) {
		return sources.Pin{}, false
	}
	text := map[string]string{}
	for _, name := range pinNames {
		expr := content.Attributes[name].Expr
		v, diags := expr.Value(nil)
		if l.r.take(diags) {
			return sources.Pin{}, false
		}
		if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
			l.badLock(expr.Range(), name+" is a text in quotes")
			return sources.Pin{}, false
		}
		text[name] = v.AsString()
	}
	p := sources.Pin{Commit: text["commit"], Checksum: text["checksum"]}
	git, why := sources.ParseGit(text["source"] + "?ref=" + text["ref"])
	p.Repository = git.Repository()
	digest, sha := strings.CutPrefix(p.Checksum, "sha256:")
	switch {
	case !strings.HasPrefix(text["source"], sources.GitPrefix) || why != "" || git.Dir != "." || git.Ref != text["ref"]:
		l.badLock(b.DefRange, fmt.Sprintf("%q at %q is no repository", clip(text["source"]), clip(text["ref"])))
	case !sources.IsCommit(p.Commit):
		l.badLock(content.Attributes["commit"].Expr.Range(), "a commit has 40 hexadecimal digits")
	case !sha || len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "":
		l.badLock(content.Attributes["checksum"].Expr.Range(), "a checksum is sha256: with 64 hexadecimal digits")
	default:
		return p, true
	}
	return p, false
}

func (l *loader) badLock(rng hcl.Range, why string) {
	l.r.error(rng, "Invalid lock", "%s. Take the lock from version control again, or delete the block and run lvsform init.", upperFirst(why))
}
