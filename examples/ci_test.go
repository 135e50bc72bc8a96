// Package examples_test tests that the examples mean what they say.
package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

type pipeline struct {
	file  string
	plan  string // the script that plans
	apply string // the script that applies
	all   string // every script
}

// The two formats have their scripts in different places.
func pipelines(t *testing.T) []pipeline {
	t.Helper()
	var github struct {
		Jobs map[string]struct {
			Concurrency struct {
				Group  string
				Cancel *bool `yaml:"cancel-in-progress"`
			}
			Steps []struct {
				Run, Uses string
				With      map[string]string
			}
		}
	}
	parse(t, "ci/github-actions.yml", &github)
	scripts := map[string]string{}
	uploads := 0
	for name, job := range github.Jobs {
		for _, step := range job.Steps {
			scripts[name] += step.Run
			if strings.HasPrefix(step.Uses, "actions/upload-artifact@") && step.With["path"] == "plan.lvsform" {
				uploads++
			}
		}
	}
	if uploads != 1 {
		t.Errorf("github: the saved plan is kept %d times, want once", uploads)
	}
	if c := github.Jobs["apply"].Concurrency; c.Group == "" || c.Cancel == nil || *c.Cancel {
		t.Errorf("github: apply must run alone and never be broken off, have %+v", c)
	}

	type job struct {
		Script        []string
		ResourceGroup string `yaml:"resource_group"`
		Interruptible *bool
		Artifacts     struct{ Paths []string }
	}
	var gitlab struct{ Check, Plan, Apply job }
	parse(t, "ci/gitlab-ci.yml", &gitlab)
	if len(gitlab.Plan.Artifacts.Paths) != 1 {
		t.Errorf("gitlab: artifacts %q, want the saved plan", gitlab.Plan.Artifacts.Paths)
	}
	if a := gitlab.Apply; a.ResourceGroup == "" || a.Interruptible == nil || *a.Interruptible {
		t.Error("gitlab: apply must run alone and never be broken off")
	}
	lines := func(j job) string { return strings.Join(j.Script, "\n") + "\n" }
	return []pipeline{
		{"github-actions.yml", scripts["plan"], scripts["apply"], scripts["plan"] + scripts["apply"]},
		{"gitlab-ci.yml", lines(gitlab.Plan), lines(gitlab.Apply), lines(gitlab.Check) + lines(gitlab.Plan) + lines(gitlab.Apply)},
	}
}

func parse(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// The scripts are run with stand-ins for every program, so that what counts is
// what they do with the exit codes and not how they are written.
func TestPipelinesHandleExitCodes(t *testing.T) {
	for _, p := range pipelines(t) {
		for _, tc := range []struct {
			name, script string
			code, want   int
		}{
			{"plan without changes", p.plan, 0, 0},
			{"plan with changes", p.plan, 2, 0},
			{"plan with an error", p.plan, 1, 1},
			{"apply", p.apply, 0, 0},
			{"apply partly", p.apply, 3, 3},
			{"apply of a stale plan", p.apply, 4, 4},
			{"apply while another runs", p.apply, 5, 5},
			{"apply rolled back", p.apply, 6, 6},
		} {
			t.Run(p.file+"/"+tc.name, func(t *testing.T) {
				called, code := runScript(t, tc.script, tc.code)
				if code != tc.want {
					t.Errorf("exit %d, want %d", code, tc.want)
				}
				verb := strings.Fields(tc.name)[0]
				if !strings.Contains(called, "lvsform "+verb) {
					t.Errorf("lvsform %s was not called:\n%s", verb, called)
				}
				posted := strings.Contains(called, "gh pr comment 7") || strings.Contains(called, "merge_requests/7/notes")
				if code == 0 && posted != (verb == "plan") {
					t.Errorf("posted to the change request: %v\n%s", posted, called)
				}
			})
		}
	}
}

// runScript returns the stand-ins' command lines and the script's exit code.
func runScript(t *testing.T, script string, lvsformCode int) (string, int) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	standIn := func(name, body string) {
		text := fmt.Sprintf("#!/bin/bash\necho %s \"$@\" >>%s\n%s\n", name, log, body)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	standIn("lvsform", fmt.Sprintf("case $1 in plan|apply) exit %d;; esac", lvsformCode))
	standIn("ssh-agent", "")
	standIn("ssh-add", "")
	standIn("gh", "echo 12")
	standIn("curl", "echo 200")
	standIn("jq", "echo 7")
	standIn("unzip", "")

	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "GITHUB_OUTPUT=" + filepath.Join(dir, "out"),
		"NUMBER=7", "CI_MERGE_REQUEST_IID=7", "CI_COMMIT_SHA=7"}
	out, err := cmd.CombinedOutput()
	called, _ := os.ReadFile(log)
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	t.Logf("%s", out)
	return string(called), cmd.ProcessState.ExitCode()
}

var (
	command = regexp.MustCompile(`(?m)^\s*lvsform ([a-z]+)([^|>\n]*)`)
	option  = regexp.MustCompile(`--[a-z-]+`)
)

func TestPipelinesUseCommandsAndFlagsThatExist(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "lvsform")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/lvsform").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range pipelines(t) {
		uses := command.FindAllStringSubmatch(p.all, -1)
		seen := map[string]bool{}
		for _, use := range uses {
			seen[use[1]] = true
			help, err := exec.Command(binary, use[1], "--help").CombinedOutput()
			if err != nil || !strings.Contains(string(help), "lvsform "+use[1]) {
				t.Errorf("%s: lvsform has no command %s: %v", p.file, use[1], err)
				continue
			}
			for _, name := range option.FindAllString(use[2], -1) {
				if !regexp.MustCompile(name + `\b`).Match(help) {
					t.Errorf("%s: lvsform %s has no flag %s", p.file, use[1], name)
				}
			}
		}
		for _, want := range []string{"fmt", "validate", "plan", "apply"} {
			if !seen[want] {
				t.Errorf("%s never runs lvsform %s", p.file, want)
			}
		}
	}
}
