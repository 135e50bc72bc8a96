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
			there = append(there, state.Module{Name: name})
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

// Apply loads the modules that are created and returns how many changes were
// made. A module is never unloaded: others may use it.
func Apply(changes []state.Change) (done int, err error) {
	for i, c := range changes {
		m, ok := c.After.(state.Module)
		if !ok {
			continue
		}
		if err := Load(m.Name); err != nil {
			return i, err
		}
	}
	return len(changes), nil
}

// parameters keep a module from making links that nobody asked for.
func parameters(name string) []string {
	if name == "dummy" {
		return []string{"numdummies=0"}
	}
	return nil
}

// Load loads a module that is not there yet.
func Load(name string) error {
	there, _, err := Read([]string{name})
	if err != nil || len(there) > 0 {
		return err
	}
	if !safe(name) {
		return fmt.Errorf("module %q: no name of a module", name)
	}
	program, err := modprobe()
	if err != nil {
		return fmt.Errorf("module %s is not loaded: %w", name, err)
	}
	cmd := exec.Command(program, append([]string{name}, parameters(name)...)...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &text
	if err := cmd.Run(); err != nil {
		said := strings.Join(strings.Fields(text.String()), " ")
		return fmt.Errorf("module %s cannot be loaded: %w: %s", name, err, said)
	}
	if there, _, err = Read([]string{name}); err != nil || len(there) > 0 {
		return err
	}
	return fmt.Errorf("module %s is not there although modprobe found nothing wrong: look for an install or blacklist "+
		"line in /etc/modprobe.d", name)
}
