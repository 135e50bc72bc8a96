package check_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/planner/check"
)

// page is docs/checks.md as the table of checks makes it.
func page() string {
	var b strings.Builder
	b.WriteString(`# Checks

A configuration can be valid HCL and still describe a cluster that cannot work. lvsform knows the ways in which LVS
clusters fail, and looks for them twice: ` + "`validate`" + ` by what the configuration says (the hosts' addresses, interfaces
and gateways, overlaid with what is declared), and ` + "`plan` and `apply`" + ` again by what the hosts report, as it will be after
the plan. Where it does not know enough a check is silent.

An error stops the run: exit code 1, nothing is changed. A warning does not, unless ` + "`--checks=error`" + ` is given. An info
never does. A finding names the file and line, the host, the values, and what to write instead; in JSON findings are in
` + "`checks`" + `. Hosts with ` + "`managed = false`" + ` take part with their facts.

` + "`lvsform explain LVS003`" + ` prints what is below; ` + "`lvsform explain`" + ` lists all.

| id | severity | what is wrong |
|---|---|---|
`)
	for _, c := range check.All() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", c.ID, strings.ToLower(c.ID), c.Severity, c.Title)
	}
	for _, c := range check.All() {
		fmt.Fprintf(&b, "\n## %s\n\n%s (%s)\n\n%s\n\n```\n%s\n```\n\n%s\n", c.ID, upperFirst(c.Title), c.Severity, c.Why, strings.Join(c.See, "\n"), c.Fix)
	}
	return b.String()
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// UPDATE_DOCS=1 writes the page.
func TestPageIsThatOfTheTable(t *testing.T) {
	const file = "../../docs/checks.md"
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(file, []byte(page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page(), string(have)); diff != "" {
		t.Errorf("docs/checks.md is not up to date; UPDATE_DOCS=1 writes it:\n%s", diff)
	}
}

func TestChecksAreSortedAndWhole(t *testing.T) {
	last := ""
	for _, c := range check.All() {
		if c.ID <= last || c.Title == "" || c.Why == "" || len(c.See) == 0 || c.Fix == "" || c.Severity == "" {
			t.Errorf("%s after %s: %+v", c.ID, last, c)
		}
		if got, ok := check.Find(c.ID); !ok || got.ID != c.ID {
			t.Errorf("Find(%q) = %+v, %v", c.ID, got, ok)
		}
		last = c.ID
	}
}

func TestUnknownIDsHaveNeighbours(t *testing.T) {
	for given, want := range map[string]string{"LVS03": "LVS003", "lvs0003": "LVS003", "LVS031": "LVS030"} {
		if got := check.Near(given); !strings.Contains(strings.Join(got, " "), want) || len(got) == len(check.All()) {
			t.Errorf("Near(%q) = %q, without %s", given, got, want)
		}
	}
	if got := check.Near("nonsense"); len(got) != len(check.All()) {
		t.Errorf("Near(nonsense) = %q", got)
	}
	if _, ok := check.Find("LVS000"); ok {
		t.Error("there is an LVS000")
	}
}
