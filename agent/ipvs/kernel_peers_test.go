//go:build linux && kernel

package ipvs

import (
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	moby "github.com/moby/ipvs"

	"github.com/lvsform/lvsform/state"
)

func TestReadAgreesWithMobyReader(t *testing.T) {
	table := newTable(t)
	handle, err := moby.New("")
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		want := randomTable(r)
		converge(t, table, want)
		for i, o := range want { // what that reader does not know
			switch o := o.(type) {
			case state.Service:
				o.Engine = ""
				want[i] = o
			case state.Destination:
				o.TunnelPort, o.TunnelChecksum, o.Weight = 0, "", o.Weight&0xffff
				if o.TunnelType != "" {
					o.TunnelType = "ipip"
				}
				want[i] = o
			}
		}
		want.Sort()
		if diff := gocmp.Diff(want, readMoby(t, handle), equal); diff != "" {
			t.Fatalf("moby/ipvs reads (-written +read):\n%s", diff)
		}
	}
}

func readMoby(t *testing.T, handle *moby.Handle) state.Objects {
	t.Helper()
	services, err := handle.GetServices()
	if err != nil {
		t.Fatal(err)
	}
	var objects state.Objects
	for _, s := range services {
		s.Flags &= flagsKnown
		service, err := toService(s)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, service)
		destinations, err := handle.GetDestinations(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range destinations {
			destination, err := toDestination(service.ServiceID, &destination{Destination: *d})
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, destination)
		}
	}
	objects.Sort()
	return objects
}

func TestReadsWhatIpvsadmWrites(t *testing.T) {
	const saved = `-A -t 192.0.2.1:80 -s sh -p 300 -M 255.255.255.0 -b sh-port
-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 0
-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 3
-A -u [2001:db8::1]:53 -s wrr -o
-a -u [2001:db8::1]:53 -r [fd00::1]:53 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
-A -f 9 -s wlc
-a -f 9 -r 10.0.0.3:0 -i -w 2 --tun-type gre --tun-csum
`
	web, dns, mark := ipv4("tcp", "192.0.2.1", 80), ipv6("udp", "2001:db8::1", 53), state.ServiceID{FWMark: 9, Family: "ipv4"}
	want := state.Objects{
		service(web, func(s *state.Service) {
			s.Scheduler, s.SchedulerFlags, s.Timeout, s.Netmask = "sh", "sh-port", 300*time.Second, 24
		}),
		real(web, "10.0.0.1", func(d *state.Destination) { d.Weight = 0 }),
		real(web, "10.0.0.2", func(d *state.Destination) { d.Forward, d.Weight, d.Port = "nat", 3, 8080 }),
		service(dns, func(s *state.Service) { s.Scheduler, s.OnePacket = "wrr", true }),
		real(dns, "fd00::1", func(d *state.Destination) { d.Forward, d.TunnelType, d.TunnelPort = "tun", "gue", 6080 }),
		service(mark),
		real(mark, "10.0.0.3", func(d *state.Destination) {
			d.Forward, d.Weight, d.TunnelType, d.TunnelChecksum = "tun", 2, "gre", "csum"
		}),
	}
	want.Sort()

	table := newTable(t)
	restore(t, saved)
	if diff := gocmp.Diff(want, read(t, table), equal); diff != "" {
		t.Errorf("read of what ipvsadm wrote (-want +got):\n%s", diff)
	}
	theirs := save(t)
	converge(t, table, nil)
	converge(t, table, want)
	if diff := gocmp.Diff(theirs, save(t)); diff != "" {
		t.Errorf("ipvsadm -Sn of the same table (-written by ipvsadm +written here):\n%s", diff)
	}
}

func restore(tb testing.TB, saved string) {
	tb.Helper()
	cmd := exec.Command("ipvsadm", "-R")
	cmd.Stdin = strings.NewReader(saved)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		tb.Fatalf("ipvsadm -R: %v\n%s", err, out)
	}
}

func save(tb testing.TB) []string {
	tb.Helper()
	out, err := exec.Command("ipvsadm", "-Sn").Output()
	if err != nil {
		tb.Fatalf("ipvsadm -Sn: %v", err)
	}
	return slices.Sorted(strings.Lines(string(out)))
}
