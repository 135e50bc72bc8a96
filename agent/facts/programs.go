//go:build linux

package facts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Programs are those that keep IPVS services of their own and run in the network
// namespace of the caller, sorted. proc is proc(5), root the host's files.
func Programs(proc, root string) []string {
	return Running(proc, func(name string) bool {
		return name == "ldirectord" || name == "kube-proxy" || name == "keepalived" && hasVirtualServers(root)
	})
}

// Running are the names of the processes asked for that run in the network
// namespace of the caller, sorted, each once.
func Running(proc string, asked func(name string) bool) []string {
	own, _ := os.Readlink(filepath.Join(proc, "thread-self/ns/net"))
	comms, _ := filepath.Glob(filepath.Join(proc, "[0-9]*/comm"))
	var out []string
	for _, file := range comms {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		name := strings.TrimSpace(string(b))
		if !asked(name) || slices.Contains(out, name) {
			continue
		}
		if there, err := os.Readlink(filepath.Join(filepath.Dir(file), "ns/net")); err == nil && there == own {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// hasVirtualServers tells whether keepalived is told to keep more than addresses.
func hasVirtualServers(root string) bool {
	for _, pattern := range []string{"etc/keepalived/*.conf", "etc/keepalived/*/*.conf"} {
		for _, file := range glob(root, pattern) {
			if slices.ContainsFunc(lines(text(root, file)), func(line string) bool { return strings.HasPrefix(line, "virtual_server") }) {
				return true
			}
		}
	}
	return false
}
