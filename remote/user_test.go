package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/remote/sshtest"
)

// A user's name comes from a configuration or a plan's file, and becomes a part
// of the ProxyCommand of whoever runs lvsform: nothing in it is run.
func TestUsersThatAShellWouldRunAreRefused(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	config := filepath.Join(t.TempDir(), "ssh_config")
	if err := os.WriteFile(config, []byte("Host *\n  ProxyCommand echo %r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"x;touch " + ran, "$(touch " + ran + ")", "`touch " + ran + "`", "x&touch${IFS}" + ran, "x|touch", "x\ntouch " + ran,
		"x>" + ran, "-oProxyCommand=x", "x\\", "'x", `"x`, "x y", "\x00", "#x", "~x", "x*"} {
		b := newBench(t, sshtest.Config{}, func(_ *sshtest.Server, c *Config, target *Target) {
			c.SSHConfig, target.User = config, user
		})
		_, err := b.observe(t)
		if err == nil || !strings.Contains(err.Error(), "is not a user's name") {
			t.Errorf("%q: %v", user, err)
			continue
		}
		plain(t, err.Error())
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
	for _, user := range []string{"", "root", "lvs-admin", "a.b@example.net", `DOMAIN\user`, "müller"} {
		if err := checkUser(user); err != nil {
			t.Errorf("%q: %v", user, err)
		}
	}
}
