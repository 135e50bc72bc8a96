//go:build linux && kernel

package kernel_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

// ownFiles gives the test's thread a layer of its own over what packages and
// services write to. Its /run has no systemd.
func ownFiles(t *testing.T) {
	t.Helper()
	enter(t, plainHost)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	shell(t, `
mount --make-rprivate /
mount -t tmpfs layers /mnt
for dir in etc var; do
	mkdir -p /mnt/$dir/upper /mnt/$dir/work
	mount -t overlay layer -o lowerdir=/$dir,upperdir=/mnt/$dir/upper,workdir=/mnt/$dir/work /$dir
done
mount -t tmpfs run /run`)
}

// daemon is a script as distributions have them, of a daemon that sleeps.
const daemon = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          sleeper
# Required-Start:    $remote_fs
# Required-Stop:     $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: sleeps
### END INIT INFO
pid=$(cat /run/sleeper.pid 2>/dev/null)
up() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
case $1 in
start) up && exit 0; sleep 10000 & echo $! >/run/sleeper.pid ;;
stop) up && kill "$pid"; rm -f /run/sleeper.pid ;;
status) up && exit 0; exit 3 ;;
*) exit 2 ;;
esac
`

func addScript(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile("/etc/init.d/sleeper", []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func sleeper(running, enabled bool) state.Unit {
	return state.Unit{Name: "sleeper", Running: state.Some(running), Enabled: state.Some(enabled)}
}

// units are the live services and packages of the test.
func units(t *testing.T, k *kernel.Kernel) state.Objects {
	t.Helper()
	h, err := k.Read(txn.Query{Units: []string{"sleeper", "no-such-service"}, Packages: []string{"sleeper", "base-files", "no-such-package"}})
	if err != nil {
		t.Fatal(err)
	}
	h.Objects.Sort()
	return h.Objects
}

func wantUnits(t *testing.T, k *kernel.Kernel, want ...state.Object) {
	t.Helper()
	if diff := cmp.Diff(append(state.Objects{state.Package{Name: "base-files"}}, want...), units(t, k)); diff != "" {
		t.Error(diff)
	}
}

func TestScriptsOfSysVAreReadAndSet(t *testing.T) {
	ownFiles(t)
	k := kernel.New()
	defer k.Close()
	wantUnits(t, k)
	addScript(t, daemon)
	defer shell(t, "/etc/init.d/sleeper stop")
	wantUnits(t, k, sleeper(false, false))
	for _, want := range []state.Unit{sleeper(true, false), sleeper(true, true), sleeper(false, true), sleeper(true, true), sleeper(false, false), sleeper(true, true)} {
		apply(t, k, state.Change{Before: units(t, k)[1], After: want})
		wantUnits(t, k, want)
	}
	if got := shell(t, "ls /etc/rc3.d /etc/rc0.d | grep sleeper"); got != "S01sleeper\nK01sleeper\n" && got != "K01sleeper\nS01sleeper\n" {
		t.Errorf("links: %q", got)
	}
}

func TestServicesComeBackWithARollback(t *testing.T) {
	ownFiles(t)
	k := kernel.New()
	defer k.Close()
	addScript(t, daemon)
	defer shell(t, "/etc/init.d/sleeper stop")
	apply(t, k, state.Change{Before: sleeper(false, false), After: sleeper(true, true)})
	wantRolledBack(t, k, step(sleeper(true, true), sleeper(false, false)))
	wantUnits(t, k, sleeper(true, true))
}

func TestAServiceThatIsNotThereIsAnError(t *testing.T) {
	ownFiles(t)
	k := kernel.New()
	defer k.Close()
	if err := run(k, step(nil, sleeper(true, true))); err == nil || !strings.Contains(err.Error(), "install its package") {
		t.Errorf("got %v", err)
	}
}

// sources is a package source of one package, which brings the script.
const sources = `
mkdir -p /var/source/deb/DEBIAN /var/source/deb/etc/init.d
cd /var/source
cp /etc/init.d/sleeper deb/etc/init.d/; rm /etc/init.d/sleeper
cat >deb/DEBIAN/control <<END
Package: sleeper
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.net>
Description: sleeps
END
dpkg-deb --root-owner-group -b deb sleeper.deb >/dev/null
{ sed '/^Description/d' deb/DEBIAN/control; echo "Filename: ./sleeper.deb"; echo "Size: $(stat -c %s sleeper.deb)"
  echo "SHA256: $(sha256sum sleeper.deb | cut -d' ' -f1)"; echo "Description: sleeps"; echo; } >Packages
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/* /var/lib/apt/lists/*
echo "deb [trusted=yes] file:/var/source ./" >/etc/apt/sources.list
chmod -R a+rX /var/source`

func TestAPackageIsInstalledWithItsService(t *testing.T) {
	ownFiles(t)
	addScript(t, daemon)
	shell(t, sources)
	k := kernel.New()
	defer k.Close()
	wantUnits(t, k)
	if err := run(k, step(nil, state.Package{Name: "no-such-package"})); err == nil || !strings.Contains(err.Error(), "knows none of that name") {
		t.Errorf("got %v", err)
	}
	if err := run(k, step(nil, state.Package{Name: "sleeper"}), step(nil, sleeper(true, true))); err != nil {
		t.Fatal(err)
	}
	defer shell(t, "/etc/init.d/sleeper stop")
	wantUnits(t, k, state.Package{Name: "sleeper"}, sleeper(true, true))
}
