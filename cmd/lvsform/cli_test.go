package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/unified"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

func TestExitCodeTellsTheTruth(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("rs1: %w: text", err) }
	for name, tc := range map[string]struct {
		statuses    []apply.Status
		err         error
		unreachable bool
		want        int
	}{
		"nothing to do":                        {nil, nil, false, exitDone},
		"all done":                             {[]apply.Status{apply.Done, apply.Done}, nil, false, exitDone},
		"failed before anything was written":   {[]apply.Status{apply.Failed, apply.NotStarted}, errors.New("x"), false, exitError},
		"failed after something was written":   {[]apply.Status{apply.Done, apply.Failed}, errors.New("x"), false, exitPartly},
		"interrupted before anything":          {[]apply.Status{apply.NotStarted}, nil, false, exitError},
		"interrupted on the way":               {[]apply.Status{apply.Done, apply.NotStarted}, nil, false, exitPartly},
		"stale before anything was written":    {[]apply.Status{apply.Failed}, wrapped(apply.ErrStale), false, exitStale},
		"stale after something was written":    {[]apply.Status{apply.Done, apply.Failed}, wrapped(apply.ErrStale), false, exitPartly},
		"rolled back":                          {[]apply.Status{apply.Failed}, wrapped(apply.ErrRolledBack), false, exitRolledBack},
		"rolled back, others done":             {[]apply.Status{apply.Done, apply.RolledBack}, wrapped(apply.ErrRolledBack), false, exitRolledBack},
		"left in between":                      {[]apply.Status{apply.Failed}, wrapped(apply.ErrBroken), false, exitPartly},
		"left in between after every step":     {[]apply.Status{apply.Done, apply.Done}, wrapped(apply.ErrBroken), false, exitPartly},
		"done, with a host that was not there": {[]apply.Status{apply.Done}, nil, true, exitPartly},
	} {
		t.Run(name, func(t *testing.T) {
			r := &apply.Report{Changes: map[string]apply.Status{}, Hosts: []apply.HostReport{{Name: "rs1", Err: tc.err}}}
			for i, s := range tc.statuses {
				r.Changes[fmt.Sprint(i)] = s
			}
			p := &planner.Plan{}
			if tc.unreachable {
				p.Hosts = []planner.Host{{Name: "rs9", Error: "down"}}
			}
			if got := outcomeCode(view.Outcome{Plan: p, Report: r}); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
}

func TestApplyErrorSaysWhatBecameOfTheHost(t *testing.T) {
	sentinels := []error{apply.ErrStale, apply.ErrRolledBack, apply.ErrBroken}
	for name, tc := range map[string]struct {
		err  error
		want error
	}{
		"stale":       {&wire.Error{Code: wire.ErrorStale, Message: "m"}, apply.ErrStale},
		"rolled back": {&wire.Error{Code: wire.ErrorRolledBack, Message: "m"}, apply.ErrRolledBack},
		"broken":      {&wire.Error{Code: wire.ErrorBroken, Message: "m"}, apply.ErrBroken},
		"refused":     {&wire.Error{Code: wire.ErrorFailed, Message: "m"}, nil},
		"no answer":   {errors.New("connection lost"), apply.ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			got := applyError(tc.err, nil)
			for _, s := range sentinels {
				if errors.Is(got, s) != (s == tc.want) {
					t.Errorf("%v: is %q: %v", got, s, errors.Is(got, s))
				}
			}
		})
	}
}

func TestRedactBlotsWordsAndNotPartsOfThem(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"value 42: invalid", "value (sensitive): invalid"},
		{"42 42 42", "(sensitive) (sensitive) (sensitive)"},
		{"port 4242, 142", "port 4242, 142"},
		{`"42"`, `"(sensitive)"`},
	} {
		if got := redact(tc.text, []string{"", "42"}); got != tc.want {
			t.Errorf("redact(%q) = %q, want %q", tc.text, got, tc.want)
		}
	}
	c := planner.Change{Before: state.Sysctl{Name: "x", Value: "a"}, After: state.Sysctl{Name: "x", Value: "b"}, Sensitive: []string{"value"}}
	if got := redact("a b c", secrets([]planner.Change{c})); got != "(sensitive) (sensitive) c" {
		t.Error(got)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "''",
		"a/b-c_d.e:f=g@h,i":  "a/b-c_d.e:f=g@h,i",
		"it's; $(rm) `x` \\": `'it'\''s; $(rm) ` + "`x`" + ` \'`,
		"*":                  "'*'",
		"é":                  "'é'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestUnifiedDiff(t *testing.T) {
	numbered := func(change map[int]string) string {
		var b strings.Builder
		for i := 1; i <= 20; i++ {
			line, ok := change[i]
			if !ok {
				line = fmt.Sprintf("line %d\n", i)
			}
			b.WriteString(line)
		}
		return b.String()
	}
	for name, tc := range map[string]struct{ before, after, want string }{
		"equal": {"a\nb\n", "a\nb\n", ""},
		"two hunks": {numbered(nil), numbered(map[int]string{2: "two\n", 18: ""}),
			`--- f
+++ f
@@ -1,5 +1,5 @@
 line 1
-line 2
+two
 line 3
 line 4
 line 5
@@ -15,6 +15,5 @@
 line 15
 line 16
 line 17
-line 18
 line 19
 line 20
`},
		"near changes share a hunk": {numbered(nil), numbered(map[int]string{2: "", 8: "eight\n"}),
			`--- f
+++ f
@@ -1,11 +1,10 @@
 line 1
-line 2
 line 3
 line 4
 line 5
 line 6
 line 7
-line 8
+eight
 line 9
 line 10
 line 11
`},
		"from nothing":      {"", "a\n", "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+a\n"},
		"to nothing":        {"a\n", "", "--- f\n+++ f\n@@ -1,1 +0,0 @@\n-a\n"},
		"no newline at end": {"a\nb", "a\nb\n", "--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, unified.Diff("f", tc.before, tc.after)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPresenceFollowsTheClaims(t *testing.T) {
	sysctl := func(name string) state.Object { return state.Sysctl{Name: name, Value: "1"} }
	claim := func(topology, name string) state.Entry {
		return state.Entry{Claims: []state.Claim{{Topology: topology, Value: state.Boxed{Object: sysctl(name)}}}}
	}
	change := func(host, name string, drop bool) planner.Change {
		return planner.Change{Host: host, After: sysctl(name), Claim: &state.ClaimChange{Drop: drop,
			Claim: state.Claim{Topology: "t", Value: state.Boxed{Object: sysctl(name)}}}}
	}
	ledger := func(members []string, entries ...state.Entry) planner.Live {
		l := state.Ledger{Entries: entries}
		if members != nil {
			l.Members = map[string][]string{"t": members}
		}
		return planner.Live{Ledger: l}
	}
	p := &planner.Plan{Topology: "t", Hosts: []planner.Host{{Name: "bare"}, {Name: "down", Error: "x"}, {Name: "joins"},
		{Name: "leaves"}, {Name: "other"}, {Name: "stays"}}}
	p.Changes = []planner.Change{change("joins", "a", false), change("leaves", "a", true), change("other", "a", false)}
	live := map[string]planner.Live{
		"bare":   ledger(nil),
		"joins":  ledger(nil, claim("another", "a")),
		"leaves": ledger([]string{"leaves", "stays"}, claim("t", "a"), claim("another", "b")),
		"other":  ledger([]string{"gone"}, claim("t", "a")),
		"stays":  ledger([]string{"leaves", "stays"}, claim("t", "a")),
	}
	got := newPresence(p, live)
	want := presence{
		members:  []string{"down", "joins", "other", "stays"},
		leaving:  map[string]bool{"bare": false, "down": false, "joins": false, "leaves": true, "other": false, "stays": false},
		outdated: map[string]bool{"bare": false, "joins": false, "leaves": false, "other": false, "stays": true},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(presence{})); d != "" {
		t.Error(d)
	}
}

func TestTableShowsTheLongestWaitingFirstAndFits(t *testing.T) {
	tb := &table{total: 3, rows: map[string]tableRow{}}
	for i := range 50 {
		tb.rows[fmt.Sprintf("h%02d", i)] = tableRow{text: "reading \x1b[2J" + strings.Repeat("x", 200)}
	}
	lines := tb.view(tb.rows["h00"].since)
	if len(lines) > 24 || lines[0] != "0 of 3 hosts ready" || !strings.HasPrefix(lines[1], "  h00") {
		t.Errorf("%d lines, %q", len(lines), lines[:2])
	}
	for _, l := range lines {
		if len([]rune(l)) >= 80 || strings.ContainsRune(l, '\x1b') {
			t.Errorf("%q does not fit, or moves the cursor", l)
		}
	}
	if last := lines[len(lines)-1]; last != "  and 29 more" {
		t.Errorf("the last line is %q", last)
	}
}
