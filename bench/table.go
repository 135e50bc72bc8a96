//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lvsform/lvsform/lab"
)

// tableSizes are services and destinations of each.
var tableSizes = [][2]int{{1000, 10}, {1, 10000}}

// tableKinds are what is measured on each size, by turns. What each does is in
// tableJobs.
var tableKinds = []string{"create-ipvsadm", "create-agent", "create-package", "read-ipvsadm", "read-agent", "read-package"}

// ipvsPart measures in the lab's machine, whose kernel has IPVS.
func ipvsPart(ctx context.Context, o options, dir string) (report, error) {
	machine, err := lab.Boot(ctx, lab.Options{Progress: func(s string) { logf("%s", s) }})
	if err != nil {
		return nil, err
	}
	defer machine.Close()
	logf("filling and reading IPVS tables, %d rounds", o.Runs)
	done, err := machine.Exec(ctx, filepath.Join(dir, "bench"), "table", dir, strconv.Itoa(o.Runs))
	if err != nil {
		return nil, err
	}
	if done.Code != 0 {
		return nil, fmt.Errorf("in the machine: exit %d: %s", done.Code, tail(string(done.Stderr)))
	}
	return decodeRows(done.Stdout)
}

// tableRole takes turns between the contenders, each run in a fresh network
// namespace: the kernel refills a flushed one four times slower.
func tableRole(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: table DIR RUNS")
	}
	runs, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "modprobe", "-a", "ip_vs", "ip_vs_wlc").CombinedOutput(); err != nil {
		return fmt.Errorf("modprobe ip_vs: %w: %s", err, out)
	}
	samples := map[string][]sample{}
	var namespaces []*os.File // keeps them until the end
	for round := range runs + 1 {
		for _, size := range tableSizes {
			for _, kind := range tableKinds {
				s, namespace, err := tableOnce(ctx, args[0], kind, size)
				namespaces = append(namespaces, namespace)
				if err != nil {
					return fmt.Errorf("%s of %dx%d: %w", kind, size[0], size[1], err)
				}
				if round > 0 { // the first one warms the caches
					key := fmt.Sprint(kind, size)
					samples[key] = append(samples[key], s)
				}
			}
		}
	}
	for _, namespace := range namespaces {
		namespace.Close()
	}
	return json.NewEncoder(os.Stdout).Encode(tableRows(samples))
}

// tableOnce measures one job in namespaces of its own. It returns the network
// namespace as well, to be kept: taking it apart would cost the next job time.
func tableOnce(ctx context.Context, dir, kind string, size [2]int) (s sample, namespace *os.File, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "bench"), "table-once", dir, kind,
		strconv.Itoa(size[0]), strconv.Itoa(size[1]))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: hostNamespaces, Pdeathsig: syscall.SIGKILL}
	var errs strings.Builder
	cmd.Stderr = &errs
	stay, err := cmd.StdinPipe()
	if err != nil {
		return s, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, nil, err
	}
	if err := cmd.Start(); err != nil {
		return s, nil, err
	}
	decoded := json.NewDecoder(out).Decode(&s)
	namespace, opened := os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	stay.Close()
	if err := cmd.Wait(); err != nil {
		return s, namespace, fmt.Errorf("%w: %s", err, tail(errs.String()))
	}
	return s, namespace, errors.Join(decoded, opened)
}

// tableOnceRole runs one job, says what it cost, and waits to be let go.
func tableOnceRole(_ context.Context, args []string) error {
	if len(args) != 4 {
		return errors.New("usage: table-once DIR KIND SERVICES DESTINATIONS")
	}
	services, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	destinations, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	if err := ownMounts("/var/lib", "/run"); err != nil {
		return err
	}
	if err := up("lo", ""); err != nil { // else destinations are refused
		return err
	}
	debug.SetGCPercent(400) // as the agent does
	j := tableJob{agent: filepath.Join(args[0], "lvsform-agent"), want: largeTable(services, destinations)}
	took, err := j.run(args[1])
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(sample{Wall: took}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// timed measures f alone.
func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}

// tableRows compares what the agent and its package needed with ipvsadm.
func tableRows(samples map[string][]sample) report {
	var all report
	for _, size := range tableSizes {
		of := func(kind, name string) row {
			s := samples[fmt.Sprint(kind, size)]
			return row{Group: fmt.Sprintf("%d x %d", size[0], size[1]), Name: name, Sample: median(s), Runs: len(s)}
		}
		faster, read := 10.0, 3.0
		if size[0] == 1 {
			// One service's destinations are a list that the kernel walks for
			// each new one; reading has no target.
			faster, read = 3, 0
		}
		restore, save := of("create-ipvsadm", "ipvsadm -R"), of("read-ipvsadm", "ipvsadm -Sn")
		// The targets are about the table's own work, which is all that ipvsadm
		// does. The agent's session is shown beside it.
		agent := of("create-agent", "lvsform-agent: lock, read, create, record")
		agent.faster(restore, 0)
		direct := of("create-package", "package agent/ipvs: read, create")
		direct.faster(restore, faster)
		observe := of("read-agent", "lvsform-agent: read, and the difference")
		observe.faster(save, 0)
		diff := of("read-package", "package agent/ipvs: read, and the difference")
		diff.faster(save, read)
		all = append(all, restore, agent, direct, save, observe, diff)
	}
	return all
}
