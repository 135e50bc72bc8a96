//go:build lab

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/lab"
)

// answerTime bounds how long requests may fail after a machine has booted.
const answerTime = time.Minute

// onMachines builds the hosts of a scene as machines of their own, with a
// systemd and a disk.
func onMachines(t *testing.T, s *scene) *scene {
	t.Helper()
	s.t = t
	config, err := lab.New(s.topology())
	if err != nil {
		t.Fatal(err)
	}
	if s.lab, err = machine.BuildMachines(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.printJournals()
		}
		if err := s.lab.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// printJournals shows what happened on the machines of a test that failed.
func (s *scene) printJournals() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, host := range s.lab.Machines() {
		r, err := s.lab.Exec(ctx, host, "sh", "-c", "journalctl -b --no-pager | tail -n 40; ip -br address; ip route; ipvsadm -Ln")
		s.t.Logf("%s: %v\n%s%s", host, err, r.Stdout, r.Stderr)
	}
}

// reset cuts the power of machines and waits until they have booted again.
func (s *scene) reset(hosts ...string) {
	s.t.Helper()
	if err := s.lab.Reset(s.t.Context(), hosts...); err != nil {
		s.t.Fatal(err)
	}
}

// wantAllToAnswer expects every service to be answered by each of its real
// servers that has a weight, without a failure, before long.
func (s *scene) wantAllToAnswer() {
	s.t.Helper()
	for _, v := range lab.Services(s.topology()) {
		for deadline := time.Now().Add(answerTime); ; {
			a := s.request(v.Protocol, v.Target(), v.Sample())
			why := missing(v, a)
			if why == "" {
				break
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("%s: %s", v.Target(), why)
			}
		}
	}
}

// wantSettled expects the plan to be empty before long: what takes things away
// does so a moment before they are put back.
func (s *scene) wantSettled() {
	s.t.Helper()
	for deadline := time.Now().Add(answerTime); ; {
		changes := s.planned()
		if len(changes) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the plan is not empty: %q", changes)
		}
	}
}

// missing tells which real server did not answer, or that nobody did.
func missing(v lab.Service, a lab.Answers) string {
	if len(a.Failures) > 0 {
		return fmt.Sprintf("%d of %d requests fail: %s", len(a.Failures), len(a.By), a.Failures[0])
	}
	counts := a.Counts()
	for _, r := range v.RealServers {
		if r.Weight > 0 && counts[r.Host] == 0 {
			return fmt.Sprintf("%s does not answer: %v", r.Host, counts)
		}
	}
	return ""
}

// Nobody runs lvsform between the apply and the last plan.
func TestEveryHostComesBackAfterAReset(t *testing.T) {
	for _, example := range []string{"dr-wlc", "nat-rhel", "fullnat"} {
		t.Run(example, func(t *testing.T) {
			s := onMachines(t, &scene{dir: filepath.Join("..", "examples", example)})
			s.serve()
			s.apply()
			s.reset(s.lab.Machines()...) // at once: what was confirmed is on the disks
			s.wantAllToAnswer()
			s.wantAnswers()
			before := s.dumps()
			for _, host := range s.lab.Machines() {
				s.reset(host)
				s.wantAllToAnswer()
			}
			s.wantSettled()
			s.wantAsBefore(before)
			s.destroy()
			for _, host := range s.lab.Machines() {
				s.wantOn(host, "ls -A /var/lib/lvsform /usr/local/libexec /etc/systemd/system | grep -i lvsform || true", "lvsform-lab.service")
			}
		})
	}
}

// alone is a cluster with one real server.
const alone = `
topology "alone" { persist = PERSIST }
host "dir1" {
  address = "192.0.2.9"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.9/24"] }
}
host "rs1" {
  address = "192.0.2.11"
  gateway = "192.0.2.1"
  interface "eth0" { addresses = ["192.0.2.11/24"] }
}
module "web" {
  source       = "lvsform://dr"
  vip          = "192.0.2.100"
  port         = 80
  scheduler    = "wrr"
  ip_forward   = true
  directors    = { dir1 = { host = host.dir1, device = "eth0" } }
  real_servers = { rs1 = { host = host.rs1, weight = WEIGHT } }
}
`

func aloneWith(persist bool, weight int) string {
	return strings.NewReplacer("PERSIST", fmt.Sprint(persist), "WEIGHT", fmt.Sprint(weight)).Replace(alone)
}

func TestWhatAMachineKeeps(t *testing.T) {
	first := &scene{t: t, dir: t.TempDir()}
	first.write(aloneWith(false, 1))
	s := onMachines(t, first)
	s.serve()
	t.Run("nothing, when the topology says so", func(t *testing.T) {
		s := s.in(t)
		s.apply()
		s.wantAllToAnswer()
		s.wantPlan()
		s.reset("dir1")
		s.wantOn("dir1", "ip -4 -o address show dev eth0 | wc -l; cat /proc/net/ip_vs 2>/dev/null | wc -l; cat /proc/sys/net/ipv4/ip_forward", "1\n0\n0")
		s.wantPlan("dir1 create address eth0/192.0.2.100", "dir1 create route 254/192.0.2.100/32/0",
			"dir1 create ipvs_service tcp/192.0.2.100:80", "dir1 create ipvs_destination tcp/192.0.2.100:80/192.0.2.11:80",
			"dir1 create module ip_vs", "dir1 create module ip_vs_wrr", "dir1 update sysctl net.ipv4.ip_forward")
	})
	t.Run("all that was confirmed", func(t *testing.T) {
		s := s.in(t)
		s.write(aloneWith(true, 1))
		s.apply()
		s.wantPlan()
		s.reset("dir1", "rs1")
		s.wantAllToAnswer()
		s.wantSettled()
	})
	for _, moment := range []string{"pending", "made"} {
		t.Run("nothing of a run that was cut off, "+moment, func(t *testing.T) { s.in(t).cutOff(moment) })
	}
	for _, tool := range []func(*scene) tool{(*scene).networkd, (*scene).networkManager} {
		by := tool(s)
		t.Run("its addresses and routes, whatever "+by.name+" does", func(t *testing.T) { s.in(t).disturb(by) })
	}
}

