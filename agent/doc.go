// Package agent answers the CLI on one host.
//
// A session is one call of Serve:
//
//	k := agenttest.NewKernel(agenttest.Host()...) // or kernel.New() on Linux
//	s := agent.Server{
//		Kernel:   k,
//		StateDir: filepath.Join(dir, "state"), // holds the ledger
//		LockDir:  filepath.Join(dir, "run"),
//		Hello:    wire.Hello{Hostname: "rs1", Kernel: "6.1.0", Arch: "amd64"},
//	}
//	err := s.Serve(stdin, stdout) // until EOF on stdin
//
// Each session needs a Server of its own; sessions of one host share Kernel,
// StateDir and LockDir. The lock goes when Serve returns.
package agent
