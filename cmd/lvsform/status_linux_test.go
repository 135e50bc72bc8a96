package main

import (
	"strings"
	"testing"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// statusHosts are the hosts of canaryConfig, and one that is a client of its VIP.
var statusHosts = map[string]string{"dir1": "192.0.2.1/24", "rs1": "192.0.2.11/24", "ops": "192.0.2.50/24"}

const statusConfig = canaryConfig + `
host "ops" { address = "192.0.2.50" }
`

// Whatever a host answers to status and verify, what is shown holds no escapes.
func TestHostileAnswersToStatusAndVerify(t *testing.T) {
	t.Parallel()
	hostile := func(r *wire.Response) {
		switch {
		case r.Observation != nil:
			for i, o := range r.Observation.Objects {
				if s, ok := o.(state.Service); ok {
					s.Scheduler = attack
					r.Observation.Objects[i] = s
				}
				if d, ok := o.(state.Destination); ok {
					d.Forward = attack
					r.Observation.Objects[i] = d
				}
			}
			r.Observation.Objects = append(r.Observation.Objects, state.Service{ServiceID: state.ServiceID{FWMark: 9, Family: attack}, Scheduler: attack})
			r.Observation.Ledger.Entries = append(r.Observation.Ledger.Entries, state.Entry{Claims: []state.Claim{{Topology: attack,
				Value: state.Boxed{Object: r.Observation.Objects[len(r.Observation.Objects)-1]}}}})
		case r.Activity != nil:
			r.Activity.Programs = append(r.Activity.Programs, attack)
			r.Activity.Counters = append(r.Activity.Counters, state.Counters{Connections: state.Connections{Destination: attack, Active: 1 << 31}, Total: 1 << 63})
		case r.Knocked != nil:
			r.Knocked.Failures[0] = attack
		}
	}
	refusing := func(r *wire.Response) {
		if r.Activity != nil || r.Knocked != nil {
			*r = wire.Response{Error: &wire.Error{Code: wire.ErrorFailed, Message: attack}}
		}
	}
	for name, change := range map[string]func(*wire.Response){"hostile": hostile, "refusing": refusing} {
		f := newFleet(t, statusConfig, statusHosts)
		f.environ = []string{"LVSFORM_VAR_secret=1 2", "LVSFORM_VAR_number=2"}
		if code, stdout, stderr := f.run("apply", "--auto-approve"); code != 0 {
			t.Fatalf("apply: exit code %d: %s%s", code, stdout, stderr)
		}
		for _, h := range f.hosts {
			h.remote.Serve = answering(h, change)
		}
		for _, args := range [][]string{{"status"}, {"status", "--json"}, {"verify", "--from", "ops", "--requests", "3"},
			{"verify", "--from", "ops", "--requests", "3", "--json"}} {
			code, stdout, stderr := f.run(args...)
			if code != 0 && code != 1 || stdout+stderr == "" {
				t.Errorf("%s, %q: exit code %d: %s%s", name, args, code, stdout, stderr)
			}
			if found := unsafeRune(stdout + stderr); found != "" {
				t.Errorf("%s, %q: it holds %s", name, args, found)
			}
			for line := range strings.Lines(stdout + stderr) {
				if strings.HasPrefix(line, "rs9: done") {
					t.Errorf("%s, %q: a host wrote a line of its own: %s", name, args, line)
				}
			}
		}
	}
}

// A weight that is a secret is in nothing that status and verify print.
func TestStatusAndVerifyTellNoSecret(t *testing.T) {
	t.Parallel()
	f := newFleet(t, statusConfig, statusHosts)
	f.environ = []string{"LVSFORM_VAR_secret=" + canary, "LVSFORM_VAR_number=" + canaryNumber}
	if code, stdout, stderr := f.run("apply", "--auto-approve"); code != 0 {
		t.Fatalf("apply: exit code %d: %s%s", code, stdout, stderr)
	}
	for _, args := range [][]string{{"status"}, {"status", "--json", "-v"}, {"verify", "--from", "ops", "--requests", "8"},
		{"verify", "--from", "ops", "--requests", "8", "--json", "-v"}} {
		code, stdout, stderr := f.run(args...)
		if code != 0 || !strings.Contains(stdout, "192.0.2.11:80") {
			t.Errorf("%q: exit code %d: %s%s", args, code, stdout, stderr)
		}
		for _, secret := range []string{bird, canaryNumber} {
			if strings.Contains(stdout+stderr, secret) {
				t.Errorf("%q shows %s: %s%s", args, secret, stdout, stderr)
			}
		}
	}
}
