package keepalived

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
)

// handwritten is as operators write: other names, one-line blocks, comments,
// values that real servers inherit, and things that lvsform does not write.
const handwritten = `! the edge
global_defs {
   notification_email { ops@example.net }   # mail
   router_id "edge one"
}
vrrp_sync_group G { group { A
 B } }
vrrp_instance A
{
	interface eth0 # outside
	state MASTER
	nopreempt
	virtual_router_id 51
	authentication { auth_type PASS
		auth_pass longer-than-eight }
	virtual_ipaddress { 192.0.2.100 }
	virtual_routes { 0.0.0.0/0 via 192.0.2.1 }
	track_interface {
		eth1
		eth2 weight -10
	}
	@west priority 100
}
vrrp_instance B {
	interface eth1
	virtual_router_id 51
	priority ${PRIORITY}
	virtual_ipaddress {
		2001:db8::100/64 dev eth1
		2001:db8::101/64 no_track
	}
}
virtual_server 192.0.2.100 80 {
	delay_loop 6
	lb_algo sh
	flag-1
	sh-port
	lb_kind DR
	persistence_timeout
	persistence_granularity 255.255.255.0
	protocol TCP
	virtualhost www.example.net
	connect_timeout 3
	inhibit_on_failure
	sorry_server 127.0.0.1 80
	quorum_up "/bin/notify up"
	real_server 192.0.2.11 80 {
		HTTP_GET { url { path "/a b" } }
	}
	real_server 192.0.2.12 8080 {
		weight 3
		inhibit_on_failure no
		delay_loop 6
		HTTP_GET {
			url {
				path /
				status_code 200 300-399
				regex 'it\x27s \$5'
			}
			url { path /other }
			nb_get_retry 2
			connect_ip 192.0.2.12
		}
		TCP_CHECK { }
	}
	real_server 2001:db8::13 80 { weight 1 }
}
virtual_server_group MANY {
	192.0.2.110-111 443
	fwmark 9
}
virtual_server group MANY {
	lvs_sched wlc
	real_server 192.0.2.11 443 {
		lvs_method NAT
		MISC_CHECK { misc_path "/bin/check  a" }
	}
}
include /etc/keepalived/more/*.conf
$X=1 \
 more \
 end
~SEQ(i, 1, 3) virtual_server 192.0.2.$i 80
`

