// Package runbook writes what a host shall have as commands for a person to run.
package runbook

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"github.com/lvsform/lvsform/state"
)

// Host is one host with all that it shall have, in the order in which it is to
// be made.
type Host struct {
	Name     string
	Topology string
	OS       string     // linux ("" is linux too), windows or another
	Address  netip.Addr // its own
	Steps    []Step
}

// Step is one object.
type Step struct {
	Object    state.Object
	Addresses []string // of the resources that declare it
	// Hidden objects hold sensitive values: they are named and not shown.
	Hidden bool
}

// Render writes the runbook: a script for sh, one for PowerShell, or for a system
// that lvsform knows no commands of a list. What cannot be written as a command
// stands there as a comment.
func Render(h Host) (string, error) {
	for _, s := range h.Steps {
		if err := check(s.Object); err != nil {
			return "", fmt.Errorf("%s: %w", printable(s.Object.Key().String()), err)
		}
	}
	switch h.OS {
	case "", "linux":
		return shellScript(h), nil
	case "windows":
		return powerShellScript(h), nil
	}
	return list(h), nil
}

// list is a runbook without commands.
func list(h Host) string {
	var b strings.Builder
	comment(&b, "", fmt.Sprintf("Host %s of topology %q runs %s, whose commands lvsform does not know.", h.Name, h.Topology, h.OS))
	comment(&b, "", "It shall have, in this order, what does the same as these objects of a Linux host:")
	for _, s := range h.Steps {
		comment(&b, "  ", describe(s)+from(s))
	}
	return b.String()
}

// describe names an object and its values on one line.
func describe(s Step) string {
	text := s.Object.Key().String()
	if s.Hidden {
		if _, ok := s.Object.(state.Config); ok {
			return text + ": it holds secrets, which are not shown"
		}
		return text + ": its value is sensitive, and not shown"
	}
	switch o := s.Object.(type) {
	case state.Sysctl:
		text += " = " + o.Value
	case state.Route:
		text = "route " + strings.Join(routeWords(o), " ")
	case state.Rule:
		text = "rule " + strings.Join(ruleWords(o), " ")
	case state.Address:
		text = "address " + o.IP.String() + " on " + o.Device
	case state.Link:
		text += " " + strings.Join(append(linkData(o), linkState(o)...), " ")
	case state.Mark:
		text += fmt.Sprintf(": mark %d", o.Mark)
	case state.Masquerade:
		if o.Source.IsValid() {
			text += " as " + o.Source.String()
		}
	case state.FOU:
		text += " " + o.Protocol
	case state.Timeouts:
		text += " " + strings.Join(timeouts(o), " ")
	case state.Sync:
		text += " " + strings.Join(syncWords(o), " ")
	case state.Service:
		text += " " + strings.Join(serviceOptions(o), " ")
	case state.Destination:
		text += " " + strings.Join(destinationOptions(o), " ")
	case state.Unit:
		text += ":" + unitState(o)
	}
	return strings.TrimRight(text, " ")
}

func unitState(u state.Unit) string {
	text := ""
	if u.Running.Set {
		text += pick(u.Running.Value, " running", " stopped")
	}
	if u.Enabled.Set {
		text += pick(u.Enabled.Value, " enabled at boot", " disabled at boot")
	}
	return text
}

func pick(first bool, yes, no string) string {
	if first {
		return yes
	}
	return no
}

func from(s Step) string {
	if len(s.Addresses) == 0 {
		return ""
	}
	return "   (" + strings.Join(s.Addresses, ", ") + ")"
}

// comment writes one line that sh and PowerShell pass over.
func comment(b *strings.Builder, indent, text string) {
	b.WriteString("# " + indent + printable(text) + "\n")
}

// printable writes what could end a line, or hide, as its code.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// The forms are compiled when they are first needed: one that counts characters
// of large classes takes longer than the start of the program without it.
var (
	deviceName = form(`^[^-/\s\pC\p{Zl}\p{Zp}][^/\s\pC\p{Zl}\p{Zp}]{0,14}$`)
	plainName  = form(`^[A-Za-z0-9_][A-Za-z0-9_.+@:-]{0,199}$`)
	sysctlName = form(`^[A-Za-z0-9_][^\s\pC\p{Zl}\p{Zp}=]{0,254}$`)
	wordList   = form(`^[A-Za-z0-9_,=. -]*$`)
	portList   = form(`^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`)
)

func form(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// check refuses objects whose texts are none of their kind: a script is no
// place to find out.
func check(o state.Object) error {
	type field struct {
		name, value string
		form        func() *regexp.Regexp
	}
	var fields []field
	optional := func(name, value string, form func() *regexp.Regexp) {
		if value != "" {
			fields = append(fields, field{name, value, form})
		}
	}
	switch o := o.(type) {
	case state.Package:
		fields = []field{{"name", o.Name, plainName}}
	case state.Module:
		fields = []field{{"name", o.Name, plainName}, {"parameters", o.Parameters, wordList}}
	case state.Sysctl:
		fields = []field{{"name", o.Name, sysctlName}, {"value", o.Value, oneLine}}
	case state.Link:
		fields = []field{{"name", o.Name, deviceName}}
		optional("kind", o.Kind, plainName)
		optional("mode", o.Mode, plainName)
	case state.FOU:
		fields = []field{{"family", o.Family, plainName}, {"protocol", o.Protocol, plainName}}
	case state.Address:
		fields = []field{{"device", o.Device, deviceName}, {"scope", o.Scope, plainName}}
		optional("label", o.Label, deviceName)
	case state.Route:
		optional("device", o.Device, deviceName)
		optional("scope", o.Scope, plainName)
		optional("type", o.Type, plainName)
	case state.Rule:
		fields = []field{{"family", o.Family, plainName}}
	case state.Mark:
		fields = []field{{"protocol", o.Protocol, plainName}, {"ports", o.Ports, portList}}
	case state.Masquerade:
		fields = []field{{"protocol", o.Protocol, plainName}}
	case state.Sync:
		fields = []field{{"role", o.Role, plainName}, {"interface", o.Interface, deviceName}}
	case state.Service:
		fields = []field{{"scheduler", o.Scheduler, plainName}, {"scheduler_flags", o.SchedulerFlags, wordList}}
		optional("engine", o.Engine, plainName)
	case state.Destination:
		fields = []field{{"forward", o.Forward, plainName}}
		optional("tunnel_type", o.TunnelType, plainName)
		optional("tunnel_checksum", o.TunnelChecksum, plainName)
	case state.Unit:
		fields = []field{{"name", o.Name, plainName}}
	case state.Config:
		fields = []field{{"program", o.Program, plainName}, {"topology", o.Topology, plainName}}
		if !writable(o) {
			return fmt.Errorf("its text cannot be written into a script")
		}
	}
	for _, f := range fields {
		if !f.form().MatchString(f.value) {
			return fmt.Errorf("%s %q cannot be written into a script", f.name, f.value)
		}
	}
	return nil
}

var oneLine = form(`^[^\pC\p{Zl}\p{Zp}]*$`)
