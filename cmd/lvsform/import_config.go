package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/formats/ldirectord"
	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// importConfig writes the configuration of a program's file, then what there is
// to know about it.
func (c *cli) importConfig(program, file string, director *topology.Host, out string) error {
	text, err := c.readFile(file)
	if err != nil {
		return err
	}
	im, err := carryConfig(program, file, string(text), director)
	var mistakes ldirectord.Mistakes
	if errors.As(err, &mistakes) {
		c.diagnose(fileMistakes(file, string(text), mistakes))
		return silent(exitError)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	masked := planner.Masked(state.Config{Program: program, Text: string(text)})
	var left topology.Diagnostics
	for _, l := range im.left {
		d := topology.Diagnostic{Severity: topology.Warning, Summary: l.Keyword + ": " + l.Why}
		if l.Line > 0 {
			d.Range, d.Source = place(file, []byte(masked), l.Line)
		}
		left = append(left, d)
	}
	if len(im.resources) == 0 {
		c.diagnose(left)
		return &hintError{fmt.Errorf("%s has nothing that could be imported", file), "A vrrp_instance or a virtual service would be."}
	}
	if err := c.writeImported(im.text, out); err != nil {
		return err
	}
	c.diagnose(slices.Concat(left, im.wrong, secretNotes(im.secrets)))
	next := "The first plan adopts them."
	if len(im.wrong) > 0 {
		next = "Mend the errors above in it before the first plan."
	}
	if out != "" {
		services, instances := 0, 0
		for _, r := range im.resources {
			switch r.Body.(type) {
			case *topology.VirtualService:
				services++
			case *topology.VRRPInstance:
				instances++
			}
		}
		c.say(fmt.Sprintf("%s: %s and %s. %s", out, view.Count(instances, "VRRP instance"), view.Count(services, "virtual service"), next))
	}
	return nil
}

// importedConfig is a program's file as a configuration.
type importedConfig struct {
	text      []byte
	resources []*topology.Resource
	left      []planner.Left
	secrets   map[string]string
	wrong     topology.Diagnostics
}

// configHeader explains the file to who opens it first.
const configHeader = `# What %s tells %s on %s.
# Nothing here is about the other hosts: they are not managed, and lvsform never connects to them.
# Take managed = false out of those that it is to look after too.
`

// carryConfig turns a program's file into a configuration. What the language does
// not accept is left out, and listed.
func carryConfig(program, file, text string, director *topology.Host) (*importedConfig, error) {
	read, err := planner.ImportedConfig(director, program, text)
	if err != nil {
		return nil, err
	}
	im := &importedConfig{left: read.Left}
	whole := *read.Topology
	if _, err := loadWritten(&whole); err != nil {
		whole.Resources = nil
		for _, r := range read.Topology.Resources {
			alone := *read.Topology
			alone.Resources = []*topology.Resource{r}
			_, err := loadWritten(&alone)
			var refused *refusedError
			switch {
			case err == nil:
				whole.Resources = append(whole.Resources, r)
			case errors.As(err, &refused):
				im.left = append(im.left, planner.Left{Line: read.Lines[r.Path], Keyword: r.Path,
					Why: "is left out: " + refused.finding.Summary + ". " + refused.finding.Detail})
			default:
				return nil, err
			}
		}
	}
	slices.SortStableFunc(im.left, func(a, b planner.Left) int { return a.Line - b.Line })
	if im.resources = whole.Resources; len(im.resources) == 0 {
		return im, nil
	}
	t, err := loadWritten(&whole)
	if err != nil {
		return nil, err
	}
	body, err := hcl.Write(&whole)
	if err != nil {
		return nil, err
	}
	im.secrets, im.wrong = hcl.Secrets(&whole), errorsIn(t)
	im.text = slices.Concat(fmt.Appendf(nil, configHeader, commentText(file), program, director.Name), leftComment(file, im.left), []byte("\n"), body)
	if formatted, _ := hcl.Format("main.hcl", im.text); !bytes.Equal(formatted, im.text) {
		return nil, errors.New("what was written is not in its canonical form")
	}
	return im, nil
}

// loadWritten writes a topology and loads it again.
func loadWritten(t *topology.Topology, calls ...hcl.Call) (*topology.Topology, error) {
	text, err := hcl.Write(t, calls...)
	if err != nil {
		return nil, err
	}
	return loadText(text, hcl.Secrets(t))
}

// leftComment lists what the configuration does not say.
func leftComment(file string, left []planner.Left) []byte {
	var b bytes.Buffer
	if len(left) > 0 {
		b.WriteString("#\n# Not carried over:\n")
	}
	for _, l := range left {
		at := commentText(file)
		if l.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, l.Line)
		}
		fmt.Fprintf(&b, "#   %s: %s: %s\n", at, l.Keyword, commentText(l.Why))
	}
	return b.Bytes()
}

// commentText makes a text fit for a comment.
func commentText(text string) string { return strings.Join(strings.Fields(text), " ") }

// secretNotes say how the passwords are given that no file holds.
func secretNotes(secrets map[string]string) topology.Diagnostics {
	var out topology.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		out = append(out, topology.Diagnostic{Severity: topology.Info, Summary: fmt.Sprintf("the password is not written: var.%s has no value yet", name),
			Detail: fmt.Sprintf("Set LVSFORM_VAR_%s in the environment of plan and apply to the auth_pass of the file, or put it in a file of variables that nobody else can read (--var-file).", name)})
	}
	return out
}

func fileMistakes(file, text string, mistakes ldirectord.Mistakes) topology.Diagnostics {
	masked := ldirectord.Mask(text)
	var out topology.Diagnostics
	for _, m := range mistakes {
		d := topology.Diagnostic{Severity: topology.Error, Summary: m.Cause}
		if m.Line > 0 {
			d.Range, d.Source = place(file, []byte(masked), m.Line)
		}
		out = append(out, d)
	}
	return out
}
