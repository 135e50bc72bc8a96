package lab

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/topology"
)

func declared(name, address, gateway string, nics ...string) *topology.Host {
	h := &topology.Host{Name: name, Address: netip.MustParseAddr(address)}
	if gateway != "" {
		h.Gateway = netip.MustParseAddr(gateway)
	}
	for i, nic := range nics {
		n := topology.Interface{Name: fmt.Sprintf("eth%d", i)}
		for _, a := range strings.Fields(nic) {
			n.Addresses = append(n.Addresses, netip.MustParsePrefix(a))
		}
		h.Interfaces = append(h.Interfaces, n)
	}
	return h
}

// lines is a Config for reading.
func lines(c Config) string {
	var b strings.Builder
	for _, h := range c.Hosts {
		fmt.Fprintf(&b, "%s %s", h.Name, h.Role)
		for _, i := range h.Interfaces {
			fmt.Fprintf(&b, " %s@%d%v", i.Name, i.Network, i.Addresses)
		}
		fmt.Fprintf(&b, " via %v", h.Gateways)
		if h.Forward {
			b.WriteString(" forwards")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestConfigOfATopology(t *testing.T) {
	vip := &topology.Resource{Body: &topology.VirtualService{Address: netip.MustParseAddr("192.0.2.254")}}
	route := func(via string) *topology.Resource {
		return &topology.Resource{Body: &topology.Route{Via: netip.MustParseAddr(via)}}
	}
	for name, tc := range map[string]struct {
		topology topology.Topology
		want     string
	}{
		"one network has a client, and a router for a gateway that no host owns": {
			topology.Topology{Hosts: []*topology.Host{declared("rs1", "192.0.2.2", "192.0.2.1", "192.0.2.2/24")}},
			"rs1 declared eth0@0[192.0.2.2/24] via [192.0.2.1]\n" +
				"router router eth0@0[192.0.2.1/24] via [] forwards\n" +
				"client client eth0@0[192.0.2.254/24] via [192.0.2.1]\n",
		},
		"a client keeps off addresses that resources name": {
			topology.Topology{Hosts: []*topology.Host{declared("rs1", "192.0.2.2", "", "192.0.2.2/24")}, Resources: []*topology.Resource{vip}},
			"rs1 declared eth0@0[192.0.2.2/24] via []\nclient client eth0@0[192.0.2.253/24] via []\n",
		},
		"two networks have a client each, and no router where a host is the gateway": {
			topology.Topology{Hosts: []*topology.Host{
				declared("dir1", "10.1.0.9", "", "10.1.0.9/24", "10.2.0.9/24"), declared("rs1", "10.2.0.1", "10.2.0.9", "10.2.0.1/24")}},
			"dir1 declared eth0@0[10.1.0.9/24] eth1@1[10.2.0.9/24] via []\n" +
				"rs1 declared eth0@1[10.2.0.1/24] via [10.2.0.9]\n" +
				"client-10.1.0.0 client eth0@0[10.1.0.254/24] via []\n" +
				"client-10.2.0.0 client eth0@1[10.2.0.254/24] via [10.2.0.9]\n",
		},
		"prefixes on one interface are one network": {
			topology.Topology{Hosts: []*topology.Host{
				declared("a", "10.1.0.9", "", "10.1.0.9/24 2001:db8::9/64"), declared("b", "10.1.0.8", "", "2001:db8::8/64", "10.3.0.1/24")}},
			"a declared eth0@0[10.1.0.9/24 2001:db8::9/64] via []\n" +
				"b declared eth0@0[2001:db8::8/64] eth1@1[10.3.0.1/24] via []\n" +
				"client-10.1.0.0 client eth0@0[10.1.0.254/24 2001:db8::ffff:ffff:ffff:fffe/64] via []\n" +
				"client-10.3.0.0 client eth0@1[10.3.0.254/24] via []\n",
		},
		"the router owns the next hops of routes that lie in a network and that no host has": {
			topology.Topology{Hosts: []*topology.Host{declared("rs1", "10.2.0.1", "10.1.0.1", "10.1.0.5/24", "10.2.0.5/24")},
				Resources: []*topology.Resource{route("10.2.0.1"), route("10.2.0.5"), route("10.2.0.9"), route("192.0.2.1"),
					{Body: &topology.Address{IP: netip.MustParsePrefix("10.2.0.9/32")}}}},
			"rs1 declared eth0@0[10.1.0.5/24] eth1@1[10.2.0.5/24] via [10.1.0.1]\n" +
				"router router eth0@0[10.1.0.1/24] eth1@1[10.2.0.1/24] via [] forwards\n" +
				"client-10.1.0.0 client eth0@0[10.1.0.254/24] via [10.1.0.1]\n" +
				"client-10.2.0.0 client eth0@1[10.2.0.254/24] via []\n",
		},
		"a host without interfaces gets eth0": {
			topology.Topology{Hosts: []*topology.Host{declared("a", "10.1.0.9", "")}},
			"a declared eth0@0[10.1.0.9/24] via []\nclient client eth0@0[10.1.0.254/24] via []\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(&tc.topology)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, lines(c)); diff != "" {
				t.Errorf("lab (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		host *topology.Host
		want string
	}{
		"a gateway that no network holds": {declared("a", "10.1.0.9", "10.9.0.1", "10.1.0.9/24"), "host a: gateway 10.9.0.1 is on none"},
		"an interface name that the kernel refuses": {
			&topology.Host{Name: "a", Interfaces: []topology.Interface{{Name: "an-interface-name"}}}, "1 to 15 characters"},
		"a network that is full": {declared("a", "10.1.0.1", "10.1.0.2", "10.1.0.1/30"), "no free address"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(&topology.Topology{Hosts: []*topology.Host{tc.host}}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New = %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestClientOfAnAddress(t *testing.T) {
	c, err := New(&topology.Topology{Hosts: []*topology.Host{
		declared("dir1", "10.1.0.9", "", "10.1.0.9/24", "10.2.0.9/24"), declared("rs1", "10.2.0.1", "10.2.0.9", "10.2.0.1/24")}})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"10.1.0.7":    "client-10.1.0.0",
		"10.2.0.7":    "client-10.2.0.0",
		"203.0.113.1": "client-10.2.0.0", // the one with a gateway
	} {
		if got := c.ClientFor(netip.MustParseAddr(address)); got != want {
			t.Errorf("ClientFor(%s) = %s, want %s", address, got, want)
		}
	}
}

func TestServicesOfATopology(t *testing.T) {
	service := func(port uint16, servers ...topology.RealServer) *topology.VirtualService {
		return &topology.VirtualService{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: port, Scheduler: "rr", RealServers: servers}
	}
	byAddress := topology.RealServer{Address: netip.MustParseAddr("192.0.2.2"), Port: 8080, Weight: 3}
	stranger := topology.RealServer{Address: netip.MustParseAddr("192.0.2.77"), Port: 80, Weight: 1}
	got := Services(&topology.Topology{
		Hosts: []*topology.Host{declared("rs1", "192.0.2.2", "")},
		Resources: []*topology.Resource{
			{Host: "dir2", Body: service(80, byAddress, stranger)},
			{Host: "dir1", Body: service(80, byAddress, stranger)},
			{Host: "dir1", Body: &topology.VirtualService{FWMark: 7, Scheduler: "wlc", RealServers: []topology.RealServer{{Host: "rs1", Weight: 1}}}},
			{Host: "dir1", Body: &topology.Mark{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.3"), Mark: 7,
				Ports: []topology.PortRange{{First: 53, Last: 53}, {First: 5000, Last: 5010}}}},
			{Host: "dir1", Body: &topology.Mark{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.4"), Mark: 8, Ports: []topology.PortRange{{First: 53, Last: 53}}}},
			{Host: "dir2", Body: &topology.Mark{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.4"), Mark: 7, Ports: []topology.PortRange{{First: 53, Last: 53}}}},
			{Host: "dir1", Body: service(22)},
		}})
	want := []Service{
		{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 22, Scheduler: "rr", Directors: []string{"dir1"}},
		{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Scheduler: "rr", Directors: []string{"dir1", "dir2"},
			RealServers: []RealServer{{Host: "rs1", Port: 8080, Weight: 3}, {Host: "192.0.2.77", Port: 80, Weight: 1}}},
		{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.3"), Port: 53, Scheduler: "wlc", Directors: []string{"dir1"},
			RealServers: []RealServer{{Host: "rs1", Port: 53, Weight: 1}}},
		{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.3"), Port: 5000, Scheduler: "wlc", Directors: []string{"dir1"},
			RealServers: []RealServer{{Host: "rs1", Port: 5000, Weight: 1}}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestJudgeOfAnswers(t *testing.T) {
	many := func(counts ...int) Answers {
		var a Answers
		for i, n := range counts {
			for range n {
				a.By = append(a.By, fmt.Sprintf("rs%d", i+1))
			}
		}
		return a
	}
	servers := []RealServer{{Host: "rs1", Weight: 1}, {Host: "rs2", Weight: 2}}
	for name, tc := range map[string]struct {
		service Service
		answers Answers
		want    string // in the error; "" is none
	}{
		"shares by weight":                     {Service{Scheduler: "wlc", RealServers: servers}, many(6, 12), ""},
		"shares by weight, a little off":       {Service{Scheduler: "wlc", RealServers: servers}, many(7, 11), ""},
		"even shares where weights count":      {Service{Scheduler: "wrr", RealServers: servers}, many(9, 9), "rs1 answered 9 of 18 requests, not about 6"},
		"even shares where they do not":        {Service{Scheduler: "rr", RealServers: servers}, many(9, 9), ""},
		"one server under a hash":              {Service{Scheduler: "sh", RealServers: servers}, many(18), ""},
		"one server under persistence":         {Service{Scheduler: "rr", Persistent: true, RealServers: servers}, many(0, 18), ""},
		"a stranger":                           {Service{Scheduler: "sh", RealServers: servers}, many(9, 0, 9), "rs3 answered, which is no real server"},
		"a server with weight 0":               {Service{Scheduler: "sh", RealServers: []RealServer{{Host: "rs1"}}}, many(3), "rs1 answered, which is no real server with a weight"},
		"a request that nobody answered":       {Service{Scheduler: "sh", RealServers: servers}, Answers{By: []string{""}, Failures: []string{"refused"}}, "1 of 1 requests were not answered: refused"},
		"a drained server takes part in no rr": {Service{Scheduler: "rr", RealServers: []RealServer{{Host: "rs1"}, {Host: "rs2", Weight: 1}}}, many(0, 12), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.service.Judge(tc.answers)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Judge = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestModulesLoadAfterWhatTheyNeed(t *testing.T) {
	const deps = "kernel/fs/9p.ko: kernel/net/9pnet.ko kernel/fs/fscache.ko kernel/fs/netfs.ko\n" +
		"kernel/fs/fscache.ko: kernel/fs/netfs.ko\nkernel/net/9pnet-virtio.ko: kernel/net/9pnet.ko\n"
	got, err := loadOrder(deps, []string{"9p", "?not_in_every_kernel", "9pnet_virtio", "?netfs"})
	want := []string{"kernel/fs/netfs.ko", "kernel/fs/fscache.ko", "kernel/net/9pnet.ko", "kernel/fs/9p.ko", "kernel/net/9pnet-virtio.ko"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("order: %v (-want +got):\n%s", err, diff)
	}
	if _, err := loadOrder(deps, []string{"overlay"}); err == nil {
		t.Error("a module that is not there is no error")
	}
}

func TestArchiveIsAligned(t *testing.T) {
	var b bytes.Buffer
	if err := writeArchive(&b, []archived{{name: "d", mode: 0o040755}, {name: "five5", mode: 0o644, data: []byte("hello")}}); err != nil {
		t.Fatal(err)
	}
	if b.Len()%4 != 0 {
		t.Errorf("archive of %d bytes: what follows it is not aligned to 4", b.Len())
	}
	for i, rest := 0, b.Bytes(); len(rest) > 0; i++ {
		var ino, mode, size, nameSize int
		if _, err := fmt.Sscanf(string(rest[6:22])+" "+string(rest[54:62])+" "+string(rest[94:102]), "%08x%08x %08x %08x", &ino, &mode, &size, &nameSize); err != nil {
			t.Fatal(err)
		}
		name := string(rest[110 : 110+nameSize-1])
		if want := []string{"d", "five5", "TRAILER!!!"}[i]; name != want {
			t.Errorf("entry %d is %q, want %q", i, name, want)
		}
		whole := (110+nameSize+3)/4*4 + (size+3)/4*4
		rest = rest[whole:]
	}
}

func TestOneWordForTheShell(t *testing.T) {
	if got, want := quote("it's"), `'it'\''s'`; got != want {
		t.Errorf("quote = %s, want %s", got, want)
	}
}
