//go:build linux

// Package module loads kernel modules.
package module

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Read tells which of the modules are there, loaded or built in, and which can
// be found nowhere on this host. It loads none.
func Read(names []string) (there []state.Object, missing []string, err error) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return nil, nil, nil
	}
	loaded, err := loadedModules()
	if err != nil {
		return nil, nil, err
	}
	builtin := listed(treeFile("modules.builtin"))
	loadable, haveTree := map[string]bool{}, false
	if tree := treeFile("modules.dep"); tree != "" {
		loadable, haveTree = listed(tree), true
	}
	for _, name := range names {
		switch {
		case loaded[name] || builtin[name] || running(name):
			there = append(there, state.Module{Name: name, Parameters: loadedWith(name)})
		case loadable[name]:
		case haveTree || !modprobeKnows(name):
			missing = append(missing, name)
		}
	}
	return there, missing, nil
}

// loadedModules are those of /proc/modules; a kernel without modules has no
// such file.
func loadedModules() (map[string]bool, error) {
	f, err := os.Open("/proc/modules")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	defer f.Close()
	out := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// name size uses users state address; a module that is still coming
		// or already going is not there.
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && fields[4] == "Live" {
			out[fields[0]] = true
		}
	}
	return out, lines.Err()
}

// running tells whether code that is built in shows itself.
func running(name string) bool {
	if name == "ip_vs" {
		// It belongs to the network namespace of the thread.
		if _, err := os.Stat("/proc/thread-self/net/ip_vs"); err == nil {
			return true
		}
	}
	// Loaded modules have a state there, built-in ones at most parameters.
	dir := filepath.Join("/sys/module", name)
	if !safe(name) {
		return false
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "initstate"))
	return errors.Is(err, fs.ErrNotExist)
}

// safe tells whether a name is one: it becomes part of paths and of modprobe's
// arguments.
func safe(name string) bool {
	return name != "" && name[0] != '-' && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
}

// treeFile finds a file of the running kernel's module tree, or "".
func treeFile(name string) string {
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return ""
	}
	release := unix.ByteSliceToString(uts.Release[:])
	for _, root := range []string{"/lib/modules", "/usr/lib/modules", "/run/booted-system/kernel-modules/lib/modules"} {
		file := filepath.Join(root, release, name)
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// listed are the modules that a file of the module tree names, one a line:
// kernel/net/netfilter/ipvs/ip_vs.ko.xz: …
func listed(file string) map[string]bool {
	out := map[string]bool{}
	body, err := os.ReadFile(file)
	if err != nil {
		return out
	}
	for line := range bytes.Lines(body) {
		name, _, _ := strings.Cut(string(line), ":")
		name, _, _ = strings.Cut(path.Base(strings.TrimSpace(name)), ".ko")
		out[strings.ReplaceAll(name, "-", "_")] = true
	}
	return out
}

// modprobe finds the program: a session over SSH often has no sbin in its PATH.
func modprobe() (string, error) {
	for _, p := range []string{"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe", "/usr/bin/modprobe",
		"/run/current-system/sw/bin/modprobe"} {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return p, nil
		}
	}
	return "", errors.New("no modprobe in /sbin or /usr/sbin: install kmod")
}

// modprobeKnows asks modprobe whether it would find the module.
func modprobeKnows(name string) bool {
	program, err := modprobe()
	return err == nil && safe(name) && exec.Command(program, "-n", "-q", name).Run() == nil
}

// compared is the parameter that a host's ip_vs is compared by.
const compared = "conn_tab_bits"

// loadedWith are the parameters of a module that can be declared, as it has
// them.
func loadedWith(name string) string {
	if name != "ip_vs" {
		return ""
	}
	value, err := os.ReadFile("/sys/module/ip_vs/parameters/" + compared)
	if err != nil {
		return ""
	}
	return compared + "=" + strings.TrimSpace(string(value))
}

// Apply loads the modules that are created and returns how many changes were
// made. A module is never unloaded: others may use it.
func Apply(changes []state.Change) (done int, err error) {
	for i, c := range changes {
		m, ok := c.After.(state.Module)
		if !ok {
			continue
		}
		if err := load(m); err != nil {
			return i, err
		}
	}
	return len(changes), nil
}

// defaults keep a module from making links that nobody asked for.
func defaults(name string) []string {
	if name == "dummy" {
		return []string{"numdummies=0"}
	}
	return nil
}

// Load loads a module that is not there yet.
func Load(name string) error { return load(state.Module{Name: name}) }

func load(m state.Module) error {
	there, _, err := Read([]string{m.Name})
	if err != nil || len(there) > 0 {
		return err
	}
	if !safe(m.Name) {
		return fmt.Errorf("module %q: no name of a module", m.Name)
	}
	parameters := strings.Fields(m.Parameters)
	for _, p := range parameters {
		if name, value, ok := strings.Cut(p, "="); !ok || !safe(name) || !safe(value) {
			return fmt.Errorf("module %s: %q is no parameter: write NAME=VALUE", m.Name, p)
		}
	}
	program, err := modprobe()
	if err != nil {
		return fmt.Errorf("module %s is not loaded: %w", m.Name, err)
	}
	arguments := slices.Concat([]string{m.Name}, defaults(m.Name), parameters)
	cmd := exec.Command(program, arguments...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &text
	if err := cmd.Run(); err != nil {
		said := strings.Join(strings.Fields(text.String()), " ")
		return fmt.Errorf("module %s cannot be loaded: %w: %s", m.Name, err, said)
	}
	if there, _, err = Read([]string{m.Name}); err != nil || len(there) > 0 {
		return err
	}
	return fmt.Errorf("module %s is not there although modprobe found nothing wrong: look for an install or blacklist "+
		"line in /etc/modprobe.d", m.Name)
}

// Running tells whether a module is there, loaded or built in, at the cost of a
// look at two files. It is not known where the running kernel's tree of modules
// cannot be found; there is none to load then either.
func Running(name string) (there, known bool) {
	if _, err := os.Stat(filepath.Join("/sys/module", name)); err == nil {
		return true, true
	}
	if listed(treeFile("modules.builtin"))[name] {
		return true, true
	}
	return false, treeFile("modules.dep") != ""
}
