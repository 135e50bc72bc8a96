package main

import (
	"github.com/spf13/cobra"
)

func (c *cli) explainCommand() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "explain ADDRESS",
		Short: "Say why something is there, what it stands for, and what would change",
		Long: `explain says of a resource, a module, a real server or a host where it is
declared and what needs it, which objects it stands for on the hosts, and what
apply would change about it and why in this order. It changes nothing.`,
		Example: `  lvsform explain 'module.web.sysctl.arp["rs1"]'
  lvsform explain virtual_service.web.real_server.rs1 --offline
  lvsform explain host.dir1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.checkFlags(cmd); err != nil {
				return err
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
