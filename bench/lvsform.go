//go:build linux

package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// configuration is the job: what direct routing asks of a real server.
//
//go:embed peers/real-servers.hcl
var configuration string

func (f *fleet) writeConfiguration() error {
	var values strings.Builder
	values.WriteString("servers = {\n")
	for _, h := range f.hosts {
		fmt.Fprintf(&values, "  %s = %q\n", h.name, h.address)
	}
	values.WriteString("}\n")
	if err := os.Mkdir(filepath.Join(f.dir, "lvsform"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"main.hcl": configuration, "servers.auto.vars.hcl": values.String()} {
		if err := os.WriteFile(filepath.Join(f.dir, "lvsform", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) lvsform(exits []int, args ...string) job {
	return job{Dir: filepath.Join(f.dir, "lvsform"), Peak: true, Exits: exits,
		Args: append([]string{filepath.Join(f.bin, "lvsform")}, args...)}
}

// isDone fails on a host where the job is not done, isUndone where it is.
const (
	isDone = `[ "$(sysctl -n net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce ` +
		`net.ipv4.conf.lo.arp_ignore net.ipv4.conf.lo.arp_announce | tr '\n' ' ')" = "1 2 1 2 " ] && ` +
		`ip -4 address show dev lo | grep -q 10.99.0.1/32 && ip -4 route show 10.99.0.1 | grep -q "dev lo"`
	isUndone = `[ "$(sysctl -n net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce ` +
		`net.ipv4.conf.lo.arp_ignore net.ipv4.conf.lo.arp_announce | tr '\n' ' ')" = "0 0 0 0 " ] && ` +
		`! ip -4 address show dev lo | grep -q 10.99.0.1 && [ -z "$(ip -4 route show 10.99.0.1)" ]`
	forget = `rm -rf /usr/local/libexec /var/lib/lvsform`
)

// quickRound measures everything that takes seconds once, so that a busy moment
// of the machine hits all of it.
func (f *fleet) quickRound(ctx context.Context) error {
	pending := []int{2}
	for _, step := range []struct {
		name  string
		job   job
		after string // must hold on every host
		says  string // must be in the output
	}{
		{rowFloor, f.floor("true"), undo + forget, ""},
		{rowFloorNIST, f.floor("true", "--kex", ssh.KeyExchangeECDHP256), isUndone, ""},
		{rowFirst, f.lvsform(pending, "plan", "--detailed-exitcode"), isUndone, "to add"},
		{rowPlan, f.lvsform(pending, "plan", "--detailed-exitcode"), isUndone, "to add"},
		{rowApply, f.lvsform(nil, "apply", "--auto-approve"), isDone, ""},
		{rowPlanSame, f.lvsform(nil, "plan", "--detailed-exitcode"), isDone, "No changes"},
		{rowApplySame, f.lvsform(nil, "apply", "--auto-approve"), isDone, "No changes"},
		{rowDestroy, f.lvsform(nil, "destroy", "--auto-approve"), isUndone, ""},
		{rowSSH, f.ssh(), isDone, ""},
		{rowFloor, f.floor("true"), undo, ""},
		{rowSSHCurve, f.ssh("-oKexAlgorithms=curve25519-sha256"), isDone, ""},
		{rowScript, f.ansible("script.yml"), isDone, ""},
	} {
		if f.Lvsform == "" && strings.HasPrefix(step.name, "lvsform") {
			continue
		}
		out, err := f.take(ctx, step.name, step.job)
		if err != nil {
			return err
		}
		if !strings.Contains(out, step.says) {
			return fmt.Errorf("%s: its output lacks %q:\n%s", step.name, step.says, tail(out))
		}
		if err := f.everywhere(ctx, step.after); err != nil {
			return fmt.Errorf("after %s: %w", step.name, err)
		}
	}
	return f.warmSSH(ctx)
}
