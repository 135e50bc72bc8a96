// Package fetch brings the modules of git repositories to this machine.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/lvsform/lvsform/sources"
)

const (
	// limit bounds the time that one repository takes.
	limit = 5 * time.Minute
	// maxDownload bounds the bytes that git may store for one repository.
	maxDownload = 512 << 20
)

// Fetcher fetches into the folder of modules beside a configuration.
type Fetcher struct {
	dir     string // the configuration
	environ []string
}

// New returns a fetcher for the configuration in a directory. The environment
// is the one that git gets, but for what would lead it elsewhere.
func New(dir string, environ []string) *Fetcher {
	return &Fetcher{dir: dir, environ: gitEnviron(environ)}
}

// Folder is where the files of a repository are, or will be.
func (f *Fetcher) Folder(r sources.Repository) string {
	return filepath.Join(f.modules(), r.Folder())
}

func (f *Fetcher) modules() string { return filepath.Join(f.dir, filepath.FromSlash(sources.Modules)) }

// Fetch brings the files of a repository: those of the commit that a pin names,
// or without a commit there those that the ref names now. It returns what pins
// them. Files that are already there are replaced only by files that passed
// every check, the pin's checksum among them.
func (f *Fetcher) Fetch(ctx context.Context, r sources.Repository, want sources.Pin) (sources.Pin, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pin, err := f.fetch(ctx, r, want)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it took longer than %s", limit)
	}
	if err != nil {
		return sources.Pin{}, fmt.Errorf("%s: %w", r, err)
	}
	return pin, nil
}

// ChecksumError says that a commit has other files than its pin says.
type ChecksumError struct{ Pinned, Found sources.Pin }

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("the files of commit %s have the checksum %s, and %s says %s",
		e.Pinned.Commit, e.Found.Checksum, sources.LockFile, e.Pinned.Checksum)
}

func (f *Fetcher) fetch(ctx context.Context, r sources.Repository, want sources.Pin) (pin sources.Pin, err error) {
	modules, err := filepath.Abs(f.modules())
	if err != nil {
		return pin, err
	}
	if err := prepare(modules); err != nil {
		return pin, err
	}
	work, err := os.MkdirTemp(modules, ".fetch-")
	if err != nil {
		return pin, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	repo := &repository{dir: filepath.Join(work, "git"), url: r.URL, environ: f.environ}
	commit, err := repo.fetch(ctx, r.Ref, want.Commit)
	if err != nil {
		return pin, err
	}
	files := filepath.Join(work, "files")
	if err := repo.unpack(ctx, commit, files); err != nil {
		return pin, err
	}
	checksum, err := sources.Examine(files)
	if err != nil {
		return pin, err
	}
	pin = sources.Pin{Repository: r, Commit: commit, Checksum: checksum}
	if want.Commit != "" && want.Checksum != checksum {
		return pin, &ChecksumError{want, pin}
	}
	return pin, replace(f.Folder(r), files, filepath.Join(work, "old"))
}

// prepare makes the folder of modules, which version control is to ignore.
func prepare(modules string) error {
	if err := own(modules); err != nil {
		return err
	}
	if err := os.MkdirAll(modules, 0o755); err != nil {
		return err
	}
	ignore := filepath.Join(filepath.Dir(modules), ".gitignore")
	if _, err := os.Lstat(ignore); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(ignore, []byte("*\n"), 0o644)
}

// own refuses folders that are symbolic links: a configuration from elsewhere
// could have us write and remove files in any place.
func own(modules string) error {
	for _, dir := range []string{filepath.Dir(modules), modules} {
		info, err := os.Lstat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is no folder but a link or a file: remove it", dir)
		}
	}
	return nil
}

// replace puts a folder in the place of another, if there is one.
func replace(place, with, old string) error {
	if err := os.Rename(place, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(with, place)
}

// ours are the names of folders that this package makes.
var ours = regexp.MustCompile(`^(\.fetch-[0-9]+|[A-Za-z0-9][A-Za-z0-9_-]*-[0-9a-f]{12})$`)

// Prune removes what no pin of the lock needs any more.
func (f *Fetcher) Prune(lock sources.Lock) error {
	modules := f.modules()
	if err := own(modules); err != nil {
		return err
	}
	list, err := os.ReadDir(modules)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, p := range lock.Pins {
		keep[p.Folder()] = true
	}
	for _, e := range list {
		if keep[e.Name()] || !ours.MatchString(e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(modules, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
