//go:build linux

package service

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/state"
)

// programs are those of a directory.
type programs struct {
	command.Host
	dir string
}

func (p programs) Find(name string) string {
	file := filepath.Join(p.dir, name)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// The test's own program is the supervisor that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "supervise" {
		signal.Ignore(syscall.SIGHUP) // as under nohup: the service is to have it all the same
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		root := os.Args[3]
		if err := (Services{System: programs{dir: root}, Root: root}).SuperviseUntil(ctx, os.Args[2]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// supervisedHost is a host without an init system, with a keepalived that is a
// script.
func supervisedHost(t *testing.T, script string) Services {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "keepalived"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := Services{System: programs{dir: root}, Root: root}
	s.Supervise = func(name string) error {
		cmd := exec.Command("/proc/self/exe", "supervise", name, root)
		err := cmd.Start()
		if err == nil {
			go func() { _ = cmd.Wait() }()
		}
		return err
	}
	t.Cleanup(func() { _ = supervised{s}.run("keepalived", false) })
	return s
}

func set(s Services, running bool) error {
	_, err := s.Apply([]state.Change{{After: state.Unit{Name: "keepalived", Running: state.Some(running)}}})
	return err
}

func mustSet(t *testing.T, s Services, running bool) {
	t.Helper()
	if err := set(s, running); err != nil {
		t.Fatal(err)
	}
	got, err := s.Read([]string{"keepalived", "ldirectord"})
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Object{unit("keepalived", running, false)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func pidsOf(t *testing.T, s Services) pids {
	t.Helper()
	p, err := supervised{s}.pids("keepalived")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in a minute: " + what)
		}
	}
}

// daemon says what it does, and reloads.
const daemon = `echo "args $*"
trap 'echo Reload complete' HUP
trap 'echo by TERM >"${0%/*}/ended"; exit 0' TERM
while :; do sleep 0.05; done
`

func TestASupervisedServiceStartsReloadsAndStops(t *testing.T) {
	s := supervisedHost(t, daemon)
	mustSet(t, s, false)
	mustSet(t, s, true)
	first := pidsOf(t, s)
	mustSet(t, s, true)
	if again := pidsOf(t, s); again != first {
		t.Errorf("it runs, and was started again: %+v, %+v", first, again)
	}
	log := func() string {
		body, err := os.ReadFile(s.path(logFile("keepalived")))
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	until(t, "its first words", func() bool { return strings.Contains(log(), "args -n -l\n") })
	if err := s.Reload("keepalived"); err != nil || strings.Count(log(), reloaded) != 1 {
		t.Errorf("%v, and it said %q", err, log())
	}
	if running, err := s.Running("keepalived"); err != nil || !running {
		t.Errorf("running: %v, %v", running, err)
	}
	mustSet(t, s, false)
	for _, file := range []string{pidFile("keepalived"), logFile("keepalived")} {
		if _, err := os.Stat(s.path(file)); !os.IsNotExist(err) {
			t.Errorf("%s is left of it: %v", file, err)
		}
	}
	if ended, err := os.ReadFile(s.path("ended")); err != nil || string(ended) != "by TERM\n" {
		t.Errorf("it was not asked to end: %q, %v", ended, err)
	}
}

func TestASupervisedServiceThatEndsIsStartedAgain(t *testing.T) {
	s := supervisedHost(t, daemon)
	mustSet(t, s, true)
	first := pidsOf(t, s)
	if err := unix.Kill(first.child, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another process", func() bool {
		now := pidsOf(t, s)
		return now.supervisor == first.supervisor && now.child != 0 && now.child != first.child
	})
}

func TestASupervisorThatIsKilledLeavesNothingBehind(t *testing.T) {
	s := supervisedHost(t, daemon)
	mustSet(t, s, true)
	first := pidsOf(t, s)
	if err := unix.Kill(first.supervisor, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of what it ran", func() bool {
		running, err := s.Running("keepalived")
		return err == nil && !running && unix.Kill(first.child, 0) != nil
	})
	mustSet(t, s, true)
}

func TestASecondSupervisorIsRefused(t *testing.T) {
	s := supervisedHost(t, daemon)
	mustSet(t, s, true)
	err := s.SuperviseUntil(t.Context(), "keepalived")
	if err == nil || !strings.Contains(err.Error(), "supervised already") {
		t.Errorf("got %v", err)
	}
}

func TestASupervisedServiceThatCannotBeWhatIsWanted(t *testing.T) {
	s := supervisedHost(t, "trap 'echo cannot read that; exit 3' HUP\nwhile :; do sleep 0.05; done\n")
	mustSet(t, s, true)
	if err := s.Reload("keepalived"); err == nil || !strings.Contains(err.Error(), "cannot read that") {
		t.Errorf("a reload that ends it: %v", err)
	}
	if err := s.SuperviseUntil(t.Context(), "sshd"); err == nil {
		t.Error("anything is supervised")
	}
}

// One that is slow to start would be ended by the signal that reloads it.
func TestASupervisedServiceIsReloadedWhenItCanBe(t *testing.T) {
	s := supervisedHost(t, "sleep 0.5\n"+daemon)
	mustSet(t, s, true)
	first := pidsOf(t, s)
	if err := s.Reload("keepalived"); err != nil || pidsOf(t, s) != first {
		t.Errorf("%v: %+v, %+v", err, first, pidsOf(t, s))
	}
}

func TestWhatIsWantedAtBootIsRememberedOnly(t *testing.T) {
	s := supervisedHost(t, daemon)
	for _, want := range []bool{true, false} {
		if _, err := s.Apply([]state.Change{{After: state.Unit{Name: "keepalived", Enabled: state.Some(want)}}}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Read([]string{"keepalived"})
		if diff := cmp.Diff([]state.Object{unit("keepalived", false, want)}, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
}

func TestOnlyHostsWithoutAnInitSystemAreSupervised(t *testing.T) {
	for name, tc := range map[string]struct {
		files    []string
		programs []string
		comm     string
		want     bool
	}{
		"a container with init scripts":   {[]string{"etc/init.d/keepalived"}, nil, "bash\n", true},
		"one whose first program is init": {[]string{"etc/init.d/keepalived"}, nil, "init\n", true},
		"sysvinit":                        {[]string{"etc/init.d/keepalived", "etc/inittab"}, nil, "init\n", false},
		"systemd":                         {[]string{"run/systemd/system/"}, []string{"systemctl"}, "systemd\n", false},
		"OpenRC":                          {[]string{"run/openrc/"}, []string{"rc-service", "rc-update"}, "init\n", false},
	} {
		s := host(t, nil, append(tc.files, "proc/1/comm")...)
		s.System = found(tc.programs)
		s.Supervise = func(string) error { return nil }
		if err := os.WriteFile(s.path("proc/1/comm"), []byte(tc.comm), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := s.supervises("keepalived"); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
		if s.supervises("sshd") {
			t.Errorf("%s: any service is supervised", name)
		}
	}
}

// found are programs that a host has.
type found []string

func (f found) Find(name string) string {
	for _, have := range f {
		if have == name {
			return "/bin/" + name
		}
	}
	return ""
}

func (found) Run(command.Command) (command.Output, error) { return command.Output{}, nil }
