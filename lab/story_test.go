//go:build lab

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/topology"
)

// byHand stands in for the command line: it applies with ipvsadm and ip.
type byHand struct {
	t       *testing.T
	applied bool
	dir     string
}

func (s *byHand) Plan(_ context.Context, l *Lab) (int, error) {
	s.dir = l.Guest().Dir()
	if s.applied {
		return 0, nil
	}
	return 3, nil
}

func (s *byHand) Apply(_ context.Context, l *Lab) error {
	s.applied = true
	script(s.t, l, "dir1", `
ip address add 192.0.2.100/32 dev eth0
modprobe ip_vs
ipvsadm -A -t 192.0.2.100:80 -s wrr
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.1:80 -g -w 1
ipvsadm -a -t 192.0.2.100:80 -r 192.0.2.2:80 -g -w 3`)
	for _, rs := range []string{"rs1", "rs2"} {
		script(s.t, l, rs, fmt.Sprintf(realServerDR, "192.0.2.100"))
	}
	return nil
}

func weighted() *topology.Topology {
	service := &topology.VirtualService{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.100"), Port: 80, Scheduler: "wrr",
		RealServers: []topology.RealServer{{Host: "rs1", Port: 80, Weight: 1}, {Host: "rs2", Port: 80, Weight: 3}}}
	return &topology.Topology{Name: "weighted", Resources: []*topology.Resource{{Host: "dir1", Body: service}}, Hosts: []*topology.Host{
		declared("dir1", "192.0.2.9", "", "192.0.2.9/24"),
		declared("rs1", "192.0.2.1", "", "192.0.2.1/24"), declared("rs2", "192.0.2.2", "", "192.0.2.2/24")}}
}

func TestStoryOfAConfiguration(t *testing.T) {
	var told strings.Builder
	steps := &byHand{t: t}
	if err := Run(t.Context(), &told, weighted(), steps, Options{}); err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, want := range []string{
		"== 24 requests from client to tcp 192.0.2.100:80, scheduler wrr",
		"  rs1          1       6         6\n  rs2          3       18        18\n",
		"192.0.2.2:80                 Route   3", "== second plan", "== done"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the story lacks %q:\n%s", want, told.String())
		}
	}
	if _, err := os.Stat(steps.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", steps.dir, err)
	}
}

func TestDetachedLabIsFoundAgain(t *testing.T) {
	config, err := New(weighted())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "up")
	up, err := Up(t.Context(), Options{Dir: dir, Detach: true}, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { up.Down(context.Background()) })
	if _, err := Up(t.Context(), Options{Dir: dir, Detach: true}, config); err == nil || !strings.Contains(err.Error(), "lvsform lab down") {
		t.Errorf("a second lab in the directory: %v", err)
	}
	found, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := script(t, found, "rs2", "hostname"); got != "rs2\n" {
		t.Errorf("hostname = %q", got)
	}
	if err := found.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Attach after Down: %v", err)
	}
}

const orphanVariable = "LVSFORM_LAB_TEST_ORPHAN"

// bootAndWait is this test program as a parent that will be killed.
func bootAndWait() {
	g, err := Boot(context.Background(), Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(g.state.PID, g.dir)
	select {}
}

func TestMachineEndsWithItsParent(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), orphanVariable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 2 {
		t.Fatalf("the parent said %q, %v", line, err)
	}
	defer os.RemoveAll(words[1])
	pid, err := strconv.Atoi(words[0])
	if err != nil || !running(pid, words[1]) {
		t.Fatalf("no machine %q: %v", words[0], err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for deadline := time.Now().Add(10 * time.Second); running(pid, words[1]); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the machine outlives its parent")
		}
	}
}
