//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/network"
	"github.com/lvsform/lvsform/agent/restore"
	"github.com/lvsform/lvsform/agent/txn"
)

// exitLedger is the exit status for a ledger that cannot be read: the unit of
// package restore does not start the program again after it.
const exitLedger = 3

// restoreHost keeps the host as its ledger says, until it is told to end.
func restoreHost() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	r := agent.Restorer{
		Kernel: func() (txn.Kernel, func()) { k := kernel.New(); return k, k.Close },
		Watch:  network.Watch,
		Ready:  func() { notify("READY=1") },
		Log:    func(line string) { fmt.Fprintln(os.Stderr, line) },
	}
	err := r.Run(ctx)
	if errors.Is(err, agent.ErrLedger) {
		fmt.Fprintln(os.Stderr, "lvsform-agent:", err)
		os.Exit(exitLedger)
	}
	return err
}

// notify tells systemd, as sd_notify(3) does. Without one nobody listens.
func notify(text string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	// A leading @ is the abstract namespace here too. The package net would do
	// the same, and add a resolver of names to a small program.
	_ = unix.Sendto(fd, []byte(text), 0, &unix.SockaddrUnix{Name: name})
	_ = unix.Close(fd)
}

// persistence is what keeps this agent's changes over a reboot.
func persistence(executable string) restore.Unit {
	return restore.Unit{System: command.Host{}, Executable: executable}
}
