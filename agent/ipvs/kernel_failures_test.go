//go:build linux && kernel

package ipvs

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

func TestOpenWithoutTheModuleLoadsNothing(t *testing.T) {
	freshNamespace(t)
	unload(t)
	if _, err := Open(); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("Open: %v, want ErrNotLoaded", err)
	}
	if modules := loaded(t); len(modules) > 0 {
		t.Errorf("loaded now: %v", modules)
	}
	modprobe(t, "ip_vs")
	if !Loaded() {
		t.Error("not Loaded after modprobe")
	}
}

func unload(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for modules := loaded(t); len(modules) > 0; modules = loaded(t) {
		out, err := exec.Command("rmmod", modules...).CombinedOutput()
		if err != nil && time.Now().After(deadline) {
			t.Fatalf("rmmod %v: %v\n%s", modules, err, out)
		}
	}
}

func loaded(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(text)) {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "ip_vs") {
			modules = append(modules, name)
		}
	}
	slices.SortFunc(modules, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return modules
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	id := ipv4("tcp", "192.0.2.1", 80)
	s, d := service(id), real(id, "10.0.0.1")
	tests := map[string]struct {
		live   state.Objects
		change state.Change
		want   string
		errno  unix.Errno
	}{
		"unknown scheduler": {
			change: state.Change{After: service(id, func(s *state.Service) { s.Scheduler = "best" })},
			want:   "create service tcp/192.0.2.1:80: the kernel does not find scheduler best: the module ip_vs_best must be there",
			errno:  unix.ENOENT,
		},
		"unknown engine": {
			change: state.Change{After: service(id, func(s *state.Service) { s.Timeout, s.Engine = time.Second, "rtp" })},
			want:   "module",
			errno:  unix.ENOENT,
		},
		"service is there":     {state.Objects{s}, state.Change{After: s}, "made by another program", unix.EEXIST},
		"service is gone":      {nil, state.Change{Before: s, After: s}, "update service tcp/192.0.2.1:80: the service does not exist", unix.ESRCH},
		"its service is gone":  {nil, state.Change{After: d}, "create destination 10.0.0.1:80 of service tcp/192.0.2.1:80: the service does not exist", unix.ESRCH},
		"destination is there": {state.Objects{s, d}, state.Change{After: d}, "made by another program", unix.EEXIST},
		"destination is gone":  {state.Objects{s}, state.Change{Before: d}, "delete destination 10.0.0.1:80 of service tcp/192.0.2.1:80: the destination does not exist", unix.ENOENT},
		"thresholds": {
			state.Objects{s}, state.Change{After: real(id, "10.0.0.1", func(d *state.Destination) { d.Lower = 2 })},
			"lower threshold 2 must not exceed the upper threshold 0", unix.ERANGE,
		},
		"threshold beyond 31 bits": {
			state.Objects{s}, state.Change{After: real(id, "10.0.0.1", func(d *state.Destination) { d.Upper = 1 << 31 })},
			"a threshold can be at most 2147483647", unix.EINVAL,
		},
		"multicast": {state.Objects{s}, state.Change{After: real(id, "224.0.0.1")}, "single host", unix.EINVAL},
		"other family without tun": {
			state.Objects{s}, state.Change{After: real(id, "fd00::1")}, "needs forward tun", unix.EINVAL,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			table := newTable(t)
			converge(t, table, test.live)
			done, err := table.Apply([]state.Change{test.change})
			if done != 0 || !errors.Is(err, test.errno) || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("Apply: %d, %v; want 0, %q", done, err, test.want)
			}
		})
	}
}

func TestDestinationWhileLoIsDown(t *testing.T) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	id := ipv4("tcp", "192.0.2.1", 80)
	done, err := openTable(t).Apply([]state.Change{{After: service(id)}, {After: real(id, "10.0.0.1")}})
	if done != 1 || !strings.Contains(fmt.Sprint(err), "bring lo up") {
		t.Errorf("Apply: %d, %v; want 1 and to bring lo up", done, err)
	}
}

func TestApplyTellsExactlyWhatWasMade(t *testing.T) {
	table := newTable(t)
	id := ipv4("tcp", "192.0.2.1", 80)
	changes := []state.Change{{After: service(id)}}
	for i := range 3*batchSize - 1 {
		d := real(id, fmt.Sprintf("10.0.%d.%d", i/200, 1+i%200))
		if i == batchSize+10 || i == batchSize+20 {
			d = real(id, "10.0.0.1") // it is there already
		}
		changes = append(changes, state.Change{After: d})
	}
	done, err := table.Apply(changes)
	var refused *ApplyError
	if !errors.As(err, &refused) || !errors.Is(err, unix.EEXIST) {
		t.Fatalf("Apply: %v", err)
	}
	var indexes []int
	for _, f := range refused.Failed {
		indexes = append(indexes, f.Index)
	}
	if diff := gocmp.Diff([]int{batchSize + 11, batchSize + 21}, indexes); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if live := read(t, table); refused.Attempted != 2*batchSize || done != len(live) || done != 2*batchSize-2 {
		t.Errorf("done %d of %d attempted, but %d objects are there", done, refused.Attempted, len(live))
	}
}

func TestReadIsNeverTorn(t *testing.T) {
	reader := newTable(t)
	writer := openTable(t)
	const width = 300
	window := func(i int) state.Service { return service(ipv4("tcp", "192.0.2.1", uint16(i))) }
	next := 1
	step := func() error {
		changes := []state.Change{{After: window(next)}, {After: real(window(next).ServiceID, "10.0.0.1")}}
		if next > width {
			changes = append(changes, state.Change{Before: window(next - width)})
		}
		next++
		_, err := writer.Apply(changes)
		return err
	}
	for next <= width {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		finished := make(chan error)
		go func() {
			var err error
			for range 40 {
				err = errors.Join(err, step())
			}
			finished <- err
		}()
		objects, err := reader.Read()
		if err := <-finished; err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		checkWindow(t, objects, width)
	}
}

func checkWindow(t *testing.T, objects []state.Object, width int) {
	t.Helper()
	var ports []int
	for _, o := range objects {
		if s, ok := o.(state.Service); ok {
			ports = append(ports, int(s.Port))
		}
	}
	slices.Sort(ports)
	first, last := ports[0], ports[len(ports)-1]
	if len(ports) != last-first+1 || len(ports) < width || len(ports) > width+1 || len(objects) < 2*len(ports)-1 {
		t.Errorf("read %d services, from %d to %d, and %d objects", len(ports), first, last, len(objects))
	}
}
