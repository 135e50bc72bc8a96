//go:build linux

// Package sysctl reads and writes kernel parameters of the current namespaces.
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/lvsform/lvsform/state"
)

const root = "/proc/sys"

// Read reads the parameters of those names, sorted, each once. A name that does
// not exist is left out. A * stands for one whole part of a name; what such a
// pattern finds and cannot be read is left out too.
func Read(names []string) ([]state.Object, error) {
	var out []state.Object
	names = slices.Clone(names)
	slices.Sort(names)
	seen := map[string]bool{}
	for _, pattern := range slices.Compact(names) {
		found, err := expand(pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			if seen[name] {
				continue
			}
			seen[name] = true
			value, err := read(name)
			if errors.Is(err, fs.ErrNotExist) || err != nil && name != pattern {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, state.Sysctl{Name: name, Value: value})
		}
	}
	slices.SortStableFunc(out, func(a, b state.Object) int {
		return strings.Compare(a.(state.Sysctl).Name, b.(state.Sysctl).Name)
	})
	return out, nil
}

// expand lists the names that a pattern stands for.
func expand(pattern string) ([]string, error) {
	if !strings.Contains(pattern, "*") {
		return []string{pattern}, nil
	}
	path, err := pathOf(pattern)
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("sysctl %s: %w", pattern, err)
	}
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o200 != 0 {
			names = append(names, swap(strings.TrimPrefix(p, root+"/")))
		}
	}
	return names, nil
}

// pathOf is the file of a parameter.
func pathOf(name string) (string, error) {
	path := swap(name)
	for _, part := range strings.Split(path, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\x00[]?\\") {
			return "", fmt.Errorf("sysctl %q: no name of a kernel parameter", name)
		}
	}
	return filepath.Join(root, path), nil
}

// swap exchanges dots and slashes: the two ways to write a name.
func swap(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

func read(name string) (string, error) {
	path, err := pathOf(name)
	if err != nil {
		return "", err
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("sysctl %s: %w", name, cause(err))
	}
	return normal(string(body)), nil
}

// normal separates the fields of a value by one space.
func normal(value string) string { return strings.Join(strings.Fields(value), " ") }

// Apply makes the changes in order and returns how many were made. Deleting a
// parameter leaves it at its value: the kernel has no such thing.
func Apply(changes []state.Change) (done int, err error) {
	for i, c := range changes {
		s, ok := c.After.(state.Sysctl)
		if !ok {
			continue
		}
		if err := set(s); err != nil {
			return i, err
		}
	}
	return len(changes), nil
}

func set(s state.Sysctl) error {
	beside, err := Read(resetBy(s.Name))
	if err != nil {
		return err
	}
	if err := write(s.Name, s.Value); err != nil {
		return err
	}
	for _, o := range beside {
		was := o.(state.Sysctl)
		now, err := read(was.Name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && now == was.Value {
			continue
		}
		if err != nil {
			return err
		}
		if err := write(was.Name, was.Value); err != nil {
			return err
		}
	}
	return nil
}

// resetBy are the parameters that the kernel sets when another is written and
// that are not part of its meaning: turning IPv4 forwarding on or off sets
// accept_redirects to the opposite. That it sets forwarding on every interface
// is what it is for.
func resetBy(name string) []string {
	switch name {
	case "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding":
		return []string{"net.ipv4.conf.*.accept_redirects"}
	}
	return nil
}

func write(name, value string) error {
	path, err := pathOf(name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value + "\n")
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, syscall.EINVAL) {
		// The value may be sensitive, and the host logs what goes wrong.
		return fmt.Errorf("sysctl %s: the kernel refuses the value: %w", name, cause(err))
	}
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", name, cause(err))
	}
	return nil
}

// cause leaves the path out: the name says the same.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
