//go:build linux

package service

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// supervised are the services that lvsform itself runs on a host without an init
// system, a container say: the two that a director needs. They end with the
// host: nothing starts them at boot.
type supervised struct{ Services }

// commands are the command lines of what can be supervised: in the foreground,
// with what they have to say on their output.
var commands = map[string][]string{
	"keepalived": {"-n", "-l"},
	"ldirectord": {"-d", "start"},
}

// supervises tells whether a service is looked after by lvsform.
func (s Services) supervises(name string) bool {
	return s.Supervise != nil && commands[name] != nil && !s.systemd() && !s.openRC() && !s.sysV()
}

// How long a supervised service may take to start, stop and reload.
const (
	startTime  = 20 * time.Second
	stopTime   = 40 * time.Second
	reloadTime = 20 * time.Second
	lookPause  = 20 * time.Millisecond
)

func (i supervised) read(names []string) ([]state.Unit, error) {
	var units []state.Unit
	for _, name := range names {
		if i.System.Find(name) == "" {
			continue
		}
		p, err := i.pids(name)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		units = append(units, state.Unit{Name: name, Running: state.Some(p.child != 0), Enabled: state.Some(i.there(enabledFile(name)))})
	}
	return units, nil
}

// pids are the processes of a service; 0 where there is none.
type pids struct{ supervisor, child int }

// pids reads the file that a supervisor keeps locked while it lives.
func (i supervised) pids(name string) (p pids, err error) {
	f, err := os.OpenFile(i.path(pidFile(name)), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	defer f.Close() //nolint:errcheck // only read
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return p, err // nobody holds it: of a supervisor that was killed
	}
	body := make([]byte, 64)
	n, _ := f.Read(body)
	first, second, _ := strings.Cut(strings.TrimSpace(string(body[:n])), " ")
	p.supervisor, _ = strconv.Atoi(first)
	p.child, _ = strconv.Atoi(second) // 0 also while it is being written
	if p.child != 0 && unix.Kill(p.child, 0) != nil {
		p.child = 0
	}
	return p, nil
}

func (i supervised) run(name string, on bool) error {
	p, err := i.pids(name)
	if err != nil {
		return err
	}
	if on {
		if p.supervisor == 0 {
			if err := i.Supervise(name); err != nil {
				return err
			}
		}
		return i.await(name, startTime, "it does not start", func(p pids) bool { return p.child != 0 })
	}
	if p.supervisor == 0 {
		return nil
	}
	if err := unix.Kill(p.supervisor, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return i.await(name, stopTime, "it does not end", func(p pids) bool { return p.supervisor == 0 })
}

// await waits until the processes are as wanted.
func (i supervised) await(name string, most time.Duration, complaint string, wanted func(pids) bool) error {
	for end := time.Now().Add(most); ; time.Sleep(lookPause) {
		p, err := i.pids(name)
		switch {
		case err != nil:
			return err
		case wanted(p):
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%s: %s", complaint, i.tail(name))
		}
	}
}

// tail is the end of what the service has said.
func (i supervised) tail(name string) string {
	const most = 600
	body, err := os.ReadFile(i.path(logFile(name)))
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return "it has said nothing; look at " + i.path(logFile(name))
	}
	return strings.Join(strings.Fields(string(body[max(0, len(body)-most):])), " ")
}

// enable remembers what is wanted for as long as the host is up. Nothing starts
// services at its next boot, and nothing else of lvsform's is made there either.
func (i supervised) enable(name string, on bool) error {
	file := i.path(enabledFile(name))
	if !on {
		return os.Remove(file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, nil, 0o600)
}

// reloaded is what keepalived says at the end of a reload.
const reloaded = "Reload complete"

// reload waits for what keepalived says at its end. ldirectord says nothing. A
// program that has only just been started would be ended by the signal.
func (i supervised) reload(name string) error {
	var p pids
	err := i.await(name, startTime, "it does not get as far as reloading", func(now pids) bool {
		p = now
		return now.child == 0 || takesHangup(now.child)
	})
	if err != nil || p.child == 0 {
		return err
	}
	before := i.count(name)
	if err := unix.Kill(p.child, unix.SIGHUP); err != nil {
		return err
	}
	if name != "keepalived" {
		return nil
	}
	for end := time.Now().Add(reloadTime); time.Now().Before(end); time.Sleep(lookPause) {
		if i.count(name) != before {
			return nil
		}
		if now, err := i.pids(name); err != nil || now.child != p.child {
			return fmt.Errorf("it has ended in its reload: %s", i.tail(name))
		}
	}
	return fmt.Errorf("its reload does not end: %s", i.tail(name))
}

// takesHangup tells whether a process has seen to what SIGHUP does to it: it
// catches it, or blocks it and reads it, as keepalived does. One that blocks
// faults, too, blocks everything for a moment, while it forks say.
func takesHangup(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false // it has ended
	}
	has := func(set string, signal unix.Signal) bool {
		_, value, _ := strings.Cut(string(status), "\n"+set+":")
		value, _, _ = strings.Cut(value, "\n")
		signals, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		return err == nil && signals>>(signal-1)&1 != 0
	}
	return has("SigCgt", unix.SIGHUP) || has("SigIgn", unix.SIGHUP) ||
		has("SigBlk", unix.SIGHUP) && !has("SigBlk", unix.SIGSEGV)
}

// count is how many reloads the log tells of.
func (i supervised) count(name string) int {
	body, err := os.ReadFile(i.path(logFile(name)))
	if err != nil {
		return 0
	}
	return bytes.Count(body, []byte(reloaded))
}

func pidFile(name string) string { return "run/lvsform/" + name + ".pid" }
func logFile(name string) string { return "run/lvsform/" + name + ".log" }

func enabledFile(name string) string { return "run/lvsform/" + name + ".enabled" }
