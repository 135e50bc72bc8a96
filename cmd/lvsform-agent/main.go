//go:build linux

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command lvsform-agent is the host's side of lvsform: it answers frames on its
// standard input.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/knock"
	"github.com/lvsform/lvsform/agent/restore"
	"github.com/lvsform/lvsform/wire"
)

func main() {
	// Its work is one thing after the other, or waiting: what the runtime prepares
	// for more processors costs a session, and brings it nothing.
	runtime.GOMAXPROCS(1)
	if err := commandOf(os.Args[1:])(); err != nil {
		fmt.Fprintln(os.Stderr, "lvsform-agent:", err)
		os.Exit(1)
	}
}

// commandOf is what the arguments ask for.
func commandOf(args []string) func() error {
	switch commands := map[string]func() error{"serve": serve, "guard": guard, "restore": restoreHost}; {
	case len(args) == 1 && commands[args[0]] != nil:
		return commands[args[0]]
	case len(args) == 2 && args[0] == "supervise":
		return func() error { return supervise(args[1]) }
	}
	return func() error {
		fmt.Fprintln(os.Stderr, "usage: lvsform-agent serve\n\nIt is started by lvsform and speaks frames on stdin and stdout.")
		os.Exit(2)
		return nil
	}
}

func serve() error {
	// The process is short-lived and needs little memory: collecting garbage
	// late leaves more of the processor to the work.
	debug.SetGCPercent(400)
	hostname, release, err := kernel.Identity()
	if err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the agent's own file: %w", err)
	}
	if restore.Placed(executable) && !safe(filepath.Dir(executable)) {
		os.Exit(126) // as a shell that may not run it: lvsform looks closer, and says what is wrong
	}
	k := newKernel()
	defer k.Close()
	server := &agent.Server{
		Kernel: k,
		Hello: wire.Hello{
			Hostname: hostname, Kernel: release, Arch: runtime.GOARCH, UID: os.Geteuid(),
		},
		Executable: executable, StartGuard: startGuard, Persistence: persistence(executable),
		Knock: knock.Knock,
	}
	// A session that is lost ends the agent, but never in the middle of a
	// change: what has begun is completed or undone first.
	signal.Ignore(syscall.SIGPIPE)
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-ending
		server.Idle(func() { os.Exit(1) })
	}()
	return server.Serve(os.Stdin, os.Stdout)
}

// safe tells whether nobody but this process's user can put another file in a
// directory, or another directory in its place. What started the agent has seen
// the directory's mark, which a chmod o+w leaves there.
func safe(dir string) bool {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		var stat syscall.Stat_t
		if syscall.Lstat(d, &stat) != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFDIR ||
			int(stat.Uid) != os.Geteuid() || stat.Mode&syscall.S_IWOTH != 0 {
			return false
		}
	}
	return true
}
