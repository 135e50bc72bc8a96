package architecture

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	flagName    = regexp.MustCompile(`--([a-z][a-z-]+)`)
	commandName = regexp.MustCompile(`(?m)^  ([a-z]+) +[A-Z]`)
)

// The pages name every command and flag that the CLI has, and no other.
func TestCommandLineIsDocumented(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "lvsform")
	if out, err := exec.Command("go", "build", "-o", binary, root+"/cmd/lvsform").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	has := map[string]bool{}
	for _, command := range commands(t, binary, nil) {
		for _, m := range flagName.FindAllStringSubmatch(help(t, binary, command), -1) {
			has[m[1]] = true
		}
		if command[0] != "help" && !strings.Contains(read(t, root+"/docs/cli.md")+read(t, root+"/docs/lab.md"), strings.Join(command, " ")) {
			t.Errorf("lvsform %s is not in docs", strings.Join(command, " "))
		}
	}
	documented := map[string]bool{"help": true}
	for _, page := range []string{"README.md", "docs/cli.md", "docs/ci.md", "docs/lab.md", "docs/language.md", "docs/how-it-works.md", "docs/modules.md"} {
		for _, m := range flagName.FindAllStringSubmatch(read(t, root+"/"+page), -1) {
			documented[m[1]] = true
			if !has[m[1]] {
				t.Errorf("%s names --%s, which no command has", page, m[1])
			}
		}
	}
	for name := range has {
		if !documented[name] {
			t.Errorf("--%s is not in docs/cli.md", name)
		}
	}
}

// commands are the commands of the CLI and what stands below them; completion's
// are cobra's own.
func commands(t *testing.T, binary string, parent []string) [][]string {
	t.Helper()
	_, list, ok := strings.Cut(help(t, binary, parent), "Available Commands:")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, "\nFlags:")
	var out [][]string
	for _, m := range commandName.FindAllStringSubmatch(list, -1) {
		command := append(slices.Clone(parent), m[1])
		out = append(out, command)
		if m[1] != "completion" {
			out = append(out, commands(t, binary, command)...)
		}
	}
	return out
}

func help(t *testing.T, binary string, command []string) string {
	t.Helper()
	out, err := exec.Command(binary, append(slices.Clone(command), "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("lvsform %s --help: %v: %s", strings.Join(command, " "), err, out)
	}
	return string(out)
}
