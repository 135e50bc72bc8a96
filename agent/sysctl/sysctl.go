//go:build linux

// Package sysctl reads and writes kernel parameters of the current namespaces.
package sysctl

import (
	"errors"
	"fmt"
	"io"
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
	body, err := readFile(path)
	if err != nil {
		return "", fmt.Errorf("sysctl %s: %w", name, err)
	}
	return normal(string(body)), nil
}

// readFile reads a file of /proc/sys. Package os would have the kernel tell when
// the parameter changes, and be told so at once: that costs more than the reading.
func readFile(path string) ([]byte, error) {
	fd, err := open(path, syscall.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd) //nolint:errcheck // it was only read
	body, part := []byte(nil), make([]byte, 512)
	for {
		switch n, err := syscall.Read(fd, part); {
		case err == syscall.EINTR:
		case err != nil || n <= 0:
			return body, err
		default:
			body = append(body, part[:n]...)
		}
	}
}

func open(path string, how int) (fd int, err error) {
	for {
		if fd, err = syscall.Open(path, how|syscall.O_CLOEXEC, 0); err != syscall.EINTR {
			return fd, err
		}
	}
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
	fd, err := open(path, syscall.O_WRONLY)
	if err == nil {
		for rest := []byte(value + "\n"); err == nil && len(rest) > 0; {
			n := 0
			switch n, err = syscall.Write(fd, rest); {
			case err == syscall.EINTR:
				err = nil
			case err == nil && n <= 0:
				err = io.ErrUnexpectedEOF
			case err == nil:
				rest = rest[n:]
			}
		}
		err = errors.Join(err, syscall.Close(fd))
	}
	if errors.Is(err, syscall.EINVAL) {
		// The value may be sensitive, and the host logs what goes wrong.
		return fmt.Errorf("sysctl %s: the kernel refuses the value: %w", name, err)
	}
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", name, err)
	}
	return nil
}
