// Package prepare copies an example, with its modules, to a folder of its own.
package prepare

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The repository that examples name in their sources, and the tag there.
const (
	repository = "https://git.example.net/lvs/modules.git"
	tag        = "v1.0.0"
)

// Example copies the example in from to the folder to. What its subfolders hold
// becomes the repository that the example's sources name, in the folder origin,
// and the lvsform at path cli fetches its modules from there.
func Example(from, to, origin, cli string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.hcl"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), text, 0o644); err != nil {
			return err
		}
	}
	folders, err := filepath.Glob(filepath.Join(from, "*", "main.hcl"))
	if err != nil {
		return err
	}
	for _, file := range folders {
		dir := filepath.Dir(file)
		if err := os.CopyFS(filepath.Join(origin, filepath.Base(dir)), os.DirFS(dir)); err != nil {
			return err
		}
	}
	author := []string{"-c", "user.name=Example", "-c", "user.email=example@example.net", "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-qm", "Modules"}, {"tag", tag}} {
		if err := run(origin, nil, "git", append(author, args...)...); err != nil {
			return err
		}
	}
	// git takes the folder wherever it would take the repository.
	instead := []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://" + origin + ".insteadOf", "GIT_CONFIG_VALUE_0=" + repository}
	return run(to, instead, cli, "init")
}

func run(dir string, environ []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
