package hcl

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/sources"
)

// fetched lays out a configuration as lvsform init leaves it: the files of
// repositories by their source, pinned in the lock.
func fetched(t *testing.T, main string, repositories map[string]map[string]string) (dir string, lock sources.Lock) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte(main))
	for source, files := range repositories {
		g, why := sources.ParseGit(source)
		if why != "" {
			t.Fatal(why)
		}
		tree := filepath.Join(dir, sources.Modules, g.Repository().Folder())
		for name, content := range files {
			if target, link := strings.CutPrefix(content, "->"); link {
				at := filepath.Join(tree, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(target, at)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			writeFile(t, filepath.Join(tree, name), []byte(content))
		}
		sum, err := sources.Examine(tree)
		if err != nil {
			sum = "sha256:" + strings.Repeat("0", 64)
		}
		lock.Pins = append(lock.Pins, sources.Pin{Repository: g.Repository(), Commit: strings.Repeat("a", 40), Checksum: sum})
	}
	writeFile(t, filepath.Join(dir, sources.LockFile), lock.Format())
	return dir, lock
}

const lvs = "git::https://example.net/lvs.git?ref=v1"

func TestLoadUsesModulesFromGit(t *testing.T) {
	dir, lock := fetched(t, root(`
module "site" { source = "git::https://example.net/lvs.git//site?ref=v1" }
module "again" { source = "git::https://example.net/lvs.git//a/b?ref=v1" }
module "root" { source = "git::https://example.net/lvs.git?ref=v1" }
output "path" { value = module.site.path }
output "text" { value = module.site.text }
output "base" { value = [module.site.base, module.again.base, module.root.base] }
`), map[string]map[string]string{
		lvs: {
			"site/main.hcl": `
module "b" { source = "../a/b" }
output "path" { value = path.module }
output "text" { value = file("${path.module}/text") }
output "base" { value = module.b.base }`,
			"site/text":    "hello",
			"a/b/main.hcl": "module \"base\" { source = \"git::ssh://git@example.org/base?ref=main\" }\noutput \"base\" { value = module.base.x }",
			"main.hcl":     "module \"b\" { source = \"./a/b\" }\noutput \"base\" { value = module.b.base }",
		},
		"git::ssh://git@example.org/base?ref=main": {"main.hcl": "output \"x\" { value = 7 }"},
	})
	top, diags := Load(Options{Dir: dir})
	if len(diags) > 0 {
		t.Fatalf("%+v", diags)
	}
	got := map[string]string{}
	for _, o := range top.Outputs {
		got[o.Name] = strings.ReplaceAll(string(o.Value), repositoryOf(t, lvs).Folder(), "FOLDER")
	}
	// Files are named relative to the root of the configuration.
	want := map[string]string{"base": "[7,7,7]", "path": `"./.lvsform/modules/FOLDER/site"`, "text": `"hello"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the outputs differ (-want +got):\n%s", diff)
	}
	modules, diags := GitModules(Options{Dir: dir}, lock)
	if len(diags) > 0 || len(modules) != 4 {
		t.Errorf("GitModules = %+v, %v; want the calls at four places", modules, diags)
	}
}

func repositoryOf(t *testing.T, source string) sources.Repository {
	t.Helper()
	g, why := sources.ParseGit(source)
	if why != "" {
		t.Fatal(why)
	}
	return g.Repository()
}

func TestLoadRefusesModulesFromGit(t *testing.T) {
	call := root(`module "m" { source = "git::https://example.net/lvs.git//site?ref=v1" }`)
	site := map[string]string{"site/main.hcl": "locals {}"}
	for name, tc := range map[string]struct {
		main   string
		files  map[string]string
		damage func(t *testing.T, dir, tree string)
		want   string
	}{
		"not in the lock":  {call, site, func(t *testing.T, dir, _ string) { remove(t, filepath.Join(dir, sources.LockFile)) }, "not fetched"},
		"not there":        {call, site, func(t *testing.T, _, tree string) { remove(t, tree) }, "not fetched"},
		"changed":          {call, site, func(t *testing.T, _, tree string) { writeFile(t, filepath.Join(tree, "site/main.hcl"), nil) }, "differs from the lock"},
		"with a file more": {call, site, func(t *testing.T, _, tree string) { writeFile(t, filepath.Join(tree, ".x"), nil) }, "differs from the lock"},
		"a link out": {call, site, func(t *testing.T, _, tree string) {
			if err := os.Symlink("/etc", filepath.Join(tree, "etc")); err != nil {
				t.Fatal(err)
			}
		}, "cannot be used"},
		"a broken lock": {call, site, func(t *testing.T, dir, _ string) {
			writeFile(t, filepath.Join(dir, sources.LockFile), []byte("module {"))
		}, "Unclosed configuration block"},
		"a strange lock": {call, site, func(t *testing.T, dir, _ string) {
			writeFile(t, filepath.Join(dir, sources.LockFile), []byte("module {\n source = \"../../etc\"\n ref = \"v1\"\n commit = 1\n checksum = null\n}"))
		}, "Invalid lock"},
		"no such directory":  {root(`module "m" { source = "git::https://example.net/lvs.git//sites?ref=v1" }`), site, nil, "No such module"},
		"a file":             {root(`module "m" { source = "git::https://example.net/lvs.git//site/main.hcl?ref=v1" }`), site, nil, "No such module"},
		"without a ref":      {root(`module "m" { source = "git::https://example.net/lvs.git//site" }`), site, nil, "Invalid source"},
		"up and out":         {call, map[string]string{"site/main.hcl": `module "x" { source = "../../other" }`}, nil, "leaves its repository"},
		"up to the modules":  {call, map[string]string{"site/main.hcl": `module "x" { source = "../.." }`}, nil, "leaves its repository"},
		"up and in again":    {call, map[string]string{"site/main.hcl": `module "x" { source = "../../` + repositoryOf(t, lvs).Folder() + `/site" }`}, nil, "leaves its repository"},
		"a NUL":              {call, map[string]string{"site/main.hcl": `module "x" { source = "./x\u0000" }`}, nil, "leaves its repository"},
		"itself":             {call, map[string]string{"site/main.hcl": `module "x" { source = "git::https://example.net/lvs.git//site?ref=v1" }`}, nil, "Module includes itself"},
		"itself by a link":   {call, map[string]string{"site/main.hcl": `module "x" { source = "./self" }`, "site/self": "->."}, nil, "Module includes itself"},
		"an absolute source": {call, map[string]string{"site/main.hcl": `module "x" { source = "/etc" }`}, nil, "Invalid source"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := fetched(t, tc.main, map[string]map[string]string{lvs: tc.files})
			if tc.damage != nil {
				tc.damage(t, dir, filepath.Join(dir, sources.Modules, repositoryOf(t, lvs).Folder()))
			}
			_, diags := Load(Options{Dir: dir})
			wantError(t, diags, tc.want)
			for _, d := range diags {
				if d.Range == nil || d.Source == "" && d.Range.File != sources.LockFile {
					t.Errorf("a message without a place: %+v", d)
				}
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func TestReadLockReadsWhatFormatWrites(t *testing.T) {
	want := sources.Lock{Pins: []sources.Pin{
		{Repository: sources.Repository{URL: "file:///srv/a${b}\"d.git", Ref: "v1"}, Commit: strings.Repeat("0", 40), Checksum: "sha256:" + strings.Repeat("1", 64)},
		{Repository: sources.Repository{URL: "https://example.net/a.git", Ref: "feature/x+y@z"}, Commit: strings.Repeat("a", 40), Checksum: "sha256:" + strings.Repeat("b", 64)},
	}}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, sources.LockFile), want.Format())
	got, diags := ReadLock(dir)
	if diff := cmp.Diff(want, got); diff != "" || len(diags) > 0 {
		t.Errorf("the lock differs (-want +got):\n%s%+v", diff, diags)
	}
	if formatted, diags := Format(sources.LockFile, want.Format()); string(formatted) != string(want.Format()) || len(diags) > 0 {
		t.Errorf("lvsform fmt would write it otherwise:\n%s%+v", formatted, diags)
	}
	twice := append(want.Format(), want.Format()...)
	writeFile(t, filepath.Join(dir, sources.LockFile), twice)
	_, diags = ReadLock(dir)
	wantError(t, diags, "Invalid lock")
	if got, diags := ReadLock(t.TempDir()); len(got.Pins) > 0 || len(diags) > 0 {
		t.Errorf("without a file: %+v, %v", got, diags)
	}
}
