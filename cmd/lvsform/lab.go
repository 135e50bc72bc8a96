package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lvsform/lvsform/lab"
	"github.com/lvsform/lvsform/planner"
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
	cmd := &cobra.Command{
		Use:   "run DIR",
		Short: "Apply a configuration in a lab, send requests, and show that nothing is left to do",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			return c.labRun(cmd.Context(), args[0])
		},
	}
	c.configFlags(cmd.Flags())
	cmd.Flags().StringVar(&c.flags.agentDir, "agent-dir", "", "take agent binaries from `DIR` instead of the built-in ones")
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

// labRun tells a configuration's whole story in a lab that is gone afterwards.
func (c *cli) labRun(ctx context.Context, dir string) error {
	if c.flags.agentDir != "" {
		abs, err := filepath.Abs(c.flags.agentDir)
		if err != nil {
			return err
		}
		c.flags.agentDir = abs
	}
	t, diags, _, err := c.labConfig(dir)
	if err != nil {
		return err
	}
	c.flags.autoApprove = true
	c.flags.parallelism, c.flags.timeout = 8, 2*time.Minute // the lab's processor is emulated
	err = lab.Run(ctx, c.stdout, t, labSteps{c, t, diags}, lab.Options{})
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing of the lab is left")
	}
	return err
}

// labSteps are what the lab needs of the command line.
type labSteps struct {
	c     *cli
	t     *topology.Topology
	diags topology.Diagnostics
}

func (s labSteps) Plan(ctx context.Context, l *lab.Lab) (int, error) {
	s.c.flags.sshConfig = l.SSHConfig()
	p, live, errs, err := s.c.read(ctx, s.t, s.diags)
	if err != nil {
		return 0, err
	}
	s.c.showPlan(p, live)
	if len(errs) > 0 || s.c.blocking(findings(p)) {
		return 0, errors.New("it cannot be applied")
	}
	return len(p.Changes), nil
}

func (s labSteps) Apply(ctx context.Context, l *lab.Lab) error {
	s.c.flags.sshConfig = l.SSHConfig()
	r := s.c.configurationRun(nil, s.t, s.diags)
	r.announce = func(*planner.Plan) {} // it was shown
	err := r.run(ctx)
	if code := exitCode(err); err != nil && code != exitError {
		return fmt.Errorf("it ended with exit code %d", code)
	}
	return err
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
		return &hintError{fmt.Errorf("the lab of %s is up already", dir), "End it with: lvsform lab down " + shellQuote(dir)}
	}
	progress := func(text string) { fmt.Fprintf(c.stderr, "lab: %s\n", text) }
	l, err := lab.Up(ctx, lab.Options{Dir: state, Detach: true, Progress: progress}, config)
	if err != nil {
		return err
	}
	for _, s := range lab.Services(t) {
		if err := l.ServeFor(ctx, s); err != nil {
			return errors.Join(err, l.Down(context.WithoutCancel(ctx)))
		}
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
		return nil, &hintError{fmt.Errorf("no lab of %s is up", dir), "Build it with: lvsform lab up " + shellQuote(dir)}
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
