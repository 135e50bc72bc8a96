package keepalived

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const page = "../../docs/keepalived.md"

// The tables of the page are those of Keywords.
func TestDocumentationHasEveryKeyword(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "\n<!-- keywords: written by the tests of formats/keepalived -->\n")
	if !found {
		t.Fatal("the page has no mark where its tables begin")
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		written := before + "\n<!-- keywords: written by the tests of formats/keepalived -->\n" + tables()
		if err := os.WriteFile(page, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(tables(), rest); diff != "" {
		t.Errorf("UPDATE_GOLDEN=1 writes them:\n%s", diff)
	}
}

func tables() string {
	var b strings.Builder
	section := ""
	for _, k := range Keywords() {
		if k.Section != section {
			section = k.Section
			title := "`" + section + "`"
			if section == "checker" {
				title = "Every checker"
			}
			fmt.Fprintf(&b, "\n### %s\n\n| keyword | |\n|---|---|\n", title)
		}
		if k.As != "" {
			fmt.Fprintf(&b, "| `%s` | %s |\n", k.Name, k.As)
		} else {
			fmt.Fprintf(&b, "| `%s` | no: %s |\n", k.Name, k.Why)
		}
	}
	return b.String()
}

// All that keepalived 2.2.7 installs is in Keywords, nothing else is, and nothing
// twice.
func TestKeywordsAreThoseOfKeepalived(t *testing.T) {
	var have []string
	for _, k := range Keywords() {
		have = append(have, k.Section+" "+k.Name)
		if (k.As == "") == (k.Why == "") {
			t.Errorf("%s %s must be supported or not", k.Section, k.Name)
		}
	}
	want := strings.Split(strings.TrimSpace(golden(t, "keywords-2.2.7")), "\n")
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

// A keyword that the tables call supported is read, any other is an issue.
func TestTablesSayWhatParseReads(t *testing.T) {
	for _, k := range Keywords() {
		known := readers()[k.Section]
		if k.Section == "checker" {
			known = readers()[HTTPGet]
		}
		if _, ok := known[k.Name]; ok != (k.As != "") {
			t.Errorf("%s %s: read: %v, in the table: %q", k.Section, k.Name, ok, k.As+k.Why)
		}
	}
	for section, known := range readers() {
		for name := range known {
			if !slices.ContainsFunc(Keywords(), func(k Keyword) bool {
				return k.Name == name && k.As != "" && (k.Section == section || k.Section == "checker")
			}) {
				t.Errorf("%s %s is read, and in no table", section, name)
			}
		}
	}
}

// readers are the keywords that Parse reads, by section.
func readers() map[string]keywords {
	p := &parser{}
	server := &server{}
	known := server.defaults.server(p, server.defaults.keywords(p))
	out := map[string]keywords{}
	out["vrrp_sync_group"] = p.groupKeywords(&SyncGroup{})
	out["authentication"] = p.authenticationKeywords(&Authentication{})
	out["url"] = p.urlKeywords(&checker{}, &defaults{})
	out["vrrp_instance"] = p.instanceKeywords(&Instance{})
	out["virtual_server"] = p.serviceKeywords(&service{})
	p.serverKeywords(known, server)
	out["real_server"] = known
	for _, kind := range []string{TCPCheck, HTTPGet, SSLGet, DNSCheck, SMTPCheck, UDPCheck, PingCheck, MiscCheck} {
		out[kind] = p.checkKeywords(&checker{Check: Check{Type: kind}}, server)
	}
	return out
}

// Every keyword that Render writes is in the table of its section.
func TestTablesHaveWhatRenderWrites(t *testing.T) {
	text, err := everything().Render()
	if err != nil {
		t.Fatal(err)
	}
	statements, err := lex(text)
	if err != nil {
		t.Fatal(err)
	}
	values := []string{"group", "unicast_peer", "track_interface", "virtual_ipaddress", "virtual_ipaddress_excluded"}
	var walk func(section string, list []*statement)
	walk = func(section string, list []*statement) {
		for _, s := range list {
			name := s.keyword()
			if section != "" && section != "global_defs" && !slices.ContainsFunc(Keywords(), func(k Keyword) bool {
				return k.Name == name && k.As != "" && !strings.Contains(k.As, "not written") &&
					(k.Section == section || k.Section == "checker" && strings.Contains(section, "_"))
			}) {
				t.Errorf("%s %s is written, and in no table", section, name)
			}
			if !slices.Contains(values, name) {
				walk(name, s.block)
			}
		}
	}
	walk("", statements)
}
