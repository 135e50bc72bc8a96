//go:build linux

package packages

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/agent/command/commandtest"
	"github.com/lvsform/lvsform/state"
)

func host(t *testing.T, osRelease string, r *commandtest.Recording) Packages {
	t.Helper()
	root := t.TempDir()
	if osRelease != "" {
		if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc/os-release"), []byte(osRelease), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Packages{System: r, Root: root, Sleep: func(time.Duration) {}}
}

func installed(names ...string) []state.Object {
	var out []state.Object
	for _, name := range names {
		out = append(out, state.Package{Name: name})
	}
	return out
}

func create(names ...string) []state.Change {
	var out []state.Change
	for _, name := range names {
		out = append(out, state.Change{After: state.Package{Name: name}})
	}
	return out
}

const (
	debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"
	rocky  = "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"
	suse   = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"

	aptQuery   = "dpkg-query --show --showformat=${Package}\t${Status}\n "
	aptInstall = "apt-get install --yes --quiet -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Cmd::Pattern-Only=true "
	rpmQuery   = "rpm --query --queryformat %{NAME}\n "
)

func TestReadsWhatIsInstalled(t *testing.T) {
	for name, tc := range map[string]struct {
		osRelease string
		programs  []string
		line      string
		output    command.Output
	}{
		"dpkg": {debian, []string{"apt-get", "dpkg-query", "rpm", "dnf"}, aptQuery + "curl held ipvsadm removed",
			command.Output{Stdout: "curl\tinstall ok installed\nheld\thold ok installed\nremoved\tdeinstall ok config-files\n",
				Stderr: "dpkg-query: no packages found matching ipvsadm\n", Code: 1}},
		"rpm by dnf": {rocky, []string{"dnf", "yum", "rpm"}, rpmQuery + "curl held ipvsadm removed",
			command.Output{Stdout: "curl\nheld\npackage ipvsadm is not installed\npackage removed is not installed\n", Code: 2}},
		"rpm by yum": {rocky, []string{"yum", "rpm"}, rpmQuery + "curl held ipvsadm removed",
			command.Output{Stdout: "curl\nheld\npackage ipvsadm is not installed\npackage removed is not installed\n", Code: 2}},
		"rpm by zypper": {suse, []string{"zypper", "rpm", "apt-get", "dpkg-query"}, rpmQuery + "curl held ipvsadm removed",
			command.Output{Stdout: "curl\nheld\npackage ipvsadm is not installed\npackage removed is not installed\n", Code: 2}},
		"apk": {"ID=alpine\n", []string{"apk"}, "apk info --installed curl held ipvsadm removed",
			command.Output{Stdout: "curl\nheld\n", Code: 1}},
		"pacman": {"ID=arch\n", []string{"pacman"}, "pacman --query --quiet curl held ipvsadm removed",
			command.Output{Stdout: "curl\nheld\n", Stderr: "error: package 'ipvsadm' was not found\nerror: package 'removed' was not found\n", Code: 1}},
		"an unknown distribution": {"ID=own\n", []string{"apk"}, "apk info --installed curl held ipvsadm removed",
			command.Output{Stdout: "curl\nheld\n", Code: 1}},
		"no os-release": {"", []string{"pacman"}, "pacman --query --quiet curl held ipvsadm removed",
			command.Output{Stdout: "curl\nheld\n", Stderr: "error: package 'ipvsadm' was not found\nerror: package 'removed' was not found\n", Code: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &commandtest.Recording{Programs: tc.programs, Outputs: map[string][]command.Output{tc.line: {tc.output}}}
			got, err := host(t, tc.osRelease, r).Read([]string{"removed", "curl", "ipvsadm", "held", "curl"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(installed("curl", "held"), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAHostWithoutPackagesToReadNeedsNoManager(t *testing.T) {
	got, err := host(t, "", &commandtest.Recording{}).Read(nil)
	if err != nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAQueryThatBrokeIsNoHostWithoutPackages(t *testing.T) {
	for name, tc := range map[string]struct {
		osRelease string
		programs  []string
		line      string
		output    command.Output
	}{
		"dpkg":   {debian, []string{"apt-get", "dpkg-query"}, aptQuery + "curl", command.Output{Stderr: "dpkg-query: error: parsing file '/var/lib/dpkg/status' near line 5\n", Code: 2}},
		"rpm":    {rocky, []string{"dnf", "rpm"}, rpmQuery + "curl", command.Output{Stderr: "error: cannot open Packages database in /var/lib/rpm\n", Code: 1}},
		"apk":    {"ID=alpine", []string{"apk"}, "apk info --installed curl", command.Output{Stderr: "ERROR: Unable to read database: I/O error\n", Code: 99}},
		"pacman": {"ID=arch", []string{"pacman"}, "pacman --query --quiet curl", command.Output{Stderr: "error: failed to initialize alpm library:\n(root: /, dbpath: /var/lib/pacman/)\n", Code: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &commandtest.Recording{Programs: tc.programs, Outputs: map[string][]command.Output{tc.line: {tc.output}}}
			_, err := host(t, tc.osRelease, r).Read([]string{"curl"})
			if err == nil || !strings.Contains(err.Error(), strings.Fields(tc.output.Stderr)[1]) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestInstallsWhatIsMissing(t *testing.T) {
	missing, there := command.Output{Stderr: "dpkg-query: no packages found matching ipvsadm\n", Code: 1}, command.Output{Stdout: "ipvsadm\tinstall ok installed\n"}
	rpmMissing, rpmThere := command.Output{Stdout: "package ipvsadm is not installed\n", Code: 1}, command.Output{Stdout: "ipvsadm\n"}
	none := command.Output{Code: 1}
	lock := command.Output{Stderr: "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\n" +
		"E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n", Code: 100}
	for name, tc := range map[string]struct {
		osRelease string
		programs  []string
		outputs   map[string][]command.Output
		want      []string
	}{
		"apt": {debian, []string{"apt-get", "dpkg-query"}, map[string][]command.Output{
			aptQuery + "ipvsadm": {missing, there}, aptInstall + "ipvsadm": {{}}}, []string{aptInstall + "ipvsadm"}},
		"apt with old lists": {debian, []string{"apt-get", "dpkg-query"}, map[string][]command.Output{
			aptQuery + "ipvsadm":   {missing, there},
			aptInstall + "ipvsadm": {{Stderr: "E: Unable to locate package ipvsadm\n", Code: 100}, {}}, "apt-get update --quiet": {{}}},
			[]string{aptInstall + "ipvsadm", "apt-get update --quiet", aptInstall + "ipvsadm"}},
		"apt while another is at work": {debian, []string{"apt-get", "dpkg-query"}, map[string][]command.Output{
			aptQuery + "ipvsadm": {missing, there}, aptInstall + "ipvsadm": {lock, lock, {}}},
			[]string{aptInstall + "ipvsadm", aptInstall + "ipvsadm", aptInstall + "ipvsadm"}},
		"dnf": {rocky, []string{"dnf", "yum", "rpm"}, map[string][]command.Output{
			rpmQuery + "ipvsadm": {rpmMissing, rpmThere}, "dnf install --assumeyes --quiet ipvsadm": {{}}},
			[]string{"dnf install --assumeyes --quiet ipvsadm"}},
		"yum": {rocky, []string{"yum", "rpm"}, map[string][]command.Output{
			rpmQuery + "ipvsadm": {rpmMissing, rpmThere}, "yum install --assumeyes --quiet ipvsadm": {{}}},
			[]string{"yum install --assumeyes --quiet ipvsadm"}},
		"zypper that wants a reboot": {suse, []string{"zypper", "rpm"}, map[string][]command.Output{
			rpmQuery + "ipvsadm": {rpmMissing, rpmThere}, "zypper --non-interactive install ipvsadm": {{Code: 102}}},
			[]string{"zypper --non-interactive install ipvsadm"}},
		"apk": {"ID=alpine", []string{"apk"}, map[string][]command.Output{
			"apk info --installed ipvsadm": {none, rpmThere}, "apk add --no-progress ipvsadm": {{}}},
			[]string{"apk add --no-progress ipvsadm"}},
		"pacman": {"ID=arch", []string{"pacman"}, map[string][]command.Output{
			"pacman --query --quiet ipvsadm":                             {{Stderr: "error: package 'ipvsadm' was not found\n", Code: 1}, rpmThere},
			"pacman --sync --noconfirm --needed --noprogressbar ipvsadm": {{}}},
			[]string{"pacman --sync --noconfirm --needed --noprogressbar ipvsadm"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &commandtest.Recording{Programs: tc.programs, Outputs: tc.outputs}
			done, err := host(t, tc.osRelease, r).Apply(create("ipvsadm"))
			if err != nil || done != 1 {
				t.Fatalf("%d done, %v", done, err)
			}
			ran := slices.DeleteFunc(r.Ran, func(line string) bool {
				return strings.HasPrefix(line, "dpkg-query") || strings.HasPrefix(line, "rpm") || strings.HasPrefix(line, "apk info") || strings.HasPrefix(line, "pacman --query")
			})
			if diff := cmp.Diff(tc.want, ran); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPackageOfAnotherNameElsewhere(t *testing.T) {
	const name, own = "libnet-inet6glue-perl", "perl-Net-INET6Glue"
	r := &commandtest.Recording{Programs: []string{"dnf", "rpm"}, Outputs: map[string][]command.Output{
		rpmQuery + own: {{Stdout: "package " + own + " is not installed\n", Code: 1}, {Stdout: own + "\n"}}, "dnf install --assumeyes --quiet " + own: {{}}}}
	if done, err := host(t, rocky, r).Apply(create(name)); err != nil || done != 1 {
		t.Errorf("%d done, %v", done, err)
	}
	r = &commandtest.Recording{Programs: []string{"dnf", "rpm"}, Outputs: map[string][]command.Output{rpmQuery + own: {{Stdout: own + "\n"}}}}
	if have, err := host(t, rocky, r).Read([]string{name}); err != nil || !slices.Equal(have, []state.Object{state.Package{Name: name}}) {
		t.Errorf("%v, %v", have, err)
	}
}

func TestExplainsWhatCannotBeInstalled(t *testing.T) {
	hung := fmt.Errorf("apt-get: %w", command.ErrTimeout)
	for name, tc := range map[string]struct {
		output  command.Output
		hung    bool
		want    []string
		wantBad int
	}{
		"an unknown name": {command.Output{Stderr: "E: Unable to locate package keepalivd\n", Code: 100}, false,
			[]string{"package keepalivd", "spelling"}, 1},
		"one that no source has": {command.Output{Stdout: "Package keepalivd is not available, but is referred to by another package.\n",
			Stderr: "E: Package 'keepalivd' has no installation candidate\n", Code: 100}, false, []string{"package keepalivd", "sources"}, 1},
		"a lock that stays": {command.Output{Stderr: "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (apt)\n", Code: 100}, false,
			[]string{"lock", "process 812 (apt)", "apply again"}, 0},
		"another failure": {command.Output{Stderr: "E: You don't have enough free space in /var/cache/apt/archives/.\n", Code: 100}, false,
			[]string{"ended with 100", "free space"}, 0},
		"a hang":               {command.Output{}, true, []string{"in time", "by hand once"}, 0},
		"nothing but no error": {command.Output{}, false, []string{"package ipvsadm", "did not install it"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			names := "ipvsadm keepalivd"
			r := &commandtest.Recording{Programs: []string{"apt-get", "dpkg-query"}, Errs: map[string]error{}, Outputs: map[string][]command.Output{
				aptQuery + names:   {{Stderr: "dpkg-query: no packages found matching ipvsadm\ndpkg-query: no packages found matching keepalivd\n", Code: 1}},
				aptInstall + names: {tc.output}, "apt-get update --quiet": {{}}}}
			if tc.hung {
				r.Errs[aptInstall+names] = hung
			}
			done, err := host(t, debian, r).Apply(create("ipvsadm", "keepalivd"))
			if err == nil || done != tc.wantBad {
				t.Fatalf("%d done, %v", done, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

func TestAHostWithoutAManagerIsAnError(t *testing.T) {
	p := host(t, debian, &commandtest.Recording{Programs: []string{"apt-get"}}) // without dpkg-query
	if _, err := p.Read([]string{"ipvsadm"}); !errors.Is(err, ErrNoManager) || !strings.Contains(err.Error(), "package ipvsadm") {
		t.Errorf("read: %v", err)
	}
	if done, err := p.Apply(create("ipvsadm")); !errors.Is(err, ErrNoManager) || done != 0 {
		t.Errorf("apply: %d, %v", done, err)
	}
}

func TestNothingIsRemovedOrInstalledTwice(t *testing.T) {
	r := &commandtest.Recording{Programs: []string{"apt-get", "dpkg-query"}, Outputs: map[string][]command.Output{
		aptQuery + "curl": {{Stdout: "curl\tinstall ok installed\n"}}}}
	changes := append(create("curl"), state.Change{Before: state.Package{Name: "ipvsadm"}})
	if done, err := host(t, debian, r).Apply(changes); err != nil || done != 2 {
		t.Errorf("%d done, %v", done, err)
	}
	if diff := cmp.Diff([]string{aptQuery + "curl"}, r.Ran); diff != "" {
		t.Error(diff)
	}
}

func TestNamesThatAreNoneAreRefused(t *testing.T) {
	r := &commandtest.Recording{Programs: []string{"apt-get", "dpkg-query"}}
	for _, name := range []string{"", "-y", "ipvsadm-", "a b", "a;b", "../a", "a/stable", "a=1", "*", "a\n", "@group", strings.Repeat("a", 129)} {
		if _, err := host(t, debian, r).Read([]string{name}); err == nil {
			t.Errorf("read %q: no error", name)
		}
		if done, err := host(t, debian, r).Apply(create(name)); err == nil || done != 0 {
			t.Errorf("apply %q: %d, %v", name, done, err)
		}
	}
	if len(r.Ran) > 0 {
		t.Errorf("ran %q", r.Ran)
	}
}
