//go:build linux && kernel

package service_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/service"
	"github.com/lvsform/lvsform/state"
)

// boot is a systemd that is the init of namespaces of its own, with a few units
// and a cgroup of its own. It prints systemd's pid.
const boot = `
mount --make-rprivate /
mount -t tmpfs run /run
mount -t tmpfs units /etc/systemd
mount -t cgroup2 cgroup /mnt
mkdir -p /etc/systemd/system /mnt/lvsform-test
cd /etc/systemd/system
for t in default basic sysinit shutdown multi-user; do printf '[Unit]\nDefaultDependencies=no\n' >$t.target; done
unit() { printf '[Unit]\nDefaultDependencies=no\n[Service]\n'; printf '%s\n' "$@"; }
unit 'ExecStart=/bin/sleep 10000' '[Install]' 'WantedBy=multi-user.target' >sleeper.service
unit 'ExecStart=/bin/sleep 10000' >fixed.service
unit 'ExecStart=/bin/false' 'Type=oneshot' >failing.service
unit 'ExecStart=/bin/sleep 10000' 'Type=notify' 'TimeoutStartSec=infinity' 'TimeoutStopSec=1' >hanging.service
ln -s /dev/null masked.service
echo $$ >/mnt/lvsform-test/cgroup.procs
exec env -i PATH=/usr/sbin:/usr/bin container=lvsform SYSTEMD_UNIT_PATH=/etc/systemd/system \
	unshare --pid --fork --kill-child --cgroup --mount sh -c '
mount -t proc proc /proc; mount -t cgroup2 cgroup /sys/fs/cgroup; exec /lib/systemd/systemd --system --log-target=null'
`

// inside runs programs beside a systemd: it trusts nobody that it has no pid of.
type inside struct {
	command.Host
	init  string
	hurry time.Duration // what a change may take; 0: as long as it likes
}

func (i inside) Run(c command.Command) (command.Output, error) {
	c.Args = append([]string{"--target", i.init, "--pid", "--mount", c.Path}, c.Args...)
	c.Path = i.Find("nsenter")
	if i.hurry != 0 {
		c.Timeout = i.hurry
	}
	return i.Host.Run(c)
}

// bootSystemd puts the test into a mount namespace with a systemd.
func bootSystemd(t *testing.T) inside {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with its test
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatalf("no mount namespace of its own: %v (run as root)", err)
	}
	cmd := exec.Command("sh", "-ec", boot)
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
			in := inside{init: init}
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

func unit(name string, running, enabled bool) state.Unit {
	return state.Unit{Name: name, Running: state.Some(running), Enabled: state.Some(enabled)}
}

func TestSystemdIsReadAndSet(t *testing.T) {
	s := service.Services{System: bootSystemd(t)}
	read := func(want ...state.Object) {
		t.Helper()
		got, err := s.Read([]string{"sleeper", "fixed", "masked", "failing", "no-such-service"})
		if err != nil {
			t.Fatal(err)
		}
		want = append([]state.Object{unit("failing", false, false), unit("fixed", false, false), unit("masked", false, false)}, want...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	read(unit("sleeper", false, false))
	for _, want := range []state.Unit{unit("sleeper", true, true), unit("sleeper", true, false), unit("sleeper", false, true), unit("sleeper", false, false)} {
		if done, err := s.Apply([]state.Change{{After: want}}); err != nil || done != 1 {
			t.Fatalf("%d done, %v", done, err)
		}
		read(want)
	}
	for name, tc := range map[string]struct {
		unit state.Unit
		want string
	}{
		"not there":            {unit("no-such-service", true, true), "install its package"},
		"masked":               {unit("masked", true, false), "masked"},
		"that nothing enables": {unit("fixed", false, true), "take `enabled` away"},
		"that fails":           {unit("failing", true, false), "service failing: "},
	} {
		if done, err := s.Apply([]state.Change{{After: tc.unit}}); err == nil || !strings.Contains(err.Error(), tc.want) || done != 0 {
			t.Errorf("a service %s: %d done, %v", name, done, err)
		}
	}
	read(unit("sleeper", false, false))
}

func TestAServiceOfSystemdThatHangsIsAnError(t *testing.T) {
	in := bootSystemd(t)
	in.hurry = 10 * time.Second
	_, err := service.Services{System: in}.Apply([]state.Change{{After: state.Unit{Name: "hanging", Running: state.Some(true)}}})
	if !errors.Is(err, command.ErrTimeout) || !strings.Contains(err.Error(), "service hanging") {
		t.Errorf("got %v", err)
	}
}
