package main

import (
	"errors"
	"regexp"

	"github.com/spf13/cobra"
)

// checkID is what looks like the id of a check: LVS003, lvs-3, LVS 003.
var checkID = regexp.MustCompile(`^(?i)lvs[-_ ]?[0-9]{1,4}$`)

func (c *cli) explainCommand() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "explain [ADDRESS | LVSnnn]",
		Short: "Say why something is there, what it stands for, and what would change",
		Long: `explain says of a resource, a module, a real server or a host where it is
declared and what needs it, which objects it stands for on the hosts, and what
apply would change about it and why in this order. It changes nothing.

Of a check it says what the finding means on the wire, how to see it, and the
fix. Without an argument it lists the checks.`,
		Example: `  lvsform explain 'module.web.sysctl.arp["rs1"]'
  lvsform explain virtual_service.web.real_server.rs1 --offline
  lvsform explain host.dir1
  lvsform explain LVS003`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
			}
			switch {
			case len(args) == 0:
				c.listChecks()
				return nil
			case args[0] == "":
				return &usageError{cmd.CommandPath(), errors.New("explain what? An address of the configuration, or the id of a check")}
			case checkID.MatchString(args[0]):
				return c.explainCheck(args[0])
			}
			return c.explainAddress(cmd.Context(), args[0], offline)
		},
	}
	f := cmd.Flags()
	c.configFlags(f)
	c.connectFlags(f)
	f.BoolVar(&c.flags.json, "json", false, "print the explanation as JSON")
	f.BoolVar(&offline, "offline", false, "contact no host: leave out what would change")
	return cmd
}
