//go:build lab

package e2e

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/topology"
)

// samples are the files that come with the packages of the two programs, and
// those of the scenarios, by the program and the place where it reads them.
var samples = map[string]struct{ file, packaged, scenario string }{
	"keepalived": {"/etc/keepalived/keepalived.conf", "usr/share/doc/keepalived/samples/keepalived.conf.*", "S1.keepalived.conf"},
	"ldirectord": {"/etc/ha.d/ldirectord.cf", "usr/share/doc/ldirectord/examples/ldirectord.cf", "S4.ldirectord.cf"},
}

// mistaken are the samples that could not work anywhere, and the check that says
// so: one has a VIP that is the address of a real server too.
var mistaken = map[string]string{"keepalived.conf.virtual_server_group": "LVS020"}

// runsSamples is a host with the links that the files name, on which the program
// runs.
const runsSamples = `
topology "base" {}
host "dir1" {
  address = "192.0.2.9"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
  interface "eth1" { addresses = ["198.51.100.9/24"] }
}
link "named" {
  for_each = toset(["eth2", "eth3", "eth0.1", "ens160", "inside"])
  host     = host.dir1
  name     = each.value
  kind     = "dummy"
  up       = true
}
service "program" {
  host    = host.dir1
  name    = "PROGRAM"
  running = true
  enabled = true
}
`

// Each of them becomes a configuration that is valid, and a host whose program
// runs with it is adopted as it is.
func TestSamplesOfTheProgramsAreImported(t *testing.T) {
	for program, sample := range samples {
		t.Run(program, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(unpacked(t, program), sample.packaged))
			if err != nil || len(files) == 0 {
				t.Fatalf("the package %s has no samples: %v", program, err)
			}
			s := newScene(t, strings.Replace(runsSamples, "PROGRAM", program, 1))
			for i, file := range append([]string{filepath.Join("testdata", sample.scenario)}, files...) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				s.put("dir1", sample.file, string(text))
				if i == 0 {
					s.apply()
				}
				name := filepath.Base(file)
				t.Run(name, func(t *testing.T) { s.in(t).adopts(program, string(text), mistaken[name]) })
			}
			s.destroy()
		})
	}
}

// unpacked is a directory with the files of a package: where it is installed its
// documentation may have been left out.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", `apt-get download -qq "$1"; dpkg-deb -x ./*.deb .`, "sh", name)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unpack the package %s: %v\n%s", name, err, out)
	}
	return dir
}

var onlyAdopts = regexp.MustCompile(`(?m)^Plan: 0 to add, 0 to change, 0 to remove, [1-9]\d* to adopt on 1 host\.$`)

// adopts imports what the program on dir1 runs with, and applies it, unless a
// check refuses it.
func (s *scene) adopts(program, text, check string) {
	s.t.Helper()
	o := s.importOf(program, text)
	s.furnish("dir1", o.topology())
	s.reload("dir1", program)
	if check != "" {
		if got := o.must(1, "plan"); !onlyAdopts.MatchString(got.out) || !strings.Contains(got.err, check) {
			s.t.Errorf("want adoptions alone, and a finding of %s:\n%s%s", check, got.out, got.err)
		}
		if got := o.must(1, "apply", "--auto-approve"); !strings.Contains(got.err, check) {
			s.t.Errorf("want a finding of %s:\n%s%s", check, got.out, got.err)
		}
		return
	}
	if got := o.must(0, "apply", "--auto-approve"); !onlyAdopts.MatchString(got.out) {
		s.t.Errorf("the first plan does not only adopt:\n%s", got.out)
	}
	o.wantNoChanges()
	o.destroy() // what was only adopted is forgotten
	o.wantFile("dir1", samples[program].file, text)
}

// furnish makes the network around a director: it forwards, has the VIPs that
// nothing else gives it, and is on the networks of its real servers.
func (s *scene) furnish(host string, t *topology.Topology) {
	s.t.Helper()
	lines := []string{"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1", "ip addr flush dev inside"}
	add := func(p netip.Prefix) { lines = append(lines, "ip addr replace "+p.String()+" dev inside nodad") }
	near := func(a netip.Addr) {
		bits := map[bool]int{true: 24, false: 64}[a.Is4()]
		network := netip.PrefixFrom(a, bits).Masked().Addr().AsSlice()
		network[len(network)-1] = 250
		own, _ := netip.AddrFromSlice(network)
		add(netip.PrefixFrom(own, bits))
	}
	floating := map[netip.Addr]bool{}
	for _, r := range t.Resources {
		if v, ok := r.Body.(*topology.VRRPInstance); ok {
			for _, a := range v.VirtualAddresses {
				floating[a.IP.Addr()] = true
			}
		}
	}
	for _, r := range t.Resources {
		v, ok := r.Body.(*topology.VirtualService)
		if !ok {
			continue
		}
		if v.Address.IsValid() && !floating[v.Address] {
			add(netip.PrefixFrom(v.Address, v.Address.BitLen()))
		}
		for _, rs := range v.RealServers {
			if rs.Address.IsValid() {
				near(rs.Address)
			}
		}
	}
	for _, h := range t.Hosts {
		if h.Name != host {
			near(h.Address)
		}
	}
	s.on(host, strings.Join(lines, "\n"))
}

// reload has a program that is supervised read its file again, and waits until it
// has something to say of it. One that has just started would die of SIGHUP: it is
// ready when it catches the signal or, as keepalived does, blocks it and reads it;
// one that blocks everything, SIGSEGV too, is in the midst of a fork.
func (s *scene) reload(host, program string) {
	s.t.Helper()
	s.on(host, `main() { pgrep -o -f "$(command -v `+program+`)"; }
ready() { grep -qE '^(SigCgt:.*|SigBlk:.*[0-389ab].)[13579bdf]$' /proc/$(main)/status; }
said() { stat -c %s:%y /run/lvsform/`+program+`.log; }
for try in $(seq 600); do
  ! ready || break
  sleep 0.1
done
ready
before=$(said)
kill -HUP $(main)
for try in $(seq 600); do
  [ "$(said)" = "$before" ] || exit 0
  sleep 0.1
done
exit 1`)
}

// importOf is the configuration that import makes of a program's file. All
// passwords of the file are the same.
func (s *scene) importOf(program, text string) *scene {
	s.t.Helper()
	o := s.empty()
	main, file := filepath.Join(o.dir, "main.hcl"), filepath.Join(o.dir, "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	got := o.must(0, "import", "--from", program, file, "--address", "192.0.2.9", "--out", main)
	body, err := os.ReadFile(main)
	if err != nil {
		s.t.Fatal(err)
	}
	written := string(body)
	if warnings := regexp.MustCompile(`(?m)^Warning: `).FindAllString(got.err, -1); len(warnings) != strings.Count(written, "\n#   ") {
		s.t.Errorf("stderr and the comment list different things:\n%s\n%s", got.err, written)
	}
	if secret := regexp.MustCompile(`auth_pass (\S+)`).FindStringSubmatch(text); secret != nil {
		shown := strings.ReplaceAll(got.err+written, file, "") // whose name may have the same digits
		if strings.Contains(shown, secret[1]) {
			s.t.Errorf("the password is shown:\n%s%s", written, got.err)
		}
		for _, v := range regexp.MustCompile(`(?m)^variable "(.*)"`).FindAllStringSubmatch(written, -1) {
			s.t.Setenv("LVSFORM_VAR_"+v[1], secret[1])
		}
	}
	return o
}
