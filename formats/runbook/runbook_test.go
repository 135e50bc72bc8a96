package runbook

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
)

var update = flag.Bool("update", false, "write the golden files again")

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// every is one host's objects of each kind and form.
func every() []Step {
	tcp := state.ServiceID{Protocol: "tcp", Address: addr("192.0.2.100"), Port: 80, Family: "ipv4"}
	udp6 := state.ServiceID{Protocol: "udp", Address: addr("2001:db8::100"), Port: 53, Family: "ipv6"}
	marked := state.ServiceID{FWMark: 7, Family: "ipv6"}
	var out []Step
	for _, o := range []state.Object{
		state.Package{Name: "ipvsadm"}, state.Package{Name: "g++-12"},
		state.Unit{Name: "firewalld", Running: state.Some(false), Enabled: state.Some(false)},
		state.Module{Name: "ip_vs", Parameters: "conn_tab_bits=16"}, state.Module{Name: "dummy"},
		state.Link{Name: "d0", Kind: "dummy", Up: state.Some(true), MTU: state.Some(1400)}, state.Link{Name: "eth0", MTU: state.Some(1450)},
		state.Link{Name: "t6", Kind: "ip6tnl", Mode: "any", Local: addr("2001:db8::1"), Remote: addr("2001:db8::2"), Up: state.Some(true)},
		state.Link{Name: "tunl0", Kind: "ipip", Up: state.Some(true)},
		state.FOU{Family: "ipv4", Port: 6080, Protocol: "gue"}, state.FOU{Family: "ipv6", Port: 6081, Protocol: "ipv6"},
		state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}, state.Sysctl{Name: "net.ipv4.conf.eth0/100.rp_filter", Value: "2"},
		state.Sysctl{Name: "net.ipv4.ip_local_port_range", Value: "1024 65000"},
		state.Address{Device: "lo", IP: prefix("192.0.2.100/32"), Label: "lo:0", Broadcast: addr("192.0.2.100"), Scope: "global"},
		state.Address{Device: "eth0", IP: prefix("2001:db8::100/128"), Scope: "global", NoDAD: true, Deprecated: true},
		state.Route{To: prefix("0.0.0.0/0"), Table: 254, Via: addr("192.0.2.1"), Device: "eth0", Scope: "global"},
		state.Route{To: prefix("2001:db8:9::/48"), Table: 100, Metric: 1024, Via: addr("fe80::1"), Device: "eth0", OnLink: true, MTU: 1400, AdvMSS: 1340},
		state.Rule{Family: "ipv4", Priority: 1000, From: prefix("203.0.113.0/24"), FWMark: 9, Table: 100},
		state.Mark{Protocol: "tcp", Address: addr("192.0.2.100"), Ports: "80,8000-8100", Mark: 7},
		state.Masquerade{VIP: addr("192.0.2.100"), Protocol: "tcp", Port: 80, To: addr("198.51.100.9")},
		state.Masquerade{VIP: addr("2001:db8::100"), Protocol: "udp", To: addr("2001:db8::9"), Source: addr("2001:db8::1")},
		state.Timeouts{TCP: 900 * time.Second, UDP: 60 * time.Second},
		state.Sync{Role: "master", Interface: "eth0", ID: 5, Group: addr("224.0.0.81"), Port: 8848, TTL: 1, MaxLength: 1400},
		state.Service{ServiceID: tcp, Scheduler: "sh", SchedulerFlags: "sh-fallback,sh-port", Timeout: 300 * time.Second, Netmask: 24},
		state.Service{ServiceID: udp6, Scheduler: "rr", OnePacket: true, Netmask: 128},
		state.Service{ServiceID: marked, Scheduler: "wlc", Timeout: 60 * time.Second, Netmask: 64, Engine: "sip"},
		state.Destination{Service: tcp, Address: addr("192.0.2.9"), Port: 80, Weight: 0, Forward: "dr", Upper: 100, Lower: 50},
		state.Destination{Service: udp6, Address: addr("2001:db8::9"), Port: 53, Weight: 1, Forward: "tun", TunnelType: "gue", TunnelPort: 6080, TunnelChecksum: "csum"},
		state.Destination{Service: marked, Address: addr("2001:db8::9"), Weight: 1, Forward: "nat"},
		state.Config{Program: "keepalived", Topology: "web", Text: "vrrp_instance eth0_51 {\n  interface 'eth0'\n}\n"},
		state.Config{Program: "ldirectord", Topology: "web", Text: "virtual=192.0.2.100:80\n\tscheduler=wrr\n"},
		state.Unit{Name: "ipvsadm", Running: state.Some(true), Enabled: state.Some(true)},
	} {
		out = append(out, Step{Object: o, Addresses: []string{`resource.x["` + string(o.Key().Kind) + `"]`}})
	}
	return out
}

