package hcl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFormat(t *testing.T) {
	tests := []struct{ name, file, src, want string }{
		{
			"aligns and indents", "main.hcl",
			"host \"a\" {\naddress=\"192.0.2.1\"\n    name   = \"x\"\n}\n",
			"host \"a\" {\n  address = \"192.0.2.1\"\n  name    = \"x\"\n}\n",
		},
		{"keeps comments", "main.hcl", "# one\nlocals { a=1 } // two\n", "# one\nlocals { a = 1 } // two\n"},
		{"leaves JSON alone", "main.hcl.json", "{ \"a\":1}", "{ \"a\":1}"},
		{"formats values files", "x.vars.hcl", "a=1\nlong=2\n", "a    = 1\nlong = 2\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, diags := Format(tt.file, []byte(tt.src))
			if diags != nil {
				t.Fatalf("diagnostics: %v", diags)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("Format differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFormatReportsWhatCannotBeParsed(t *testing.T) {
	_, diags := Format("main.hcl", []byte("locals {\n  a = = 1\n}\n"))
	if !diags.HasErrors() || diags[0].Source != "  a = = 1" || diags[0].Range.Start.Line != 2 {
		t.Errorf("diagnostics: %+v", diags)
	}
}
