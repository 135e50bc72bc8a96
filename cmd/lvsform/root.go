package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lvsform/lvsform/hcl"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// flags are the values of all flags of one command line.
type flags struct {
	chdir   string
	noColor bool
	verbose bool
	json    bool

	inputs []hcl.Input // --var and --var-file, in the order given
	checks string

	sshConfig, knownHosts, identity, agentDir string
	parallelism                               int
	timeout                                   time.Duration
	skipUnreachable                           bool

	target, exclude []string
	destroy         bool
	autoApprove     bool
	confirmTimeout  time.Duration
	drainTimeout    *time.Duration // nil: each service's own
	maxRemovals     int            // negative: any number
	out             string
	detailed        bool
	markdown        bool
	foreign         bool
}

func (c *cli) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "lvsform",
		Short: "Plan and apply Linux Virtual Server clusters",
		Long: `lvsform reads a whole LVS (IPVS) cluster from HCL files, compares it with what
every host really has, shows the difference as a plan, and applies it over SSH.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetIn(c.stdin)
	p := root.PersistentFlags()
	p.StringVarP(&c.flags.chdir, "chdir", "C", "", "run as if started in `DIR`")
	p.BoolVar(&c.flags.noColor, "no-color", false, "no colours, also without NO_COLOR in the environment")
	p.BoolVarP(&c.flags.verbose, "verbose", "v", false, "log what happens to stderr")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return c.changeDir() }
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), err} })
	root.AddCommand(c.initCommand(), c.validateCommand(), c.fmtCommand(), c.planCommand(), c.applyCommand(), c.destroyCommand(), c.unlockCommand(),
		c.statusCommand(), c.verifyCommand(), c.showCommand(), c.outputCommand(), c.labCommand(), c.versionCommand(),
		c.explainCommand(), c.runbookCommand(), c.graphCommand(), c.consoleCommand(),
		c.importCommand(), c.exportCommand())
	explainArgs(root)
	return root
}

// explainArgs turns cobra's complaints about arguments into usage errors.
func explainArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		explainArgs(sub)
	}
}

func (c *cli) changeDir() error {
	if c.flags.chdir == "" {
		return nil
	}
	if err := os.Chdir(c.flags.chdir); err != nil {
		return fmt.Errorf("--chdir: %w", err)
	}
	return nil
}

// inputFlag appends to one list, so that --var and --var-file keep their order.
type inputFlag struct {
	to   *[]hcl.Input
	file bool
}

func (f inputFlag) String() string { return "" }

func (f inputFlag) Type() string {
	if f.file {
		return "FILE"
	}
	return "NAME=VALUE"
}

func (f inputFlag) Set(text string) error {
	if f.file {
		*f.to = append(*f.to, hcl.Input{File: text})
		return nil
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		// The text is not repeated: it may be a secret.
		return fmt.Errorf("want NAME=VALUE")
	}
	*f.to = append(*f.to, hcl.Input{Name: name, Value: value})
	return nil
}

func (c *cli) configFlags(p *pflag.FlagSet) {
	p.Var(inputFlag{&c.flags.inputs, false}, "var", "set a variable; may be repeated")
	p.Var(inputFlag{&c.flags.inputs, true}, "var-file", "read variables from a file; may be repeated")
	p.StringVar(&c.flags.checks, "checks", "", "`error`: warnings block too")
}

func (c *cli) connectFlags(p *pflag.FlagSet) {
	p.StringVar(&c.flags.sshConfig, "ssh-config", "", "read `FILE` instead of ~/.ssh/config")
	p.StringVar(&c.flags.knownHosts, "known-hosts", "", "read host keys from `FILE` instead of what ssh_config names")
	p.StringVar(&c.flags.identity, "identity", "", "offer the private key in `FILE`")
	p.StringVar(&c.flags.agentDir, "agent-dir", "", "take agent binaries from `DIR` instead of the built-in ones")
	p.IntVar(&c.flags.parallelism, "parallelism", 64, "speak to `N` hosts at once")
	p.DurationVar(&c.flags.timeout, "timeout", 30*time.Second, "give up on a host's step after `D`")
	p.BoolVar(&c.flags.skipUnreachable, "skip-unreachable", false, "leave hosts out that cannot be reached")
}

func (c *cli) selectFlags(p *pflag.FlagSet) {
	p.StringArrayVar(&c.flags.target, "target", nil, "only this `ADDRESS` or host.NAME, and what it needs; may be repeated")
	p.StringArrayVar(&c.flags.exclude, "exclude", nil, "all but this `ADDRESS` or host.NAME; may be repeated")
}

// checkFlags refuses values that no flag type refuses by itself.
func (c *cli) checkFlags(cmd *cobra.Command) error {
	var err error
	switch f := c.flags; {
	case f.checks != "" && f.checks != "error":
		err = fmt.Errorf("--checks takes error, not %q", f.checks)
	case cmd.Flags().Lookup("parallelism") != nil && f.parallelism < 1:
		err = fmt.Errorf("--parallelism must be at least 1, not %d", f.parallelism)
	case cmd.Flags().Lookup("timeout") != nil && f.timeout <= 0:
		err = fmt.Errorf("--timeout must be more than zero, not %s", f.timeout)
	case cmd.Flags().Lookup("confirm-timeout") != nil && (f.confirmTimeout < time.Second || f.confirmTimeout > time.Hour):
		err = fmt.Errorf("--confirm-timeout must be from 1s to 1h, not %s", f.confirmTimeout)
	case f.json && f.markdown:
		err = fmt.Errorf("--json and --markdown exclude each other")
	}
	if err != nil {
		return &usageError{cmd.CommandPath(), err}
	}
	return nil
}

func (c *cli) log() *slog.Logger {
	if !c.flags.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// terminalSize is the size of a terminal, or what is safe to assume.
func terminalSize(w io.Writer) (width, height int) {
	if file, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}
