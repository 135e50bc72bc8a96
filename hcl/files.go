package hcl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
)

// embeddedScheme is the source prefix of modules that are built in.
const embeddedScheme = "lvsform://"

// directory is where a module's files are.
type directory struct {
	fsys fs.FS  // nil: the file system of the machine
	dir  string // path in fsys, or on the machine
	name string // how it is shown: `.`, `./modules/web`, `lvsform://dr`
	// repo is the repository that the directory belongs to, if it was fetched,
	// and inside its path there.
	repo   *checkout
	inside string
}

// shown is the file name that messages use.
func (d directory) shown(file string) string {
	if d.fsys != nil {
		return d.name + "/" + file
	}
	return filepath.ToSlash(filepath.Join(d.name, file))
}

func (d directory) list() ([]string, error) {
	entries, err := fs.ReadDir(d.root(), d.at("."))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d directory) read(file string) ([]byte, error) {
	if d.fsys != nil {
		return readRegular(d.fsys, path.Join(d.dir, file))
	}
	return readFile(filepath.Join(d.dir, file))
}

func (d directory) root() fs.FS {
	if d.fsys != nil {
		return d.fsys
	}
	return os.DirFS(d.dir)
}

func (d directory) at(file string) string {
	if d.fsys != nil {
		return path.Join(d.dir, file)
	}
	return file
}

// identity is equal for equal directories.
func (d directory) identity() string {
	if d.fsys != nil {
		return embeddedScheme + d.dir
	}
	abs, err := filepath.Abs(d.dir)
	if err != nil {
		return d.dir
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	return abs
}

var errNotRegular = errors.New("it is not a regular file")

// readFile reads a regular file of bounded size: never a pipe or a device,
// which would not end.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, plainError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, plainError(err)
	}
	return readAll(f)
}

func readRegular(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, plainError(err)
	}
	return readAll(f)
}

func readAll(f fs.File) ([]byte, error) {
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plainError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, plainError(err)
	}
	if len(src) > maxFileSize {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFileSize)
	}
	return src, nil
}

// plainError drops the path that the caller names anyway.
func plainError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func isJSON(name string) bool { return strings.HasSuffix(name, ".hcl.json") }

func isValues(name string) bool {
	return strings.HasSuffix(name, ".vars.hcl") || strings.HasSuffix(name, ".vars.hcl.json")
}

// isConfig tells whether a file of a directory is configuration. Dotfiles and
// the backups of editors are not, nor is what `lvsform init` writes.
func isConfig(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || isValues(name) {
		return false
	}
	return strings.HasSuffix(name, ".hcl") || isJSON(name)
}

// configFiles reads and parses the configuration of a directory.
func (l *loader) configFiles(d directory) ([]*hcl.File, bool) {
	names, err := d.list()
	if err != nil {
		l.r.error(hcl.Range{}, fmt.Sprintf("Directory %s cannot be read", d.name), "%v.", plainError(err))
		return nil, false
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !isConfig(n) })
	if len(names) > maxFiles {
		l.r.error(hcl.Range{}, fmt.Sprintf("Directory %s holds too many files", d.name), "A directory may hold %d configuration files.", maxFiles)
		return nil, false
	}
	var files []*hcl.File
	ok := true
	for _, name := range names {
		f := l.configFile(d, name)
		if f == nil {
			ok = false
			continue
		}
		files = append(files, f)
	}
	return files, ok
}

func (l *loader) configFile(d directory, name string) *hcl.File {
	shown := d.shown(name)
	src, err := d.read(name)
	if err != nil {
		l.r.error(hcl.Range{}, fmt.Sprintf("File %s cannot be read", shown), "%v.", err)
		return nil
	}
	return l.parse(shown, src)
}

// parse parses one file within the bounds; nil when it cannot be used.
func (l *loader) parse(shown string, src []byte) *hcl.File {
	l.r.sources[shown] = src
	t := metering{l.b, l.r}
	if isJSON(shown) {
		f, diags := parseJSON(src, shown)
		if l.r.take(diags) || !l.fits(len(src)/4, shown) {
			return nil
		}
		f.Body = jsonBody{f.Body, t}
		return f
	}
	// Each file is turned into tokens as a whole, which takes memory: those that
	// are too many by their signs alone are not.
	if l.signs += signs(src); l.signs > maxAllTokens {
		return l.tooLarge(shown)
	}
	f, tokens, diags := parseNative(src, shown)
	if l.r.take(diags) || !l.fits(tokens, shown) {
		return nil
	}
	t.body(f.Body.(*hclsyntax.Body))
	return f
}

func parseJSON(src []byte, shown string) (*hcl.File, hcl.Diagnostics) {
	if diags := checkJSONNesting(src, shown); diags.HasErrors() {
		return nil, diags
	}
	return json.Parse(src, shown)
}

// parseNative parses a file and returns how many tokens it has.
func parseNative(src []byte, shown string) (*hcl.File, int, hcl.Diagnostics) {
	if signs(src) > maxTokens {
		return nil, 0, tooManyTokens(shown)
	}
	tokens, diags := hclsyntax.LexConfig(src, shown, hcl.InitialPos)
	if diags := checkTokens(tokens); diags.HasErrors() {
		return nil, 0, diags
	}
	if len(tokens) > maxTokens {
		return nil, 0, tooManyTokens(shown)
	}
	if diags.HasErrors() {
		return nil, 0, diags
	}
	n := len(tokens)
	f, diags := hclsyntax.ParseConfig(src, shown, hcl.InitialPos)
	return f, n, diags
}

// fits counts the tokens of all files.
func (l *loader) fits(tokens int, shown string) bool {
	if l.tokens += tokens; l.tokens <= maxAllTokens {
		return true
	}
	l.tooLarge(shown)
	return false
}

func (l *loader) tooLarge(shown string) *hcl.File {
	l.r.error(fileRange(shown), "The configuration is too large", "All files together may hold %d words and signs.", maxAllTokens)
	return nil
}
