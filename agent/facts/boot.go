//go:build linux

package facts

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// Bounds of what is read of the host's files.
const (
	bootFile   = 256 << 10 // bytes of one file
	bootOwners = 2000      // lines of all files
)

// Boot finds what else makes things like lvsform's at boot on the host whose
// files are below root: sysctl.conf(5) and sysctl.d(5) of the administrator,
// ipvsadm's own service, and addresses of ifcfg files and interfaces(5). What
// cannot be read is left out.
func Boot(root string) []state.BootOwner {
	var out []state.BootOwner
	// In the order of the files' names.
	for _, source := range []struct {
		pattern string
		parse   func(text string) []state.BootOwner
	}{
		{"etc/network/interfaces", interfaces},
		{"etc/network/interfaces.d/*", interfaces},
		{"etc/sysconfig/network-scripts/ifcfg-*", ifcfg},
		{"etc/sysconfig/network/ifcfg-*", ifcfg},
		{"etc/sysctl.conf", sysctls},
		{"etc/sysctl.d/*.conf", sysctls},
	} {
		for _, file := range glob(root, source.pattern) {
			out = append(out, read(root, file, source.parse)...)
		}
	}
	return append(out[:min(len(out), bootOwners)], tables(root)...)
}

func read(root, file string, parse func(text string) []state.BootOwner) []state.BootOwner {
	if to, _ := os.Readlink(filepath.Join("/", root, file)); filepath.Base(to) == "sysctl.conf" {
		return nil // Debian's second name for it
	}
	out := parse(text(root, file))
	for i := range out {
		out[i].File = file
		if name, ok := strings.CutPrefix(filepath.Base(file), "ifcfg-"); ok && out[i].Device == "" {
			out[i].Device, _, _ = strings.Cut(name, ":")
		}
	}
	return out
}

// tables are what has an IPVS table restored. What a pattern names after its
// last * is looked for by name: package filepath would read each directory.
func tables(root string) (out []state.BootOwner) {
	for _, wants := range glob(root, "etc/systemd/system/*.wants") {
		file := filepath.Join(wants, "ipvsadm.service")
		if _, err := os.Lstat(filepath.Join("/", root, file)); err == nil {
			out = append(out, state.BootOwner{File: file})
			break
		}
	}
	// Debian's package installs its script, which does nothing unless it is told.
	if !slices.Contains(lines(text(root, "etc/default/ipvsadm")), `AUTO="true"`) {
		return out
	}
	if found := glob(root, "etc/rc[2-5].d/S??ipvsadm"); len(found) > 0 {
		out = append(out, state.BootOwner{File: found[0]})
	}
	return out
}

// glob lists files by their names on the host.
func glob(root, pattern string) []string {
	found, _ := filepath.Glob(filepath.Join("/", root, pattern))
	for i, file := range found {
		found[i] = filepath.Join("/", strings.TrimPrefix(file, filepath.Clean("/"+root)))
	}
	return found
}

func text(root, file string) string {
	f, err := os.Open(filepath.Join("/", root, file))
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, bootFile))
	if err != nil {
		return ""
	}
	return string(b)
}

// lines are those that say something, without what surrounds it.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != ';' {
			out = append(out, line)
		}
	}
	return out
}

// sysctls reads the parameters of the network. Keys that the kernel is given
// that way stay on the host.
func sysctls(text string) (out []state.BootOwner) {
	for _, line := range lines(text) {
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "-"), "=")
		name = dotted(strings.TrimSpace(name))
		if !ok || !strings.HasPrefix(name, "net.") || strings.HasSuffix(name, "_secret") || strings.HasSuffix(name, "_key") {
			continue
		}
		out = append(out, state.BootOwner{Sysctl: name, Value: strings.Join(strings.Fields(value), " ")})
	}
	return out
}

// dotted is a parameter's name as sysctl(8) prints it: where the first separator
// is a slash, slashes separate.
func dotted(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '.' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

// ifcfg reads IPADDR, IPADDR0, IPADDR_lvs and so on; lo:0 is an alias of lo.
func ifcfg(text string) (out []state.BootOwner) {
	device := ""
	for _, line := range lines(text) {
		name, value, _ := strings.Cut(line, "=")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch {
		case name == "DEVICE":
			device = value
		case strings.HasPrefix(name, "IPADDR") || strings.HasPrefix(name, "IPV6ADDR"):
			for word := range strings.FieldsSeq(value) {
				out = appendAddress(out, word)
			}
		}
	}
	return on(device, out)
}

func appendAddress(out []state.BootOwner, word string) []state.BootOwner {
	ip, _, _ := strings.Cut(word, "/")
	if a, err := netip.ParseAddr(ip); err == nil {
		out = append(out, state.BootOwner{Address: a})
	}
	return out
}

// on sets the device, without an alias's number.
func on(device string, addresses []state.BootOwner) []state.BootOwner {
	device, _, _ = strings.Cut(device, ":")
	for i := range addresses {
		addresses[i].Device = device
	}
	return addresses
}

// interfaces reads the addresses of interfaces(5), and those that its commands
// add with ip-address(8).
func interfaces(text string) (out []state.BootOwner) {
	device := ""
	for _, line := range lines(text) {
		words := strings.Fields(line)
		switch {
		case words[0] == "iface" && len(words) > 1:
			device = words[1]
		case words[0] == "address" && len(words) > 1:
			out = append(out, on(device, appendAddress(nil, words[1]))...)
		case slices.Contains([]string{"up", "post-up", "pre-up"}, words[0]):
			at, to := slices.Index(words, "add"), slices.Index(words, "dev")
			if at > 0 && to > 0 && strings.HasPrefix(words[at-1], "a") && at+1 < len(words) && to+1 < len(words) {
				out = append(out, on(words[to+1], appendAddress(nil, words[at+1]))...)
			}
		}
	}
	return out
}
