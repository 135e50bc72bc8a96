//go:build linux

package packages

import (
	"strings"

	"github.com/lvsform/lvsform/agent/command"
)

// manager is how one package manager is spoken to.
type manager struct {
	program  string   // that installs
	query    string   // that tells what is installed
	families []string // of os-release, that use it

	queryArgs []string // names follow
	// installed reads the names that the query found.
	installed func(stdout string) map[string]bool
	// missed tells whether a query that failed only misses packages.
	missed func(command.Output) bool

	installArgs []string // names follow
	refreshArgs []string // nil: it refreshes its lists by itself
	stale       func(command.Output) bool
	env         []string
	successes   []int // exit statuses beside 0 after which the packages are there
	// unknown is how it says that it knows no package %s.
	unknown []string
	// busy is how it says that another program holds its lock.
	busy []string
	// aliases are other names for packages that lvsform asks for by Debian's.
	aliases map[string]string
}

func (m manager) name(name string) string {
	if own := m.aliases[name]; own != "" {
		return own
	}
	return name
}

func (m manager) names(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = m.name(name)
	}
	return out
}

func (m manager) locked(out command.Output) bool {
	for _, words := range m.busy {
		if strings.Contains(out.Stdout+"\n"+out.Stderr, words) {
			return true
		}
	}
	return false
}

// managers are the known ones, in the order in which they are looked for.
func managers() []manager {
	return []manager{apt(), dnf("dnf"), dnf("yum"), zypper(), apk(), pacman()}
}

// apt keeps the administrator's configuration files, takes names as names (and
// not as patterns), and restarts nothing beside what it installs.
func apt() manager {
	return manager{
		program: "apt-get", query: "dpkg-query", families: []string{"debian", "ubuntu"},
		queryArgs: []string{"--show", "--showformat=${Package}\t${Status}\n"},
		installed: func(stdout string) map[string]bool {
			out := map[string]bool{}
			for line := range strings.Lines(stdout) {
				if name, ok := strings.CutSuffix(strings.TrimSpace(line), " ok installed"); ok {
					name, _, _ = strings.Cut(name, "\t")
					out[name] = true
				}
			}
			return out
		},
		missed: func(o command.Output) bool {
			return o.Code == 1 && onlyLines(o.Stderr, "dpkg-query: no packages found matching ")
		},
		installArgs: []string{"install", "--yes", "--quiet", "-o", "Dpkg::Options::=--force-confdef",
			"-o", "Dpkg::Options::=--force-confold", "-o", "APT::Cmd::Pattern-Only=true"},
		refreshArgs: []string{"update", "--quiet"},
		stale:       saidAny("Unable to locate package", "has no installation candidate", "Failed to fetch", "Unable to fetch some archives"),
		env:         []string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1"},
		unknown: []string{"Unable to locate package %s\n", "Package '%s' has no installation candidate",
			"Package %s is not available"},
		busy: []string{"Could not get lock", "Unable to lock directory", "Unable to acquire the dpkg frontend lock"},
	}
}

// dnf is dnf or yum, which take the same words.
func dnf(program string) manager {
	m := rpm()
	m.program, m.families = program, []string{"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn"}
	m.installArgs = []string{"install", "--assumeyes", "--quiet"}
	m.unknown = []string{"No match for argument: %s\n", "No package %s available."}
	m.busy = []string{"another copy is running", "Existing lock"}
	return m
}

func zypper() manager {
	m := rpm()
	m.program, m.families = "zypper", []string{"suse", "opensuse", "sles", "opensuse-leap", "opensuse-tumbleweed"}
	m.installArgs = []string{"--non-interactive", "install"}
	// ZYPPER_EXIT_INF_UPDATE_NEEDED to _INF_RESTART_NEEDED, _INF_RPM_SCRIPT_FAILED of zypper(8)
	m.successes = []int{100, 101, 102, 103, 107}
	m.unknown = []string{"No provider of '%s' found.", "'%s' not found in package names."}
	m.busy = []string{"System management is locked by the application"}
	return m
}

// rpm is what the managers have in common that are made on it.
func rpm() manager {
	return manager{
		query: "rpm", queryArgs: []string{"--query", "--queryformat", "%{NAME}\n"}, installed: lines,
		// The status is the number of packages that are missing.
		missed: func(o command.Output) bool {
			return strings.Contains(o.Stdout, " is not installed") && strings.TrimSpace(o.Stderr) == ""
		},
		aliases: map[string]string{"libnet-inet6glue-perl": "perl-Net-INET6Glue"},
	}
}

func apk() manager {
	return manager{
		program: "apk", query: "apk", families: []string{"alpine"},
		queryArgs: []string{"info", "--installed"}, installed: lines,
		missed:      func(o command.Output) bool { return o.Code <= 127 && strings.TrimSpace(o.Stderr) == "" },
		installArgs: []string{"add", "--no-progress"},
		refreshArgs: []string{"update", "--no-progress"},
		stale:       saidAny("no such package", "required by: world["),
		unknown:     []string{"%s (no such package)"},
		busy:        []string{"Unable to lock database"},
	}
}

func pacman() manager {
	return manager{
		program: "pacman", query: "pacman", families: []string{"arch"},
		queryArgs: []string{"--query", "--quiet"}, installed: lines,
		missed: func(o command.Output) bool {
			return o.Code == 1 && onlyLines(o.Stderr, "error: package '")
		},
		// Its lists are left alone: newer ones without newer packages are no
		// state that the distribution supports.
		installArgs: []string{"--sync", "--noconfirm", "--needed", "--noprogressbar"},
		unknown:     []string{"target not found: %s\n"},
		busy:        []string{"unable to lock database"},
	}
}

// lines takes every line as a name.
func lines(stdout string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(stdout) {
		out[strings.TrimSpace(line)] = true
	}
	return out
}

// onlyLines tells whether every line begins so, and there is one.
func onlyLines(text, prefix string) bool {
	n := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, prefix) {
			return false
		}
		n++
	}
	return n > 0
}

func saidAny(words ...string) func(command.Output) bool {
	return func(o command.Output) bool {
		for _, w := range words {
			if strings.Contains(o.Stdout+"\n"+o.Stderr, w) {
				return true
			}
		}
		return false
	}
}
