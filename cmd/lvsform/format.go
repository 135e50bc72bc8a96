package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/unified"
	"github.com/lvsform/lvsform/hcl"
	"github.com/spf13/cobra"
)

type fmtFlags struct{ check, diff, recursive bool }

func (c *cli) fmtCommand() *cobra.Command {
	var f fmtFlags
	cmd := &cobra.Command{
		Use:   "fmt [FILE|DIR|-]...",
		Short: "Write configuration files in their canonical form",
		Long: `fmt rewrites *.hcl files in their canonical form and prints the names of those
that changed. Without arguments it does so in the working directory; "-" formats
stdin to stdout.

Exit codes: 0 done, 1 error, 2 a file is not in its canonical form (with --check).`,
		RunE: func(_ *cobra.Command, args []string) error { return c.format(args, f) },
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "write nothing; exit 2 if a file would change")
	cmd.Flags().BoolVar(&f.diff, "diff", false, "show what changes")
	cmd.Flags().BoolVar(&f.recursive, "recursive", false, "also format directories below")
	return cmd
}

func (c *cli) format(args []string, f fmtFlags) error {
	if slices.Equal(args, []string{"-"}) {
		return c.formatStdin(f)
	}
	files, err := formatFiles(args, f.recursive)
	if err != nil {
		return err
	}
	changed, failed := false, false
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		out, ok := c.formatOne(file, src)
		if failed = failed || !ok; !ok || bytes.Equal(src, out) {
			continue
		}
		changed = true
		if err := c.formatted(file, src, out, f); err != nil {
			return err
		}
	}
	return formatResult(changed, failed, f)
}

func formatResult(changed, failed bool, f fmtFlags) error {
	switch {
	case failed:
		return silent(exitError)
	case changed && f.check:
		return silent(exitPending)
	}
	return nil
}

// formatOne formats a file's text; a file that cannot be parsed is reported,
// and the result is false.
func (c *cli) formatOne(file string, src []byte) ([]byte, bool) {
	out, ds := hcl.Format(file, src)
	c.diagnose(ds)
	return out, !ds.HasErrors()
}

// formatted tells of a file that is not in its canonical form, and rewrites it.
func (c *cli) formatted(file string, src, out []byte, f fmtFlags) error {
	c.print(func(w io.Writer) {
		fmt.Fprintln(w, file)
		if f.diff {
			fmt.Fprint(w, c.sourceDiff(file, src, out))
		}
	})
	if f.check {
		return nil
	}
	return replaceFile(file, out)
}

func (c *cli) formatStdin(f fmtFlags) error {
	src, err := io.ReadAll(c.stdin)
	if err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	out, ok := c.formatOne("<stdin>", src)
	if !ok {
		return silent(exitError)
	}
	switch {
	case f.diff:
		c.print(func(w io.Writer) { fmt.Fprint(w, c.sourceDiff("<stdin>", src, out)) })
	case !f.check:
		c.print(func(w io.Writer) { w.Write(out) }) //nolint:errcheck // to memory
	}
	return formatResult(!bytes.Equal(src, out), false, f)
}

// sourceDiff is a difference of configuration files without the values that the
// configuration beside them says are sensitive.
func (c *cli) sourceDiff(file string, src, out []byte) string {
	config, _ := hcl.LoadConfig(hcl.Options{Dir: filepath.Dir(file), Environ: c.environ, Version: buildVersion()}) // with mistakes in it too
	return config.Blot(unified.Diff(file, string(src), string(out)))
}

// formatFiles lists the native configuration files that the arguments name.
func formatFiles(args []string, recursive bool) ([]string, error) {
	if len(args) == 0 {
		args = []string{"."}
	}
	var out []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			if !strings.HasSuffix(arg, ".hcl") {
				return nil, fmt.Errorf("%s: fmt formats *.hcl files", arg)
			}
			out = append(out, arg)
			continue
		}
		files, err := directoryFiles(arg, recursive)
		if err != nil {
			return nil, err
		}
		out = append(out, files...)
	}
	return out, nil
}

func directoryFiles(dir string, recursive bool) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(d.Name(), ".") && path != dir
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && (!recursive || hidden):
			return fs.SkipDir
		case d.Type().IsRegular() && !hidden && strings.HasSuffix(path, ".hcl"):
			out = append(out, path)
		}
		return nil
	})
	return out, err
}

// replaceFile writes a file whole or not at all, with the mode that it had.
func replaceFile(file string, content []byte) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".lvsform-fmt-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // it is gone once renamed
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Close()); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.Rename(tmp.Name(), file)
}
