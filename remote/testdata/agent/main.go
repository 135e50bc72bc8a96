// Command agent answers as the agent does and touches nothing: what the tests
// of package remote place on a host.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/lvsform/lvsform/wire"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] != "serve" {
		fmt.Fprintln(os.Stderr, "usage: agent serve")
		os.Exit(2)
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	hello := wire.Hello{Protocol: wire.Protocol, Hostname: name, Kernel: "test", Arch: runtime.GOARCH, UID: os.Getuid()}
	if err := wire.Write(os.Stdout, hello); err != nil {
		return err
	}
	for {
		var req wire.Request
		if err := wire.Read(os.Stdin, &req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := wire.Write(os.Stdout, answer(req)); err != nil {
			return err
		}
	}
}

func answer(req wire.Request) wire.Response {
	switch {
	case req.Lock != nil && req.Lock.Owner == "die":
		fmt.Fprintln(os.Stderr, "\x1b[31mlast words\x1b[0m")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case req.Lock != nil && req.Lock.Owner == "hang":
		time.Sleep(time.Hour)
	case req.Lock != nil:
		return wire.Response{Locked: &wire.Locked{}}
	case req.Observe != nil:
		return wire.Response{Observation: &wire.Observation{MissingModules: req.Observe.Modules}}
	}
	return wire.Response{Error: &wire.Error{Code: wire.ErrorFailed, Message: "not in this test"}}
}
