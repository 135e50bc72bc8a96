package runbook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// token is a word, which is quoted where it has to be, or syntax of sh.
type token struct {
	text   string
	syntax bool
}

// line is a command of sh, or several that belong together.
type line []token

// words is a simple command.
func words(list ...string) line {
	out := make(line, len(list))
	for i, w := range list {
		out[i] = token{text: w}
	}
	return out
}

func (l line) then(syntax string, more line) line {
	return append(append(slices.Clone(l), token{syntax, true}), more...)
}

func (l line) or(other line) line { return l.then("||", other) }

func (l line) quiet() line { return append(slices.Clone(l), token{">/dev/null 2>&1", true}) }

func (l line) silent() line { return append(slices.Clone(l), token{"2>/dev/null", true}) }

func (l line) String() string {
	var b strings.Builder
	for i, t := range l {
		begins := i == 0 || l[i-1].syntax && strings.TrimSpace(l[i-1].text) == ""
		joins := t.syntax && (t.text == ";" || strings.HasPrefix(t.text, "\n"))
		if !begins && !joins {
			b.WriteByte(' ')
		}
		if t.syntax {
			b.WriteString(t.text)
		} else {
			b.WriteString(quote(t.text))
		}
	}
	return b.String()
}

// quote writes a word so that sh reads it back: between single quotes nothing
// has a meaning but the single quote.
func quote(word string) string {
	plain := word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+:,./_-", r))
	})
	if plain || assignment(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// assignment tells whether a word is like net.ipv4.ip_forward=1, which reads
// better without quotes. One that sh itself would take as a variable's is none.
func assignment(word string) bool {
	name, value, ok := strings.Cut(word, "=")
	return ok && strings.ContainsAny(name, "./-") && !strings.Contains(value, "=") && name != "" && value != "" && quote(name) == name && quote(value) == value
}

const shellHead = `#!/bin/sh
`

const shellBegin = `
set -eu
export LC_ALL=C PATH="/usr/local/sbin:/usr/sbin:/sbin:$PATH"
`

// shellScript is the runbook of a Linux host.
func shellScript(h Host) string {
	var b strings.Builder
	b.WriteString(shellHead)
	comment(&b, "", fmt.Sprintf("Host %s of topology %q. Run this as root on it, as a script.", h.Name, h.Topology))
	comment(&b, "", "It can be run again: what is there already stays, or is set again.")
	comment(&b, "", "It changes the running system alone. To have all of it after a reboot too, run it at boot, when the interfaces are up.")
	if len(h.Steps) == 0 {
		b.WriteString("\n")
		comment(&b, "", "Nothing is declared on this host.")
		return b.String()
	}
	b.WriteString(shellBegin)
	for rest := h.Steps; len(rest) > 0; {
		n := together(rest)
		b.WriteString("\n")
		for _, s := range rest[:n] {
			comment(&b, "", describe(s)+from(s))
		}
		withheld(&b, rest[0])
		for _, l := range commands(rest[:n]) {
			b.WriteString(l.String() + "\n")
		}
		rest = rest[n:]
	}
	undo(&b, h.Steps)
	return b.String()
}

// together is how many of the first steps are made by one command: packages by
// one run of the package manager, rules of nftables by one transaction.
func together(steps []Step) int {
	group := func(s Step) int {
		switch s.Object.(type) {
		case state.Package:
			return 1
		case state.Mark, state.Masquerade:
			return 2
		}
		return 0
	}
	n := 1
	for group(steps[0]) != 0 && n < len(steps) && group(steps[n]) == group(steps[0]) {
		n++
	}
	return n
}

// commands make the objects. One whose value is hidden has none.
func commands(steps []Step) []line {
	if slices.ContainsFunc(steps, func(s Step) bool { return s.Hidden }) {
		return nil
	}
	switch o := steps[0].Object.(type) {
	case state.Package:
		return []line{install(steps)}
	case state.Mark, state.Masquerade:
		return []line{words("nft", nftTable(steps))}
	case state.Module:
		return []line{words(append([]string{"modprobe", o.Name}, moduleParameters(o)...)...)}
	case state.Sysctl:
		return []line{words("sysctl", "-q", "-w", o.Name+"="+o.Value)}
	case state.Link:
		return link(o)
	case state.FOU:
		return []line{fou(o)}
	case state.Address:
		return []line{words(append([]string{"ip", "address", "replace"}, addressWords(o)...)...)}
	case state.Route:
		return []line{words(append([]string{"ip", family(o.To.Addr().Is6()), "route", "replace"}, routeWords(o)...)...)}
	case state.Rule:
		list := words(append([]string{"ip", family(o.Family == "ipv6"), "rule", "list"}, ruleWords(o)...)...)
		return []line{list.then("|", words("grep", "-q", ".")).or(words(append([]string{"ip", family(o.Family == "ipv6"), "rule", "add"}, ruleWords(o)...)...))}
	case state.Config:
		return config(o)
	case state.Unit:
		return []line{unit(o)}
	}
	return ipvs(steps[0].Object)
}

// moduleParameters keep a module from making links that nobody asked for.
func moduleParameters(m state.Module) []string {
	if m.Name == "dummy" && m.Parameters == "" {
		return []string{"numdummies=0"}
	}
	return strings.Fields(m.Parameters)
}

func family(six bool) string { return pick(six, "-6", "-4") }

// install asks the package manager that is there.
func install(steps []Step) line {
	var names []string
	for _, s := range steps {
		names = append(names, s.Object.(state.Package).Name)
	}
	var out line
	for i, m := range []struct {
		program string
		command []string
	}{
		{"apt-get", []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes"}},
		{"dnf", []string{"dnf", "install", "--assumeyes"}},
		{"yum", []string{"yum", "install", "--assumeyes"}},
		{"zypper", []string{"zypper", "--non-interactive", "install"}},
		{"apk", []string{"apk", "add"}},
		{"pacman", []string{"pacman", "--sync", "--needed", "--noconfirm"}},
	} {
		out = append(out, token{pick(i == 0, "if", "\nelif"), true})
		out = append(out, words("command", "-v", m.program).quiet()...)
		out = append(out, token{";", true}, token{"then", true}, token{"\n  ", true})
		out = append(out, words(append(m.command, names...)...)...)
	}
	out = append(out, token{"\nelse", true}, token{"\n  ", true})
	out = append(out, words("echo", "install these packages by hand, then run this again: "+strings.Join(names, " "))...)
	return append(out, token{">&2", true}, token{";", true}, token{"exit 1", true}, token{"\nfi", true})
}

// unit speaks to the init system that runs the host.
func unit(u state.Unit) line {
	var systemd, openRC, sysV []line
	if u.Enabled.Set {
		on := u.Enabled.Value
		systemd = append(systemd, words("systemctl", pick(on, "enable", "disable"), u.Name+".service"))
		openRC = append(openRC, either(words("rc-update", "show").then("|", words("grep", "-q", "^ *"+u.Name+" | .*default")), !on,
			words("rc-update", pick(on, "add", "del"), u.Name, "default")))
		sysV = append(sysV, condition(words("command", "-v", "update-rc.d").quiet(), words("update-rc.d", u.Name, pick(on, "enable", "disable")),
			words("chkconfig", u.Name, pick(on, "on", "off"))))
	}
	if u.Running.Set {
		on := u.Running.Value
		systemd = append(systemd, words("systemctl", pick(on, "start", "stop"), u.Name+".service"))
		openRC = append(openRC, either(words("rc-service", u.Name, "status").quiet(), !on, words("rc-service", u.Name, pick(on, "start", "stop"))))
		sysV = append(sysV, words("/etc/init.d/"+u.Name, pick(on, "start", "stop")))
	}
	out := line{{"if", true}}
	block := func(lines []line) {
		for _, l := range lines {
			out = out.then("\n  ", l)
		}
	}
	out = append(out, words("test", "-d", "/run/systemd/system").then(";", nil).then("then", nil)...)
	block(systemd)
	out = out.then("\nelif", words("command", "-v", "rc-service").quiet()).then(";", nil).then("then", nil)
	block(openRC)
	out = out.then("\nelse", nil)
	block(sysV)
	return out.then("\nfi", nil)
}

// either runs a command if a question is answered so.
func either(question line, yes bool, command line) line {
	if !yes {
		return question.or(command)
	}
	return line{{"if", true}}.then2(question, command).then(";", nil).then("fi", nil)
}

// condition runs one of two commands.
func condition(question, yes, no line) line {
	return line{{"if", true}}.then2(question, yes).then(";", nil).then("else", no).then(";", nil).then("fi", nil)
}

func (l line) then2(question, command line) line {
	return append(l, question...).then(";", nil).then("then", command)
}
