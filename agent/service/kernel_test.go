//go:build linux && kernel

package service_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/service"
	"github.com/lvsform/lvsform/agent/service/systemdtest"
	"github.com/lvsform/lvsform/state"
)

// units are the services of the test.
const units = `
unit 'ExecStart=/bin/sleep 10000' '[Install]' 'WantedBy=multi-user.target' >sleeper.service
unit 'ExecStart=/bin/sleep 10000' >fixed.service
unit 'ExecStart=/bin/false' 'Type=oneshot' >failing.service
unit 'ExecStart=/bin/sleep 10000' 'Type=notify' 'TimeoutStartSec=infinity' 'TimeoutStopSec=1' >hanging.service
ln -s /dev/null masked.service
`

func unit(name string, running, enabled bool) state.Unit {
	return state.Unit{Name: name, Running: state.Some(running), Enabled: state.Some(enabled)}
}

func TestSystemdIsReadAndSet(t *testing.T) {
	s := service.Services{System: systemdtest.Boot(t, units)}
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
	in := systemdtest.Boot(t, units)
	in.Hurry = 10 * time.Second
	_, err := service.Services{System: in}.Apply([]state.Change{{After: state.Unit{Name: "hanging", Running: state.Some(true)}}})
	if !errors.Is(err, command.ErrTimeout) || !strings.Contains(err.Error(), "service hanging") {
		t.Errorf("got %v", err)
	}
}
