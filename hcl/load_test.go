package hcl

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/lvsform/lvsform/topology"
	"golang.org/x/tools/txtar"
)

// With -update the expectations are rewritten from what Load returns; read the
// difference before committing it.
var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// TestLoad runs every archive of testdata/load: its files are a directory, the
// lines before them are options, and the file `want` is what Load returns.
func TestLoad(t *testing.T) {
	archives, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			opts := Options{Dir: t.TempDir(), Version: "0.1.0"}
			kept := a.Files[:0:0]
			for _, f := range a.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				kept = append(kept, f)
				writeFile(t, filepath.Join(opts.Dir, f.Name), f.Data)
			}
			readOptions(t, string(a.Comment), &opts)
			got := describeLoad(Load(opts))
			if *update {
				a.Files = append(kept, txtar.File{Name: "want", Data: []byte(got)})
				writeFile(t, name, txtar.Format(a))
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Load differs (-want +got):\n%s", diff)
			}
		})
	}
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// readOptions reads lines like `var NAME=VALUE`, `var-file FILE`, `env
// NAME=VALUE`, `version X`, `embedded NAME…`; others are comments.
func readOptions(t *testing.T, comment string, opts *Options) {
	t.Helper()
	for line := range strings.SplitSeq(comment, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "var":
			name, value, _ := strings.Cut(rest, "=")
			opts.Inputs = append(opts.Inputs, Input{Name: name, Value: value})
		case "var-file":
			opts.Inputs = append(opts.Inputs, Input{File: rest})
		case "env":
			opts.Environ = append(opts.Environ, rest)
		case "version":
			opts.Version = rest
		case "embedded": // modules without files, instead of the built-in ones
			files := fstest.MapFS{}
			for name := range strings.FieldsSeq(rest) {
				files[name+"/main.hcl"] = &fstest.MapFile{}
			}
			opts.Embedded = files
		}
	}
}

// describeLoad writes what Load returned for people to read: with errors only
// the diagnostics.
func describeLoad(top *topology.Topology, diags topology.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		describeDiagnostic(&b, d)
	}
	if diags.HasErrors() {
		return b.String()
	}
	fmt.Fprintf(&b, "topology %s", top.Name)
	if top.Persist != nil {
		fmt.Fprintf(&b, " persist=%t", *top.Persist)
	}
	b.WriteByte('\n')
	for _, h := range top.Hosts {
		describeHost(&b, h)
	}
	for _, r := range top.Resources {
		describeResource(&b, r)
	}
	for _, r := range top.Removed {
		fmt.Fprintf(&b, "removed %s\n", r.From)
	}
	for _, o := range top.Outputs {
		fmt.Fprintf(&b, "output %s = %s", o.Name, o.Value)
		if o.Sensitive {
			b.WriteString(" (sensitive)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func describeDiagnostic(b *strings.Builder, d topology.Diagnostic) {
	fmt.Fprintf(b, "%s:", d.Severity)
	if d.Check != "" {
		fmt.Fprintf(b, " [%s]", d.Check)
	}
	fmt.Fprintf(b, " %s\n", d.Summary)
	if d.Range != nil {
		fmt.Fprintf(b, "  %s: %s\n", d.Range, d.Source)
	}
	fmt.Fprintf(b, "  %s\n", strings.ReplaceAll(d.Detail, "\n", "\n  "))
}

func describeHost(b *strings.Builder, h *topology.Host) {
	fmt.Fprintf(b, "%s: name=%s address=%s", h.Path, h.Name, h.Address)
	if h.Gateway.IsValid() {
		fmt.Fprintf(b, " gateway=%s", h.Gateway)
	}
	if !h.Managed {
		fmt.Fprintf(b, " unmanaged")
	}
	if h.Retired {
		fmt.Fprintf(b, " retired")
	}
	if h.OS != "" {
		fmt.Fprintf(b, " os=%s", h.OS)
	}
	for _, i := range h.Interfaces {
		fmt.Fprintf(b, " %s=%v", i.Name, i.Addresses)
	}
	if h.SSH != (topology.SSH{}) {
		fmt.Fprintf(b, " ssh=%+v", h.SSH)
	}
	b.WriteByte('\n')
}

func describeResource(b *strings.Builder, r *topology.Resource) {
	fmt.Fprintf(b, "%s on %s", r.Path, r.Host)
	if len(r.DependsOn) > 0 {
		fmt.Fprintf(b, " after %s", strings.Join(r.DependsOn, ", "))
	}
	if r.PreventDestroy {
		b.WriteString(" prevent_destroy")
	}
	if len(r.IgnoreChanges) > 0 {
		fmt.Fprintf(b, " ignore %v", r.IgnoreChanges)
	}
	if len(r.Sensitive) > 0 {
		fmt.Fprintf(b, " sensitive %v", r.Sensitive)
	}
	b.WriteByte('\n')
	body := r.Body
	if s, ok := body.(*topology.VirtualService); ok {
		plain := *s
		plain.RealServers = nil
		body = &plain
		defer func() {
			for _, rs := range s.RealServers {
				rs.Range = topology.Range{}
				fmt.Fprintf(b, "    %s\n", compact(rs))
			}
		}()
	}
	if v, ok := body.(*topology.VRRPInstance); ok {
		plain := *v
		plain.VirtualAddresses = nil
		body = &plain
		defer func() {
			for _, a := range v.VirtualAddresses {
				a.Range = topology.Range{}
				fmt.Fprintf(b, "    %s\n", compact(a))
			}
		}()
	}
	fmt.Fprintf(b, "  %s\n", compact(body))
}

// compact is JSON without the fields that are unset.
func compact(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return err.Error()
	}
	for name, f := range fields {
		if check, ok := f.(map[string]any); ok && name == "HealthCheck" {
			maps.DeleteFunc(check, func(_ string, v any) bool { return v == nil || v == "" || v == 0.0 && v != check["Retries"] })
		}
		switch f := f.(type) {
		case nil:
			delete(fields, name)
		case string:
			if f == "" {
				delete(fields, name)
			}
		case float64:
			if f == 0 && name == "Quorum" {
				delete(fields, name)
			}
		case map[string]any:
			if name == "Range" {
				delete(fields, name)
			}
		}
	}
	data, err = json.Marshal(fields)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
