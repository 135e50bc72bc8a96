package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/lvsform/lvsform/hcl"
	"github.com/lvsform/lvsform/planner"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/topology"
)

// imported is a table as a configuration.
type imported struct {
	text    []byte
	carried state.Objects
	left    topology.Diagnostics // what no configuration can say, and why
	// wrong is what validate will find in the configuration: nothing can be
	// applied before it is mended.
	wrong topology.Diagnostics
	// modules is how many of its blocks are calls of modules.
	modules int
}

// importedHeader explains the file to who opens it first.
const importedHeader = `# The IPVS table of %s. Nothing here is about the other hosts: they are not managed, and lvsform
# never connects to them. Take managed = false out of those that it is to look after too.

`

// carryOver turns a director's table into a configuration that declares exactly
// it. A service that the language cannot express is left out with all its
// servers, for a server that is left out of a declared service would be removed.
func carryOver(director *topology.Host, objects state.Objects) (*imported, error) {
	im := &imported{}
	text, wrong, err := configurationOf(director, objects)
	if err == nil {
		im.text, im.carried, im.wrong = text, objects, wrong
		return im, nil
	}
	for _, part := range parts(objects) {
		_, _, err := configurationOf(director, part)
		var refused *refusedError
		switch {
		case err == nil:
			im.carried = append(im.carried, part...)
		case errors.As(err, &refused):
			im.left = append(im.left, topology.Diagnostic{Severity: topology.Warning,
				Summary: planner.Title(part[0]) + " is left out: " + refused.finding.Summary, Detail: refused.finding.Detail})
		default:
			return nil, err
		}
	}
	if len(im.left) == 0 { // each could be said alone
		return nil, err
	}
	if len(im.carried) == 0 {
		return im, nil
	}
	im.text, im.wrong, err = configurationOf(director, im.carried)
	return im, err
}

// parts are the objects that stand and fall together: a service with its
// servers, each other object alone.
func parts(objects state.Objects) []state.Objects {
	var out []state.Objects
	at := map[state.ServiceID]int{}
	for _, o := range objects {
		if d, ok := o.(state.Destination); ok {
			if i, ok := at[d.Service]; ok {
				out[i] = append(out[i], o)
				continue
			}
		}
		if s, ok := o.(state.Service); ok {
			at[s.ServiceID] = len(out)
		}
		out = append(out, state.Objects{o})
	}
	return out
}

// refusedError is a configuration that the language does not accept.
type refusedError struct{ finding topology.Diagnostic }

func (e *refusedError) Error() string { return e.finding.Summary + "\n" + e.finding.Detail }

// configurationOf writes a configuration, loads it again, and compares what it
// declares with the objects. It looks for what cannot work there.
func configurationOf(director *topology.Host, objects state.Objects) (text []byte, wrong topology.Diagnostics, err error) {
	body, err := hcl.Write(planner.Imported(director, objects))
	if err != nil {
		return nil, nil, err
	}
	text = append(fmt.Appendf(nil, importedHeader, director.Name), body...)
	t, err := loadText(text, nil)
	if err != nil {
		return nil, nil, err
	}
	declared, err := planner.Desired(t, director.Name)
	if err != nil {
		return nil, nil, err
	}
	var got state.Objects
	for _, d := range declared {
		if d.Object.Key().Kind != state.KindModule { // they follow from the services
			got = append(got, d.Object)
		}
	}
	want := slices.Clone(objects)
	got.Sort()
	want.Sort()
	if !slices.Equal(got, want) {
		return nil, nil, &refusedError{topology.Diagnostic{Summary: "a configuration would declare something else", Detail: difference(want, got)}}
	}
	return text, errorsIn(t), nil
}

// errorsIn is what stops a plan of a topology, whatever its hosts are like. The
// places are left out: the file has none yet.
func errorsIn(t *topology.Topology) topology.Diagnostics {
	var out topology.Diagnostics
	for _, d := range findings(planner.Build(planner.Input{Topology: t, Version: buildVersion()})) {
		// Where the VIP is, only the host can tell.
		if d.Severity == topology.Error && d.Check != "LVS007" {
			d.Range, d.Also = nil, nil
			out = append(out, d)
		}
	}
	return out
}

// difference describes the first objects in which two lists differ.
func difference(want, got state.Objects) string {
	for i, o := range want {
		if i >= len(got) || got[i] != o {
			found := "nothing"
			if i < len(got) {
				found = planner.Describe(got[i])
			}
			return fmt.Sprintf("The table has %s; declared would be %s.", planner.Describe(o), found)
		}
	}
	return fmt.Sprintf("%d objects more would be declared than the table has.", len(got)-len(want))
}

// loadText loads a configuration of one file, whose variables have values. The
// loader reads directories.
func loadText(text []byte, variables map[string]string) (*topology.Topology, error) {
	dir, err := os.MkdirTemp("", "lvsform-import-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the temporary directory
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), text, 0o600); err != nil {
		return nil, err
	}
	var inputs []hcl.Input
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		inputs = append(inputs, hcl.Input{Name: name, Value: variables[name]})
	}
	t, diags := hcl.Load(hcl.Options{Dir: dir, Version: buildVersion(), Inputs: inputs})
	for _, d := range diags {
		if d.Severity == topology.Error {
			return nil, &refusedError{d}
		}
	}
	if formatted, _ := hcl.Format("main.hcl", text); !bytes.Equal(formatted, text) {
		return nil, errors.New("what was written is not in its canonical form")
	}
	return t, nil
}
