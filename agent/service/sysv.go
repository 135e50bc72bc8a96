//go:build linux

package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lvsform/lvsform/state"
)

type sysV struct{ Services }

func (i sysV) script(name string) string { return i.path("etc/init.d/" + name) }

func (i sysV) read(names []string) ([]state.Unit, error) {
	var units []state.Unit
	for _, name := range names {
		info, err := os.Stat(i.script(name))
		if errors.Is(err, os.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		out, err := i.ask(i.script(name), "status")
		if err != nil {
			return nil, explain(name, err)
		}
		// The exit status is that of the LSB: 0 is running, 1 and 2 are dead
		// with a pid or lock file left, 3 is stopped.
		if out.Code > 3 {
			return nil, fmt.Errorf("service %s: its status cannot be read: %s status ended with %d: %s", name, i.script(name), out.Code, out.Said())
		}
		enabled, err := i.enabled(name)
		if err != nil {
			return nil, err
		}
		units = append(units, state.Unit{Name: name, Running: state.Some(out.Code == 0), Enabled: state.Some(enabled)})
	}
	return units, nil
}

// runlevels are the folders of links to the scripts that start at boot.
var runlevels = []string{"etc/rcS.d", "etc/rc2.d", "etc/rc3.d", "etc/rc4.d", "etc/rc5.d",
	"etc/rc.d/rc2.d", "etc/rc.d/rc3.d", "etc/rc.d/rc4.d", "etc/rc.d/rc5.d"}

// enabled tells whether a start link of the service is in any runlevel that a
// machine comes up in.
func (i sysV) enabled(name string) (bool, error) {
	for _, dir := range runlevels {
		entries, err := os.ReadDir(i.path(dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("service %s: %w", name, err)
		}
		for _, e := range entries {
			if link := e.Name(); len(link) > 3 && link[0] == 'S' && link[3:] == name { // S20sshd
				return true, nil
			}
		}
	}
	return false, nil
}

func (i sysV) run(name string, on bool) error {
	return i.do(i.script(name), verbOf(on, "start", "stop"))
}

// enable turns the links of the runlevels round; a script that has none gets
// those that its header asks for.
func (i sysV) enable(name string, on bool) error {
	switch {
	case i.System.Find("update-rc.d") != "":
		if on && !i.linked(name) {
			return i.do("update-rc.d", name, "defaults")
		}
		return i.do("update-rc.d", name, verbOf(on, "enable", "disable"))
	case i.System.Find("chkconfig") != "":
		if on && !i.linked(name) {
			if err := i.do("chkconfig", "--add", name); err != nil {
				return err
			}
		}
		return i.do("chkconfig", name, verbOf(on, "on", "off"))
	}
	return errors.New("the host has neither update-rc.d nor chkconfig: make or remove its links in /etc/rc?.d by hand, or take `enabled` away")
}

// linked tells whether any runlevel knows the service, to start or to stop it.
func (i sysV) linked(name string) bool {
	for _, dir := range []string{"etc/rc?.d", "etc/rc.d/rc?.d"} {
		found, err := filepath.Glob(i.path(dir + "/[SK][0-9][0-9]" + name))
		if err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

func (i sysV) reload(name string) error { return i.do(i.script(name), "reload") }
