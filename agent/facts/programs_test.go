//go:build linux

package facts

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProgramsThatKeepTablesAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		keepalived string
		want       []string
	}{
		"addresses alone":      {"vrrp_instance one {\n}\n# virtual_server 192.0.2.1 80 {\n", []string{"ldirectord"}},
		"virtual servers, too": {"vrrp_instance one {\n}\n  virtual_server 192.0.2.1 80 {\n}\n", []string{"keepalived", "ldirectord"}},
	} {
		root := t.TempDir()
		write := func(name, text string) {
			file := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		process := func(pid, comm, net string) {
			write("proc/"+pid+"/comm", comm+"\n")
			if err := os.Mkdir(filepath.Join(root, "proc", pid, "ns"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(net, filepath.Join(root, "proc", pid, "ns/net")); err != nil {
				t.Fatal(err)
			}
		}
		write("etc/keepalived/conf.d/own.conf", test.keepalived)
		process("thread-self", "agent", "net:[1]")
		process("7", "keepalived", "net:[1]")
		process("8", "keepalived", "net:[1]")
		process("9", "ldirectord", "net:[1]")
		process("10", "kube-proxy", "net:[2]")
		process("11", "bash", "net:[1]")
		if diff := cmp.Diff(test.want, Programs(filepath.Join(root, "proc"), root)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
