//go:build linux

package service

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

type openRC struct{ Services }

func (i openRC) read(names []string) ([]state.Unit, error) {
	levels, err := i.levels()
	if err != nil {
		return nil, err
	}
	var units []state.Unit
	for _, name := range names {
		exists, err := i.ask("rc-service", "--exists", name)
		if err != nil {
			return nil, explain(name, err)
		}
		if exists.Code != 0 {
			continue
		}
		out, err := i.ask("rc-service", name, "status")
		if err != nil {
			return nil, explain(name, err)
		}
		up, err := startedOpenRC(name, out.Code, out.Said())
		if err != nil {
			return nil, err
		}
		units = append(units, state.Unit{Name: name, Running: state.Some(up), Enabled: state.Some(len(levels[name]) > 0)})
	}
	return units, nil
}

// startedOpenRC reads the exit status of `rc-service NAME status`: the service
// states of OpenRC's rc.h.
func startedOpenRC(name string, code int, said string) (bool, error) {
	switch code {
	case 0:
		return true, nil
	case 3, 4, 8, 16, 32: // stopped, stopping, starting, inactive, crashed
		return false, nil
	}
	return false, fmt.Errorf("service %s: its status cannot be read: rc-service ended with %d: %s", name, code, said)
}

// levels are the runlevels of every service: "  sshd | default".
func (i openRC) levels() (map[string][]string, error) {
	out, err := i.ask("rc-update", "show")
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("rc-update show ended with %d: %s", out.Code, out.Said())
	}
	if err != nil {
		return nil, err
	}
	levels := map[string][]string{}
	for line := range strings.Lines(out.Stdout) {
		if name, in, ok := strings.Cut(line, "|"); ok {
			levels[strings.TrimSpace(name)] = strings.Fields(in)
		}
	}
	return levels, nil
}

func (i openRC) run(name string, on bool) error {
	return i.do("rc-service", name, verbOf(on, "start", "stop"))
}

// enable adds to the runlevel default and takes from it. A service of another
// runlevel is left there: nothing would know where to put it back.
func (i openRC) enable(name string, on bool) error {
	if on {
		return i.do("rc-update", "add", name, "default")
	}
	levels, err := i.levels()
	if err != nil {
		return err
	}
	if others := slices.DeleteFunc(levels[name], func(l string) bool { return l == "default" }); len(others) > 0 {
		return fmt.Errorf("it belongs to the runlevel %s, not to default alone: take it out by hand with rc-update del", strings.Join(others, ", "))
	}
	return i.do("rc-update", "del", name, "default")
}

func (i openRC) reload(name string) error { return i.do("rc-service", name, "reload") }
