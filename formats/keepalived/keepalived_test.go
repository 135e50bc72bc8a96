package keepalived

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

var values = []cmp.Option{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func web() state.Service {
	return state.Service{
		ServiceID: state.ServiceID{Protocol: "tcp", Address: addr("192.0.2.100"), Port: 80, Family: "ipv4"},
		Scheduler: "wlc", Netmask: 32,
	}
}

func nat(host string, port uint16, c Check) RealServer {
	return RealServer{Address: addr(host), Port: port, Weight: 1, Forwarding: Forwarding{Forward: "nat"}, Check: c}
}

func golden(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// everything uses every keyword that Render can write.
func everything() Config {
	marked := func(mark uint32, family string, mask int) state.Service {
		return state.Service{ServiceID: state.ServiceID{FWMark: mark, Family: family}, Scheduler: "sed", Netmask: mask}
	}
	mark4 := marked(7, "ipv4", 24)
	mark4.Scheduler, mark4.SchedulerFlags, mark4.Timeout = "mh", "mh-fallback,mh-port", 10*time.Minute
	calls := web()
	calls.Protocol, calls.Port, calls.OnePacket, calls.SchedulerFlags, calls.Engine, calls.Timeout = "udp", 5060, true, "flag-1,flag-2,flag-3", "sip", time.Minute
	hashed := web()
	hashed.Port, hashed.Scheduler, hashed.SchedulerFlags = 8080, "sh", "sh-fallback,sh-port"
	six := state.Service{
		ServiceID: state.ServiceID{Protocol: "sctp", Address: addr("2001:db8::100"), Port: 443, Family: "ipv6"},
		Scheduler: "rr", Timeout: time.Hour, Netmask: 64,
	}
	direct := Forwarding{Forward: "dr"}
	return Config{
		Global:     Global{RouterID: "director 1"},
		SyncGroups: []SyncGroup{{Name: "edge", Instances: []string{"eth0_51", "eth0_51_6"}}},
		Instances: []Instance{{
			Name: "eth0_51", State: "BACKUP", Interface: "eth0", VirtualRouterID: 51, Priority: 150, AdvertInterval: time.Second, Version: 2,
			NoPreempt: true, Authentication: Authentication{Type: "PASS", Password: "s3cr~t@%"},
			UnicastSource: addr("192.0.2.1"), UnicastPeers: []netip.Addr{addr("192.0.2.2"), addr("192.0.2.3")},
			TrackInterfaces: []string{"eth1"},
			Addresses:       []Address{{IP: prefix("192.0.2.100/24")}},
			Excluded: []Address{
				{IP: prefix("192.0.2.101/32"), Device: "eth1", Label: "eth1:vip", Scope: "link"},
				{IP: prefix("2001:db8::100/128")},
			},
		}, {
			Name: "eth0_51_6", State: "MASTER", Interface: "eth0", VirtualRouterID: 51, Priority: 255, AdvertInterval: 250 * time.Millisecond, Version: 3,
			Addresses: []Address{{IP: prefix("fe80::51/64")}, {IP: prefix("2001:db8::101/64"), Device: "eth1"}},
		}, {
			Name: "eth1_52", Interface: "eth1", VirtualRouterID: 52, Priority: 1, PreemptDelay: 90500 * time.Millisecond,
			Addresses: []Address{{IP: prefix("198.51.100.1/24")}},
		}},
		Services: []VirtualServer{{
			Service: mark4, Quorum: 2,
			RealServers: []RealServer{
				{Address: addr("192.0.2.11"), Weight: 2, Forwarding: direct, Check: Check{Type: TCPCheck, Port: 80, Timeout: 1500 * time.Millisecond}},
				{Address: addr("192.0.2.12"), Weight: 0, Forwarding: Forwarding{Forward: "tun", TunnelType: "ipip"}, Quiescent: true, Check: Check{Type: PingCheck}},
			},
		}, {
			Service: marked(8, "ipv6", 128),
			RealServers: []RealServer{{
				Address: addr("2001:db8::11"), Weight: 1, Forwarding: direct,
				Check: Check{Type: MiscCheck, Command: "/usr/bin/test -n 2001:db8::11", Timeout: 5 * time.Second, User: "nobody", Group: "nogroup"},
			}},
		}, {
			Service: web(), DelayLoop: 2 * time.Second, Fallback: Fallback{Address: addr("192.0.2.99"), Port: 8081, Forwarding: Forwarding{Forward: "nat"}},
			RealServers: []RealServer{
				{
					Address: addr("192.0.2.11"), Port: 80, Weight: 100, Forwarding: direct, Upper: 4000, Lower: 3000,
					Check: Check{
						Type: HTTPGet, Port: 8080, Timeout: time.Second, Retries: state.Some(0), RetryDelay: 500 * time.Millisecond,
						Path: "/~health?a=b&c=%20@", VirtualHost: "www.example.net", Status: []StatusRange{{200, 299}, {401, 401}},
						Digest: "640205b7b0fc66c1ea91c463fac6334d", Regex: `^ok "{$1}\d+" # é!`,
					},
				},
				nat("192.0.2.12", 8080, Check{Type: SSLGet, Path: "/", VirtualHost: "www.example.net", SNI: true}),
				{Address: addr("192.0.2.13"), Port: 80, Weight: 1, Forwarding: Forwarding{Forward: "tun", TunnelType: "gue", TunnelPort: 6080, TunnelChecksum: "remcsum"}},
				{Address: addr("2001:db8::14"), Port: 80, Weight: 1, Forwarding: Forwarding{Forward: "tun", TunnelType: "gre", TunnelChecksum: "csum"}},
			},
		}, {
			Service: calls,
			RealServers: []RealServer{
				nat("192.0.2.21", 5060, Check{Type: UDPCheck, Payload: "\x00ping\xff\n", RequireReply: true, Reply: "pong", MinReply: 4, MaxReply: 900}),
				nat("192.0.2.22", 5060, Check{Type: UDPCheck, RequireReply: true}),
				nat("192.0.2.23", 5060, Check{Type: DNSCheck, Name: "example.net", Record: "AAAA", Retries: state.Some(3)}),
			},
		}, {
			Service:     hashed,
			RealServers: []RealServer{nat("192.0.2.31", 25, Check{Type: SMTPCheck, HELO: "director.example.net"}), nat("192.0.2.32", 25, Check{})},
		}, {
			Service: six, Fallback: Fallback{Address: addr("2001:db8::99"), Port: 443, Forwarding: direct},
			RealServers: []RealServer{{Address: addr("2001:db8::21"), Port: 443, Weight: 65535, Forwarding: direct, Quiescent: true, Check: Check{Type: TCPCheck}}},
		}},
	}
}

func TestRenderWritesEverythingInOneOrder(t *testing.T) {
	got, err := everything().Render()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/everything.conf", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(golden(t, "everything.conf"), got); diff != "" {
		t.Error(diff)
	}
	turned := everything()
	turned.Services[0], turned.Services[2] = turned.Services[2], turned.Services[0]
	turned.Instances[0], turned.Instances[1] = turned.Instances[1], turned.Instances[0]
	turned.Services[2].RealServers[0], turned.Services[2].RealServers[1] = turned.Services[2].RealServers[1], turned.Services[2].RealServers[0]
	if again, err := turned.Render(); err != nil || again != got {
		t.Errorf("another order of the same parts makes another text (%v)", err)
	}
}

func TestWhatRenderWritesIsReadBack(t *testing.T) {
	text, err := everything().Render()
	if err != nil {
		t.Fatal(err)
	}
	got, issues, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(everything().canonical(), got, values...); diff != "" {
		t.Error(diff)
	}
	if len(issues) > 0 {
		t.Errorf("issues: %v", issues)
	}
}

func TestRenderRefuses(t *testing.T) {
	server := func(c *Config) *RealServer { return &c.Services[2].RealServers[0] }
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a line more in a router_id":        {func(c *Config) { c.Global.RouterID = "a\nvrrp_instance b {" }, "global_defs: router_id has the character '\\n'"},
		"a comment in a path":               {func(c *Config) { server(c).Check.Path = "/a#b" }, "real_server 192.0.2.11:80: path has the character '#'"},
		"a blank in a virtual host":         {func(c *Config) { server(c).Check.VirtualHost = "a b" }, "virtualhost \"a b\" has a blank"},
		"a block in a name":                 {func(c *Config) { c.Instances[2].Name = "a}" }, "vrrp_instance a}: name has the character '}'"},
		"a parameter in a label":            {func(c *Config) { c.Instances[0].Excluded[0].Label = "$x" }, "virtual_ipaddress_excluded has the character '$'"},
		"a condition in an interface":       {func(c *Config) { c.Instances[0].TrackInterfaces[0] = "@a" }, "track_interface \"@a\" begins with a sign"},
		"a quote in a command":              {func(c *Config) { c.Services[1].RealServers[0].Check.Command = `/bin/x "a"` }, "misc_path has the character '\"'"},
		"a blank in a user":                 {func(c *Config) { c.Services[1].RealServers[0].Check.User = "a b" }, "user \"a b\" has a blank"},
		"a control character in a regex":    {func(c *Config) { server(c).Check.Regex = "a\nb" }, "regex has a control character"},
		"a line that is too long":           {func(c *Config) { server(c).Check.Path = "/" + strings.Repeat("a", 1100) }, "path makes a line of"},
		"a long password":                   {func(c *Config) { c.Instances[0].Authentication.Password = "123456789" }, "auth_pass has 9 bytes"},
		"authentication in version 3":       {func(c *Config) { c.Instances[1].Authentication = Authentication{"PASS", "x"} }, "authentication is not part of version 3"},
		"an interval that version 2 rounds": {func(c *Config) { c.Instances[0].AdvertInterval = 1500 * time.Millisecond }, "version 2 counts in seconds"},
		"nopreempt of a master":             {func(c *Config) { c.Instances[0].State = "MASTER" }, "nopreempt needs the state BACKUP"},
		"two families in one instance": {func(c *Config) {
			c.Instances[2].Addresses = append(c.Instances[2].Addresses, Address{IP: prefix("2001:db8::1/64")})
		}, "of another family"},
		"an instance without an address":   {func(c *Config) { c.Instances[2].Addresses = nil }, "vrrp_instance eth1_52: virtual_ipaddress is empty"},
		"a group of an unknown instance":   {func(c *Config) { c.SyncGroups[0].Instances[0] = "eth9_1" }, `vrrp_sync_group edge: group names the vrrp_instance "eth9_1"`},
		"a service without a server":       {func(c *Config) { c.Services[2].RealServers = nil }, "real_server is not there"},
		"a service that is there twice":    {func(c *Config) { c.Services[3].Service = c.Services[2].Service }, "virtual_server tcp/192.0.2.100:80: name is there twice"},
		"another port without nat":         {func(c *Config) { server(c).Port = 81 }, "port is 81: with dr it must be the service's, 80"},
		"a port of a marked packet":        {func(c *Config) { c.Services[0].RealServers[0].Port = 80 }, "with dr packets of a mark keep theirs"},
		"a check that has no port":         {func(c *Config) { c.Services[0].RealServers[0].Check.Port = 0 }, "connect_port is needed"},
		"a quorum that cannot be":          {func(c *Config) { c.Services[0].Quorum = 3 }, "quorum is 3, more than the weights of all its real servers, 2"},
		"a weight that keepalived caps":    {func(c *Config) { server(c).Weight = 65536 }, "weight is 65536: it must be from 0 to 65535"},
		"a scheduler it does not know":     {func(c *Config) { c.Services[2].Scheduler = "wrong" }, "lvs_sched is \"wrong\""},
		"flags of another scheduler":       {func(c *Config) { c.Services[2].SchedulerFlags = "sh-port" }, "scheduler_flags has \"sh-port\""},
		"one packet of tcp":                {func(c *Config) { c.Services[2].OnePacket = true }, "ops is for udp"},
		"an attribute of another check":    {func(c *Config) { server(c).Check.HELO = "x" }, "check has attributes that HTTP_GET does not take"},
		"a family that needs a tunnel":     {func(c *Config) { server(c).Address = addr("2001:db8::11") }, "that needs a tunnel"},
		"a gue tunnel without a port":      {func(c *Config) { c.Services[2].RealServers[2].TunnelPort = 0 }, "a tunnel has a port when it is gue"},
		"a status code that is none":       {func(c *Config) { server(c).Check.Status = []StatusRange{{99, 200}} }, "codes are from 100 to 599"},
		"a time in nanoseconds":            {func(c *Config) { server(c).Check.Timeout = time.Second + 1 }, "keepalived counts in microseconds"},
		"a program without a path":         {func(c *Config) { c.Services[1].RealServers[0].Check.Command = "alive" }, "name the program by its absolute path"},
		"a name that a program calls none": {func(c *Config) { c.Services[3].RealServers[2].Check.Name = "a..b" }, "has an empty label"},
	} {
		t.Run(name, func(t *testing.T) {
			c := everything()
			test.change(&c)
			text, err := c.Render()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if text != "" {
				t.Errorf("with the error comes a text:\n%s", text)
			}
		})
	}
}

func TestNoErrorHoldsAPassword(t *testing.T) {
	for _, password := range []string{"tiger cat", "tiger#cat", "tiger\tx", "tigerlongpass", "tiger\ncat", "tiger\""} {
		c := everything()
		c.Instances[0].Authentication.Password = password
		if _, err := c.Render(); err == nil || strings.Contains(err.Error(), "tiger") {
			t.Errorf("%q: error %v", password, err)
		}
	}
}

func TestAServiceOfWhichAllServersDrainIsWritten(t *testing.T) {
	c := Config{Services: []VirtualServer{{Service: web(), Quorum: 1, RealServers: []RealServer{nat("192.0.2.11", 80, Check{})}}}}
	c.Services[0].RealServers[0].Weight = 0
	text, err := c.Render()
	if err != nil || !strings.Contains(text, "    weight 0\n") {
		t.Errorf("error %v, text:\n%s", err, text)
	}
}

func TestDestinationsAreThoseOfTheKernel(t *testing.T) {
	s := everything().Services[2]
	for _, r := range s.RealServers {
		d := s.Destination(r)
		back := ServerOf(d)
		back.Check, back.Quiescent = r.Check, r.Quiescent
		if diff := cmp.Diff(r, back, values...); diff != "" || d.Service != s.ServiceID {
			t.Errorf("service %v: %s", d.Service, diff)
		}
	}
}
