package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/sources"
)

// repository is a bare repository of our own, into which git fetches. There is
// never a work tree: nothing that a repository holds is run, smudged or linked.
type repository struct {
	dir, url string
	environ  []string
}

// settings hold for every call of git, whatever the user's configuration says.
var settings = []string{
	"-c", "core.hooksPath=/dev/null",
	"-c", "core.fsmonitor=false",
	"-c", "core.bigFileThreshold=1m", // large files go to the disk, not into memory
	"-c", "fetch.recurseSubmodules=false",
	"-c", "submodule.recurse=false",
	"-c", "fetch.writeCommitGraph=false",
	"-c", "gc.auto=0",
	"-c", "maintenance.auto=false",
	"-c", "advice.detachedHead=false",
	"-c", "init.templateDir=",
	"-c", "init.defaultBranch=main",
}

// elsewhere are the variables that would lead git to another repository, or
// make it run or write something.
var elsewhere = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
	"GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_TEMPLATE_DIR", "GIT_CEILING_DIRECTORIES", "GIT_SHALLOW_FILE",
	"GIT_GRAFT_FILE", "GIT_EXEC_PATH", "GIT_ALLOW_PROTOCOL", "GIT_PROTOCOL_FROM_USER", "GIT_TERMINAL_PROMPT",
	"GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_DEFAULT_HASH", "GIT_FLUSH", "LC_ALL",
}

// gitEnviron returns the environment for git: credentials and proxies as the
// user has them, no questions, no transports that run programs, and no
// variables of the configuration, which may be secrets.
func gitEnviron(environ []string) []string {
	out := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(elsewhere, name) || strings.HasPrefix(name, "GIT_TRACE") || strings.HasPrefix(name, "LVSFORM_VAR_")
	})
	out = append(out, "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL="+sources.Schemes, "GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C")
	ssh := slices.ContainsFunc(out, func(entry string) bool {
		return strings.HasPrefix(entry, "GIT_SSH_COMMAND=") || strings.HasPrefix(entry, "GIT_SSH=")
	})
	if !ssh {
		out = append(out, "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	}
	return out
}

func (r *repository) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", slices.Concat(settings, args)...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = filepath.Dir(r.dir), r.environ, 5*time.Second
	return cmd
}

// maxOutput bounds what is read of a call's output.
const maxOutput = 1 << 20

// git runs git in the repository and returns what it prints.
func (r *repository) git(ctx context.Context, args ...string) (string, error) {
	return r.run(ctx, slices.Concat([]string{"--git-dir=" + r.dir}, args)...)
}

func (r *repository) run(ctx context.Context, args ...string) (string, error) {
	cmd := r.command(ctx, args...)
	out, complaint := &bounded{most: maxOutput}, &bounded{most: 8 << 10}
	cmd.Stdout, cmd.Stderr = out, complaint
	if err := cmd.Run(); err != nil {
		return "", explain(ctx, err, complaint)
	}
	return out.String(), nil
}

// explain makes git's own words the error.
func explain(ctx context.Context, err error, complaint *bounded) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("the program git is needed to fetch modules: install it")
	}
	var lines []string
	for line := range strings.Lines(complaint.String()) {
		line = strings.TrimSuffix(strings.TrimSpace(printable(line)), ".")
		if line == "Please make sure you have the correct access rights" {
			break // what the lines before said already
		}
		if line != "" && !strings.HasPrefix(line, "hint:") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return fmt.Errorf("git: %w", err)
	}
	return fmt.Errorf("git: %s", strings.Join(lines[:min(len(lines), 5)], "; "))
}

// printable takes out what would move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, s)
}

// bounded keeps the first bytes of an output, and takes the rest for nothing.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// fetch makes the repository and brings one commit into it: the one given, or
// the one that the ref names.
func (r *repository) fetch(ctx context.Context, ref, commit string) (string, error) {
	if _, err := r.run(ctx, "init", "--bare", "--quiet", "--", r.dir); err != nil {
		return "", err
	}
	if commit == "" {
		var err error
		if commit, err = r.resolve(ctx, ref); err != nil {
			return "", err
		}
	}
	if err := r.bring(ctx, commit); err != nil {
		return "", err
	}
	return commit, nil
}

// resolve asks the repository's server what a ref names.
func (r *repository) resolve(ctx context.Context, ref string) (string, error) {
	if sources.IsCommit(ref) {
		return ref, nil
	}
	tag, branch := "refs/tags/"+ref, "refs/heads/"+ref
	out, err := r.git(ctx, "ls-remote", "--quiet", "--", r.url, tag, tag+"^{}", branch)
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if id, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && sources.IsCommit(id) {
			found[name] = id
		}
	}
	for _, name := range []string{tag + "^{}", tag, branch} {
		if id := found[name]; id != "" {
			return id, nil
		}
	}
	return "", fmt.Errorf("it has no tag and no branch %q; a commit is named with all of its 40 digits", ref)
}

// pinned is the ref that keeps the commit in our repository.
const pinned = "refs/lvsform/pinned"

// bring fetches one commit: alone, or where the server does not give single
// commits out, with everything that has a name.
func (r *repository) bring(ctx context.Context, commit string) error {
	ctx, stop := r.watch(ctx)
	defer stop()
	base := []string{"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"}
	alone := slices.Concat(base, []string{"--depth=1", "--", r.url, commit + ":" + pinned})
	all := slices.Concat(base, []string{"--", r.url, "+refs/heads/*:refs/lvsform/heads/*", "+refs/tags/*:refs/lvsform/tags/*"})
	_, first := r.git(ctx, alone...)
	if first != nil && ctx.Err() == nil {
		if _, err := r.git(ctx, all...); err != nil {
			return err
		}
	}
	kind, err := r.git(ctx, "cat-file", "-t", commit)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("it has no commit %s (any more)", commit)
	case strings.TrimSpace(kind) != "commit":
		return fmt.Errorf("%s is a %s, not a commit", commit, strings.TrimSpace(kind))
	}
	return nil
}

// watch ends the context when git has stored too much.
func (r *repository) watch(ctx context.Context) (watched context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if stored(r.dir) > maxDownload {
					cancel(fmt.Errorf("it is too large: more than %d MiB would be stored", maxDownload>>20))
				}
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// stored is the size of all files below a folder.
func stored(dir string) int64 {
	var n int64
	// Files that git removes meanwhile do not count.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
