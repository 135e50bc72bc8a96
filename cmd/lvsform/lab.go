package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/lab"
	"github.com/lvsform/lvsform/topology"
	"github.com/spf13/cobra"
)

func (c *cli) labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Build the topology's hosts as a throwaway lab",
		Long: `lab builds the hosts that a configuration declares, with a client for every
network, on a virtual machine of this computer: with real kernels, OpenSSH and
IPVS. It needs Linux and QEMU, and no rights.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.labRunCommand(), c.labUpCommand(), c.labExecCommand(), c.labDownCommand())
	return cmd
}

func (c *cli) labRunCommand() *cobra.Command {
	var requests int
	cmd := &cobra.Command{
		Use:   "run DIR",
		Short: "Apply a configuration in a lab, send requests, and show that nothing is left to do",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if requests < 1 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--requests must be at least 1, not %d", requests)}
			}
			return c.inLab(cmd, args[0], func(t *topology.Topology, diags topology.Diagnostics, l *lab.Lab) error {
				return c.labRun(cmd.Context(), t, diags, l, requests)
			})
		},
	}
	c.configFlags(cmd.Flags())
	cmd.Flags().StringVar(&c.flags.agentDir, "agent-dir", "", "take agent binaries from `DIR` instead of the built-in ones")
	cmd.Flags().IntVar(&requests, "requests", 30, "send `N` requests to every service")
	return cmd
}

// labConfig loads a directory's configuration and derives its lab.
func (c *cli) labConfig(dir string) (*topology.Topology, topology.Diagnostics, lab.Config, error) {
	if err := os.Chdir(dir); err != nil {
		return nil, nil, lab.Config{}, err
	}
	t, diags, err := c.load()
	if err != nil {
		return nil, nil, lab.Config{}, err
	}
	config, err := lab.New(t)
	return t, diags, config, err
}

// inLab runs do with a lab that is gone afterwards, whatever happens.
func (c *cli) inLab(cmd *cobra.Command, dir string, do func(*topology.Topology, topology.Diagnostics, *lab.Lab) error) error {
	if err := c.checkFlags(cmd); err != nil {
		return err
	}
	if c.flags.agentDir != "" {
		abs, err := filepath.Abs(c.flags.agentDir)
		if err != nil {
			return err
		}
		c.flags.agentDir = abs
	}
	t, diags, config, err := c.labConfig(dir)
	if err != nil {
		return err
	}
	l, err := lab.Up(cmd.Context(), lab.Options{Progress: c.labProgress}, config)
	if err != nil {
		return err
	}
	err = do(t, diags, l)
	if cmd.Context().Err() != nil && err == nil {
		err = errors.New("interrupted")
	}
	return errors.Join(err, l.Down(context.WithoutCancel(cmd.Context())))
}

func (c *cli) labProgress(text string) { fmt.Fprintf(c.stderr, "lab: %s\n", text) }

func (c *cli) labRun(ctx context.Context, t *topology.Topology, diags topology.Diagnostics, l *lab.Lab, requests int) error {
	if err := serveAll(ctx, t, l); err != nil {
		return err
	}
	c.flags.sshConfig, c.flags.autoApprove = l.SSHConfig(), true
	c.flags.parallelism, c.flags.timeout = 8, 2*time.Minute // the lab's processor is emulated
	c.heading("The plan, and its apply")
	if err := c.configurationRun(nil, t, diags).run(ctx); err != nil {
		return err
	}
	c.heading("Who answers")
	if err := c.labRequests(ctx, t, l, requests); err != nil {
		return err
	}
	c.heading("The directors' IPVS tables")
	if err := c.labTables(ctx, t, l); err != nil {
		return err
	}
	c.heading("The second plan")
	return c.secondPlan(ctx, t, diags)
}

func (c *cli) heading(text string) {
	c.print(func(w io.Writer) { fmt.Fprintf(w, "\n=== %s\n\n", text) })
}

// serveAll starts a server on every real server's port.
func serveAll(ctx context.Context, t *topology.Topology, l *lab.Lab) error {
	type listener struct {
		host, protocol string
		port           uint16
	}
	started := map[listener]bool{}
	for _, s := range lab.Services(t) {
		for _, rs := range s.RealServers {
			key := listener{rs.Host, s.Protocol, rs.Port}
			if started[key] || l.Config.Host(rs.Host) == nil {
				continue
			}
			started[key] = true
			if err := l.Serve(ctx, rs.Host, s.Protocol, rs.Port); err != nil {
				return fmt.Errorf("%s: serve %s port %d: %w", rs.Host, s.Protocol, rs.Port, err)
			}
		}
	}
	return nil
}

// labRequests sends requests through every VIP and prints who answered.
func (c *cli) labRequests(ctx context.Context, t *topology.Topology, l *lab.Lab, n int) error {
	for _, s := range lab.Services(t) {
		client := l.Config.ClientFor(s.Address)
		answers, err := l.Request(ctx, client, lab.Requests{Network: s.Protocol, Target: s.Target(), Count: n})
		if err != nil {
			return fmt.Errorf("requests to %s: %w", s.Target(), err)
		}
		counts := answers.Counts()
		c.print(func(w io.Writer) {
			fmt.Fprintf(w, "%d requests from %s to %s %s (%s):\n", n, client, s.Protocol, s.Target(), s.Scheduler)
			for _, rs := range s.RealServers {
				fmt.Fprintf(w, "  %-12s weight %-3d answered %d\n", rs.Host, rs.Weight, counts[rs.Host])
			}
		})
		if len(answers.Failures) > 0 {
			return fmt.Errorf("%d of %d requests to %s failed: %s", len(answers.Failures), n, s.Target(), view.Clean(answers.Failures[0]))
		}
	}
	return nil
}

func (c *cli) labTables(ctx context.Context, t *topology.Topology, l *lab.Lab) error {
	var directors []string
	for _, s := range lab.Services(t) {
		directors = append(directors, s.Directors...)
	}
	slices.Sort(directors)
	for _, host := range slices.Compact(directors) {
		r, err := l.Exec(ctx, host, "ipvsadm", "-Ln")
		if err != nil || r.Code != 0 {
			// Without ipvsadm the kernel's own table must do.
			if r, err = l.Exec(ctx, host, "cat", "/proc/net/ip_vs"); err != nil {
				return err
			}
		}
		c.print(func(w io.Writer) { fmt.Fprintf(w, "%s:\n%s\n", host, view.Clean(string(r.Stdout))) })
	}
	return nil
}

// secondPlan shows that nothing is left to do, or fails.
func (c *cli) secondPlan(ctx context.Context, t *topology.Topology, diags topology.Diagnostics) error {
	p, live, _, err := c.read(ctx, t, diags)
	if err != nil {
		return err
	}
	c.showPlan(p, live)
	if !p.Empty() || len(p.Unreachable()) > 0 {
		return errors.New("the second plan is not empty")
	}
	return nil
}

func (c *cli) labUpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up DIR",
		Short: "Build a lab and leave it running",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			return c.labUp(cmd.Context(), args[0])
		},
	}
	c.configFlags(cmd.Flags())
	return cmd
}

func (c *cli) labUp(ctx context.Context, dir string) error {
	state, err := labState(dir)
	if err != nil {
		return err
	}
	t, _, config, err := c.labConfig(dir)
	if err != nil {
		return err
	}
	if _, err := lab.Attach(state); err == nil {
		return fmt.Errorf("the lab of %s is up already\nEnd it with: lvsform lab down %s", dir, shellQuote(dir))
	}
	l, err := lab.Up(ctx, lab.Options{Dir: state, Detach: true, Progress: c.labProgress}, config)
	if err != nil {
		return err
	}
	if err := serveAll(ctx, t, l); err != nil {
		return errors.Join(err, l.Down(context.WithoutCancel(ctx)))
	}
	var names []string
	for _, h := range config.Hosts {
		names = append(names, h.Name)
	}
	c.print(func(w io.Writer) {
		quoted := shellQuote(dir)
		fmt.Fprintf(w, "The lab of topology %q is up: %s. For example:\n", t.Name, strings.Join(names, ", "))
		fmt.Fprintf(w, "  lvsform apply -C %s --ssh-config %s\n", quoted, shellQuote(l.SSHConfig()))
		fmt.Fprintf(w, "  lvsform lab exec %s %s ip address\n", quoted, names[0])
		fmt.Fprintf(w, "  lvsform lab down %s\n", quoted)
	})
	return nil
}

func (c *cli) labExecCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec DIR HOST COMMAND [ARG]...",
		Short: "Run a command as root on a host of a running lab",
		Long:  "exec runs a command as root on a host of a lab that `lab up` left running, and ends with its exit code.",
		Args:  cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := attachLab(args[0])
			if err != nil {
				return err
			}
			r, err := l.Exec(cmd.Context(), args[1], args[2:]...)
			if err != nil {
				return err
			}
			c.stdout.Write(r.Stdout) //nolint:errcheck // a closed pipe is the reader's choice
			c.stderr.Write(r.Stderr) //nolint:errcheck
			if r.Code != 0 {
				return silent(r.Code)
			}
			return nil
		},
	}
	cmd.Flags().SetInterspersed(false) // the command's flags are its own
	return cmd
}

func (c *cli) labDownCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down DIR",
		Short: "End a running lab",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := attachLab(args[0])
			if err != nil {
				return err
			}
			return l.Down(cmd.Context())
		},
	}
}

func attachLab(dir string) (*lab.Lab, error) {
	state, err := labState(dir)
	if err != nil {
		return nil, err
	}
	l, err := lab.Attach(state)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no lab of %s is up\nBuild it with: lvsform lab up %s", dir, shellQuote(dir))
	}
	return l, err
}

// labState is where the lab of a configuration's directory keeps its files.
func labState(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "lvsform", "labs", fmt.Sprintf("%x", sha256.Sum256([]byte(abs)))[:16]), nil
}
