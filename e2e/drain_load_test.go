//go:build lab

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lvsform/lvsform/lab"
)

// drained is what a run told of a destination's drain.
type drained struct {
	planned int   // connections
	seen    []int // look by look
}

// drains reads what a run in JSON told of drains, by the destination's key.
func (s *loadScene) drains(out string) map[string]*drained {
	s.t.Helper()
	found := map[string]*drained{}
	byID := map[string]*drained{}
	for line := range strings.Lines(out) {
		var e struct {
			Type, ID    string
			Connections int
			Change      struct {
				ID, Key, Kind string
				Timeout       string `json:"drain_timeout"`
				Connections   *int
			}
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		switch {
		case e.Type == "planned_change" && e.Change.Timeout != "":
			d := &drained{}
			if e.Change.Connections == nil {
				s.t.Errorf("the plan does not say how many connections %s has", e.Change.Key)
			} else {
				d.planned = *e.Change.Connections
			}
			found[e.Change.Key], byID[e.Change.ID] = d, d
		case e.Type == "draining" && byID[e.ID] != nil:
			byID[e.ID].seen = append(byID[e.ID].seen, e.Connections)
		}
	}
	return found
}

func (v loaded) destination(server string) string {
	addresses := map[string]string{"rs1": "192.0.2.11", "rs2": "192.0.2.12", "rs3": "192.0.2.13"}
	return fmt.Sprintf("%s/%s:%d/%s:%[3]d", v.protocol, schedulerVIP, v.port, addresses[server])
}

// change applies another configuration, and wants the leaving server's
// connections to have ended by themselves where it is drained.
func (s *loadScene) change(weights string, loads map[string]*lab.Loading, drains bool) {
	s.t.Helper()
	s.write(strings.Replace(loadConfig(s.services), threeServers, weights, 1))
	got := s.drains(s.must(0, "apply", "--auto-approve", "--json").out)
	for _, v := range s.services {
		d := got[v.destination(leaver)]
		if drains != (d != nil) {
			s.t.Errorf("%s is drained: %v, want %v", v.destination(leaver), d != nil, drains)
			continue
		}
		if d == nil || loads[v.name] == nil {
			continue
		}
		s.t.Logf("%s: %d connections in the plan, then %v", v.name, d.planned, slices.Compact(d.seen))
		if len(d.seen) == 0 || d.seen[len(d.seen)-1] != 0 {
			s.t.Errorf("%s: the drain ended with connections: %v", v.name, d.seen)
		}
	}
}

// leaveAndJoin takes a server from services under load and brings it back.
func (s *loadScene) leaveAndJoin(services []loaded, open int) {
	s.t.Helper()
	loads := s.load(services, open)
	s.using(loads)
	s.change(twoServers, loads, true)
	s.wantOn("dir1", "ipvsadm -Sn | grep -c 192.0.2.13 || true", "0")
	s.wantOn(leaver, "ip -o -4 address show dev lo to "+schedulerVIP, "")
	s.more(loads, open)
	s.change(threeServers, loads, false)
	s.more(loads, open)
	s.end(loads, fmt.Sprintf("%s leaves and joins, %d connections", leaver, open))
}

// rest gives a server the weight 0 under load, and its weight again.
func (s *loadScene) rest(services []loaded, open int) {
	s.t.Helper()
	loads := s.load(services, open)
	s.change(restingRS3, loads, true)
	s.more(loads, open)
	s.wantOn("dir1", "ipvsadm -Sn | grep 192.0.2.13 | grep -vc -e '-w 0$' || true", "0")
	s.change(threeServers, loads, false)
	s.more(loads, open)
	s.end(loads, fmt.Sprintf("%s rests, %d connections", leaver, open))
}

// Clients do not notice that a real server leaves, rests or joins, under any
// scheduler that has another one for them.
func TestServersLeaveAndJoinUnderLoad(t *testing.T) {
	available, _ := availableSchedulers(t)
	services := loadedServices(available)
	s := newLoadScene(t, services)
	for batch := range slices.Chunk(services, loadBatch) {
		var names []string
		for _, v := range batch {
			names = append(names, v.name)
		}
		t.Run(strings.Join(names, " "), func(t *testing.T) { s.in(t).leaveAndJoin(batch, heldByService) })
	}
	t.Run("at rest", func(t *testing.T) {
		// sh and mh refuse clients of a server that rests, as the plan says,
		// without their flag.
		s.in(t).rest(slices.DeleteFunc(slices.Clone(services), func(v loaded) bool { return v.name == "sh" || v.name == "mh" }), heldByEach)
	})
	s.wantNoChanges()
	s.destroy()
}

// A run that is cut off while it waits leaves the server without new
// connections, and the next one goes on: the server never gets its weight back.
func TestADrainThatIsCutOffGoesOn(t *testing.T) {
	services := loadedServices([]string{"rr", "sh"})[:2]
	s := newLoadScene(t, services)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			s := s.in(t)
			loads := s.load(services, heldByEach)
			s.using(loads)
			s.write(strings.Replace(loadConfig(services), threeServers, twoServers, 1))
			s.cutOff(signal, `"type":"draining"`)
			s.wantOn("dir1", "ipvsadm -Sn | grep 192.0.2.13 | grep -vc -e '-w 0$' || true", "0")
			s.wantOn("dir1", "ipvsadm -Sn | grep -c sh-fallback", "1")
			s.more(loads, heldByEach)
			got := s.again("apply", "--auto-approve", "--json")
			for key, d := range s.drains(got.out) {
				if len(d.seen) == 0 {
					t.Errorf("%s is not waited for", key)
				}
			}
			s.wantOn("dir1", "ipvsadm -Sn | grep -c 192.0.2.13 || true; ipvsadm -Sn | grep -c sh-fallback || true", "0\n0")
			s.change(threeServers, loads, false)
			s.end(loads, "a drain cut off by "+signal.String())
		})
	}
	s.destroy()
}

// cutOff applies in JSON until a line with the words is said, and then sends the
// signal.
func (s *loadScene) cutOff(signal syscall.Signal, words string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), cliPath(), "apply", "--auto-approve", "--json", "--ssh-config", s.lab.SSHConfig(), "--timeout", "2m")
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "NO_COLOR=1", "SSH_AUTH_SOCK=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines, said := bufio.NewScanner(out), false
	lines.Buffer(nil, 1<<20)
	for !said && lines.Scan() {
		said = strings.Contains(lines.Text(), words)
	}
	if err := cmd.Process.Signal(signal); err != nil || !said {
		s.t.Errorf("%v to %v that said %q: %v", signal, cmd, words, said)
	}
	for lines.Scan() { // to the end, so that it does not wait for its reader
	}
	if err := cmd.Wait(); err == nil {
		s.t.Error("it ended as if nobody had stopped it")
	}
}

// again runs lvsform as soon as the hosts let go of the run before.
func (s *loadScene) again(args ...string) said {
	s.t.Helper()
	const locked = 5
	for {
		got := s.lvsform(args...)
		if got.code == 0 {
			return got
		}
		if got.code != locked {
			s.t.Fatalf("lvsform %v: exit %d\n%s%s", args, got.code, got.out, got.err)
		}
	}
}
