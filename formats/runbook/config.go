package runbook

import (
	"strings"

	"github.com/lvsform/lvsform/state"
)

const (
	keepalivedParts = "/etc/keepalived/lvsform"
	keepalivedMain  = "/etc/keepalived/keepalived.conf"
	ldirectordFile  = "/etc/ha.d/ldirectord.cf"
)

// partPath is keepalived's file for a topology.
func partPath(c state.Config) string { return keepalivedParts + "/" + c.Topology + ".conf" }

// config writes a part of the configuration of keepalived or ldirectord as the
// agent does, and has the program read it.
func config(c state.Config) []line {
	if c.Program == "ldirectord" {
		text := "# lvsform begins: " + c.Topology + "\n" + c.Text + "# lvsform ends: " + c.Topology + "\n"
		return []line{
			words("touch", ldirectordFile),
			words("sed", "-i", "/^# lvsform begins: "+c.Topology+"$/,/^# lvsform ends: "+c.Topology+"$/d", ldirectordFile),
			words("printf", "%s", text).then("|", words("tee", "-a", ldirectordFile)).then(">/dev/null", nil),
			words("ldirectord", "ldirectord.cf", "reload").or(words("true")),
		}
	}
	reload := words("pkill", "-HUP", "-o", "-x", c.Program).or(words("true"))
	include := "include " + keepalivedParts + "/*.conf"
	return []line{
		words("mkdir", "-p", keepalivedParts),
		words("printf", "%s", c.Text).then("|", words("install", "-m", "0600", "/dev/stdin", partPath(c))),
		words("touch", keepalivedMain),
		words("grep", "-qxF", include, keepalivedMain).or(words("echo", include)).then("|", words("tee", "-a", keepalivedMain)).then(">/dev/null", nil),
		words("keepalived", "-t"),
		reload,
	}
}

// withheld prints a text that has secrets left out, for a person to fill them in.
func withheld(b *strings.Builder, s Step) {
	c, ok := s.Object.(state.Config)
	if !ok || !s.Hidden || c.Text == "" {
		return
	}
	path := partPath(c)
	if c.Program == "ldirectord" {
		path = ldirectordFile
	}
	comment(b, "", "By hand: write this to "+path+", with the secrets that are left out here:")
	for text := range strings.Lines(c.Text) {
		comment(b, "  ", strings.TrimRight(text, "\n"))
	}
}

// writable tells whether a configuration can be written into a script.
func writable(c state.Config) bool {
	for text := range strings.Lines(c.Text) {
		if !oneLine().MatchString(strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\t", " ")) {
			return false
		}
	}
	return true
}
