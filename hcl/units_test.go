package hcl

import (
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
)

func TestSysctlName(t *testing.T) {
	tests := []struct{ in, want string }{
		{"net.ipv4.ip_forward", "net.ipv4.ip_forward"},
		{"net/ipv4/ip_forward", "net.ipv4.ip_forward"},
		{"net.ipv4.conf.eth0/10.arp_ignore", "net.ipv4.conf.eth0/10.arp_ignore"},
		{"net/ipv4/conf/eth0.10/arp_ignore", "net.ipv4.conf.eth0/10.arp_ignore"},
		{"net.ipv4.conf.br-lan.arp_ignore", "net.ipv4.conf.br-lan.arp_ignore"},
		{"hostname", ""}, {"", ""}, {".", ""}, {"/", ""}, {"..", ""}, {"a..b", ""}, {"a/../b", ""}, {"a.//.b", ""},
		{"net.ipv4./etc", ""}, {"net.ipv4.x/", ""}, {"/net/ipv4", ""}, {"a.b\x00", ""}, {"a.b\n", ""}, {"a.b c", ""}, {"a.$b", ""},
	}
	for _, tt := range tests {
		got, why := sysctlName(tt.in)
		if got != tt.want || (why == "") != (tt.want != "") {
			t.Errorf("sysctlName(%q) = %q, %q; want %q", tt.in, got, why, tt.want)
		}
	}
}

func TestMaskLength(t *testing.T) {
	tests := []struct {
		in   cty.Value
		bits int
		want int // 0: refused
	}{
		{cty.NumberIntVal(24), 32, 24},
		{cty.StringVal("24"), 32, 24},
		{cty.StringVal("255.255.255.0"), 32, 24},
		{cty.StringVal("255.255.255.255"), 32, 32},
		{cty.StringVal("ffff:ffff::"), 128, 32},
		{cty.NumberIntVal(128), 128, 128},
		{cty.NumberIntVal(0), 32, 0},
		{cty.NumberIntVal(33), 32, 0},
		{cty.NumberFloatVal(24.5), 32, 0},
		{cty.StringVal("255.0.255.0"), 32, 0},
		{cty.StringVal("0.0.0.0"), 32, 0},
		{cty.StringVal("ffff::"), 32, 0},
		{cty.StringVal("x"), 32, 0},
		{cty.True, 32, 0},
	}
	for _, tt := range tests {
		got, ok := maskLength(tt.in, tt.bits)
		if ok != (tt.want != 0) || ok && got != tt.want {
			t.Errorf("maskLength(%#v, %d) = %d, %v; want %d", tt.in, tt.bits, got, ok, tt.want)
		}
	}
}

func TestKeySuffixIsReadBackByTheLanguage(t *testing.T) {
	want := `["a\"b\\c $${d} %%{e}"]`
	if diff := cmp.Diff(want, keySuffix(`a"b\c ${d} %{e}`)); diff != "" {
		t.Error(diff)
	}
}

func TestLoadTakesEmbeddedModulesFromTheCaller(t *testing.T) {
	embedded := fstest.MapFS{
		"outer/main.hcl":       {Data: []byte("module \"inner\" { source = \"../inner\" }\noutput \"o\" { value = module.inner.o }")},
		"inner/main.hcl":       {Data: []byte("output \"o\" { value = file(\"${path.module}/data/x\") }")},
		"inner/data/x":         {Data: []byte("embedded")},
		"broken/main.hcl":      {Data: []byte("output \"o\" { value = var.none }")},
		"broken/ignored.hcl~":  {Data: []byte("{{{")},
		"broken/.ignored.hcl":  {Data: []byte("{{{")},
		"broken/x.vars.hcl":    {Data: []byte("{{{")},
		"broken/not/read.hcl":  {Data: []byte("{{{")},
		"broken/also.hcl.json": {Data: []byte("{}")},
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte("topology \"t\" {}\nmodule \"m\" { source = \"lvsform://outer\" }\noutput \"o\" { value = module.m.o }"))
	top, diags := Load(Options{Dir: dir, Embedded: embedded})
	if diags != nil || len(top.Outputs) != 1 || string(top.Outputs[0].Value) != `"embedded"` {
		t.Errorf("Load = %+v, %+v", top, diags)
	}
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte("topology \"t\" {}\nmodule \"m\" { source = \"lvsform://broken\" }"))
	_, diags = Load(Options{Dir: dir, Embedded: embedded})
	if len(diags) != 1 || diags[0].Range == nil || diags[0].Range.File != "lvsform://broken/main.hcl" || diags[0].Source != `output "o" { value = var.none }` {
		t.Errorf("diagnostics: %+v", diags)
	}
}

func TestLoadSaysWhatADirectoryLacks(t *testing.T) {
	_, diags := Load(Options{Dir: filepath.Join(t.TempDir(), "none")})
	wantError(t, diags, "cannot be read")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.hcl"), []byte("locals {}"))
	_, diags = Load(Options{Dir: dir})
	wantError(t, diags, "No topology block")
}
