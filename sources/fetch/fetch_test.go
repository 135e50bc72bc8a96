package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/sources"
)

// origin is a repository to fetch from, made with git itself.
type origin struct {
	t   *testing.T
	dir string
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is needed for these tests: ", err)
	}
	o := &origin{t, t.TempDir()}
	o.git("", "init", "--quiet", "--initial-branch=main", ".")
	return o
}

// git runs git there, without the configuration of whoever runs the test.
func (o *origin) git(stdin string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = o.dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.net",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.net", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit replaces all files by these and returns the commit.
func (o *origin) commit(files map[string]string) string {
	o.t.Helper()
	o.git("", "rm", "-rfq", "--ignore-unmatch", ".")
	for name, content := range files {
		path := filepath.Join(o.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			o.t.Fatal(err)
		}
		if target, link := strings.CutPrefix(content, "->"); link {
			if err := os.Symlink(target, path); err != nil {
				o.t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			o.t.Fatal(err)
		}
	}
	o.git("", "add", "-A")
	o.git("", "commit", "--quiet", "--allow-empty", "-m", "x")
	return o.git("", "rev-parse", "HEAD")
}

// commitTree commits a tree made by hand: what git add would not take.
func (o *origin) commitTree(entries ...string) string {
	o.t.Helper()
	tree := o.git(strings.Join(entries, "\n")+"\n", "mktree", "--missing")
	id := o.git("", "commit-tree", "-m", "x", tree)
	o.git("", "update-ref", "refs/heads/main", id)
	return id
}

func (o *origin) repository(ref string) sources.Repository {
	return sources.Repository{URL: "file://" + o.dir, Ref: ref}
}

func TestFetchPinsWhatTheRefNames(t *testing.T) {
	o := newOrigin(t)
	first := o.commit(map[string]string{"dr/main.hcl": "locals {}\n", "dr/link": "->main.hcl", ".gitattributes": "*.hcl text eol=crlf filter=evil\n"})
	o.git("", "tag", "light")
	o.git("", "tag", "-a", "-m", "x", "annotated")
	second := o.commit(map[string]string{"dr/main.hcl": "locals { a = 1 }\n"})
	o.git("", "branch", "light") // the tag of that name counts
	for ref, want := range map[string]string{"light": first, "annotated": first, "main": second, first: first, second: second} {
		dir := t.TempDir()
		f := New(dir, os.Environ())
		r := o.repository(ref)
		pin, err := f.Fetch(t.Context(), r, sources.Pin{})
		if err != nil {
			t.Fatal(err)
		}
		if pin.Commit != want || pin.Repository != r {
			t.Errorf("%s is pinned to %+v, want %s", ref, pin, want)
		}
		sum, err := sources.Examine(f.Folder(r))
		if err != nil || sum != pin.Checksum {
			t.Errorf("the files have the checksum %s, %v; the pin says %s", sum, err, pin.Checksum)
		}
		content, err := os.ReadFile(filepath.Join(f.Folder(r), "dr", "main.hcl"))
		if err != nil || (want == first) != (string(content) == "locals {}\n") {
			t.Errorf("%s: %q, %v", ref, content, err)
		}
		left, err := os.ReadDir(filepath.Join(dir, ".lvsform", "modules"))
		if err != nil || len(left) != 1 {
			t.Errorf("in the folder of modules are %v, %v", left, err)
		}
	}
}

func TestFetchTakesTheCommitOfThePin(t *testing.T) {
	o := newOrigin(t)
	first := o.commit(map[string]string{"main.hcl": "one"})
	f, r := New(t.TempDir(), os.Environ()), o.repository("main")
	pin, err := f.Fetch(t.Context(), r, sources.Pin{})
	if err != nil {
		t.Fatal(err)
	}
	second := o.commit(map[string]string{"main.hcl": "two"})
	again, err := f.Fetch(t.Context(), r, pin)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pin, again); diff != "" || again.Commit != first {
		t.Errorf("the pin moved:\n%s", diff)
	}
	moved, err := f.Fetch(t.Context(), r, sources.Pin{})
	if err != nil || moved.Commit != second || moved.Checksum == pin.Checksum {
		t.Errorf("without a pin: %+v, %v; want commit %s", moved, err, second)
	}

	// Other files than those of the pin leave what is there as it is.
	wrong := pin
	wrong.Checksum = "sha256:0000"
	var differs *ChecksumError
	if _, err := f.Fetch(t.Context(), r, wrong); !errors.As(err, &differs) {
		t.Fatalf("%v, want a ChecksumError", err)
	}
	if text := differs.Error(); !strings.Contains(text, pin.Checksum) || !strings.Contains(text, wrong.Checksum) {
		t.Errorf("the message does not name both checksums: %s", text)
	}
	if sum, err := sources.Examine(f.Folder(r)); err != nil || sum != moved.Checksum {
		t.Errorf("the files were replaced: %s, %v", sum, err)
	}
}

// A server that gives out no single commits sends everything that has a name.
func TestFetchOfACommitThatIsNoHead(t *testing.T) {
	o := newOrigin(t)
	first := o.commit(map[string]string{"main.hcl": "one"})
	o.commit(map[string]string{"main.hcl": "two"})
	o.git("", "config", "uploadpack.allowAnySHA1InWant", "false")
	environ := append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=protocol.version", "GIT_CONFIG_VALUE_0=0")
	f := New(t.TempDir(), environ)
	if pin, err := f.Fetch(t.Context(), o.repository(first), sources.Pin{}); err != nil || pin.Commit != first {
		t.Errorf("%+v, %v", pin, err)
	}
}

func TestFetchSaysWhatIsMissing(t *testing.T) {
	o := newOrigin(t)
	first := o.commit(map[string]string{"main.hcl": "one"})
	tree := o.git("", "rev-parse", "HEAD^{tree}")
	absent := strings.Repeat("0", 39) + "1"
	for ref, want := range map[string]string{
		"nowhere":  `no tag and no branch "nowhere"`,
		first[:10]: "all of its 40 digits",
		absent:     "no commit " + absent,
		tree:       "is a tree, not a commit",
	} {
		if pin, err := New(t.TempDir(), os.Environ()).Fetch(t.Context(), o.repository(ref), sources.Pin{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", ref, pin, err, want)
		}
	}
	_, err := New(t.TempDir(), os.Environ()).Fetch(t.Context(), sources.Repository{URL: "file:///nowhere/at/all", Ref: "main"}, sources.Pin{})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("%v, want what git says about /nowhere/at/all", err)
	}
	t.Setenv("PATH", t.TempDir())
	_, err = New(t.TempDir(), os.Environ()).Fetch(t.Context(), o.repository("main"), sources.Pin{})
	if err == nil || !strings.Contains(err.Error(), "git is needed") {
		t.Errorf("%v, want that git is needed", err)
	}
}

func TestFetchRefusesHostileTrees(t *testing.T) {
	blob := func(o *origin, content string) string { return o.git(content, "hash-object", "-w", "--stdin") }
	for name, tc := range map[string]struct {
		make func(o *origin)
		want string
	}{
		"link out":       {func(o *origin) { o.commit(map[string]string{"dr/x": "->/etc/passwd"}) }, "leads out"},
		"relative link":  {func(o *origin) { o.commit(map[string]string{"dr/x": "->../../../x"}) }, "leads out"},
		"link to itself": {func(o *origin) { o.commit(map[string]string{"dr/x": "->x"}) }, "or nowhere"},
		"links upon links": {func(o *origin) {
			o.commit(map[string]string{"deep/a/s": "->../..", "deep/a/t": "->s/../x"})
		}, "leads out"},
		"parent": {func(o *origin) {
			inner := o.git("100644 blob "+blob(o, "x")+"\tpasswd\n", "mktree")
			o.commitTree("040000 tree " + inner + "\t..")
		}, "no plain path"},
		"git folder": {func(o *origin) {
			inner := o.git("100644 blob "+blob(o, "x")+"\tconfig\n", "mktree")
			o.commitTree("040000 tree " + inner + "\t.Git")
		}, "called .git"},
		"link and folder of one name": {func(o *origin) {
			inner := o.git("100644 blob "+blob(o, "x")+"\tpasswd\n", "mktree")
			o.commitTree("120000 blob "+blob(o, "/tmp")+"\ta", "040000 tree "+inner+"\ta")
		}, "a"},
		"submodule": {func(o *origin) {
			o.commitTree("160000 commit " + strings.Repeat("1", 40) + "\tinner")
		}, "submodules are not fetched"},
		"large file": {func(o *origin) {
			o.commit(map[string]string{"big": strings.Repeat("x", sources.MaxFileSize+1)})
		}, "too large"},
		"one file many times": {func(o *origin) {
			id, tree := blob(o, strings.Repeat("x", 1<<20)), ""
			for i := range 100 {
				tree += fmt.Sprintf("100644 blob %s\tf%d\n", id, i)
			}
			o.commitTree(strings.TrimSpace(tree))
		}, "MiB"},
		"trees of trees": {func(o *origin) {
			entry := "100644 blob " + blob(o, "x")
			for range 12 { // 10 to the power of 12 files
				tree := ""
				for i := range 10 {
					tree += fmt.Sprintf("%s\tf%d\n", entry, i)
				}
				entry = "040000 tree " + o.git(tree, "mktree")
			}
			o.commitTree(entry + "\td")
		}, "more than 10000 files"},
		"deep trees": {func(o *origin) {
			entry := "100644 blob " + blob(o, "x")
			for range 100 {
				entry = "040000 tree " + o.git(entry+"\tf\n", "mktree")
			}
			o.commitTree(entry + "\td")
		}, "deep"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			tc.make(o)
			dir := t.TempDir()
			f := New(dir, os.Environ())
			pin, err := f.Fetch(t.Context(), o.repository("main"), sources.Pin{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v, %v; want %q", pin, err, tc.want)
			}
			if left, _ := os.ReadDir(filepath.Join(dir, ".lvsform", "modules")); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

// Hooks of templates and of the user's configuration do not run, nor do
// transports that run programs.
func TestFetchRunsNothing(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"main.hcl": "x", ".gitattributes": "* filter=evil\n", ".gitmodules": "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% ran\n"})
	ran := filepath.Join(t.TempDir(), "ran")
	template := t.TempDir()
	hook := "#!/bin/sh\necho \"$0\" >>" + ran + "\n"
	if err := os.MkdirAll(filepath.Join(template, "hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"post-checkout", "reference-transaction", "post-index-change"} {
		if err := os.WriteFile(filepath.Join(template, "hooks", name), []byte(hook), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(t.TempDir(), "config")
	text := "[init]\n\ttemplateDir = " + template + "\n[core]\n\thooksPath = " + filepath.Join(template, "hooks") +
		"\n\tfsmonitor = " + filepath.Join(template, "hooks", "post-checkout") +
		"\n[filter \"evil\"]\n\tsmudge = touch " + ran + "\n\tprocess = touch " + ran + "\n[protocol \"ext\"]\n\tallow = always\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	environ := append(os.Environ(), "GIT_CONFIG_GLOBAL="+config, "GIT_DIR="+template, "GIT_TEMPLATE_DIR="+template, "GIT_ALLOW_PROTOCOL=ext")
	f := New(t.TempDir(), environ)
	if _, err := f.Fetch(t.Context(), o.repository("main"), sources.Pin{}); err != nil {
		t.Fatal(err)
	}
	_, err := f.Fetch(t.Context(), sources.Repository{URL: "ext::sh -c touch% " + ran, Ref: "main"}, sources.Pin{})
	if err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("%v, want that the transport is not allowed", err)
	}
	if did, err := os.ReadFile(ran); err == nil {
		t.Errorf("something ran: %s", did)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"main.hcl": "x"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(t.TempDir(), os.Environ()).Fetch(ctx, o.repository("main"), sources.Pin{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}

// A configuration that brings .lvsform as a link must not have files of others
// removed.
func TestFetchTouchesNoLinkedFolder(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"main.hcl": "x"})
	for _, link := range []string{".lvsform", ".lvsform/modules"} {
		dir, other := t.TempDir(), t.TempDir()
		precious := filepath.Join(other, "modules", "mine-0123456789ab")
		if err := os.MkdirAll(precious, 0o755); err != nil {
			t.Fatal(err)
		}
		target := other
		if link != ".lvsform" {
			target = filepath.Join(other, "modules")
			if err := os.Mkdir(filepath.Join(dir, ".lvsform"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		f := New(dir, os.Environ())
		if _, err := f.Fetch(t.Context(), o.repository("main"), sources.Pin{}); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: fetch: %v", link, err)
		}
		if err := f.Prune(sources.Lock{}); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: prune: %v", link, err)
		}
		if _, err := os.Stat(precious); err != nil {
			t.Errorf("%s: %v", link, err)
		}
	}
}

func TestPruneRemovesWhatIsNotPinned(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"main.hcl": "x"})
	o.git("", "tag", "v1")
	dir := t.TempDir()
	f := New(dir, os.Environ())
	keep, err := f.Fetch(t.Context(), o.repository("main"), sources.Pin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(t.Context(), o.repository("v1"), sources.Pin{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".lvsform", "modules", "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.Prune(sources.Lock{Pins: []sources.Pin{keep}}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, ".lvsform", "modules"))
	if err != nil || len(left) != 2 || left[0].Name() != keep.Folder() || left[1].Name() != "mine" {
		t.Errorf("left are %v, %v", left, err)
	}
	if err := New(t.TempDir(), nil).Prune(sources.Lock{}); err != nil {
		t.Errorf("without a folder of modules: %v", err)
	}
}