func TestParseReadsWhatOperatorsWrite(t *testing.T) {
	got, issues, err := Parse(handwritten)
	if err != nil {
		t.Fatal(err)
	}
	misc := Check{Type: MiscCheck, Command: "/bin/check a", User: "root"}
	service := func(id state.ServiceID) VirtualServer {
		return VirtualServer{
			Service:     state.Service{ServiceID: id, Scheduler: "wlc", Netmask: 32},
			RealServers: []RealServer{nat("192.0.2.11", 443, misc)},
		}
	}
	member := func(a string) state.ServiceID {
		return state.ServiceID{Protocol: "udp", Address: addr(a), Port: 443, Family: "ipv4"}
	}
	sticky := web()
	sticky.Scheduler, sticky.SchedulerFlags, sticky.Timeout, sticky.Netmask = "sh", "sh-fallback,sh-port", 6*time.Minute, 24
	direct := Forwarding{Forward: "dr"}
	want := Config{
		Global:     Global{RouterID: "edge one"},
		SyncGroups: []SyncGroup{{Name: "G", Instances: []string{"A", "B"}}},
		Instances: []Instance{{
			Name: "A", State: "MASTER", Priority: 255, Interface: "eth0", VirtualRouterID: 51,
			Authentication: Authentication{"PASS", "longer-t"}, TrackInterfaces: []string{"eth1"},
			Addresses: []Address{{IP: prefix("192.0.2.100/32")}},
		}, {
			Name: "B", Priority: 100, Interface: "eth1", VirtualRouterID: 51, Addresses: []Address{{IP: prefix("2001:db8::100/64"), Device: "eth1"}},
		}},
		Services: []VirtualServer{{
			Service: sticky, DelayLoop: 6 * time.Second, Fallback: Fallback{Address: addr("127.0.0.1"), Port: 80, Forwarding: direct},
			RealServers: []RealServer{{
				Address: addr("192.0.2.12"), Port: 80, Weight: 3, Forwarding: direct,
				Check: Check{
					Type: HTTPGet, Timeout: 3 * time.Second, Retries: state.Some(2), Path: "/", VirtualHost: "www.example.net",
					Status: []StatusRange{{200, 200}, {300, 399}}, Regex: "it's $5",
				},
			}},
		}, service(member("192.0.2.110")), service(member("192.0.2.111")), service(state.ServiceID{FWMark: 9, Family: "ipv4"})},
	}
	// A path with a blank cannot be asked for: the whole service would be left out,
	// so the first server is taken out of the text for this test.
	got2, _, err := Parse(strings.Replace(handwritten, `real_server 192.0.2.11 80 {
		HTTP_GET { url { path "/a b" } }
	}`, "", 1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.canonical(), got2, values...); diff != "" {
		t.Error(diff)
	}
	if len(got.Services) != len(want.Services)-1 {
		t.Errorf("%d services with one that cannot be written", len(got.Services))
	}
	var lines []string
	for _, i := range issues {
		lines = append(lines, i.String())
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/handwritten.issues", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(strings.TrimSpace(golden(t, "handwritten.issues")), strings.Join(lines, "\n")); diff != "" {
		t.Error(diff)
	}
}

// corrected are texts that keepalived corrects, or of which it ignores a part,
// and the issue of each.
func corrected() map[string]string {
	instance := func(rest string) string {
		return "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\n" + rest + "\n}\n"
	}
	four, six := "virtual_ipaddress {\n192.0.2.1/24\n}", "virtual_ipaddress {\n2001:db8::1/64\n}"
	service := func(rest string) string { return "virtual_server 192.0.2.1 80 {\nprotocol TCP\n" + rest + "\n}\n" }
	server := "real_server 192.0.2.11 80 {\n}"
	return map[string]string{
		instance("state MASTER\nnopreempt\n" + four):                                                    "ignores nopreempt",
		instance("advert_int 1.6\n" + four):                                                             "rounds it",
		instance("version 2\nauthentication {\nauth_type AH\nauth_pass x\n}\n" + six):                   "which is for IPv4",
		instance("version 3\nauthentication {\nauth_type PASS\nauth_pass x\n}\n" + four):                "version 3 has not",
		instance("unicast_src_ip 192.0.2.3\n" + four):                                                   "uses multicast",
		instance("state MASTER\npriority 100\nauthentication {\nauth_type AH\nauth_pass x\n}\n" + four): "takes BACKUP",
		service("ops\n" + server):                                                                       "ops is for udp",
		service("quorum 9\n" + server):                                                                  "lowers it to 1",
		service("lvs_method DR\nreal_server 192.0.2.11 81 {\n}"):                                        "takes the service's",
		service(server + "\n" + server):                                                                 "takes the first",
		service(""):                                                                                     "keepalived ignores it",
		service("lvs_method TUN type gue\n" + server):                                                   "is no tunnel",
		service("sh-port\n" + server):                                                                   "needs lvs_sched sh before it",
		service("quorums 1\n" + server):                                                                 "is no keyword that keepalived 2.2 knows there",
		"vrrp_version 3\n":                                                                              "is no keyword",
	}
}

func TestParseKnowsWhatKeepalivedCorrects(t *testing.T) {
	for text, want := range corrected() {
		c, issues, err := Parse(text)
		if err != nil || !strings.Contains(fmt.Sprint(issues), want) {
			t.Errorf("%s\nerror %v, issues %v; want %q", text, err, issues, want)
		}
		if _, err := c.Render(); err != nil {
			t.Errorf("%s\ncannot be written again: %v", text, err)
		}
	}
}

func TestParseRefusesTextsWithoutBlocks(t *testing.T) {
	for text, want := range map[string]string{
		"global_defs {\n":        `the block "global_defs" of line 1 is not closed`,
		"\n}\n":                  "line 2: a } that closes nothing",
		"{\n}\n":                 "line 1: a { without a keyword",
		"a {\n} {\n}":            "line 2: a { without a keyword",
		"router_id \"a\n":        "line 1: a quote that is not closed",
		"global_defs {\x00\n}\n": "NUL",
	} {
		if _, _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestNoIssueHoldsAPassword(t *testing.T) {
	for _, line := range []string{"auth_pass tiger", "auth_pass tigertiger", "auth_pass tiger tiger", "auth_pass \"tiger", "auth_pass {\ntiger\n}", "@x auth_pass tiger"} {
		_, issues, err := Parse("vrrp_instance a {\nauthentication {\nauth_type PASS\n" + line + "\n}\n}\n")
		if text := fmt.Sprint(issues, err); strings.Contains(text, "tiger") {
			t.Errorf("%q: %s", line, text)
		}
	}
}

func TestMaskHidesSecretsInAnyText(t *testing.T) {
	for text, want := range map[string]string{
		"    auth_pass s3cret\n":                  "    auth_pass (sensitive)\n",
		"auth_pass \"se cret\" # old: older\r\n":  "auth_pass (sensitive)\r\n",
		"authentication { auth_pass s3cret }\n":   "authentication { auth_pass (sensitive) }\n",
		"# auth_pass s3cret":                      "# auth_pass (sensitive)",
		"@west auth_pass s3cret\n":                "@west auth_pass (sensitive)\n",
		"$P=auth_pass s3cret\n":                   "$P=auth_pass (sensitive)\n",
		"SSL { password s3cret }\n":               "SSL { password (sensitive) }\n",
		"auth_passage open\nmy_password_file a\n": "auth_passage open\nmy_password_file a\n",
		"router_id a\n\nvirtual_router_id 51\n":   "router_id a\n\nvirtual_router_id 51\n",
		"auth_type PASS\nauth_pass\ts3cret\nx\n":  "auth_type PASS\nauth_pass (sensitive)\nx\n",
	} {
		if diff := cmp.Diff(want, Mask(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	text, err := everything().Render()
	if masked := Mask(text); err != nil || strings.Contains(masked, "s3cr") || strings.Count(masked, "\n") != strings.Count(text, "\n") {
		t.Errorf("error %v, masked:\n%s", err, masked)
	}
}

func TestForTestRunsChecksAsRoot(t *testing.T) {
	text, err := everything().Render()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(text, "      user nobody nogroup\n", "      user root\n", 1)
	if diff := cmp.Diff(want, ForTest(text)); diff != "" || want == text {
		t.Error(diff)
	}
}

func FuzzWhatIsReadCanBeWritten(f *testing.F) {
	f.Add(handwritten)
	if text, err := everything().Render(); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := Parse(text)
		if err != nil {
			return
		}
		written, err := c.Render()
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		again, issues, err := Parse(written)
		if err != nil || len(issues) > 0 {
			t.Fatalf("error %v, issues %v of\n%s", err, issues, written)
		}
		if diff := cmp.Diff(c, again, values...); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzNoValueAddsALineOrAWord puts strings wherever a configuration has one: the
// text is refused, or has the lines and words of one with harmless strings, and
// reads back to the same.
func FuzzNoValueAddsALineOrAWord(f *testing.F) {
	for _, s := range []string{"a", "a b", "a\nb", "a\"b", "#", "a!", "{", "}", "$a", "@a b", "~SEQ(a,1,2)", `a\`, "'", "\x00", "é", " ", "\u2028", "include", "ÿ", "a\tb"} {
		f.Add(s)
	}
	const harmless = "x"
	f.Fuzz(func(t *testing.T, s string) {
		for name, put := range places() {
			plain, changed := everything(), everything()
			put(&plain, harmless)
			put(&changed, s)
			want, err := plain.Render()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := changed.Render()
			if err != nil {
				continue
			}
			if a, b := shape(t, want), shape(t, got); a != b {
				t.Errorf("%s %q: %s", name, s, cmp.Diff(a, b))
			}
			back, issues, err := Parse(got)
			if err != nil || len(issues) > 0 || !reflect.DeepEqual(changed.canonical(), back) {
				t.Errorf("%s %q: error %v, issues %v, %s", name, s, err, issues, cmp.Diff(changed.canonical(), back, values...))
			}
		}
	})
}

// places are the strings of a configuration.
func places() map[string]func(*Config, string) {
	first := func(c *Config) *Check { return &c.Services[2].RealServers[0].Check }
	misc := func(c *Config) *Check { return &c.Services[1].RealServers[0].Check }
	return map[string]func(*Config, string){
		"router_id":   func(c *Config, s string) { c.Global.RouterID = s },
		"group":       func(c *Config, s string) { c.SyncGroups[0].Name = s },
		"instance":    func(c *Config, s string) { c.Instances[0].Name, c.SyncGroups[0].Instances[0] = "a"+s, "a"+s },
		"interface":   func(c *Config, s string) { c.Instances[0].Interface = s },
		"track":       func(c *Config, s string) { c.Instances[0].TrackInterfaces[0] = s },
		"password":    func(c *Config, s string) { c.Instances[0].Authentication.Password = s },
		"device":      func(c *Config, s string) { c.Instances[0].Excluded[0].Device = s },
		"label":       func(c *Config, s string) { c.Instances[0].Excluded[0].Label = s },
		"path":        func(c *Config, s string) { first(c).Path = "/" + s },
		"virtualhost": func(c *Config, s string) { first(c).VirtualHost = s },
		"regex":       func(c *Config, s string) { first(c).Regex = s },
		"helo":        func(c *Config, s string) { c.Services[4].RealServers[0].Check.HELO = s },
		"name":        func(c *Config, s string) { c.Services[3].RealServers[2].Check.Name = s },
		"payload":     func(c *Config, s string) { c.Services[3].RealServers[0].Check.Payload = s },
		"reply":       func(c *Config, s string) { c.Services[3].RealServers[0].Check.Reply = s },
		"command":     func(c *Config, s string) { misc(c).Command = "/" + s },
		"user":        func(c *Config, s string) { misc(c).User = s },
	}
}

// shape is the number of words of each line and the depth of each, as a reader
// sees them that knows no more than quotes, comments and braces.
func shape(t *testing.T, text string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		if line[0] == '#' {
			continue
		}
		quoted, words, word := false, 0, false
		for _, r := range strings.TrimSuffix(line, "\n") {
			switch {
			case r == '"':
				quoted, word = !quoted, true
			case quoted:
			case strings.ContainsRune("#!$`'", r) || r != ' ' && r < ' ':
				t.Errorf("%q has %q", line, r)
			case r == ' ':
				if word {
					words++
				}
				word = false
			default:
				word = true
			}
		}
		if word {
			words++
		}
		lines = append(lines, fmt.Sprintf("%d/%d", len(line)-len(strings.TrimLeft(line, " ")), words))
	}
	return strings.Join(lines, "\n")
}
