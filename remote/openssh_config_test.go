//go:build lab

package remote

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOpenSSHConfigIsUnderstoodByAskingLess compares what the resolver says
// with what ssh -G says when it is asked for every host.
func TestOpenSSHConfigIsUnderstoodByAskingLess(t *testing.T) {
	dir := t.TempDir()
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	counter := filepath.Join(dir, "runs")
	wrapper := write(t, filepath.Join(dir, "ssh"), fmt.Sprintf("#!/bin/sh\necho >>%s\nexec %s \"$@\"\n", counter, ssh))
	if err := os.Chmod(wrapper, 0o700); err != nil {
		t.Fatal(err)
	}
	included := write(t, filepath.Join(dir, "included"), "Host rs*\n Port 2200\nHost rs2\n User special\n")
	hosts := []string{"lb1", "lb2", "lb3", "rs1", "rs2", "rs3", "10.0.0.1", "10.0.0.2", "fd00::1", "LB1", "target.example"}
	for _, c := range []struct {
		name, config string
		runs         int // at most
	}{
		{"nothing", "", 2},
		{"one block for all", "Host *\n User root\n IdentityFile /k\n", 2},
		{"blocks", "Host lb1\n HostName target.example\nHost lb* !lb3\n User admin\nHost 10.*\n ProxyJump lb1\nHost *\n Port 2222\n", 7},
		{"includes", "Host rs*\n IdentityFile /rs\n Include " + included + "\nHost *\n Include " + included + "\n", 4},
		{"Match final all", "Match final all\n User finally\nHost lb*\n Port 1\n", 4},
		{"tokens", "Host lb*\n HostName %h.example\n UserKnownHostsFile /kh/%h\n", len(hosts) + 1},
		{"Match", "Match host lb1,rs*\n User matched\n", len(hosts) + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := write(t, filepath.Join(t.TempDir(), "config"), c.config)
			write(t, counter, "")
			r := newResolver(config, slog.New(slog.DiscardHandler))
			r.ssh = wrapper
			got := make([]settings, len(hosts))
			var wait sync.WaitGroup
			for i, h := range hosts {
				wait.Go(func() {
					var err error
					if got[i], err = r.resolve(patient(t), query{Host: h}); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			for i, h := range hosts {
				want, err := parseSettings(h, []byte(run(t, ssh, "-G", "-T", "-F", config, "--", h)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got[i]); diff != "" {
					t.Errorf("%s: %s", h, diff)
				}
			}
			if n := strings.Count(read(t, counter), "\n"); n > c.runs {
				t.Errorf("ssh -G was run %d times, want at most %d", n, c.runs)
			}
		})
	}
	t.Run("the target's own fields win", func(t *testing.T) {
		config := write(t, filepath.Join(dir, "config"), "User someone\nPort 1\nMatch user me\n IdentityFile /me\n")
		r := newResolver(config, slog.New(slog.DiscardHandler))
		s, err := r.resolve(patient(t), query{Host: "lb1", User: "me", Port: 7})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{"me", 7, []string{"/me"}}, []any{s.User, s.Port, s.IdentityFiles}); diff != "" {
			t.Error(diff)
		}
	})
}
