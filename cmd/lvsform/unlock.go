package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) unlockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unlock HOST",
		Short: "End a run that holds a host's lock, and take back what it has begun",
		Long: `unlock ends the run that holds the lock of a host of the configuration: one that
hangs, or whose machine has gone away. What it had changed there and not yet
confirmed is taken back first, so that the host is as before that run's last
transaction. A lock that nobody holds any more goes by itself and needs no
unlock. Be sure that nobody is at work: the other run fails.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			return c.unlock(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	c.configFlags(f)
	c.connectFlags(f)
	f.BoolVar(&c.flags.autoApprove, "auto-approve", false, "do not ask")
	return cmd
}

func (c *cli) unlock(ctx context.Context, host string) error {
	t, _, err := c.load()
	if err != nil {
		return err
	}
	machines := topologyMachines(t)
	i := slices.IndexFunc(machines, func(m machine) bool { return m.name == host })
	if i < 0 {
		var names []string
		for _, m := range machines {
			names = append(names, m.name)
		}
		return &hintError{fmt.Errorf("the configuration has no managed host %q", host), "It has: " + strings.Join(names, ", ") + "."}
	}
	if err := c.ask(ctx, fmt.Sprintf("Do you really want to end the run that holds the lock of %s?", host)); err != nil {
		return err
	}
	f, err := c.newFleet(machines[i:i+1], c.newProgress(1))
	if err != nil {
		return err
	}
	defer f.close()
	defer f.progress.close()
	f.dialer = f.dialer.Patient(unlockTime)
	f.connect(ctx, greet(ctx))
	if err := f.errs[host]; err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	was, err := f.session(host).Unlock(ctx)
	if err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	switch {
	case was.Held == nil && !was.TakenBack:
		fmt.Fprintf(c.stdout, "%s: nobody holds its lock.\n", host)
		return nil
	case was.Held == nil:
		fmt.Fprintf(c.stdout, "%s: nobody holds its lock; what a run had begun there and could not finish is taken back.\n", host)
		return nil
	}
	fmt.Fprintf(c.stdout, "%s: unlocked; it was locked by %s since %s.\n", host, was.Held.Owner, was.Held.Since.Local().Format(time.DateTime))
	if was.TakenBack {
		fmt.Fprintf(c.stdout, "%s: what that run had begun there is taken back.\n", host)
	}
	return nil
}

// unlockTime is how long a host may take to end a run and put right what it leaves.
const unlockTime = 2 * time.Minute
