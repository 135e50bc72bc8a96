package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cluster is what opBuild made: hosts, and the namespace with their bridges.
type cluster struct {
	dir   string
	wires *namespaces
	wired int // networks that leave the machine
	hosts map[string]*host
}

// newCluster makes everything, and returns what there is even on an error.
func newCluster(ctx context.Context, id int, b build) (*cluster, error) {
	c := &cluster{dir: filepath.Join(runDir, strconv.Itoa(id)), hosts: map[string]*host{}}
	var err error
	if c.wires, err = newNamespaces(unix.CLONE_NEWNET, nil); err != nil {
		return c, fmt.Errorf("namespace of the bridges: %w", err)
	}
	if err := c.wires.addBridges(b.Networks); err != nil {
		return c, fmt.Errorf("bridges: %w", err)
	}
	if b.Wired {
		c.wired = b.Networks
		if err := c.wires.addUplinks(b.Networks); err != nil {
			return c, err
		}
	}
	var (
		wait sync.WaitGroup
		errs = make([]error, len(b.Hosts))
	)
	for i, spec := range b.Hosts {
		h := &host{name: spec.Name, dir: filepath.Join(c.dir, strconv.Itoa(i))}
		c.hosts[spec.Name] = h
		wait.Go(func() {
			if err := h.build(ctx, c.wires, i, spec, b.Authorized); err != nil {
				errs[i] = fmt.Errorf("host %s: %w", spec.Name, err)
			}
		})
	}
	wait.Wait()
	return c, errors.Join(errs...)
}

// close ends whatever runs in the hosts, and lets go of them.
func (c *cluster) close() {
	for _, h := range c.hosts {
		h.closeServers()
	}
	for range 50 { // a killed process may just have made another
		if !killAll(c.hosts) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, h := range c.hosts {
		if h.ns != nil {
			h.ns.close()
		}
	}
	if c.wires != nil {
		if c.wired > 0 {
			if err := c.wires.removeUplinks(c.wired); err != nil {
				fmt.Printf("lvsform-lab: %v\n", err) // the next lab of machines says more
			}
		}
		c.wires.close()
	}
	_ = os.RemoveAll(c.dir)
}

// killAll ends the processes whose network namespace is a host's, and tells
// whether there were any.
func killAll(hosts map[string]*host) bool {
	ours := map[string]bool{}
	for _, h := range hosts {
		if h.ns != nil {
			ours[h.ns.id] = true
		}
	}
	found := false
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if link, err := os.Readlink("/proc/" + e.Name() + "/ns/net"); err == nil && ours[link] {
			found = true
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	return found
}
