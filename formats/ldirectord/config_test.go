package ldirectord

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

var (
	addresses = cmpopts.EquateComparable(netip.Addr{})
	addr      = netip.MustParseAddr
)

// golden are configurations that together write every directive, and the file
// in testdata that each one is.
var golden = map[string]Config{
	"empty": {},
	"https-direct-routing": {
		Global: Global{CheckInterval: time.Second, AutoReload: yes, ReaddQuiescent: yes},
		Services: []Virtual{{
			Address: addr("192.168.34.41"), Port: 443, Protocol: "tcp",
			Scheduler: "wlc", Persistent: 600 * time.Second, Netmask: 24,
			Check: CheckConnect, CheckTimeout: 3 * time.Second, FailureCount: 2, Quiescent: yes,
			Fallback: &Fallback{addr("127.0.0.1"), 443, "gate"},
			Reals: []Real{
				{Address: addr("192.168.34.26"), Port: 443, Forward: "gate", Weight: 1},
				{Address: addr("192.168.34.27"), Port: 443, Forward: "gate", Weight: 0},
			},
		}},
	},
	"ipv6": {Services: []Virtual{
		{
			Address: addr("2001:db8::1"), Port: 80, Protocol: "tcp", Persistent: time.Minute, Netmask: 64,
			Check: CheckNegotiate, Service: "http", CheckPort: 8080, NegotiateTimeout: 4 * time.Second,
			Request: "/health", Receive: Literal(`"up" #1`), HTTPMethod: "GET", VirtualHost: "www.example.org",
			Fallback: &Fallback{Address: addr("2001:db8::9"), Forward: "ipip"},
			Reals: []Real{{Address: addr("2001:db8::2"), Port: 80, Forward: "masq", Weight: 65535,
				Check: &Exchange{Request: "/ready 5", Receive: "^ok$"}, Lower: 10, Upper: 20}},
		},
		{FWMark: 4294967295, Family: "ipv6", Check: CheckOn, Reals: []Real{{Address: addr("2001:db8::2"), Forward: "gate", Weight: 1}}},
	}},
	"everything": {
		Global: Global{
			CheckInterval: 5 * time.Second, AutoReload: state.Some(false), ReaddQuiescent: state.Some(false), Fork: yes,
			Supervised: state.Some(false), MaintenanceDir: "/etc/ha.d/maintenance", LogFile: "local0", Callback: "/usr/local/bin/copy",
			EmailFrom: "lvs@example.org",
		},
		Services: []Virtual{
			{
				Address: addr("10.0.0.1"), Port: 53, Protocol: "udp", Scheduler: "sh", SchedulerFlags: "sh-fallback,sh-port", OnePacket: true,
				Check: CheckNegotiate, Service: "dns", Request: "www.example.org", Receive: `10\.0\.0\.9`, CheckInterval: 7 * time.Second,
			},
			{
				Address: addr("10.0.0.1"), Port: 3306, Protocol: "tcp", Check: CheckCombined, ConnectsPerCheck: 3, Service: "mysql",
				Login: "check", Password: "s3cret", Database: "director", Request: "SELECT 1", CleanStop: state.Some(false), Quiescent: state.Some(false),
				FallbackCommand: "/usr/local/bin/alarm", MonitorFile: "/var/log/lvs.log", EmailAlert: "a@example.org, b@example.org",
				EmailAlertEvery: time.Hour, EmailAlertStates: "starting,stopping", SMTP: "mail.example.org", Name: "shop", Comment: "ask Eve = Bob",
			},
			{
				FWMark: 7, Family: "ipv4", Check: CheckExternal, CheckCommand: "/usr/local/bin/check", CheckCount: 2, Service: "radius", Secret: "r@dius",
				Reals: []Real{{Address: addr("10.0.0.2"), Forward: "ipip", Weight: 3, Upper: 9}}, Fallback: &Fallback{addr("10.0.0.3"), 0, "masq"},
			},
		},
	},
}

func TestRenderingIsCanonical(t *testing.T) {
	for name, c := range golden {
		t.Run(name, func(t *testing.T) {
			got, err := c.Render()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".cf")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsRenderedIsReadBack(t *testing.T) {
	for name, c := range golden {
		t.Run(name, func(t *testing.T) { readBack(t, c) })
	}
}

// readBack renders and reads; it returns the text.
func readBack(t *testing.T, c Config) string {
	t.Helper()
	text, err := c.Render()
	if err != nil {
		t.Fatal(err)
	}
	got, issues, err := Parse(text)
	if err != nil || len(issues) > 0 {
		t.Fatalf("%v %v in\n%s", issues, err, text)
	}
	if diff := cmp.Diff(c, got, addresses, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s\nin\n%s", diff, text)
	}
	return text
}
