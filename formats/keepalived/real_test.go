//go:build kernel

package keepalived

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The program itself has the last word: keepalived -t takes every text that
// Render writes without a complaint.
func TestKeepalivedTakesWhatIsRendered(t *testing.T) {
	interfaces(t)
	for name, c := range rendered(t) {
		t.Run(name, func(t *testing.T) {
			text, err := c.Render()
			if err != nil {
				t.Fatal(err)
			}
			if complaint := keepalivedTest(t, ForTest(text)); complaint != "" {
				t.Errorf("%s\nof\n%s", complaint, text)
			}
		})
	}
}

// What Render refuses because keepalived corrects or ignores it, keepalived does
// complain of.
func TestKeepalivedComplainsOfWhatIsRefused(t *testing.T) {
	interfaces(t)
	for text, want := range corrected() {
		if strings.Contains(text, "vrrp_version") {
			continue // our own word for a keyword out of place
		}
		complaint := keepalivedTest(t, text)
		if complaint == "" {
			t.Errorf("keepalived takes what is said to be corrected (%s):\n%s", want, text)
		}
	}
}

// rendered are configurations that use all that can be written, each scheduler
// and each method of forwarding.
func rendered(t *testing.T) map[string]Config {
	t.Helper()
	out := map[string]Config{"everything": everything()}
	var balanced Config
	for n, scheduler := range schedulers() {
		v := VirtualServer{Service: web(), RealServers: []RealServer{nat("192.0.2.11", 80, Check{Type: TCPCheck})}}
		v.Port, v.Scheduler = uint16(81+n), scheduler
		balanced.Services = append(balanced.Services, v)
	}
	out["every scheduler"] = balanced
	read, _, err := Parse(handwritten)
	if err != nil {
		t.Fatal(err)
	}
	out["hand-written"] = read
	for _, value := range []string{"a~b", "a@b", "a%b", "a[b]", "a,b", "(a)", "a&b|c", "a;b", "a=b", "é"} {
		changed := everything()
		for name, put := range places() {
			if slices.Contains([]string{"user", "interface", "track", "device", "command"}, name) {
				continue // must be there on the host
			}
			c := everything()
			put(&c, value)
			if _, err := c.Render(); err == nil {
				put(&changed, value)
			}
		}
		changed.Services[1].RealServers[0].Check.Command = "/usr/bin/test " + value
		out["strings with "+value] = changed
	}
	return out
}

// interfaces makes those that the configurations name and that are not there.
func interfaces(t *testing.T) {
	t.Helper()
	ip := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	for _, name := range []string{"eth0", "eth1"} {
		if ip("link", "show", "dev", name) == nil {
			continue
		}
		if err := ip("link", "add", name, "type", "veth", "peer", "name", "peer-"+name); err != nil {
			t.Fatal(err)
		}
		if err := ip("link", "set", name, "up"); err != nil {
			t.Fatal(err)
		}
	}
}

// keepalivedTest is what keepalived -t says; "" when all is well.
func keepalivedTest(t *testing.T, text string) string {
	t.Helper()
	// keepalived takes the file's name for a format: it must not hold a %.
	dir, err := os.MkdirTemp("", "keepalived")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("keepalived", "-t", "-l", "-n", "-f", file).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err != nil || len(out) > 0 {
		return fmt.Sprintf("%v: %s", err, strings.ReplaceAll(string(out), file, "FILE"))
	}
	return ""
}
