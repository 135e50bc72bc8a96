// Package lab builds a topology's hosts as a throwaway cluster with real kernels.
//
// Boot starts one virtual machine (QEMU, by software where KVM does not work)
// with Debian's stock kernel; its files are this machine's own, read-only below
// a layer that vanishes with it. Guest.Build makes hosts in it, as often as
// wanted: a host is a network, mount and UTS namespace with exactly the
// interfaces of its Host, an own file tree, and an OpenSSH server with its own
// host key. The servers are reached through ports on 127.0.0.1 that do not pass
// the host's own network: what a test does to a host cannot cut its connection.
// Lab.SSHConfig is a file for ssh -F that names every host.
//
//	guest, err := lab.Boot(ctx, lab.Options{})
//	cluster, err := guest.Build(ctx, config) // config, err := lab.New(topology)
//	cluster.Exec(ctx, "dir1", "ipvsadm", "-Ln")
//	cluster.Serve(ctx, "rs1", "tcp", 80)
//	cluster.Request(ctx, "client", lab.Requests{Network: "tcp", Target: "192.0.2.1:80", Count: 6})
//	cluster.Down(ctx)
//	guest.Close()
//
// Up and Lab.Down are the same for a single lab; with Options.Detach and
// Options.Dir it stays up, and Attach finds it again. Run tells the story of a
// configuration from boot to the second plan.
//
// A namespace cannot be reset. Guest.BuildMachines makes a virtual machine of
// each declared host instead: a kernel of its own, a systemd, and files that
// survive when Lab.Reset cuts its power. Clients and routers stay namespaces of
// the first machine, and networks are a switch in this process (Options.Wires).
//
// The program that calls Boot is executed once more inside the machine: where
// IsGuest(os.Args) holds, main calls RunGuest and nothing else.
package lab
