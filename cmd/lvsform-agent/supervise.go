//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/service"
)

// newKernel is the host's kernel, with this program as the supervisor of
// services where the host has no init system.
func newKernel() *kernel.Kernel {
	k := kernel.New()
	k.SuperviseWith(startSupervisor)
	return k
}

// startSupervisor starts this program again, as a supervisor. Whether it works
// shows in the file that it keeps locked.
func startSupervisor(name string) error {
	cmd := exec.Command("/proc/self/exe", "supervise", name)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a supervisor: %w", err)
	}
	go func() { _ = cmd.Wait() }() // it outlives the session; until then nobody else reaps it
	return nil
}

// supervise runs a service until it is told to end. The session that started it,
// and sshd with it, may end.
func supervise(name string) error {
	leaveGroup()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := service.Services{System: command.Host{}}.SuperviseUntil(ctx, name)
	if err != nil {
		say("supervise: " + err.Error())
		fmt.Fprintln(os.Stderr, "lvsform-agent:", err)
	}
	return err
}
