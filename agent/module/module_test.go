//go:build linux

package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
)

func TestTreeFilesNameModules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "modules.dep")
	text := "kernel/net/netfilter/ipvs/ip_vs.ko.xz: kernel/lib/libcrc32c.ko.xz\nkernel/net/ipv4/ipip.ko:\nkernel/a/snd-hda-intel.ko.zst:\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"ip_vs": true, "ipip": true, "snd_hda_intel": true}
	if diff := cmp.Diff(want, listed(file)); diff != "" {
		t.Error(diff)
	}
	if got := listed(filepath.Join(t.TempDir(), "none")); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestUnknownModulesAreMissing(t *testing.T) {
	there, missing, err := Read([]string{"no_such_module", "no_such_module", "../../etc"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"../../etc", "no_such_module"}, missing); diff != "" || len(there) > 0 {
		t.Errorf("%v, %s", there, diff)
	}
}

func TestRefusesParametersThatAreNone(t *testing.T) {
	for _, text := range []string{"conn_tab_bits", "-r=1", "a=", "a=b;c", "install=../x", "=1"} {
		if err := load(state.Module{Name: "no_such_module", Parameters: text}); err == nil || !strings.Contains(err.Error(), "NAME=VALUE") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRefusesNamesThatAreArguments(t *testing.T) {
	for _, name := range []string{"-r", "ip_vs;reboot", "", "a b", "../x"} {
		if safe(name) {
			t.Errorf("%q is taken for a name", name)
		}
		if err := Load(name); err == nil {
			t.Errorf("%q was loaded", name)
		}
	}
}
