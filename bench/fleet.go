//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// fleetPart runs the fleet's measurements in namespaces of their own: when that
// process ends, however it ends, nothing of the fleet is left.
func fleetPart(ctx context.Context, o options, dir string) (report, error) {
	arguments, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "bench"), "fleet", dir, string(arguments))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: hostNamespaces, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	failed := cmd.Run()
	if out.Len() == 0 {
		return nil, failed
	}
	rows, err := decodeRows(out.Bytes())
	return rows, errors.Join(failed, err)
}

// fleetRole builds the largest fleet and measures each size on the first of its
// hosts. What it has measured is printed also when it fails.
func fleetRole(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: fleet DIR OPTIONS")
	}
	var o options
	if err := json.Unmarshal([]byte(args[1]), &o); err != nil {
		return err
	}
	if err := ownMounts("/root"); err != nil {
		return err
	}
	os.Setenv("HOME", "/root")
	os.Unsetenv("SSH_AUTH_SOCK")
	rows, err := measureFleets(ctx, o, args[0])
	if encoded := json.NewEncoder(os.Stdout).Encode(rows); err == nil {
		err = encoded
	}
	return err
}

func measureFleets(ctx context.Context, o options, dir string) (report, error) {
	logf("starting %d OpenSSH servers", o.Hosts[len(o.Hosts)-1])
	hosts, err := buildFleet(ctx, dir, o.Hosts[len(o.Hosts)-1])
	if err != nil {
		return nil, err
	}
	var all report
	var sizes []*fleet
	for _, n := range o.Hosts {
		f, err := newFleet(o, dir, hosts[:n], hosts)
		if err != nil {
			return all, err
		}
		sizes = append(sizes, f)
		rows, err := f.measure(ctx)
		all = append(all, rows...)
		if err != nil {
			return all, fmt.Errorf("%d hosts: %w", n, err)
		}
	}
	if len(sizes) > 1 {
		all = append(all, growthOfMemory(sizes[0], sizes[len(sizes)-1])...)
	}
	return all, nil
}

// fleet is one size to measure.
type fleet struct {
	options
	dir     string // of this size
	bin     string // where the programs are
	hosts   []host
	keep    map[int]bool // the processes that are the fleet
	samples map[string][]sample
	order   []string // of the names in samples
}

func newFleet(o options, dir string, hosts, every []host) (*fleet, error) {
	f := &fleet{options: o, bin: dir, dir: filepath.Join(dir, fmt.Sprintf("of-%d", len(hosts))),
		hosts: hosts, keep: map[int]bool{}, samples: map[string][]sample{}}
	for _, h := range every {
		f.keep[h.cmd.Process.Pid] = true
	}
	if err := os.Mkdir(f.dir, 0o755); err != nil {
		return nil, err
	}
	if err := writeKnown("/root/.ssh/known_hosts", hosts); err != nil {
		return nil, err
	}
	return f, errors.Join(f.writeConfiguration(), f.writePeers())
}

// take measures a job under a name.
func (f *fleet) take(ctx context.Context, name string, j job) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	s, out, err := measure(ctx, j)
	if err != nil {
		return out, fmt.Errorf("%s: %w", name, err)
	}
	s.CPU += endLeftovers(f.keep)
	if _, known := f.samples[name]; !known {
		f.order = append(f.order, name)
	}
	f.samples[name] = append(f.samples[name], s)
	logf("%d hosts: %s: %.2f s, %.2f s of CPU", len(f.hosts), name, s.Wall.Seconds(), s.CPU.Seconds())
	return out, nil
}

// everywhere runs a command on all hosts, unmeasured.
func (f *fleet) everywhere(ctx context.Context, command string) error {
	_, _, err := measure(ctx, f.floor(command))
	return err
}

func (f *fleet) floor(command string, flags ...string) job {
	return job{Args: append([]string{filepath.Join(f.bin, "bench"), "floor", "--known-hosts", "/root/.ssh/known_hosts",
		"--identity", "/root/.ssh/id_ed25519", "--command", command}, flags...)}
}

// The names of the rows.
const (
	rowFloor      = "floor: connect, run true"
	rowFloorNIST  = "the same with nistp256"
	rowFirst      = "lvsform plan, first contact"
	rowPlan       = "lvsform plan, all to change"
	rowPlanSame   = "lvsform plan, no change"
	rowApply      = "lvsform apply, all changed"
	rowApplySame  = "lvsform apply, no change"
	rowDestroy    = "lvsform destroy"
	rowSSH        = "ssh + script, xargs -P 32"
	rowSSHCurve   = "ssh + script, curve25519"
	rowSSHWarm    = "ssh + script, warm ControlMaster"
	rowScript     = "Ansible, one script task, no change"
	rowTasks      = "Ansible, idiomatic tasks, first run"
	rowTasksSame  = "Ansible, idiomatic tasks, no change"
	rowTasksCheck = "Ansible, idiomatic tasks, --check"
	rowMitogen    = "Ansible with Mitogen, first run"
	rowMitoSame   = "Ansible with Mitogen, no change"
)

func (f *fleet) measure(ctx context.Context) (report, error) {
	if err := f.everywhere(ctx, "true"); err != nil { // warms caches and neighbour tables
		return nil, err
	}
	var err error
	for range f.Runs {
		if err = f.quickRound(ctx); err != nil {
			return f.rows(), err
		}
	}
	if f.Slow {
		err = f.slowPeers(ctx)
	}
	return f.rows(), err
}

// rows turns the samples into rows, with their targets.
func (f *fleet) rows() report {
	var all report
	byName := map[string]row{}
	for _, name := range f.order {
		byName[name] = row{Group: fmt.Sprintf("%d hosts", len(f.hosts)), Name: name,
			Sample: median(f.samples[name]), Runs: len(f.samples[name])}
	}
	floor := byName[rowFloor]
	for _, name := range f.order {
		r := byName[name]
		switch name {
		case rowFloor:
		case rowPlan, rowPlanSame:
			r.slower(floor, 1.5)
			if peer, ok := byName[rowScript]; ok {
				r.faster(peer, 10)
			}
			if peer, ok := byName[rowTasksSame]; ok {
				r.faster(peer, 40)
			}
		case rowApply:
			r.slower(floor, 2.5)
		default:
			r.slower(floor, 0)
		}
		all = append(all, r)
	}
	return all
}

// growthOfMemory compares the controller's memory for two sizes.
func growthOfMemory(small, large *fleet) report {
	var all report
	for _, name := range []string{rowFirst, rowPlan, rowApply} {
		if len(large.samples[name]) == 0 {
			continue
		}
		a, b := median(small.samples[name]), median(large.samples[name])
		more := float64(b.RSS-a.RSS) / 1e6 * 100 / float64(len(large.hosts)-len(small.hosts))
		r := row{Group: "memory", Name: name, Sample: sample{RSS: b.RSS}, Runs: len(large.samples[name])}
		r.atMost("MB more per 100 hosts", more, 25)
		all = append(all, r)
	}
	return all
}
