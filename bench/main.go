//go:build linux

// Command bench measures lvsform beside its peers.
//
//	go run ./bench [--only growth,scale,ipvs,fleet] [--hosts 50,200] [--runs 5]
//
// It needs root and, with the network namespaces that it makes, leaves nothing
// behind: they end with their processes, which end with this one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lvsform/lvsform/lab"
)

// options are what the command line says.
type options struct {
	Only    []string
	Hosts   []int
	Runs    int
	Slow    bool // also what takes minutes
	Lvsform string
	Agent   string
}

// roles are the parts that run as processes of their own, in namespaces that
// the part which started them has made.
var roles = map[string]func(context.Context, []string) error{
	"fleet":      fleetRole,
	"host":       hostRole,
	"floor":      floorRole,
	"table":      tableRole,
	"table-once": tableOnceRole,

	"plan-recorded": planRole,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := orchestrate
	args := os.Args[1:]
	if lab.IsGuest(os.Args) {
		run = func(ctx context.Context, _ []string) error { return lab.RunGuest(ctx) }
	}
	if len(args) > 0 {
		if role, ok := roles[args[0]]; ok {
			run, args = role, args[1:]
		}
	}
	if err := run(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func orchestrate(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return errors.New("network namespaces need root: run it with sudo")
	}
	dir, err := os.MkdirTemp("/tmp", "lvsform-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := o.install(dir); err != nil {
		return err
	}
	var all report
	start := time.Now()
	for _, part := range o.Only {
		rows, err := parts[part](ctx, o, dir)
		all = append(all, rows...)
		if err != nil {
			all.print(os.Stdout)
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	all.print(os.Stdout)
	logf("done in %s", time.Since(start).Round(time.Second))
	if missed := all.missed(); missed > 0 {
		return fmt.Errorf("%d targets missed", missed)
	}
	return nil
}

var parts = map[string]func(context.Context, options, string) (report, error){
	"fleet":  fleetPart,
	"ipvs":   ipvsPart,
	"growth": growthPart,
	"scale":  scalePart,
}

func parse(args []string) (options, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := f.String("only", "growth,scale,ipvs,fleet", "the parts to run, separated by commas")
	hosts := f.String("hosts", "50,200", "fleet sizes, separated by commas")
	runs := f.Int("runs", 5, "runs of each quick measurement; medians are printed")
	slow := f.Bool("slow", true, "also measure Ansible's tasks, which take minutes")
	lvsform := f.String("lvsform", "bin/lvsform", "the CLI to measure; empty: the peers alone")
	agent := f.String("agent", "bin/lvsform-agent-linux-amd64", "the agent to measure")
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	o := options{Only: strings.Split(*only, ","), Runs: *runs, Slow: *slow, Lvsform: *lvsform, Agent: *agent}
	for _, part := range o.Only {
		if parts[part] == nil {
			return o, fmt.Errorf("no part %q: choose from fleet, growth, ipvs, scale", part)
		}
	}
	for _, s := range strings.Split(*hosts, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxHosts {
			return o, fmt.Errorf("--hosts %s: want numbers from 1 to %d", *hosts, maxHosts)
		}
		o.Hosts = append(o.Hosts, n)
	}
	slices.Sort(o.Hosts)
	if o.Runs < 1 {
		return o, errors.New("--runs: want at least 1")
	}
	return o, nil
}

// install copies the programs to dir, where every namespace sees them.
func (o *options) install(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for name, from := range map[string]string{"bench": self, "lvsform": o.Lvsform, "lvsform-agent": o.Agent} {
		if from == "" {
			continue // the peers alone
		}
		body, err := os.ReadFile(from)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is missing: run make build first", from)
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// logf tells what is being measured, beside the table on stdout.
func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
