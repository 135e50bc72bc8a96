//go:build linux

package service

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

type systemd struct{ Services }

// read asks for all services at once: the answer has one paragraph for each, in
// the order of the question.
func (i systemd) read(names []string) ([]state.Unit, error) {
	args := []string{"show", "--no-pager", "--property=LoadState,ActiveState,UnitFileState"}
	for _, name := range names {
		args = append(args, name+".service")
	}
	out, err := i.ask("systemctl", args...)
	if err != nil {
		return nil, err
	}
	paragraphs := strings.Split(strings.TrimSpace(out.Stdout), "\n\n")
	if out.Code != 0 || len(paragraphs) != len(names) {
		return nil, fmt.Errorf("service %s: systemctl show ended with %d: %s", strings.Join(names, ", "), out.Code, out.Said())
	}
	var units []state.Unit
	for n, name := range names {
		is := properties(paragraphs[n])
		if is["LoadState"] == "not-found" {
			continue
		}
		enabled := is["UnitFileState"]
		if enabled == "generated" { // made from a script in /etc/init.d
			if enabled, err = i.isEnabled(name); err != nil {
				return nil, err
			}
		}
		units = append(units, state.Unit{Name: name,
			Running: state.Some(running[is["ActiveState"]]), Enabled: state.Some(enabled == "enabled" || enabled == "alias")})
	}
	return units, nil
}

// running are the values of ActiveState of a service that is up.
var running = map[string]bool{"active": true, "reloading": true, "refreshing": true}

func (i systemd) isEnabled(name string) (string, error) {
	out, err := i.ask("systemctl", "is-enabled", name+".service")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(out.Stdout), nil
}

func properties(paragraph string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(paragraph) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		out[name] = value
	}
	return out
}

func (i systemd) run(name string, on bool) error {
	if err := i.masked(name, on); err != nil {
		return err
	}
	return i.do("systemctl", "--no-ask-password", verbOf(on, "start", "stop"), name+".service")
}

// enable looks afterwards: systemctl is content with units that nothing can
// enable.
func (i systemd) enable(name string, on bool) error {
	if err := i.masked(name, on); err != nil {
		return err
	}
	if err := i.do("systemctl", "--no-ask-password", verbOf(on, "enable", "disable"), name+".service"); err != nil {
		return err
	}
	is, err := i.isEnabled(name)
	if err == nil && on && (is == "static" || is == "indirect" || is == "transient") {
		err = fmt.Errorf("it is %s: other units start it, and nothing can enable it; take `enabled` away", is)
	}
	return err
}

var errMasked = errors.New("it is masked, which is somebody's decision that nothing may start it: systemctl unmask it by hand, or declare it as not running and not enabled")

func (i systemd) masked(name string, on bool) error {
	if !on {
		return nil
	}
	is, err := i.isEnabled(name)
	if err == nil && strings.HasPrefix(is, "masked") {
		err = errMasked
	}
	return err
}

// reload waits for the end: a service that tells systemd about it is "reloading"
// until then.
func (i systemd) reload(name string) error {
	if err := i.do("systemctl", "--no-ask-password", "reload", name+".service"); err != nil {
		return err
	}
	for end := time.Now().Add(readTime); ; time.Sleep(reloadPause) {
		out, err := i.ask("systemctl", "show", "--no-pager", "--property=ActiveState", name+".service")
		switch is := properties(out.Stdout)["ActiveState"]; {
		case err != nil:
			return err
		case is == "reloading" && time.Now().Before(end):
		case running[is]:
			return nil
		default:
			return fmt.Errorf("it is %s after its reload: systemctl status %s says why", is, name)
		}
	}
}

const reloadPause = 50 * time.Millisecond
