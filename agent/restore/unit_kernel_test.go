//go:build linux && kernel

package restore_test

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/restore"
	"github.com/lvsform/lvsform/agent/service/systemdtest"
)

// The test's own program is the agent that systemd starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "restore" {
		c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
		if err != nil {
			os.Exit(1)
		}
		_, _ = c.Write([]byte("READY=1"))
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
		return
	}
	os.Exit(m.Run())
}

// install makes an agent of some version.
func install(t *testing.T, dir, version string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	file := filepath.Join(dir, "agent-"+version)
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// running is the program of the unit and its process id, or what the unit is
// instead of active.
func running(t *testing.T, in systemdtest.Inside) (program, pid string) {
	t.Helper()
	out := ask(t, in, "systemctl", "show", "--property=ActiveState,MainPID", restore.UnitName+".service")
	if !strings.Contains(out, "ActiveState=active") {
		return strings.TrimSpace(out), ""
	}
	_, pid, _ = strings.Cut(out, "MainPID=")
	pid, _, _ = strings.Cut(pid, "\n")
	return filepath.Base(strings.TrimSpace(ask(t, in, "readlink", "/proc/"+pid+"/exe"))), pid
}

func ask(t *testing.T, in systemdtest.Inside, program string, args ...string) string {
	t.Helper()
	out, err := in.Run(command.Command{Path: in.Find(program), Args: args, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return out.Stdout
}

func TestTheUnitComesGoesOnWithANewAgentAndGoes(t *testing.T) {
	in := systemdtest.Boot(t, "")
	dir := filepath.Join(t.TempDir(), "lvsform")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	first := restore.Unit{System: in, Executable: install(t, dir, "1")}
	ensure := func(u restore.Unit) {
		t.Helper()
		if err := u.Ensure(); err != nil {
			t.Fatal(err)
		}
		if enabled := strings.TrimSpace(ask(t, in, "systemctl", "is-enabled", restore.UnitName)); enabled != "enabled" {
			t.Errorf("it is %s", enabled)
		}
	}
	ensure(first)
	program, pid := running(t, in)
	if program != "agent-1" {
		t.Fatalf("it runs %q", program)
	}
	if _, err := os.Stat("/run/lvsform/restored"); err != nil {
		t.Errorf("a host that is up would be restored as at boot: %v", err)
	}
	ensure(first)
	if _, again := running(t, in); again != pid {
		t.Error("what is as it should be was started again")
	}
	ask(t, in, "systemctl", "stop", restore.UnitName)
	ensure(first)
	if program, _ := running(t, in); program != "agent-1" {
		t.Errorf("after somebody stopped it: %q", program)
	}

	second := restore.Unit{System: in, Executable: install(t, dir, "2")}
	ensure(second)
	if program, _ := running(t, in); program != "agent-2" {
		t.Errorf("after an upgrade it runs %q", program)
	}
	if _, err := os.Stat(first.Executable); !os.IsNotExist(err) {
		t.Errorf("the old agent stays: %v", err)
	}

	for range 2 {
		if err := second.Remove(); err != nil {
			t.Fatal(err)
		}
		if program, _ := running(t, in); !strings.Contains(program, "ActiveState=inactive") {
			t.Errorf("after its removal: %q", program)
		}
	}
	for _, file := range []string{"/etc/systemd/system/lvsform-restore.service", "/etc/systemd/system/multi-user.target.wants/lvsform-restore.service",
		"/run/lvsform/restored", filepath.Join(dir, "agent")} {
		if _, err := os.Lstat(file); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", file, err)
		}
	}
	if state := ask(t, in, "systemctl", "show", "--property=LoadState", restore.UnitName+".service"); !strings.Contains(state, "not-found") {
		t.Errorf("systemd still knows it: %s", state)
	}
}

func TestAUnitThatSomebodyMaskedIsAnError(t *testing.T) {
	in := systemdtest.Boot(t, "")
	dir := filepath.Join(t.TempDir(), "lvsform")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	u := restore.Unit{System: in, Executable: install(t, dir, "1")}
	ask(t, in, "ln", "-s", "/dev/null", "/etc/systemd/system/lvsform-restore.service")
	if err := u.Ensure(); err == nil || !strings.Contains(err.Error(), "persist = false") || !strings.Contains(err.Error(), "masked") {
		t.Errorf("got %v", err)
	}
}
