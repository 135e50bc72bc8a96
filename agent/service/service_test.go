//go:build linux

package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/command/commandtest"
	"github.com/lvsform/lvsform/state"
)

// host is a host with these files; a name that ends in / is a directory.
func host(t *testing.T, r *commandtest.Recording, files ...string) Services {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		file := filepath.Join(root, name)
		dir := filepath.Dir(file)
		if strings.HasSuffix(name, "/") {
			dir = file
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir != file {
			if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return Services{System: r, Root: root}
}

func unit(name string, running, enabled bool) state.Unit {
	return state.Unit{Name: name, Running: state.Some(running), Enabled: state.Some(enabled)}
}

const show = "systemctl show --no-pager --property=LoadState,ActiveState,UnitFileState "

func ok(stdout string) []command.Output { return []command.Output{{Stdout: stdout}} }

func shown(load, active, file string) string {
	return fmt.Sprintf("LoadState=%s\nActiveState=%s\nUnitFileState=%s\n", load, active, file)
}

func TestReadsSystemd(t *testing.T) {
	r := &commandtest.Recording{Programs: []string{"systemctl"}, Outputs: map[string][]command.Output{
		show + "aliased.service crond.service failed.service firewalld.service masked.service nosuch.service reloading.service static.service sysv.service": ok(strings.Join([]string{
			shown("loaded", "active", "alias"), shown("loaded", "inactive", "enabled"), shown("loaded", "failed", "disabled"),
			shown("loaded", "active", "enabled"), shown("masked", "inactive", "masked"), shown("not-found", "inactive", ""),
			shown("loaded", "reloading", "enabled-runtime"), shown("loaded", "active", "static"), shown("loaded", "active", "generated")}, "\n")),
		"systemctl is-enabled sysv.service": ok("enabled\n"),
	}}
	got, err := host(t, r, "run/systemd/system/", "etc/init.d/").Read(
		[]string{"firewalld", "crond", "failed", "nosuch", "masked", "static", "sysv", "aliased", "reloading", "firewalld"})
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Object{unit("aliased", true, true), unit("crond", false, true), unit("failed", false, false), unit("firewalld", true, true),
		unit("masked", false, false), unit("reloading", true, false), unit("static", true, false), unit("sysv", true, true)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const updateShow = "            firewalld | default\n                local |      boot\n               sshd |\n              both | boot default\n"

func TestReadsOpenRC(t *testing.T) {
	r := &commandtest.Recording{Programs: []string{"rc-service", "rc-update"}, Outputs: map[string][]command.Output{
		"rc-update show":                ok(updateShow),
		"rc-service --exists firewalld": {{}}, "rc-service firewalld status": ok(" * status: started\n"),
		"rc-service --exists local": {{}}, "rc-service local status": {{Stdout: " * status: crashed\n", Code: 32}},
		"rc-service --exists sshd": {{}}, "rc-service sshd status": {{Stdout: " * status: stopped\n", Code: 3}},
		"rc-service --exists nosuch": {{Code: 255}},
	}}
	got, err := host(t, r, "run/openrc/", "etc/init.d/").Read([]string{"sshd", "local", "firewalld", "nosuch"})
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Object{unit("firewalld", true, true), unit("local", false, true), unit("sshd", false, false)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadsSysV(t *testing.T) {
	r := &commandtest.Recording{}
	s := host(t, r, "etc/init.d/iptables", "etc/init.d/crond", "etc/init.d/left", "etc/init.d/functions.d/", "etc/init.d/README",
		"etc/rc3.d/S10iptables", "etc/rc.d/rc5.d/S90left", "etc/rc3.d/K10crond", "etc/rc0.d/S10crond", "etc/rc3.d/S20crond2")
	if err := os.Chmod(s.path("etc/init.d/README"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The line of a command has the last part of its path.
	r.Outputs = map[string][]command.Output{"iptables status": {{}}, "crond status": {{Code: 3}}, "left status": {{Code: 1}}}
	got, err := s.Read([]string{"iptables", "crond", "left", "functions.d", "README", "nosuch"})
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Object{unit("crond", false, false), unit("iptables", true, true), unit("left", false, true)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	hung := fmt.Errorf("x status: %w", command.ErrTimeout)
	for name, tc := range map[string]struct {
		files []string
		r     commandtest.Recording
		want  string
	}{
		"no init system": {nil, commandtest.Recording{}, "service x: the host runs neither"},
		"systemd does not answer": {[]string{"run/systemd/system/"}, commandtest.Recording{Programs: []string{"systemctl"},
			Outputs: map[string][]command.Output{show + "x.service": {{Stderr: "Failed to connect to bus: Connection refused", Code: 1}}}}, "Connection refused"},
		"OpenRC does not answer": {[]string{"run/openrc/"}, commandtest.Recording{Programs: []string{"rc-service", "rc-update"},
			Outputs: map[string][]command.Output{"rc-update show": {{Stderr: "broken", Code: 1}}}}, "broken"},
		"a status of OpenRC that is none": {[]string{"run/openrc/"}, commandtest.Recording{Programs: []string{"rc-service", "rc-update"},
			Outputs: map[string][]command.Output{"rc-update show": ok(""), "rc-service --exists x": {{}}, "rc-service x status": {{Code: 1}}}}, "ended with 1"},
		"a script that does not know": {[]string{"etc/init.d/x"}, commandtest.Recording{
			Outputs: map[string][]command.Output{"x status": {{Stdout: "permission denied", Code: 4}}}}, "permission denied"},
		"a script that hangs": {[]string{"etc/init.d/x"}, commandtest.Recording{Errs: map[string]error{"x status": hung}}, "hangs"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := host(t, &tc.r, tc.files...).Read([]string{"x"})
			if err == nil || !strings.Contains(err.Error(), tc.want) || got != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestSetsOnlyWhatDiffers(t *testing.T) {
	on, off := shown("loaded", "active", "enabled"), shown("loaded", "inactive", "disabled")
	systemd, openrc := []string{"run/systemd/system/"}, []string{"run/openrc/"}
	masked := []command.Output{{Stdout: "masked\n", Code: 1}}
	rc := func(level string, code int) map[string][]command.Output {
		return map[string][]command.Output{"rc-update show": ok("x | " + level + "\n"), "rc-service --exists x": {{}}, "rc-service x status": {{Code: code}},
			"rc-update add x default": {{}}, "rc-update del x default": {{}}, "rc-service x start": {{}}, "rc-service x stop": {{}}}
	}
	for name, tc := range map[string]struct {
		files    []string
		programs []string
		outputs  map[string][]command.Output
		unit     state.Unit
		want     []string // what was run beside reading
		err      string
	}{
		"systemd on": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(off), "systemctl is-enabled x.service": {{Stdout: "disabled\n", Code: 1}, {Stdout: "disabled\n", Code: 1}, {Stdout: "enabled\n"}},
			"systemctl --no-ask-password enable x.service": {{}}, "systemctl --no-ask-password start x.service": {{}}},
			unit("x", true, true), []string{"systemctl --no-ask-password enable x.service", "systemctl --no-ask-password start x.service"}, ""},
		"systemd off": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(on), "systemctl is-enabled x.service": {{Stdout: "disabled\n", Code: 1}},
			"systemctl --no-ask-password disable x.service": {{}}, "systemctl --no-ask-password stop x.service": {{}}},
			unit("x", false, false), []string{"systemctl --no-ask-password disable x.service", "systemctl --no-ask-password stop x.service"}, ""},
		"systemd as it is": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(on)}, unit("x", true, true), nil, ""},
		"systemd, one of the two": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(on), "systemctl --no-ask-password stop x.service": {{}}},
			state.Unit{Name: "x", Running: state.Some(false)}, []string{"systemctl --no-ask-password stop x.service"}, ""},
		"systemd, not there": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(shown("not-found", "inactive", ""))},
			unit("x", true, true), nil, "service x: the host has no service of that name: install its package"},
		"systemd, masked": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(shown("masked", "inactive", "masked")), "systemctl is-enabled x.service": masked},
			unit("x", true, false), nil, "masked"},
		"systemd, static": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(shown("loaded", "inactive", "static")), "systemctl is-enabled x.service": ok("static\n"),
			"systemctl --no-ask-password enable x.service": {{Stderr: "The unit files have no installation config\n"}}},
			unit("x", false, true), []string{"systemctl --no-ask-password enable x.service"}, "take `enabled` away"},
		"systemd, failing": {systemd, []string{"systemctl"}, map[string][]command.Output{show + "x.service": ok(off), "systemctl is-enabled x.service": ok("disabled\n"),
			"systemctl --no-ask-password start x.service": {{Stderr: "Job for x.service failed because the control process exited with error code.\n", Code: 1}}},
			state.Unit{Name: "x", Running: state.Some(true)}, []string{"systemctl --no-ask-password start x.service"}, "Job for x.service failed"},
		"OpenRC on":  {openrc, []string{"rc-service", "rc-update"}, rc("", 3), unit("x", true, true), []string{"rc-update add x default", "rc-service x start"}, ""},
		"OpenRC off": {openrc, []string{"rc-service", "rc-update"}, rc("default", 0), unit("x", false, false), []string{"rc-update del x default", "rc-service x stop"}, ""},
		"OpenRC, another runlevel": {openrc, []string{"rc-service", "rc-update"}, rc("boot default", 0), unit("x", false, false), nil,
			"runlevel boot"},
		"SysV on": {[]string{"etc/init.d/x"}, []string{"update-rc.d"}, map[string][]command.Output{"x status": {{Code: 3}}, "update-rc.d x defaults": {{}}, "x start": {{}}},
			unit("x", true, true), []string{"update-rc.d x defaults", "x start"}, ""},
		"SysV on again": {[]string{"etc/init.d/x", "etc/rc2.d/K01x"}, []string{"update-rc.d"}, map[string][]command.Output{"x status": {{Code: 3}}, "update-rc.d x enable": {{}}, "x start": {{}}},
			unit("x", true, true), []string{"update-rc.d x enable", "x start"}, ""},
		"SysV off": {[]string{"etc/init.d/x", "etc/rc2.d/S01x"}, []string{"update-rc.d", "chkconfig"}, map[string][]command.Output{"x status": {{}}, "update-rc.d x disable": {{}}, "x stop": {{}}},
			unit("x", false, false), []string{"update-rc.d x disable", "x stop"}, ""},
		"SysV on by chkconfig": {[]string{"etc/init.d/x"}, []string{"chkconfig"}, map[string][]command.Output{"x status": {{Code: 3}}, "chkconfig --add x": {{}}, "chkconfig x on": {{}}},
			unit("x", false, true), []string{"chkconfig --add x", "chkconfig x on"}, ""},
		"SysV off by chkconfig": {[]string{"etc/init.d/x", "etc/rc.d/rc3.d/S01x"}, []string{"chkconfig"}, map[string][]command.Output{"x status": {{Code: 3}}, "chkconfig x off": {{}}},
			unit("x", false, false), []string{"chkconfig x off"}, ""},
		"SysV without a tool": {[]string{"etc/init.d/x"}, nil, map[string][]command.Output{"x status": {{Code: 3}}}, unit("x", false, true), nil, "neither update-rc.d nor chkconfig"},
		"SysV, not there":     {[]string{"etc/init.d/"}, nil, nil, unit("x", true, true), nil, "install its package"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &commandtest.Recording{Programs: tc.programs, Outputs: tc.outputs}
			done, err := host(t, r, tc.files...).Apply([]state.Change{{After: tc.unit}})
			if (err == nil) != (tc.err == "") || err != nil && (!strings.Contains(err.Error(), tc.err) || done != 0) {
				t.Fatalf("%d done, %v", done, err)
			}
			if diff := cmp.Diff(tc.want, changed(r.Ran)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// changed leaves out the command lines that only look.
func changed(lines []string) (out []string) {
	for _, line := range lines {
		words := strings.Fields(line)
		looks := words[1] == "show" || words[1] == "is-enabled" || words[1] == "--exists" || words[len(words)-1] == "status"
		if !looks {
			out = append(out, line)
		}
	}
	return out
}

func TestAServiceThatGoesIsLeftAlone(t *testing.T) {
	r := &commandtest.Recording{}
	if done, err := host(t, r, "etc/init.d/x").Apply([]state.Change{{Before: unit("x", true, true)}}); err != nil || done != 1 || r.Ran != nil {
		t.Errorf("%d done, %v, ran %q", done, err, r.Ran)
	}
}

func TestNamesThatAreNoneAreRefused(t *testing.T) {
	r := &commandtest.Recording{}
	s := host(t, r, "etc/init.d/x")
	for _, name := range []string{"", "-h", ".", "..", "../x", "a/b", "a b", "a;b", "*", "[x]", "x\n", "x\x00", strings.Repeat("x", 201)} {
		if _, err := s.Read([]string{name}); err == nil {
			t.Errorf("read %q: no error", name)
		}
		if _, err := s.Apply([]state.Change{{After: unit(name, true, true)}}); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("apply %q: %v", name, err)
		}
	}
	if len(r.Ran) > 0 {
		t.Errorf("ran %q", r.Ran)
	}
}

// The script runs for real here, with a shell.
func TestAScriptThatHangsIsStopped(t *testing.T) {
	s := host(t, nil, "etc/init.d/")
	s.System = quick{}
	if err := os.WriteFile(s.path("etc/init.d/x"), []byte("#!/bin/sh\n[ $1 != status ] || exit 3\nsleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := s.Apply([]state.Change{{After: state.Unit{Name: "x", Running: state.Some(true)}}})
	if !errors.Is(err, command.ErrTimeout) || !strings.Contains(err.Error(), "service x") {
		t.Errorf("got %v", err)
	}
}

// quick gives programs less time.
type quick struct{ command.Host }

func (q quick) Run(c command.Command) (command.Output, error) {
	if c.Args[0] != "status" {
		c.Timeout /= 500
	}
	return q.Host.Run(c)
}
