//go:build linux

// Package systemdtest boots a systemd for tests.
package systemdtest

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/command"
)

// boot is a systemd that is the init of namespaces of its own, with a cgroup of
// its own. Units of its own are made where the placeholder is.
const boot = `
mount --make-rprivate /
mount -t tmpfs run /run
mount -t tmpfs units /etc/systemd
mount -t cgroup2 cgroup /mnt
mkdir -p /etc/systemd/system /mnt/lvsform-test
cd /etc/systemd/system
for t in default basic sysinit shutdown multi-user; do printf '[Unit]\nDefaultDependencies=no\n' >$t.target; done
unit() { printf '[Unit]\nDefaultDependencies=no\n[Service]\n'; printf '%s\n' "$@"; }
UNITS
echo $$ >/mnt/lvsform-test/cgroup.procs
exec env -i PATH=/usr/sbin:/usr/bin container=lvsform SYSTEMD_UNIT_PATH=/etc/systemd/system \
	unshare --pid --fork --kill-child --cgroup --mount sh -c '
mount -t proc proc /proc; mount -t cgroup2 cgroup /sys/fs/cgroup; exec /lib/systemd/systemd --system --log-target=null'
`

// Inside runs programs beside a systemd: it trusts nobody that it has no pid of.
type Inside struct {
	command.Host
	init  string
	Hurry time.Duration // what a change may take; 0: as long as it likes
}

func (i Inside) Run(c command.Command) (command.Output, error) {
	c.Args = append([]string{"--target", i.init, "--pid", "--mount", c.Path}, c.Args...)
	c.Path = i.Find("nsenter")
	if i.Hurry != 0 {
		c.Timeout = i.Hurry
	}
	return i.Host.Run(c)
}

// Boot puts the test into a mount namespace with a systemd. The script runs in the
// directory of its units; in it `unit LINE…` prints a service.
func Boot(t *testing.T, script string) Inside {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with its test
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatalf("no mount namespace of its own: %v (run as root)", err)
	}
	cmd := exec.Command("sh", "-ec", strings.Replace(boot, "UNITS", script, 1))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // --kill-child takes systemd along, and it all others
		_ = cmd.Wait()
	})
	pid := strconv.Itoa(cmd.Process.Pid)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		if init := strings.TrimSpace(string(children)); init != "" {
			in := Inside{init: init}
			out, err := in.Run(command.Command{Path: in.Find("systemctl"), Args: []string{"is-system-running"}, Timeout: time.Minute})
			if err == nil && strings.TrimSpace(out.Stdout) == "running" {
				return in
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("systemd does not come up: %s", said.String())
		}
	}
}
