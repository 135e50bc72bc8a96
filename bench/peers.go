//go:build linux

package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The job as the peers do it.
var (
	//go:embed peers/script.sh
	script string
	//go:embed peers/undo.sh
	undo string
	//go:embed peers/script.yml
	scriptPlaybook string
	//go:embed peers/tasks.yml
	tasksPlaybook string
	//go:embed peers/ansible.cfg
	ansibleConfig string
)

// strategies is where Debian's package puts Mitogen's strategy plugins.
const strategies = "/usr/lib/python3/dist-packages/ansible_mitogen/plugins/strategy"

func (f *fleet) writePeers() error {
	var addresses, inventory strings.Builder
	inventory.WriteString("[real_servers]\n")
	for _, h := range f.hosts {
		fmt.Fprintln(&addresses, h.address)
		fmt.Fprintf(&inventory, "%s ansible_host=%s\n", h.name, h.address)
	}
	for name, text := range map[string]string{
		"addresses": addresses.String(), "inventory": inventory.String(), "ansible.cfg": ansibleConfig,
		"script.sh": script, "script.yml": scriptPlaybook, "tasks.yml": tasksPlaybook,
	} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ssh runs the script on every host through the ssh command.
func (f *fleet) ssh(options ...string) job {
	line := "xargs -P 32 -I{} sh -c 'exec ssh -oBatchMode=yes " + strings.Join(options, " ") +
		` "$1" sh -s <script.sh' sh {} <addresses`
	return job{Dir: f.dir, Args: []string{"sh", "-c", line}}
}

// warmSSH measures ssh over connections that are already open. What their
// background processes use is not counted.
func (f *fleet) warmSSH(ctx context.Context) error {
	const shared = "-oControlMaster=auto -oControlPersist=120 -oControlPath=/root/.ssh/%h"
	if err := f.everywhere(ctx, undo); err != nil {
		return err
	}
	if _, _, err := measure(ctx, job{Dir: f.dir, Args: []string{"sh", "-c",
		"xargs -P 32 -I{} ssh -oBatchMode=yes " + shared + " {} true <addresses"}}); err != nil {
		return err
	}
	_, err := f.take(ctx, rowSSHWarm, f.ssh(shared))
	return err
}

func (f *fleet) ansible(args ...string) job {
	return job{Dir: f.dir, Env: []string{"ANSIBLE_CONFIG=" + filepath.Join(f.dir, "ansible.cfg")},
		Args: append([]string{"ansible-playbook", "-i", "inventory"}, args...)}
}

func (f *fleet) mitogen() job {
	j := f.ansible("tasks.yml")
	j.Env = append(j.Env, "ANSIBLE_STRATEGY=mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS="+strategies)
	return j
}

// slowPeers measures Ansible's tasks: a third as often on a small fleet, once on a large
// one, where a run takes minutes.
func (f *fleet) slowPeers(ctx context.Context) error {
	runs := (f.Runs + 2) / 3
	if len(f.hosts) > 100 {
		runs = 1
	}
	for range runs {
		for _, step := range []struct {
			name   string
			before string
			job    job
		}{
			{rowTasks, undo, f.ansible("tasks.yml")},
			{rowTasksSame, isDone, f.ansible("tasks.yml")},
			{rowTasksCheck, isDone, f.ansible("tasks.yml", "--check")},
			{rowMitogen, undo, f.mitogen()},
			{rowMitoSame, isDone, f.mitogen()},
		} {
			if err := f.everywhere(ctx, step.before); err != nil {
				return fmt.Errorf("before %s: %w", step.name, err)
			}
			if _, err := f.take(ctx, step.name, step.job); err != nil {
				return err
			}
		}
	}
	return f.everywhere(ctx, undo)
}
