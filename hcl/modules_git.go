package hcl

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/lvsform/lvsform/sources"
	"github.com/lvsform/lvsform/topology"
)

// checkout is a repository whose files lvsform init fetched.
type checkout struct {
	repository sources.Repository
	dir        string // on the machine
	name       string // as it is shown: ./.lvsform/modules/lvs-0123456789ab
	bad        bool   // it cannot be used; reported already for every use
	summary    string
	detail     string
}

// GitModule is a module call whose source is fetched with git.
type GitModule struct {
	Source sources.Git
	Range  topology.Range
}

// GitModules lists the module calls with a git source in the configuration of
// a directory and in the modules that it uses, as far as those are there and
// are what the lock says. It evaluates nothing.
func GitModules(opts Options, lock sources.Lock) ([]GitModule, topology.Diagnostics) {
	l := newLoader(opts)
	l.lock, l.listing = &lock, &[]GitModule{}
	l.guard("The configuration cannot be read", func() {
		l.listModules(directory{dir: l.opts.Dir, name: "."}, map[string]bool{})
	})
	return *l.listing, l.r.finish()
}

// listModules visits the modules that a directory calls, each once.
func (l *loader) listModules(d directory, seen map[string]bool) {
	id := d.identity()
	if seen[id] {
		return
	}
	seen[id] = true
	c := l.config(d)
	m := l.newModule(nil, c, "")
	for _, key := range c.order {
		b := c.blocks[key]
		if b.kind != "module" {
			continue
		}
		content, _, diags := b.body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "source"}}})
		if l.r.take(diags) {
			continue
		}
		if next, ok := m.sourceOf(b, content.Attributes["source"]); ok {
			l.listModules(next, seen)
		}
	}
}

// git finds the directory of a module that was fetched.
func (m *module) git(source string, rng hcl.Range) (directory, bool) {
	g, why := sources.ParseGit(source)
	if why != "" {
		m.l.r.error(rng, "Invalid source", "%s", why)
		return directory{}, false
	}
	if m.l.listing != nil {
		*m.l.listing = append(*m.l.listing, GitModule{Source: g, Range: toRange(rng)})
	}
	c := m.l.checkout(g.Repository())
	if c.bad {
		if m.l.listing == nil {
			m.l.r.error(rng, c.summary, "%s", c.detail)
		}
		return directory{}, false
	}
	return m.inside(c, g.Dir, rng)
}

// checkout examines a repository, once.
func (l *loader) checkout(r sources.Repository) *checkout {
	if c := l.checkouts[r]; c != nil {
		return c
	}
	c := &checkout{repository: r, name: "./" + path.Join(sources.Modules, r.Folder()), bad: true}
	c.dir = filepath.Join(l.opts.Dir, filepath.FromSlash(sources.Modules), r.Folder())
	l.checkouts[r] = c
	if l.lock == nil {
		lock := l.readLock()
		l.lock = &lock
	}
	pin, ok := l.lock.Find(r)
	if !ok {
		c.summary = "Module is not fetched"
		c.detail = sources.LockFile + " does not pin " + r.String() + ". Run: lvsform init"
		return c
	}
	checksum, err := sources.Examine(c.dir)
	switch {
	case errors.Is(err, sources.ErrMissing):
		c.summary = "Module is not fetched"
		c.detail = "There is no directory " + c.name + ". Run: lvsform init"
	case err != nil:
		c.summary = "Module cannot be used"
		c.detail = c.name + ": " + plainError(err).Error() + ". Run: lvsform init"
	case checksum != pin.Checksum:
		c.summary = "Module differs from the lock"
		c.detail = "The files in " + c.name + " have the checksum " + checksum + ", and " + sources.LockFile + " says " + pin.Checksum +
			" for commit " + pin.Commit + ". To fetch that commit again, run: lvsform init"
	default:
		c.bad = false
	}
	return c
}

// inside finds a directory of a repository.
func (m *module) inside(c *checkout, dir string, rng hcl.Range) (directory, bool) {
	d := directory{dir: filepath.Join(c.dir, filepath.FromSlash(dir)), name: relativeName(c.name, dir), repo: c, inside: dir}
	info, err := os.Stat(d.dir)
	if err == nil && info.IsDir() {
		return d, true
	}
	m.l.r.error(rng, "No such module", "%s has no directory %s.%s", c.repository, clip(dir), didYouMean(path.Base(dir), folders(filepath.Dir(d.dir))))
	return d, false
}

// folders lists the folders in a directory.
func folders(dir string) []string {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range slices.DeleteFunc(list, func(e os.DirEntry) bool { return !e.IsDir() }) {
		names = append(names, e.Name())
	}
	return names
}

// besideIn resolves a relative source inside a repository, which it may not
// leave.
func (m *module) besideIn(from directory, source string, rng hcl.Range) (directory, bool) {
	dir := path.Join(from.inside, source)
	if dir == ".." || strings.HasPrefix(dir, "../") || strings.ContainsAny(source, "\\:\x00") {
		m.l.r.error(rng, "Source leaves its repository", "%q leads out of %s. A module from git can use directories of its own repository, built-in modules and git sources.", clip(source), from.repo.repository)
		return directory{}, false
	}
	return m.inside(from.repo, dir, rng)
}
