package view_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
)

const configText = `vrrp_instance eth0_51 {
  interface eth0
  virtual_router_id 51
  priority 100
  authentication {
    auth_type PASS
    auth_pass geheim
  }
}
`

func configChange(before, after string) planner.Change {
	c := planner.Change{ID: "dir1:config keepalived/web", Addresses: []string{"vrrp_instance.web"}, Host: "dir1", Action: planner.Update,
		Sensitive: []string{planner.SensitivePasswords}}
	if before != "" {
		c.Before = state.Config{Program: "keepalived", Topology: "web", Text: before}
	}
	if after != "" {
		c.After = state.Config{Program: "keepalived", Topology: "web", Text: after}
	}
	switch {
	case before == "":
		c.Action = planner.Create
	case after == "":
		c.Action = planner.Delete
	}
	return c
}

func shownPlan(changes ...planner.Change) (plain, markdown string) {
	p := &planner.Plan{Topology: "web", Changes: changes, Hosts: []planner.Host{{Name: "dir1"}}}
	var a, b strings.Builder
	view.Style{}.Plan(&a, p)
	view.Markdown(&b, p, nil)
	return a.String(), b.String()
}

func TestAConfigurationIsShownAsADifferenceOfItsFile(t *testing.T) {
	text, markdown := shownPlan(configChange(configText, strings.Replace(configText, "priority 100", "priority 150", 1)))
	want := `  # vrrp_instance.web on dir1 will be updated in place
  ~ config "keepalived/web"
      --- /etc/keepalived/lvsform/web.conf
      +++ /etc/keepalived/lvsform/web.conf
      @@ -1,7 +1,7 @@
       vrrp_instance eth0_51 {
         interface eth0
         virtual_router_id 51
      -  priority 100
      +  priority 150
         authentication {
           auth_type PASS
           auth_pass (sensitive)

Plan: 0 to add, 0 to change, 0 to remove on 0 hosts.
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(markdown, "\n-  priority 100\n+  priority 150\n   authentication {\n") || strings.Contains(markdown, "geheim") {
		t.Error(markdown)
	}
}

func TestAChangedPasswordAloneIsVisible(t *testing.T) {
	text, markdown := shownPlan(configChange(configText, strings.Replace(configText, "geheim", "anders", 1)))
	for _, s := range []string{text, markdown} {
		if strings.Contains(s, "geheim") || strings.Contains(s, "anders") || !strings.Contains(s, "-    auth_pass (sensitive)\n") ||
			!strings.Contains(s, "+    auth_pass (sensitive value, changed)\n") {
			t.Error(s)
		}
	}
}

func TestAConfigurationThatComesOrGoesIsShownWhole(t *testing.T) {
	text, _ := shownPlan(configChange("", configText))
	if !strings.Contains(text, "--- /dev/null\n      +++ /etc/keepalived/lvsform/web.conf\n      @@ -0,0 +1,9 @@\n      +vrrp_instance eth0_51 {\n") || strings.Contains(text, "geheim") {
		t.Error(text)
	}
	text, _ = shownPlan(configChange(configText, ""))
	if !strings.Contains(text, "+++ /dev/null\n") || strings.Contains(text, "geheim") {
		t.Error(text)
	}
}

func TestATextWithOtherSecretsIsNotShown(t *testing.T) {
	c := configChange(configText, "priority 7\n")
	c.Sensitive = []string{planner.SensitiveText}
	if text, _ := shownPlan(c); strings.Contains(text, "priority") || !strings.Contains(text, "(sensitive value, changed)") {
		t.Error(text)
	}
}