// cutOff crashes the director when a file appears in which its agent keeps what
// a run is about to change, or has changed and not confirmed.
func (s *scene) cutOff(moment string) {
	table := s.on("dir1", "ipvsadm -Sn")
	next := s.other(aloneWith(true, 7))
	next.wantPlan("dir1 update ipvs_destination tcp/192.0.2.100:80/192.0.2.11:80")
	boot := s.on("dir1", bootID)
	s.on("dir1", "setsid sh -c 'until test -e /var/lib/lvsform/"+moment+"; do sleep 0.01; done; echo b >/proc/sysrq-trigger' </dev/null >/dev/null 2>&1 &")
	ctx, cancel := context.WithTimeout(s.t.Context(), bootTime)
	defer cancel()
	apply := next.command(ctx, "apply", "--auto-approve")
	apply.Args = append(apply.Args, "--timeout", "20s") // a crash cuts no connection
	if said, _ := apply.CombinedOutput(); apply.ProcessState.ExitCode() != 6 {
		s.t.Errorf("apply: exit %d, want 6\n%s", apply.ProcessState.ExitCode(), said)
	}
	if err := s.lab.AwaitUp(ctx, "dir1"); err != nil {
		s.t.Fatal(err)
	}
	if s.on("dir1", bootID) == boot {
		s.t.Fatal("the machine did not crash")
	}
	s.wantOn("dir1", "ipvsadm -Sn", table)
	s.wantAllToAnswer()
	s.wantSettled()
}

// tool is a program that keeps the addresses of a machine's NICs.
type tool struct {
	name, unit string
	// reconfigure takes from eth0 what is not in its configuration.
	reconfigure string
}

// disturb has the network's tool take what is not its own, and the interface go.
func (s *scene) disturb(by tool) {
	hosts := s.lab.Machines()
	for _, loss := range []string{
		"systemctl restart " + by.unit,
		by.reconfigure,
		"ip link set eth0 down; ip link set eth0 up",
		"ip address flush dev eth0; " + by.reconfigure,
	} {
		for _, host := range hosts {
			s.on(host, loss)
		}
		s.wantAllToAnswer()
		s.wantSettled()
	}
	// It is not the tool that was kind.
	s.on("dir1", "systemctl stop lvsform-restore; "+by.reconfigure+"; for i in $(seq 100); do "+
		"ip address show dev eth0 to 192.0.2.100 | grep -q 192 || exit 0; sleep 0.1; done; exit 1")
	s.on("dir1", "systemctl start lvsform-restore")
	s.wantAllToAnswer()
	s.wantSettled()
}

// networkd is what the lab's machines have.
func (s *scene) networkd() tool {
	for _, host := range s.lab.Machines() { // networkctl asks over D-Bus
		s.on(host, "systemctl start dbus.socket dbus.service; for i in $(seq 100); do ! networkctl status eth0 >/dev/null 2>&1 || exit 0; sleep 0.1; done; exit 1")
	}
	return tool{"systemd-networkd", "systemd-networkd", "networkctl reconfigure eth0"}
}

// networkManagerConfig leaves all NICs but eth0 to others.
const networkManagerConfig = `[main]
plugins=keyfile
dns=none
auth-polkit=false
no-auto-default=*
[keyfile]
unmanaged-devices=except:interface-name:eth0
`

// networkManager gives eth0 of all machines from networkd to NetworkManager. It
// is unpacked there alone: installed, it would take the NICs of the machine that
// tests run on.
func (s *scene) networkManager() tool {
	s.t.Helper()
	dir := s.t.TempDir()
	cmd := exec.Command("sh", "-ec", `apt-get install -qq --yes --no-install-recommends --download-only -o Dir::Cache::archives="$PWD" network-manager
mkdir root
for package in *.deb; do
  case $package in
  *systemd* | *udev* | '*.deb') ;; # the machines have theirs; or nothing was missing
  *) dpkg-deb -x "$package" root ;;
  esac
done`)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("unpack NetworkManager: %v\n%s", err, out)
	}
	config, err := lab.New(s.topology())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, host := range s.lab.Machines() {
		nic := config.Host(host).Interfaces[0].Addresses[0]
		s.on(host, "tar -C "+dir+"/root -c . | tar -C / -x --keep-directory-symlink; mkdir -p /etc/NetworkManager/system-connections /etc/systemd/system/NetworkManager.service.d")
		s.put(host, "/etc/NetworkManager/NetworkManager.conf", networkManagerConfig)
		s.put(host, "/etc/NetworkManager/system-connections/eth0.nmconnection",
			fmt.Sprintf("[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=%s,192.0.2.1\n[ipv6]\nmethod=link-local\n", nic))
		// Where it may write to /sys it waits for udev's word, and there is no udev.
		s.put(host, "/etc/systemd/system/NetworkManager.service.d/lab.conf", "[Service]\nReadOnlyPaths=/sys\n")
		s.on(host, `rm /etc/systemd/network/eth0.network
networkctl reload
systemctl daemon-reload
systemctl reload dbus
systemctl start NetworkManager
nmcli connection up eth0`)
	}
	return tool{"NetworkManager", "NetworkManager", "nmcli device reapply eth0"}
}

const bootID = "cat /proc/sys/kernel/random/boot_id"
