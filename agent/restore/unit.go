//go:build linux

package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/service"
	"github.com/lvsform/lvsform/state"
)

// UnitName is the name of the unit that restores, without its suffix.
const UnitName = "lvsform-restore"

// Unit is the systemd unit that runs the agent's restoration on a host.
type Unit struct {
	System service.System
	Root   string // of the file tree; "" is /
	// Executable is the agent's file, in a directory of its own.
	Executable string
}

// unitText is the unit. It comes up after whatever sets the interfaces up (all of
// that is before network.target) and before what sends or expects traffic, and
// does not hold the boot up: it says that it is ready when it has tried
// everything once. The protections leave it what it needs: the kernel's
// parameters and modules, the services, and lvsform's own directories.
const unitText = `# Made by lvsform, and removed by it. systemctl stop lvsform-restore leaves
# the host to you until the next boot.
[Unit]
Description=lvsform: put back what was applied
ConditionPathExists=%[1]s
After=network-pre.target network.target systemd-modules-load.service systemd-sysctl.service
Before=network-online.target keepalived.service ldirectord.service

[Service]
Type=notify
ExecStart=%[1]s restore
Restart=always
RestartSec=5
# A ledger that cannot be read is not better the next time.
RestartPreventExitStatus=3
TimeoutStartSec=120
SyslogIdentifier=lvsform-restore
ProtectHome=yes
MemoryDenyWriteExecute=yes

[Install]
WantedBy=multi-user.target
`

// runTime is how long systemctl may take: the unit waits for no lock.
const runTime = 100 * time.Second

func (u Unit) path(name string) string { return filepath.Join("/", u.Root, name) }
func (u Unit) file() string            { return u.path("etc/systemd/system/" + UnitName + ".service") }
func (u Unit) booted() bool            { return exists(u.path("run/systemd/system")) && u.systemctl() != "" }
func (u Unit) systemctl() string       { return u.System.Find("systemctl") }

// stable is the name by which the unit finds the agent, whatever its version.
func (u Unit) stable() string { return filepath.Join(filepath.Dir(u.Executable), "agent") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Ensure makes the host run the restoration with this agent, now and at every
// boot, and removes agents of other versions. A host without systemd, and one on
// which the agent was only tried, is left as it is. What is as it should be is
// not touched.
func (u Unit) Ensure() error {
	if !u.booted() || !Placed(u.Executable) {
		return nil
	}
	if err := u.ensure(); err != nil {
		return fmt.Errorf("what is applied would not survive a reboot: %s: %w; "+
			"put that right (systemctl status %[1]s), or set persist = false in the topology block", UnitName, err)
	}
	return nil
}

func (u Unit) ensure() error {
	if to, err := os.Readlink(u.file()); err == nil {
		return fmt.Errorf("somebody has masked or replaced it: %s is a link to %s; remove that", u.file(), to)
	}
	if !exists(u.file()) {
		// The host is up: there is nothing to make that was lost with a boot.
		if err := u.mark(); err != nil {
			return err
		}
	}
	switched, err := link(u.stable(), filepath.Base(u.Executable))
	if err != nil {
		return fmt.Errorf("the name of the agent: %w", err)
	}
	written, err := write(u.file(), fmt.Sprintf(unitText, u.stable()))
	if err != nil {
		return err
	}
	if written {
		if err := u.run("daemon-reload"); err != nil {
			return err
		}
	}
	if switched || written { // one that runs goes on with the other agent
		if err := u.run("try-restart", UnitName+".service"); err != nil {
			return err
		}
	}
	on := state.Unit{Name: UnitName, Running: state.Some(true), Enabled: state.Some(true)}
	if _, err := u.services().Apply([]state.Change{{After: on}}); err != nil {
		return err
	}
	u.removeOthers()
	return nil
}

func (u Unit) services() service.Services { return service.Services{System: u.System, Root: u.Root} }

// marker is agent.BootName in the lock's directory.
const marker = "run/lvsform/restored"

func (u Unit) mark() error {
	if err := os.MkdirAll(filepath.Dir(u.path(marker)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(u.path(marker), nil, 0o600)
}

// removeOthers removes the agents of other versions: the one that is kept for
// the unit is this one, and whoever needs another places it again.
func (u Unit) removeOthers() {
	dir := filepath.Dir(u.Executable)
	others, _ := filepath.Glob(filepath.Join(dir, "agent-*"))
	for _, file := range others {
		if file != u.Executable {
			_ = os.Remove(file)
		}
	}
}

// Remove takes the restoration off the host. What it put back stays.
func (u Unit) Remove() error {
	if !exists(u.file()) && !exists(u.stable()) {
		return nil
	}
	if u.booted() {
		off := state.Unit{Name: UnitName, Running: state.Some(false), Enabled: state.Some(false)}
		if _, err := u.services().Apply([]state.Change{{After: off}}); err != nil && !errors.Is(err, service.ErrUnknown) {
			return err
		}
	}
	for _, file := range []string{u.file(), u.stable(), u.path(marker)} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s: %w", UnitName, err)
		}
	}
	if u.booted() {
		return u.run("daemon-reload")
	}
	return nil
}

func (u Unit) run(args ...string) error {
	c := command.Command{Path: u.systemctl(), Args: args, Timeout: runTime}
	out, err := u.System.Run(c)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("%s ended with %d: %s", c, out.Code, out.Said())
	}
	return err
}

// link makes a symbolic link to a file beside it, in the old one's place, and
// tells whether it was another.
func link(name, target string) (changed bool, err error) {
	if have, err := os.Readlink(name); err == nil && have == target {
		return false, nil
	}
	temporary := name + ".new"
	_ = os.Remove(temporary) // of an earlier crash
	if err := os.Symlink(target, temporary); err != nil {
		return false, err
	}
	return true, os.Rename(temporary, name)
}

// write replaces a file, readable by all, and tells whether it was another.
func write(name, text string) (changed bool, err error) {
	if have, err := os.ReadFile(name); err == nil && string(have) == text {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, err
	}
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	_ = os.Remove(temporary) // of an earlier crash
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return false, err
	}
	_, err = f.WriteString(text)
	// The umask is that of a session.
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(temporary)
		return false, err
	}
	return true, os.Rename(temporary, name)
}
