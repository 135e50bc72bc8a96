package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lvsform/lvsform/remote/sshtest"
	"github.com/lvsform/lvsform/wire"
)

// answering is an agent whose answers are given another form.
func answering(h *testHost, change func(*wire.Response)) sshtest.Serve {
	return sshtest.Tamper(h.serve, func(n int, body []byte, out io.Writer) error {
		if n == 0 {
			body = bytes.Replace(body, []byte(`"hostname":"`), []byte(`"hostname":"\u001b[2J\u202e`), 1)
			_, err := out.Write(sshtest.Frame(body))
			return err
		}
		var r wire.Response
		if err := json.Unmarshal(body, &r); err != nil {
			return err
		}
		change(&r)
		return wire.Write(out, r)
	})
}

// Whatever an agent answers to an apply, what is shown holds no escapes, and the
// exit code is the one that goes with the answer.
func TestHostileAnswersToAnApply(t *testing.T) {
	t.Parallel()
	held := &wire.LockInfo{Owner: attack, Since: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	refusal := func(code wire.ErrorCode) *wire.Error {
		return &wire.Error{Code: code, Step: attack, Message: attack, Lock: held}
	}
	toLock := func(e *wire.Error) func(*wire.Response) {
		return func(r *wire.Response) {
			if r.Locked != nil {
				r.Locked, r.Error = nil, e
			}
		}
	}
	toBegin := func(e *wire.Error, silent bool) func(*wire.Response) {
		return func(r *wire.Response) {
			switch {
			case r.Result != nil:
				r.Result, r.Error = nil, e
			case r.Step != nil && silent:
				r.Step, r.Working = nil, &wire.Working{}
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*wire.Response)
		code   int
	}{
		"a run was taken back":       {func(r *wire.Response) { setRecovered(r, held) }, exitDone},
		"the lock is held":           {toLock(refusal(wire.ErrorLocked)), exitLocked},
		"the lock is held by nobody": {toLock(&wire.Error{Code: wire.ErrorLocked}), exitLocked},
		"the lock fails":             {toLock(refusal(wire.ErrorFailed)), exitError},
		"nothing was changed":        {toBegin(refusal(wire.ErrorFailed), true), exitError},
		// It is asked again by the confirmation, which is believed.
		"nothing was changed, with steps": {toBegin(refusal(wire.ErrorFailed), false), exitDone},
		"it is stale":                     {toBegin(refusal(wire.ErrorStale), true), exitStale},
		"it was rolled back":              {toBegin(refusal(wire.ErrorRolledBack), false), exitRolledBack},
		"it is broken":                    {toBegin(refusal(wire.ErrorBroken), false), exitPartly},
		"an error of an unknown kind":     {toBegin(refusal(wire.ErrorCode(attack)), false), exitDone},
		"the confirmation is too late": {func(r *wire.Response) {
			if r.Confirmed != nil {
				r.Confirmed, r.Error = nil, refusal(wire.ErrorRolledBack)
			}
		}, exitRolledBack},
	} {
		for _, form := range []string{"--verbose", "--json"} {
			f := newFleet(t, breakConfig, map[string]string{"h1": "192.0.2.1/24,192.0.2.254"})
			f.hosts["h1"].remote.Serve = answering(f.hosts["h1"], c.change)
			code, stdout, stderr := f.run("apply", "--auto-approve", "--confirm-timeout", "1s", form)
			if code != c.code {
				t.Errorf("%s, %s: exit code %d, want %d: %s%s", name, form, code, c.code, stdout, stderr)
			}
			if found := unsafeRune(stdout + stderr); found != "" {
				t.Errorf("%s, %s: it holds %s", name, form, found)
			}
			for line := range strings.Lines(stdout + stderr) {
				if strings.HasPrefix(line, "rs9: done") {
					t.Errorf("%s, %s: a host wrote a line of its own: %s", name, form, line)
				}
			}
		}
	}
}

func setRecovered(r *wire.Response, who *wire.LockInfo) {
	if r.Locked != nil {
		r.Locked.Recovered = who
	}
}

// A host that has another key when its changes are to be confirmed is not
// spoken to: it takes them back, and says so once it is itself again.
func TestChangesAreNotConfirmedToAnotherHostKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, breakConfig, map[string]string{"h1": "192.0.2.1/24,192.0.2.254"})
	h := f.hosts["h1"]
	before := dump(h.kernel.Objects())
	own, other := h.server.Signer(), sshtest.NewKey(t)
	var once sync.Once
	h.remote.Serve = answering(h, func(r *wire.Response) {
		if r.Result == nil {
			return
		}
		once.Do(func() {
			h.server.ChangeHostKey(other)
			go func() {
				for { // until the host has taken its changes back
					if _, err := os.Lstat(filepath.Join(h.dir, "state", "pending")); err != nil {
						h.server.ChangeHostKey(own)
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}()
		})
	})
	code, stdout, stderr := f.run("apply", "--auto-approve", "--confirm-timeout", "1s")
	if code != exitRolledBack {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if now := dump(h.kernel.Objects()); !bytes.Equal(now, before) {
		t.Errorf("the host is not as it was:\n%s", now)
	}
}
