package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lvsform/lvsform/hcl"
	origin "github.com/lvsform/lvsform/sources"
	"github.com/lvsform/lvsform/sources/fetch"
	"github.com/lvsform/lvsform/topology"
	"github.com/spf13/cobra"
)

func (c *cli) initCommand() *cobra.Command {
	var upgrade bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Fetch the modules that come from git, and pin them",
		Long: `init fetches the modules whose source begins with git:: into .lvsform/modules
and pins them in .lvsform.lock.hcl, which belongs into version control. A module
that is pinned there is fetched at exactly that commit.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.initialize(upgrade) },
	}
	cmd.Flags().BoolVar(&upgrade, "upgrade", false, "pin what tags and branches name now")
	return cmd
}

// initializer brings the modules of one configuration, which may bring others.
type initializer struct {
	c       *cli
	fetcher *fetch.Fetcher
	upgrade bool
	old     origin.Lock // what the lock file says
	lock    origin.Lock // what it is going to say
}

func (c *cli) initialize(upgrade bool) error {
	old, diags := hcl.ReadLock(".")
	if c.blocking(diags) {
		c.fail(diags)
		return silent(exitError)
	}
	ctx, _, release := interrupts(func(string) {})
	defer release()
	i := &initializer{c: c, fetcher: fetch.New(".", c.environ), upgrade: upgrade, old: old}
	if err := i.modules(ctx); err != nil {
		return err
	}
	if err := i.fetcher.Prune(i.lock); err != nil {
		return err
	}
	return i.write()
}

// modules fetches until no module calls another that is not there.
func (i *initializer) modules(ctx context.Context) error {
	for {
		calls, diags := hcl.GitModules(hcl.Options{Dir: ".", Environ: i.c.environ, Version: buildVersion()}, i.lock)
		if i.c.blocking(diags) {
			i.c.fail(diags)
			return silent(exitError)
		}
		before := len(i.lock.Pins)
		for _, call := range calls {
			if err := i.bring(ctx, call.Source.Repository()); err != nil {
				return i.failed(call, err)
			}
		}
		if len(i.lock.Pins) == before {
			return nil
		}
	}
}

// maxRepositories keeps modules that call ever more modules from going on for
// ever.
const maxRepositories = 200

// bring sees to it that the files of a repository are there, once.
func (i *initializer) bring(ctx context.Context, r origin.Repository) error {
	if _, done := i.lock.Find(r); done {
		return nil
	}
	if len(i.lock.Pins) == maxRepositories {
		return fmt.Errorf("%s: the configuration and its modules call more than %d repositories", r, maxRepositories)
	}
	pin, pinned := i.old.Find(r)
	moving := i.upgrade && !origin.IsCommit(r.Ref)
	if pinned && !moving {
		if have, err := origin.Examine(i.fetcher.Folder(r)); err == nil && have == pin.Checksum {
			i.keep(pin, "Unchanged")
			return nil
		}
	}
	want := pin
	if moving {
		want = origin.Pin{}
	}
	got, err := i.fetcher.Fetch(ctx, r, want)
	switch {
	case err != nil:
		return err
	case moving && pinned && got.Commit == pin.Commit:
		i.keep(got, "Unchanged")
	case pinned && got.Commit != pin.Commit:
		i.keep(got, fmt.Sprintf("Moved from %.12s", pin.Commit))
	default:
		i.keep(got, "Fetched")
	}
	return nil
}

// failed says which module call could not be served.
func (i *initializer) failed(call hcl.GitModule, err error) error {
	d := topology.Diagnostic{Severity: topology.Error, Summary: "Module cannot be fetched", Detail: err.Error() + ".", Range: &call.Range}
	var differs *fetch.ChecksumError
	if errors.As(err, &differs) {
		d.Summary = "Module differs from the lock"
		d.Detail += " A commit never changes, so one of the two is wrong. Take the lock from version control again; if it is right, do not trust the repository."
	}
	ds := topology.Diagnostics{d}
	sources(ds)
	i.c.fail(ds)
	return silent(exitError)
}

func (i *initializer) keep(pin origin.Pin, how string) {
	i.lock.Pins = append(i.lock.Pins, pin)
	i.c.print(func(w io.Writer) { fmt.Fprintf(w, "%s: %s at %.12s\n", how, pin.Repository, pin.Commit) })
}

// write writes the lock file, if it is another than before.
func (i *initializer) write() error {
	text := i.lock.Format()
	have, err := os.ReadFile(origin.LockFile)
	switch {
	case err == nil && bytes.Equal(have, text):
		return nil
	case errors.Is(err, fs.ErrNotExist) && len(i.lock.Pins) == 0:
		i.c.print(func(w io.Writer) { fmt.Fprintln(w, "No module comes from git: there is nothing to fetch.") })
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := writeWhole(origin.LockFile, text); err != nil {
		return err
	}
	i.c.print(func(w io.Writer) { fmt.Fprintf(w, "Wrote %s: commit it.\n", origin.LockFile) })
	return nil
}

// writeWhole replaces a file, or leaves it as it was.
func writeWhole(name string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".lvsform-lock-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // it is gone when all went well
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
