//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// job is one command to measure.
type job struct {
	Dir   string
	Env   []string // beside the usual ones
	Args  []string
	Exits []int // that are no failure, beside 0
	Peak  bool  // watch the peak of its resident memory
}

// measure runs a job as a process of its own. It must be called by the process
// that is the first of its PID namespace, which inherits what jobs leave behind.
func measure(ctx context.Context, j job) (sample, string, error) {
	cmd := exec.CommandContext(ctx, j.Args[0], j.Args[1:]...)
	cmd.Dir = j.Dir
	cmd.Env = append(os.Environ(), j.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	before := usedCPU(syscall.RUSAGE_CHILDREN)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, "", err
	}
	var peak func() int64
	if j.Peak {
		peak = watchPeak(cmd.Process.Pid)
	}
	err := cmd.Wait()
	s := sample{Wall: time.Since(start)}
	if peak != nil {
		s.RSS = peak()
	}
	s.CPU = usedCPU(syscall.RUSAGE_CHILDREN) - before
	if err != nil && !slices.Contains(j.Exits, cmd.ProcessState.ExitCode()) {
		return s, out.String(), fmt.Errorf("%w\n%s", err, tail(out.String()))
	}
	return s, out.String(), nil
}

func tail(s string) string {
	const keep = 3000
	if len(s) > keep {
		return "… " + s[len(s)-keep:]
	}
	return s
}

// usedCPU is what this process has used, or all the children that it has waited
// for, theirs included.
func usedCPU(whose int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(whose, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watchPeak follows the high-water mark of a process's memory. The one that
// wait4 returns would include this process's own, from before exec.
func watchPeak(pid int) (stop func() int64) {
	done := make(chan struct{})
	result := make(chan int64)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var peak int64
		for {
			peak = max(peak, highWater(pid))
			select {
			case <-done:
				result <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(done); return <-result }
}

func highWater(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// endLeftovers ends what a job left running in the background (the shared
// connections of ssh and Ansible) and returns what that had used: it belongs to
// the job. The processes in keep are this one's own.
func endLeftovers(keep map[int]bool) time.Duration {
	before := usedCPU(syscall.RUSAGE_CHILDREN)
	for range 100 {
		pids := orphans(keep)
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGTERM)
		}
		time.Sleep(5 * time.Millisecond)
		for _, pid := range pids {
			var status syscall.WaitStatus
			syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		}
	}
	return usedCPU(syscall.RUSAGE_CHILDREN) - before
}

// orphans are the children of this process that it did not start.
func orphans(keep map[int]bool) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var pids []int
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || keep[pid] {
			continue
		}
		// The name, in parentheses, may hold anything: count from its end.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}
