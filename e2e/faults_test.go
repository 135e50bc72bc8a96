//go:build lab

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// inBand has a real server that is reached through its own default gateway:
// from the bastion, by way of the router between the two networks.
const inBand = `
topology "cut" {}
host "bastion" {
  address = "203.0.113.9"
  gateway = "203.0.113.1"
  interface "eth0" { addresses = ["203.0.113.9/24"] }
}
host "rs1" {
  address = "192.168.10.11"
  gateway = "192.168.10.1"
  interface "eth0" { addresses = ["192.168.10.11/24"] }
}
sysctl "arp" {
  host     = host.rs1
  settings = { "net.ipv4.conf.all.arp_ignore" = 1 }
}
`

// wayOfItsOwn is the lab's ssh_config, but for rs1, whose own sshd is reached
// over the lab's networks.
func (s *scene) wayOfItsOwn() string {
	s.t.Helper()
	text, err := os.ReadFile(s.lab.SSHConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	own := "Host rs1 192.168.10.11\n  HostName 192.168.10.11\n  Port 2222\n  ProxyJump bastion\n  HostKeyAlias rs1\n\n"
	file := filepath.Join(s.t.TempDir(), "ssh_config")
	if err := os.WriteFile(file, append([]byte(own), text...), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// A plan that moves the default gateway so that the host cannot be reached any
// more: the host heals itself, and the run says so.
func TestAChangeThatCutsItsOwnWayHeals(t *testing.T) {
	s := newScene(t, inBand)
	s.on("rs1", "/usr/sbin/sshd -p 2222 -o PidFile=/run/sshd-2222.pid")
	defer s.on("rs1", "kill $(cat /run/sshd-2222.pid)")
	s.ssh = s.wayOfItsOwn()
	s.apply()
	before := s.dumps()

	for name, moved := range map[string]string{
		"the gateway": `
route "default" {
  host = host.rs1
  to   = "0.0.0.0/0"
  via  = "192.168.10.99"
}`,
		"a rule": `
rule "nowhere" {
  host     = host.rs1
  family   = "ipv4"
  priority = 10
  to       = "203.0.113.0/24"
  table    = 99
}
route "nowhere" {
  host  = host.rs1
  to    = "203.0.113.0/24"
  via   = "192.168.10.99"
  table = 99
}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.write(inBand + moved)
			got := s.must(6, "apply", "--auto-approve", "--confirm-timeout", "5s")
			if !strings.Contains(got.out, "rs1: rolled back") {
				t.Errorf("the report:\n%s", got.out)
			}
			s.write(inBand)
			s.wantNoChanges()
			s.wantAsBefore(before)
		})
	}
	s.destroy()
}

// perHost are the planned changes, a host's together.
func perHost(changes []string) map[string][]string {
	out := map[string][]string{}
	for _, c := range changes {
		host, _, _ := strings.Cut(c, " ")
		out[host] = append(out[host], c)
	}
	return out
}

// interfere runs lvsform until it prints the words, then acts on it or on the
// hosts, and returns what it came to.
func (s *scene) interfere(words string, act func(*exec.Cmd), args ...string) said {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), cliTime)
	defer cancel()
	cmd := s.command(ctx, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	progress, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	seen, acted := "", false
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		seen += lines.Text() + "\n"
		if !acted && strings.Contains(lines.Text(), words) {
			acted = true
			act(cmd)
		}
	}
	_ = cmd.Wait() // killed, it has no exit code
	if !acted {
		s.t.Fatalf("lvsform %v never says %q: exit %d\n%s%s", args, words, cmd.ProcessState.ExitCode(), out.String(), seen)
	}
	return said{out.String(), seen, cmd.ProcessState.ExitCode()}
}

// settled waits until no transaction is pending on any host.
func (s *scene) settled() {
	s.t.Helper()
	for host := range s.dumps() {
		s.on(host, `for i in $(seq 600); do [ -e /var/lib/lvsform/pending ] || exit 0; sleep 0.1; done; echo "still pending" >&2; exit 1`)
	}
}

// killAgents kills the agents of a host that serve a run, not their guards, and
// fails where there is none.
const killAgents = `net=$(readlink /proc/self/ns/net)
for p in $(pgrep -f '^\./agent-[0-9a-f]* serve'); do
  [ "$(readlink /proc/$p/ns/net)" != "$net" ] || { kill -9 $p && killed=yes; }
done; [ "$killed" ]`

// Whatever is killed in whichever wave: every host is as before the wave or as
// after it, the exit code tells the truth, and the next run converges.
func TestKilledInTheMidstOfAWave(t *testing.T) {
	s := newExample(t, "dr-wlc")
	s.serve()
	before := s.dumps()
	whole := map[string]map[string][]string{"apply": perHost(s.planned()), "destroy": nil}
	s.apply()
	whole["destroy"] = perHost(s.planned("--destroy"))
	s.destroy()
	waves := []struct{ command, host, words string }{
		{"apply", "rs1", "rs1: module.web.address"},
		{"apply", "dir1", "dir1: module.web.virtual_service"},
		{"destroy", "dir1", "dir1: module.web.virtual_service"},
		{"destroy", "rs2", "rs2: module.web.address"},
	}
	for v, victim := range []string{"lvsform", "the agent"} {
		for i, w := range waves {
			if i%2 == v {
				continue // each wave has one victim; TestSoak kills agents in all of them
			}
			t.Run(fmt.Sprintf("%s in %s of %s", victim, w.command, w.host), func(t *testing.T) {
				s := s.in(t)
				if w.command == "destroy" {
					s.apply()
				}
				act := func(c *exec.Cmd) { _ = c.Process.Kill() }
				if victim == "the agent" {
					act = func(*exec.Cmd) { s.on(w.host, killAgents) }
				}
				got := s.interfere(w.words, act, w.command, "--auto-approve", "--confirm-timeout", "5s")
				s.settled()
				s.wantOldOrNew(got, w.command, whole[w.command])
				s.must(0, w.command, "--auto-approve")
				if w.command == "apply" {
					s.wantNoChanges()
					s.wantAnswers()
					s.destroy()
				}
				s.wantAsBefore(before)
			})
		}
	}
}

// wantOldOrNew compares what is left to do with what there was to do.
func (s *scene) wantOldOrNew(got said, command string, whole map[string][]string) {
	s.t.Helper()
	var args []string
	if command == "destroy" {
		args = []string{"--destroy"}
	}
	left := perHost(s.planned(args...))
	for host, changes := range left {
		if !slices.Equal(changes, whole[host]) {
			s.t.Errorf("%s is neither old nor new; left to do there:\n%s", host, strings.Join(changes, "\n"))
		}
	}
	switch got.code {
	case 0:
		if len(left) > 0 {
			s.t.Errorf("exit 0, and left to do: %v\n%s%s", slices.Sorted(maps.Keys(left)), got.out, got.err)
		}
	case 3, 6:
		if len(left) == 0 {
			s.t.Errorf("exit %d, and nothing is left to do\n%s%s", got.code, got.out, got.err)
		}
		if got.code == 6 && !strings.Contains(got.out, "rolled back") {
			s.t.Errorf("exit 6:\n%s", got.out)
		}
	case -1: // killed
	default:
		s.t.Errorf("exit %d:\n%s%s", got.code, got.out, got.err)
	}
}

// Of two applies at once one wins, and the other changes nothing.
func TestOfTwoAppliesAtOnceOneWins(t *testing.T) {
	s := newExample(t, "dr-wlc")
	before := s.dumps()
	plan := filepath.Join(t.TempDir(), "saved.plan")
	s.must(0, "plan", "--out", plan)
	for round := range 3 {
		for _, command := range []string{"apply", "destroy"} {
			args := []string{command, "--auto-approve"}
			if round == 0 && command == "apply" {
				args = []string{command, plan}
			}
			var wg sync.WaitGroup
			results := make([]said, 2)
			for i := range results {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), cliTime)
					defer cancel()
					cmd := s.command(ctx, args...)
					var out, errs bytes.Buffer
					cmd.Stdout, cmd.Stderr = &out, &errs
					_ = cmd.Run() // its exit code says more
					results[i] = said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
				})
			}
			wg.Wait()
			codes := []int{results[0].code, results[1].code}
			slices.Sort(codes)
			if !slices.Equal(codes, []int{0, 5}) {
				t.Errorf("%v twice at once: exit %v\n%+v", args, codes, results)
			}
			for _, r := range results {
				if r.code == 5 && !strings.Contains(r.err, "is locked by") {
					t.Errorf("exit 5 says %s", r.err)
				}
			}
			if command == "apply" {
				s.wantNoChanges()
			}
		}
	}
	s.wantAsBefore(before)
}

// A host that cannot keep what it is told is found before any is changed.
func TestAHostWithoutRoomStopsTheRunBeforeItBegins(t *testing.T) {
	s := newExample(t, "dr-wlc")
	s.must(0, "plan") // places the agents
	before := s.dumps()
	for name, test := range map[string]struct{ mount, want string }{
		"read-only": {"mount -t tmpfs -o ro none /var/lib", "read-only"},
		"full":      {"mount -t tmpfs -o size=64k none /var/lib", "make room"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.on("rs2", test.mount)
			got := s.must(1, "apply", "--auto-approve")
			if !strings.Contains(got.err, "rs2") || !strings.Contains(got.err, test.want) {
				t.Errorf("it says %s", got.err)
			}
			s.on("rs2", "umount /var/lib")
			for _, host := range []string{"dir1", "rs1", "rs2"} {
				s.on(host, "rm -r /run/lvsform") // locks were taken
			}
			s.wantAsBefore(before)
		})
	}
}

// unlock ends a run that hangs.
func TestUnlockEndsARunThatHangs(t *testing.T) {
	s := newExample(t, "dr-wlc")
	before := s.dumps()
	hung := s.interfere("rs1: module.web.address", func(c *exec.Cmd) {
		_ = c.Process.Signal(syscall.SIGSTOP)
		if got := s.must(5, "apply", "--auto-approve"); !strings.Contains(got.err, "is locked by") {
			t.Errorf("another run says %s", got.err)
		}
		got := s.must(0, "unlock", "rs1", "--auto-approve")
		for _, want := range []string{"rs1: unlocked; it was locked by ", "what that run had begun there is taken back"} {
			if !strings.Contains(got.out, want) {
				t.Errorf("unlock says %s, not %q", got.out, want)
			}
		}
		_ = c.Process.Signal(syscall.SIGCONT)
	}, "apply", "--auto-approve", "--confirm-timeout", "10m")
	if hung.code != 6 || !strings.Contains(hung.out, "rs1: rolled back") {
		t.Errorf("the run that was ended: exit %d\n%s%s", hung.code, hung.out, hung.err)
	}
	s.settled()
	s.destroy()
	s.wantAsBefore(before)
}
