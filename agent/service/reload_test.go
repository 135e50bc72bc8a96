//go:build linux

package service

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/command/commandtest"
)

func TestAReloadIsAskedOfTheInitSystem(t *testing.T) {
	const show = "systemctl show --no-pager --property=ActiveState keepalived.service"
	is := func(states ...string) (out []command.Output) {
		for _, s := range states {
			out = append(out, command.Output{Stdout: "ActiveState=" + s + "\n"})
		}
		return out
	}
	systemd := []string{"run/systemd/system/"}
	for name, tc := range map[string]struct {
		files []string
		r     commandtest.Recording
		ran   []string
		want  string // of the error
	}{
		"systemd is waited for": {systemd, commandtest.Recording{Programs: []string{"systemctl"}, Outputs: map[string][]command.Output{
			"systemctl --no-ask-password reload keepalived.service": ok(""), show: is("reloading", "reloading", "active")}},
			[]string{"systemctl --no-ask-password reload keepalived.service", show, show, show}, ""},
		"a program of systemd that ends": {systemd, commandtest.Recording{Programs: []string{"systemctl"}, Outputs: map[string][]command.Output{
			"systemctl --no-ask-password reload keepalived.service": ok(""), show: is("failed")}},
			[]string{"systemctl --no-ask-password reload keepalived.service", show}, "failed after its reload"},
		"OpenRC": {[]string{"run/openrc/"}, commandtest.Recording{Programs: []string{"rc-service", "rc-update"}, Outputs: map[string][]command.Output{
			"rc-service keepalived reload": ok("")}}, []string{"rc-service keepalived reload"}, ""},
		"a script that fails": {[]string{"etc/init.d/keepalived"}, commandtest.Recording{Outputs: map[string][]command.Output{
			"keepalived reload": {{Code: 1, Stderr: "not running"}}}}, []string{"keepalived reload"}, "not running"},
	} {
		t.Run(name, func(t *testing.T) {
			err := host(t, &tc.r, tc.files...).Reload("keepalived")
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(tc.ran, tc.r.Ran); diff != "" {
				t.Error(diff)
			}
		})
	}
}