// windows is what a real server of every mode has declared.
func windows() []Step {
	var out []Step
	for _, o := range []state.Object{
		state.Sysctl{Name: "net.ipv4.conf.all.arp_ignore", Value: "1"}, state.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Value: "0"},
		state.Sysctl{Name: "net.ipv4.tcp_sack", Value: "1"},
		state.Link{Name: "tunl0", Kind: "ipip", Up: state.Some(true)},
		state.Address{Device: "lo", IP: prefix("192.168.34.41/32"), Label: "lo:0", Scope: "global"},
		state.Address{Device: "lo", IP: prefix("2001:db8::41/128"), Scope: "global", NoDAD: true, Deprecated: true},
		state.Address{Device: "tunl0", IP: prefix("192.168.34.42/32"), Scope: "global"},
		state.Route{To: prefix("192.168.34.41/32"), Table: 254, Device: "lo", Scope: "link"},
		state.Route{To: prefix("0.0.0.0/0"), Table: 254, Via: addr("192.168.34.40"), Scope: "global"},
		state.Route{To: prefix("10.0.0.0/8"), Table: 100, Via: addr("192.168.34.40"), Scope: "global"},
		state.Unit{Name: "firewalld", Running: state.Some(false)},
	} {
		out = append(out, Step{Object: o, Addresses: []string{"module.web.x"}})
	}
	return append(out, Step{Object: state.Sysctl{Name: "net.ipv4.tcp_secret", Value: "hunter2"}, Hidden: true})
}

