package fetch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/sources"
)

// file is one entry of a commit's tree.
type file struct {
	path string
	mode sources.Mode
	id   string
	size int64
}

// unpack writes the files of a commit. They are written by us and not by a
// checkout, so that no hook, filter or attribute has a say, and every name is
// looked at before there is anything of that name.
func (r *repository) unpack(ctx context.Context, commit, dir string) error {
	list, err := r.files(ctx, commit)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // what was written is examined afterwards
	// Links come last: nothing is written through one.
	slices.SortStableFunc(list, func(a, b file) int { return isLink(a) - isLink(b) })
	return r.write(ctx, list, root)
}

func isLink(f file) int {
	if f.mode == sources.Symlink {
		return 1
	}
	return 0
}

// files lists the tree of a commit, which is refused when it has no bounds.
func (r *repository) files(ctx context.Context, commit string) ([]file, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.command(ctx, "--git-dir="+r.dir, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	complaint := &bounded{most: 8 << 10}
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, explain(ctx, err, complaint)
	}
	list, err := readTree(out)
	if err != nil {
		cancel() // a tree of trees may go on for ever
		_ = cmd.Wait()
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, explain(ctx, err, complaint)
	}
	return list, nil
}

// readTree reads what git ls-tree -z -l prints.
func readTree(in io.Reader) ([]file, error) {
	var list []file
	var total int64
	lines := bufio.NewScanner(in)
	lines.Split(splitNUL)
	for lines.Scan() {
		f, err := treeLine(lines.Text())
		if err != nil {
			return nil, err
		}
		total += f.size
		switch {
		case len(list) == sources.MaxFiles:
			return nil, fmt.Errorf("it holds more than %d files; keep modules in a repository of their own", sources.MaxFiles)
		case f.size > sources.MaxFileSize:
			return nil, fmt.Errorf("%s is too large: a file may have %d MiB", f.path, sources.MaxFileSize>>20)
		case total > sources.MaxTreeSize:
			return nil, fmt.Errorf("its files have more than %d MiB; keep modules in a repository of their own", sources.MaxTreeSize>>20)
		}
		list = append(list, f)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("it holds a file whose name is too long: %w", err)
	}
	return list, nil
}

func splitNUL(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// treeLine reads MODE TYPE ID SIZE<TAB>PATH.
func treeLine(line string) (file, error) {
	head, name, ok := strings.Cut(line, "\t")
	fields := strings.Fields(head)
	if !ok || len(fields) != 4 {
		return file{}, errors.New("git lists files in an unknown way")
	}
	shown := printable(name[:min(len(name), 200)])
	if why := sources.BadPath(name); why != "" {
		return file{}, fmt.Errorf("%q: %s", shown, why)
	}
	f := file{path: name, mode: sources.Mode(fields[0]), id: fields[2]}
	switch {
	case fields[1] == "commit":
		return f, fmt.Errorf("%s is a submodule, and submodules are not fetched; copy its files, or use it as a source of its own", shown)
	case fields[1] != "blob" || f.mode != sources.Plain && f.mode != sources.Program && f.mode != sources.Symlink && f.mode != "100664":
		return f, fmt.Errorf("%s is neither a file nor a symbolic link", shown)
	}
	var err error
	if f.size, err = strconv.ParseInt(fields[3], 10, 64); err != nil || f.size < 0 {
		return f, fmt.Errorf("%s has no size", shown)
	}
	return f, nil
}

// write asks for the contents of the files one after the other.
func (r *repository) write(ctx context.Context, list []file, root *os.Root) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.command(ctx, "--git-dir="+r.dir, "cat-file", "--batch")
	complaint := &bounded{most: 8 << 10}
	cmd.Stderr = complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return explain(ctx, err, complaint)
	}
	err = writeFiles(list, root, in, bufio.NewReader(out))
	if err != nil {
		cancel()
	}
	_ = in.Close()
	if waited := cmd.Wait(); err == nil && waited != nil {
		err = explain(ctx, waited, complaint)
	}
	return err
}

func writeFiles(list []file, root *os.Root, ask io.Writer, answers *bufio.Reader) error {
	for _, f := range list {
		if _, err := io.WriteString(ask, f.id+"\n"); err != nil {
			return err
		}
		header, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%s blob %d\n", f.id, f.size); header != want {
			return fmt.Errorf("%s cannot be read: git says %q", f.path, printable(strings.TrimSpace(header)))
		}
		if err := writeFile(f, root, io.LimitReader(answers, f.size)); err != nil {
			return err
		}
		if end, err := answers.ReadByte(); err != nil || end != '\n' {
			return fmt.Errorf("%s cannot be read: git sent another length", f.path)
		}
	}
	return nil
}

func writeFile(f file, root *os.Root, content io.Reader) error {
	if dir := path.Dir(f.path); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if f.mode == sources.Symlink {
		target, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if why := sources.BadTarget(string(target)); why != "" {
			return fmt.Errorf("%s: %s", f.path, why)
		}
		return root.Symlink(string(target), f.path)
	}
	// No file is a program: nothing of a module is run.
	out, err := root.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, content); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}
