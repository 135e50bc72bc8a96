//go:build linux

// Package service reads and sets the services of the host's init system.
package service

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

// System is the part of the host that init systems are spoken to with:
// command.Host, or a recording of one.
type System interface {
	Find(program string) string // its path, or ""
	Run(command.Command) (command.Output, error)
}

// Services are the services of a host.
type Services struct {
	System System
	Root   string // of the file tree; "" is /
	// Supervise starts a supervisor of a service that outlives the session; nil:
	// nothing is supervised.
	Supervise func(name string) error
}

// How long a service may take to say how it is, and to start or stop.
const (
	readTime   = 20 * time.Second
	changeTime = 100 * time.Second // systemd itself gives up after 90 s
)

// ErrNoInit is a host on which nothing starts services.
var ErrNoInit = errors.New("the host runs neither systemd nor OpenRC and has no /etc/init.d; take the service block away")

// ErrUnknown is a service that the host does not have.
var ErrUnknown = errors.New("the host has no service of that name: install its package (a package block does), or correct the name")

// initSystem is one init system. A service that does not exist is no unit.
type initSystem interface {
	read(names []string) ([]state.Unit, error)
	run(name string, running bool) error
	enable(name string, enabled bool) error
	// reload has a running service read its configuration again.
	reload(name string) error
}

// Read tells how the services are. It starts none and changes nothing.
func (s Services) Read(names []string) ([]state.Object, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return nil, nil
	}
	units, err := s.read(names)
	if err != nil {
		return nil, err
	}
	var out []state.Object
	for _, u := range units {
		out = append(out, u)
	}
	return out, nil
}

func (s Services) read(names []string) ([]state.Unit, error) {
	for _, name := range names {
		if !safe(name) {
			return nil, fmt.Errorf("service %q: no name of a service", name)
		}
	}
	var units []state.Unit
	for _, some := range s.split(names) {
		i, err := s.init(some[0])
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", strings.Join(some, ", "), err)
		}
		read, err := i.read(some)
		if err != nil {
			return nil, err
		}
		units = append(units, read...)
	}
	return units, nil
}

// split separates names that init systems of two kinds look after.
func (s Services) split(names []string) [][]string {
	var ours, theirs []string
	for _, name := range names {
		if s.supervises(name) {
			ours = append(ours, name)
		} else {
			theirs = append(theirs, name)
		}
	}
	return slices.DeleteFunc([][]string{ours, theirs}, func(n []string) bool { return len(n) == 0 })
}

// Running tells whether a service runs. One that does not exist does not.
func (s Services) Running(name string) (bool, error) {
	units, err := s.read([]string{name})
	return len(units) > 0 && units[0].Running.Value, err
}

// Reload has a running service read its configuration again, and waits for the
// end of that where the init system knows of it.
func (s Services) Reload(name string) error {
	i, err := s.init(name)
	if err != nil {
		return fmt.Errorf("service %s: %w", name, err)
	}
	return explain(name, i.reload(name))
}

// Apply starts, stops, enables and disables services and returns how many
// changes were made. A service is never created or removed: its package is.
func (s Services) Apply(changes []state.Change) (done int, err error) {
	for n, c := range changes {
		want, ok := c.After.(state.Unit)
		if !ok {
			continue
		}
		if err := s.set(want); err != nil {
			return n, err
		}
	}
	return len(changes), nil
}

// set brings a service from how it is now to what is wanted.
func (s Services) set(want state.Unit) error {
	have, err := s.read([]string{want.Name})
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return fmt.Errorf("service %s: %w", want.Name, ErrUnknown)
	}
	i, err := s.init(want.Name)
	if err != nil {
		return err
	}
	if want.Enabled.Set && want.Enabled != have[0].Enabled {
		if err := explain(want.Name, i.enable(want.Name, want.Enabled.Value)); err != nil {
			return err
		}
	}
	if want.Running.Set && want.Running != have[0].Running {
		return explain(want.Name, i.run(want.Name, want.Running.Value))
	}
	return nil
}

func explain(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, command.ErrTimeout):
		return fmt.Errorf("service %s: %w: its script or program hangs; look at it by hand", name, err)
	}
	return fmt.Errorf("service %s: %w", name, err)
}

// init is the init system that runs this host, or that runs this service.
func (s Services) init(name string) (initSystem, error) {
	switch {
	case s.supervises(name):
		return supervised{s}, nil
	case s.systemd():
		return systemd{s}, nil
	case s.openRC():
		return openRC{s}, nil
	case s.there("etc/init.d"):
		return sysV{s}, nil
	}
	return nil, ErrNoInit
}

func (s Services) systemd() bool {
	return s.there("run/systemd/system") && s.System.Find("systemctl") != ""
}

func (s Services) openRC() bool {
	return s.there("run/openrc") && s.System.Find("rc-service") != "" && s.System.Find("rc-update") != ""
}

// sysV tells whether somebody runs the scripts in /etc/init.d: a container has
// them too, from its packages, and may call its first process init.
func (s Services) sysV() bool {
	comm, err := os.ReadFile(s.path("proc/1/comm"))
	return s.there("etc/init.d") && err == nil && strings.TrimSpace(string(comm)) == "init" &&
		(s.there("etc/inittab") || s.there("run/initctl") || s.there("dev/initctl"))
}

func (s Services) path(name string) string { return filepath.Join("/", s.Root, name) }

func (s Services) there(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// ask runs a program that only looks, whatever its exit status.
func (s Services) ask(program string, args ...string) (command.Output, error) {
	return s.System.Run(command.Command{Path: s.program(program), Args: args, Timeout: readTime})
}

// do runs a program that has to succeed.
func (s Services) do(program string, args ...string) error {
	c := command.Command{Path: s.program(program), Args: args, Timeout: changeTime}
	out, err := s.System.Run(c)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("%s ended with %d: %s", c, out.Code, out.Said())
	}
	return err
}

func (s Services) program(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return s.System.Find(name)
}

// safe tells whether a name is one: it becomes an argument and part of a path.
func safe(name string) bool {
	alnum := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' }
	return name != "" && len(name) <= 200 && (alnum(rune(name[0])) || name[0] == '_') &&
		!strings.ContainsFunc(name, func(r rune) bool { return !alnum(r) && !strings.ContainsRune("+-._@:", r) })
}

func verbOf(on bool, yes, no string) string {
	if on {
		return yes
	}
	return no
}
