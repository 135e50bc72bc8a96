package sources

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// The bounds of one repository's files: far above what modules need.
const (
	MaxFiles    = 10_000
	MaxFileSize = 16 << 20 // bytes of one file
	MaxTreeSize = 64 << 20 // bytes of all files
	maxDepth    = 32       // folders inside each other
	maxPath     = 1000     // bytes
	maxTarget   = 1000     // bytes of what a symbolic link names
)

// Mode is a kind of file, as git writes it in trees.
type Mode string

const (
	Plain   Mode = "100644"
	Program Mode = "100755"
	Symlink Mode = "120000"
)

// ErrMissing says that there is no tree.
var ErrMissing = errors.New("it is not there")

// entry is one file of a tree.
type entry struct {
	path string // slash-separated
	mode Mode
	sum  string // SHA-256 of the content, or of what the link names
}

// tree is a walk over a folder.
type tree struct {
	root    *os.Root
	entries []entry
	size    int64
}

// Examine walks a folder, refuses what could lead out of it or has no bounds,
// and returns a checksum over names, modes and contents. It is ErrMissing that
// there is no folder.
func Examine(dir string) (checksum string, err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrMissing
	}
	if err != nil {
		return "", err
	}
	defer root.Close() //nolint:errcheck // it is only read
	t := &tree{root: root}
	if err := t.folder(".", 0); err != nil {
		return "", err
	}
	return t.checksum(), nil
}

func (t *tree) checksum() string {
	slices.SortFunc(t.entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	h := sha256.New()
	for _, e := range t.entries {
		fmt.Fprintf(h, "%s %s %q\n", e.mode, e.sum, e.path) // a hash takes everything
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func (t *tree) folder(dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: folders may stand inside each other %d deep", dir, maxDepth)
	}
	f, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	for {
		list, err := f.ReadDir(256)
		for _, d := range list {
			if err := t.add(path.Join(dir, d.Name()), d, depth); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tree) add(name string, d fs.DirEntry, depth int) error {
	if why := BadPath(name); why != "" {
		return fmt.Errorf("%q: %s", clip(name), why)
	}
	if d.IsDir() {
		return t.folder(name, depth+1)
	}
	if len(t.entries) == MaxFiles {
		return fmt.Errorf("it holds more than %d files", MaxFiles)
	}
	switch d.Type() {
	case 0:
		return t.file(name)
	case fs.ModeSymlink:
		return t.link(name)
	}
	return fmt.Errorf("%s is neither a file nor a folder", name)
}

func (t *tree) file(name string) error {
	f, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return err
	}
	if t.size += n; n > MaxFileSize || t.size > MaxTreeSize {
		return fmt.Errorf("%s is too large: a file may have %d MiB, all together %d MiB", name, MaxFileSize>>20, MaxTreeSize>>20)
	}
	mode := Plain
	if info.Mode().Perm()&0o111 != 0 {
		mode = Program
	}
	t.entries = append(t.entries, entry{name, mode, hex.EncodeToString(h.Sum(nil))})
	return nil
}

// link takes a symbolic link that leads to something in the folder.
func (t *tree) link(name string) error {
	target, err := t.root.Readlink(name)
	if err != nil {
		return err
	}
	if why := BadTarget(target); why != "" {
		return fmt.Errorf("%s: %s", name, why)
	}
	// The file system follows it, link by link; a root does not let it out.
	if _, err := t.root.Stat(name); err != nil {
		return fmt.Errorf("%s is a symbolic link that leads out of the repository, or nowhere", name)
	}
	sum := sha256.Sum256([]byte(target))
	t.entries = append(t.entries, entry{name, Symlink, hex.EncodeToString(sum[:])})
	return nil
}

// BadTarget says why a symbolic link may not name a target, or "".
func BadTarget(target string) string {
	switch {
	case target == "" || len(target) > maxTarget || strings.ContainsFunc(target, isControl):
		return "what the symbolic link names is no path"
	case path.IsAbs(target) || strings.ContainsAny(target, `\:`):
		return "it is a symbolic link that leads out of the repository"
	}
	return ""
}

// BadPath says why a slash-separated path may not name something inside a
// repository, or "".
func BadPath(name string) string {
	switch {
	case name == "" || len(name) > maxPath:
		return fmt.Sprintf("a path has from 1 to %d bytes", maxPath)
	case strings.ContainsFunc(name, isControl):
		return "it holds a control character, or is not UTF-8"
	case strings.ContainsAny(name, `\:`):
		return "it holds a backslash or a colon, which is no name everywhere"
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return fmt.Sprintf("folders may stand inside each other %d deep", maxDepth)
	}
	for _, part := range parts {
		switch {
		case part == "" || part == "." || part == "..":
			return "it is no plain path"
		case strings.EqualFold(part, ".git"):
			return "nothing in a repository may be called .git"
		}
	}
	return ""
}

func isControl(c rune) bool {
	return c < ' ' || c >= 0x7f && c < 0xa0 || c == '�'
}

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
