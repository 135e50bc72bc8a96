//go:build linux

// Package packages installs packages with the host's own package manager.
package packages

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/state"
)

// System is the part of the host that package managers are found in and run
// by: command.Host, or a recording of one.
type System interface {
	Find(program string) string // its path, or ""
	Run(command.Command) (command.Output, error)
}

// Packages are the packages of a host.
type Packages struct {
	System System
	Root   string              // of the file tree; "" is /
	Sleep  func(time.Duration) // while another program holds the lock; nil is time.Sleep
}

// How long a package manager may take, and how long it may be locked out.
const (
	readTime    = 20 * time.Second
	installTime = 10 * time.Minute
	graceTime   = 30 * time.Second // for dpkg or rpm to end what it is at
	lockTime    = 2 * time.Minute
	lockPause   = 2 * time.Second
)

// ErrNoManager is a host whose package manager is none of the known ones.
var ErrNoManager = errors.New("the host has none of apt-get, dnf, yum, zypper, apk and pacman; " +
	"install its packages by hand and take the package block away")

// Read tells which of the packages are installed. It changes nothing.
func (p Packages) Read(names []string) ([]state.Object, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return nil, nil
	}
	for _, name := range names {
		if !safe(name) {
			return nil, fmt.Errorf("package %q: no name of a package", name)
		}
	}
	m, err := p.manager()
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", strings.Join(names, ", "), err)
	}
	return p.read(m, names)
}

func (p Packages) read(m manager, names []string) ([]state.Object, error) {
	c := command.Command{Path: p.System.Find(m.query), Args: slices.Concat(m.queryArgs, m.names(names)), Timeout: readTime}
	out, err := p.System.Run(c)
	if err != nil {
		return nil, fmt.Errorf("read the installed packages: %w", err)
	}
	there := m.installed(out.Stdout)
	var objects []state.Object
	for _, name := range names {
		if there[m.name(name)] {
			objects = append(objects, state.Package{Name: name})
		}
	}
	// A program that misses a package says so with its status; one that broke
	// says so too, and must not look like a host without packages.
	if out.Code != 0 && !m.missed(out) {
		return nil, fmt.Errorf("read the installed packages: %s ended with %d: %s", m.query, out.Code, out.Said())
	}
	return objects, nil
}

// Apply installs the packages that are created, all at once, and returns how
// many changes were made. None is ever removed, also not to undo: other
// programs may have come to need it.
func (p Packages) Apply(changes []state.Change) (done int, err error) {
	var names []string
	for i, c := range changes {
		if o, ok := c.After.(state.Package); ok {
			if !safe(o.Name) {
				return i, fmt.Errorf("package %q: no name of a package", o.Name)
			}
			names = append(names, o.Name)
		}
	}
	there, err := p.Read(names)
	if err != nil {
		return 0, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(there, state.Object(state.Package{Name: name})) })
	if len(names) == 0 {
		return len(changes), nil
	}
	bad, err := p.install(names)
	if err == nil {
		return len(changes), nil
	}
	return slices.IndexFunc(changes, func(c state.Change) bool { return c.After == state.Object(state.Package{Name: bad}) }), err
}

// install installs packages. On an error it names one that is to blame.
func (p Packages) install(names []string) (bad string, err error) {
	m, err := p.manager()
	if err != nil {
		return names[0], fmt.Errorf("package %s: %w", strings.Join(names, ", "), err)
	}
	out, err := p.patient(m, slices.Concat(m.installArgs, m.names(names)))
	if err == nil && out.Code != 0 && m.refreshArgs != nil && m.stale(out) {
		if _, err = p.patient(m, m.refreshArgs); err == nil {
			out, err = p.patient(m, slices.Concat(m.installArgs, m.names(names)))
		}
	}
	switch {
	case errors.Is(err, command.ErrTimeout):
		return names[0], fmt.Errorf("package %s: %w: the package manager may hang on a question or on the network; run it by hand once",
			strings.Join(names, ", "), err)
	case err != nil:
		return names[0], fmt.Errorf("package %s: %w", strings.Join(names, ", "), err)
	case out.Code != 0 && !slices.Contains(m.successes, out.Code):
		return p.blame(m, names, out)
	}
	there, err := p.read(m, names)
	if err != nil {
		return names[0], err
	}
	for _, name := range names {
		if !slices.Contains(there, state.Object(state.Package{Name: name})) {
			return name, fmt.Errorf("package %s: %s found nothing wrong and did not install it: it may be another name for a package; write the package's own",
				name, m.program)
		}
	}
	return "", nil
}

// blame explains a failed installation.
func (p Packages) blame(m manager, names []string, out command.Output) (bad string, err error) {
	if m.locked(out) {
		return names[0], fmt.Errorf("package %s: another program has held the lock of %s for %s: let it finish, then apply again (%s)",
			strings.Join(names, ", "), m.program, lockTime, out.Said())
	}
	for _, name := range names {
		for _, words := range m.unknown {
			if strings.Contains(out.Stdout+"\n"+out.Stderr, fmt.Sprintf(words, m.name(name))) {
				return name, fmt.Errorf("package %s: %s knows none of that name: check the spelling and the host's package sources (%s)",
					name, m.program, out.Said())
			}
		}
	}
	return names[0], fmt.Errorf("package %s: %s ended with %d: %s", strings.Join(names, ", "), m.program, out.Code, out.Said())
}

// patient runs a package manager, again and again while another one is at work.
func (p Packages) patient(m manager, args []string) (command.Output, error) {
	sleep := p.Sleep
	if sleep == nil {
		sleep = time.Sleep
	}
	c := command.Command{Path: p.System.Find(m.program), Args: args, Env: m.env, Timeout: installTime, Grace: graceTime}
	for waited := time.Duration(0); ; waited += lockPause {
		out, err := p.System.Run(c)
		if err != nil || out.Code == 0 || !m.locked(out) || waited >= lockTime {
			return out, err
		}
		sleep(lockPause)
	}
}

// manager is the one of the distribution, or else the first that is there.
func (p Packages) manager() (manager, error) {
	text, err := os.ReadFile(filepath.Join("/", p.Root, "etc/os-release"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return manager{}, err
	}
	ids := families(string(text))
	for _, id := range ids {
		for _, m := range managers() {
			if slices.Contains(m.families, id) && p.has(m) {
				return m, nil
			}
		}
	}
	for _, m := range managers() {
		if p.has(m) {
			return m, nil
		}
	}
	return manager{}, ErrNoManager
}

func (p Packages) has(m manager) bool {
	return p.System.Find(m.program) != "" && p.System.Find(m.query) != ""
}

// families are the values of ID and ID_LIKE of os-release(5), the nearest first.
func families(osRelease string) []string {
	var id, like []string
	for line := range strings.Lines(osRelease) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch name {
		case "ID":
			id = strings.Fields(value)
		case "ID_LIKE":
			like = strings.Fields(value)
		}
	}
	return append(id, like...)
}

// safe tells whether a name is one: it becomes an argument. A trailing - would
// have apt-get remove the package.
func safe(name string) bool {
	alnum := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' }
	return name != "" && len(name) <= 128 && alnum(rune(name[0])) && name[len(name)-1] != '-' &&
		!strings.ContainsFunc(name, func(r rune) bool { return !alnum(r) && !strings.ContainsRune("+-._", r) })
}
