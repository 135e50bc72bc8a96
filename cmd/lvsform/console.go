package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lvsform/lvsform/hcl"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (c *cli) consoleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Try expressions against the configuration",
		Long: `console evaluates each line that it reads as an expression of the root module
and prints its value; no host is contacted. "exit" or Ctrl-D ends it, a mistake
does not.

Exit codes: 0 done, 1 the configuration cannot be evaluated, or, where the lines
do not come from a terminal, one of the expressions could not.`,
		Example: `  lvsform console
  echo 'module.web.vip' | lvsform console`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			return c.console()
		},
	}
	c.configFlags(cmd.Flags())
	return cmd
}

func (c *cli) console() error {
	config, diags := hcl.LoadConfig(hcl.Options{Dir: ".", Inputs: c.flags.inputs, Environ: c.environ, Version: buildVersion()})
	if c.blocking(diags) {
		c.fail(diags)
		return silent(exitError)
	}
	c.diagnose(diags)
	if isTerminal(c.stdin) && isTerminal(c.stdout) {
		return c.talk(config)
	}
	wrong := false
	lines := bufio.NewReader(c.stdin)
	for {
		text, err := lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the expressions: %w", err)
		}
		done, ok := c.evaluate(config, text, c.stdout, c.stderr)
		wrong = wrong || !ok
		if done || err != nil {
			break
		}
	}
	if wrong {
		return silent(exitError)
	}
	return nil
}

// talk is the console on a terminal, with a prompt and a history.
func (c *cli) talk(config *hcl.Config) (err error) {
	fd := int(c.stdin.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(fd, before)) }()
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{c.stdin, c.stdout}, "> ")
	for {
		_ = t.SetSize(terminalSize(c.stdout)) // lines wrap where the screen does
		text, err := t.ReadLine()
		if errors.Is(err, io.EOF) { // Ctrl-D or Ctrl-C
			_, err = fmt.Fprintln(c.stdout, "\r")
			return err
		}
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			return fmt.Errorf("console: %w", err)
		}
		if done, _ := c.evaluate(config, text, t, t); done {
			return nil
		}
	}
}

// evaluate prints the value of one line, or what is wrong with it. done is the
// wish to end.
func (c *cli) evaluate(config *hcl.Config, text string, out, errs io.Writer) (done, ok bool) {
	text = strings.TrimSpace(text)
	switch text {
	case "":
		return false, true
	case "exit", "quit":
		return true, true
	}
	value, diags := config.Eval(text)
	if len(diags) > 0 {
		var b bytes.Buffer
		c.style(c.stderr).Diagnostics(&b, diags)
		io.Copy(errs, &b) //nolint:errcheck // nobody is left to tell
	}
	if diags.HasErrors() {
		return false, false
	}
	fmt.Fprintln(out, value)
	return false, true
}