func TestRenders(t *testing.T) {
	for name, h := range map[string]Host{
		"linux.sh":    {Name: `rs["a"]`, Topology: "web", OS: "linux", Steps: every()},
		"windows.ps1": {Name: "rs2", Topology: "web", OS: "windows", Address: addr("192.168.34.27"), Steps: windows()},
		"freebsd.txt": {Name: "rs3", Topology: "web", OS: "freebsd", Steps: windows()},
		"nothing.sh":  {Name: "rs4", Topology: "web"},
		"nothing.ps1": {Name: "rs4", Topology: "web", OS: "windows"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Render(h)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("a sensitive value is shown")
			}
			file := filepath.Join("testdata", name)
			if *update {
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

func TestNothingIsDropped(t *testing.T) {
	for _, os := range []string{"linux", "windows", "solaris"} {
		steps := every()
		got, err := Render(Host{Name: "x", Topology: "t", OS: os, Address: addr("192.0.2.9"), Steps: steps})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if !strings.Contains(got, describe(s)) {
				t.Errorf("%s: no word of %s", os, describe(s))
			}
		}
	}
}

// What the shell will take is what was meant: the same words, and no other
// syntax than that of the renderer.
func TestShellReadsTheWordsBack(t *testing.T) {
	script, err := Render(Host{Name: "x", Topology: "t", Steps: every()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseSh(body(script))
	if err != nil {
		t.Fatal(err)
	}
	var want [][]string
	for rest := every(); len(rest) > 0; {
		n := together(rest)
		for _, l := range commands(rest[:n]) {
			want = append(want, meant(l)...)
		}
		rest = rest[n:]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	sh := exec.Command("sh", "-n")
	sh.Stdin = strings.NewReader(script)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v: %s", err, out)
	}
}

// meant are the words and operators of a line, as parseSh gives them.
func meant(l line) (out [][]string) {
	var current []string
	for _, t := range l {
		if !t.syntax {
			current = append(current, t.text)
			continue
		}
		for i, part := range strings.Split(t.text, "\n") {
			if i > 0 {
				out, current = append(out, current), nil
			}
			for _, word := range strings.Fields(part) {
				operator := strings.Trim(word, "|&;<>12") == "" && strings.Trim(word, "12") != ""
				file, redirected := strings.CutPrefix(word, ">")
				number, redirectedErr := strings.CutPrefix(word, "2>")
				switch {
				case operator && word == "2>&1":
					current = append(current, "\x002>&", "1")
				case operator && word == ">&2":
					current = append(current, "\x00>&", "2")
				case operator:
					current = append(current, "\x00"+word)
				case redirectedErr:
					current = append(current, "\x002>", number)
				case redirected:
					current = append(current, "\x00>", file)
				default:
					current = append(current, word)
				}
			}
		}
	}
	return append(out, current)
}

func TestHostileTextsAreRefused(t *testing.T) {
	for _, bad := range []string{"a\nb", "a\x00b", "a\rb", "a\u2028b", "\x1b[2J"} {
		for _, o := range []state.Object{state.Package{Name: bad}, state.Module{Name: bad}, state.Module{Name: "x", Parameters: bad},
			state.Sysctl{Name: bad, Value: "1"}, state.Sysctl{Name: "net.x", Value: bad}, state.Link{Name: bad}, state.Unit{Name: bad},
			state.Address{Device: bad, IP: prefix("192.0.2.1/32"), Scope: "global"}, state.Address{Device: "lo", Label: bad, Scope: "global"},
			state.Route{Device: bad}, state.Sync{Role: "master", Interface: bad}, state.Mark{Protocol: "tcp", Ports: bad},
			state.Service{Scheduler: bad}, state.Destination{Forward: bad}, state.Config{Program: "keepalived", Topology: bad}} {
			for _, os := range []string{"linux", "windows", "other"} {
				if text, err := Render(Host{Name: "x", OS: os, Steps: []Step{{Object: o}}}); err == nil {
					t.Errorf("%s: %T with %q: no error, but\n%s", os, o, bad, text)
				} else if strings.ContainsAny(err.Error(), "\n\r\x00\x1b\u2028") {
					t.Errorf("the error holds it too: %q", err)
				}
			}
		}
	}
	for _, bad := range []string{"-o", "a b", "a;b", "$(a)", "`a`", "a'b", "é", ""} {
		for _, o := range []state.Object{state.Package{Name: bad}, state.Module{Name: bad}, state.Unit{Name: bad}} {
			if _, err := Render(Host{Name: "x", Steps: []Step{{Object: o}}}); err == nil {
				t.Errorf("%T %q: no error", o, bad)
			}
		}
	}
}

// Names and values of any form stay words and comments.
func FuzzShellKeepsWordsWords(f *testing.F) {
	f.Add("rs1", "web", "module.x", "1", "eth0")
	f.Add("rs1\nrm -rf /", "'; reboot; '", "`reboot`", "$(reboot)", "a'b")
	f.Add(`rs["a"]`, "\u2028reboot", "\\", "a=b c", "it's")
	f.Fuzz(func(t *testing.T, name, topology, address, value, device string) {
		steps := []Step{
			{Object: state.Sysctl{Name: "net.ipv4.conf." + device + ".x", Value: value}, Addresses: []string{address}},
			{Object: state.Address{Device: device, IP: prefix("192.0.2.1/32"), Scope: "global"}, Addresses: []string{address}},
		}
		script, err := Render(Host{Name: name, Topology: topology, Steps: steps})
		if err != nil {
			return
		}
		got, err := parseSh(body(script))
		if err != nil {
			t.Fatalf("%v\n%s", err, script)
		}
		want := [][]string{{"sysctl", "-q", "-w", "net.ipv4.conf." + device + ".x=" + value},
			{"ip", "address", "replace", "192.0.2.1/32", "dev", device, "scope", "global"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// parsePS reads one text between single quotes as PowerShell does, and returns
// what follows it.
func parsePS(text string) (value, rest string, ok bool) {
	quotes := "'\u2018\u2019\u201a\u201b"
	r := []rune(text)
	if len(r) == 0 || !strings.ContainsRune(quotes, r[0]) {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(r); i++ {
		if !strings.ContainsRune(quotes, r[i]) {
			b.WriteRune(r[i])
			continue
		}
		if i+1 >= len(r) || !strings.ContainsRune(quotes, r[i+1]) {
			return b.String(), string(r[i+1:]), true
		}
		b.WriteRune(r[i]) // doubled: the first of the two is meant
		i++
	}
	return "", "", false
}

func FuzzPowerShellKeepsTextsTexts(f *testing.F) {
	f.Add("rs1", "Ethernet 2", "x")
	f.Add("rs1\r\nRestart-Computer", "a'; Restart-Computer; '", "\u2019; Restart-Computer; \u2018")
	f.Add("$(Restart-Computer)", "`n", "$x")
	f.Fuzz(func(t *testing.T, name, device, address string) {
		if !utf8.ValidString(device) {
			return
		}
		got, rest, ok := parsePS(psQuote(device) + ")")
		if !ok || got != device || rest != ")" {
			t.Errorf("%q is read as %q, then %q", device, got, rest)
		}
		h := Host{Name: name, Topology: name, OS: "windows", Address: addr("192.0.2.9"), Steps: []Step{
			{Object: state.Address{Device: device, IP: prefix("192.0.2.1/32"), Scope: "global"}, Addresses: []string{address}}}}
		script, err := Render(h)
		if err != nil {
			return
		}
		plain := h
		plain.Name, plain.Topology = "x", "x"
		plain.Steps = []Step{{Object: state.Address{Device: "NIC", IP: prefix("192.0.2.1/32"), Scope: "global"}}}
		want, err := Render(plain)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(code(want), strings.ReplaceAll(code(script), psQuote(device), "'NIC'")); diff != "" {
			t.Error(diff)
		}
	})
}

// code are the lines of a PowerShell script that are no comments; a line ends
// with CR as well as with LF.
func code(script string) string {
	var out []string
	for _, l := range strings.FieldsFunc(script, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

func TestATextWithoutItsSecretsIsForAPersonToComplete(t *testing.T) {
	got, err := Render(Host{Name: "x", Topology: "web", Address: addr("192.0.2.9"), Steps: []Step{{Hidden: true,
		Object: state.Config{Program: "keepalived", Topology: "web", Text: "authentication {\n  auth_pass (sensitive)\n}\n"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "#   authentication {\n#     auth_pass (sensitive)\n#   }\n") || strings.Contains(got, "\nprintf") {
		t.Error(got)
	}
}
