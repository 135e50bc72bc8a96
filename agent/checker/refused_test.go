//go:build linux

package checker

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/state"
)

func TestWhatAProgramRefusesChangesNothing(t *testing.T) {
	for program, main := range map[string]string{Keepalived: keepalivedFile, Ldirectord: ldirectordFile} {
		for _, first := range []string{"", "good\n"} {
			h := newHost(t)
			h.runs = true
			h.write(main, "by hand\n", 0o644)
			var old state.Object
			if first != "" {
				old = config(program, "web", first)
				h.must(nil, old)
			}
			before, reloads := h.tree(), h.reloads
			err := h.apply(old, config(program, "web", "one\nbad thing\npassword bad\n"))
			if err == nil || !strings.Contains(err.Error(), program+" refuses") || !strings.Contains(err.Error(), "Unknown keyword 'bad'") ||
				strings.Contains(err.Error(), stagedEnd) || strings.Contains(err.Error(), "password") {
				t.Errorf("%s: %v", program, err)
			}
			if program == Keepalived && !strings.Contains(err.Error(), "(line 2: bad thing)") {
				t.Errorf("the line is not quoted: %v", err)
			}
			if diff := cmp.Diff(before, h.tree()); diff != "" || h.reloads != reloads {
				t.Errorf("%s: %d reloads, %s", program, h.reloads-reloads, diff)
			}
		}
	}
}

func TestWhatKeepalivedHasPutUpWithBeforeIsNoReason(t *testing.T) {
	h := newHost(t)
	h.write(keepalivedFile, "bad by hand\n", 0o644)
	h.must(nil, config(Keepalived, "web", "good\n"))
	h.want(config(Keepalived, "web", "good\n"))
}

// keepalived 2.2 ends itself when it tests a check of another user than root.
func TestPartsAreTestedAsRootAndStayAsTheyAre(t *testing.T) {
	h := newHost(t)
	check := "MISC_CHECK {\n\tmisc_path \"/bin/true\"\n\tuser nobody nogroup\n}\n"
	h.write(keepalivedFile, check, 0o644)
	h.must(nil, config(Keepalived, "mail", check))
	h.must(nil, config(Keepalived, "web", check+"good\n"))
	h.want(config(Keepalived, "mail", check), config(Keepalived, "web", check+"good\n"))
	err := h.apply(config(Keepalived, "web", check+"good\n"), config(Keepalived, "web", check+"bad\n"))
	if err == nil || !strings.Contains(err.Error(), "(line 5: bad)") {
		t.Errorf("got %v", err)
	}
}

func TestWhatKeepalivedComplainsOf(t *testing.T) {
	weightless := `Warning - quorum 1 for [192.0.2.100]:tcp:80 exceeds total weight of real servers 0, reducing quorum to 0
Virtual server [192.0.2.100]:tcp:80: hysteresis 0 >= quorum 0; setting hysteresis to 4294967295
`
	quorum := "Warning - quorum 2 for FWM 7 exceeds total weight of real servers 1, reducing quorum to 1"
	for name, tc := range map[string]struct {
		out  command.Output
		want []string
	}{
		"a service without a weight":  {command.Output{Stderr: weightless, Code: refusedByTest}, nil},
		"one and something else":      {command.Output{Stderr: weightless + "Unknown keyword\n", Code: refusedByTest}, []string{"Unknown keyword"}},
		"one, and it ended otherwise": {command.Output{Stderr: weightless, Code: 143}, []string{"keepalived -t ended with 143"}},
		"a quorum above the weights":  {command.Output{Stderr: quorum, Code: refusedByTest}, []string{quorum}},
		"nothing":                     {command.Output{Code: refusedByTest}, []string{"keepalived -t ended with 5"}},
	} {
		if diff := cmp.Diff(tc.want, complaintsIn(tc.out)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhatALeavingSectionLeavesIsTestedBeforeAReload(t *testing.T) {
	web := config(Ldirectord, "web", "x\n")
	for _, runs := range []bool{true, false} {
		h := newHost(t)
		h.must(nil, web)
		body, _ := os.ReadFile(h.path(ldirectordFile))
		h.write(ldirectordFile, "bad by hand\n"+string(body), 0o600)
		before := h.tree()
		h.runs = runs
		err := h.apply(web, nil)
		if runs && (err == nil || !strings.Contains(err.Error(), "ldirectord refuses") || h.reloads != 0) {
			t.Errorf("%d reloads of what it cannot read: %v", h.reloads, err)
		}
		if changed := cmp.Diff(before, h.tree()) != ""; changed == runs || !runs && err != nil {
			t.Errorf("it runs: %v, changed: %v, %v", runs, changed, err)
		}
	}
}

func TestLdirectordsComplaintIsFoundInItsDiary(t *testing.T) {
	diary := "DEBUG2: Running exec(x)\nRunning exec(x)\nError [7] reading file /x.cf at line 4: Unknown command \"\tno=3\n\"\nDEBUG2: Exiting\nExiting\n"
	want := `reading file /x.cf at line 4: Unknown command " no=3 "`
	if got := complaintOf(command.Output{Stderr: diary, Code: 2}); got != want {
		t.Error(got)
	}
	if got := complaintOf(command.Output{Stderr: "Can't locate Net/SSLeay.pm\n", Code: 2}); got != "Can't locate Net/SSLeay.pm" {
		t.Error(got)
	}
}
