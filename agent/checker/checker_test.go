//go:build linux

package checker

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/agent/command"
	"github.com/lvsform/lvsform/state"
)

// host is a host whose programs take whatever does not say "bad".
type host struct {
	*testing.T
	root    string
	without bool // the programs are not installed
	runs    bool
	reloads int
	table   []state.ServiceID
	tested  []string // the whole configurations
}

func newHost(t *testing.T) *host { return &host{T: t, root: t.TempDir()} }

func (h *host) parts() Parts {
	return Parts{System: h, Services: h, Root: h.root, Wait: time.Millisecond,
		Table: func() ([]state.ServiceID, error) { return h.table, nil }}
}

func (h *host) Find(program string) string {
	if h.without {
		return ""
	}
	return "/usr/sbin/" + program
}

func (h *host) Running(string) (bool, error) { return h.runs, nil }
func (h *host) Reload(string) error          { h.reloads++; return nil }

// Run tests a configuration, keepalived's with what it includes.
func (h *host) Run(c command.Command) (command.Output, error) {
	file := c.Args[len(c.Args)-1]
	if c.Args[0] != "-t" {
		file = c.Args[1]
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return command.Output{}, err
	}
	text := string(body)
	complaints := complain(file, text)
	for line := range strings.Lines(text) {
		if included, ok := strings.CutPrefix(strings.TrimSpace(line), "include "); ok {
			names, _ := filepath.Glob(filepath.Join(h.root, strings.TrimPrefix(included, h.root)))
			for _, name := range names {
				body, err := os.ReadFile(name)
				if err != nil {
					return command.Output{}, err
				}
				text += string(body)
				complaints += complain(name, string(body))
			}
		}
	}
	h.tested = append(h.tested, text)
	out := command.Output{Stderr: complaints}
	if c.Args[0] != "-t" {
		out.Code = statusStopped
	}
	if complaints != "" {
		out.Code = 4
	}
	if c.Args[0] == "-t" && strings.Contains(text, "user nobody") {
		return command.Output{Code: 143}, nil // it ends itself
	}
	return out, nil
}

func complain(file, text string) (out string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.Contains(line, "bad") {
			out += "(" + file + ": Line " + string(rune('0'+n)) + ") Unknown keyword 'bad'\n"
		}
	}
	return out
}

func (h *host) path(name string) string { return filepath.Join(h.root, name) }

func (h *host) write(name, text string, mode os.FileMode) {
	h.Helper()
	if err := os.MkdirAll(filepath.Dir(h.path(name)), 0o755); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(h.path(name), []byte(text), mode); err != nil {
		h.Fatal(err)
	}
	if err := os.Chmod(h.path(name), mode); err != nil {
		h.Fatal(err)
	}
}

// tree is every file with its mode and content.
func (h *host) tree() map[string]string {
	h.Helper()
	out := map[string]string{}
	err := filepath.Walk(h.root, func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		text := []byte(nil)
		if info.Mode().IsRegular() {
			text, err = os.ReadFile(name)
		}
		if name != h.root {
			out[strings.TrimPrefix(name, h.root+"/")] = info.Mode().String() + " " + string(text)
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return out
}

func (h *host) apply(before, after state.Object) error {
	_, err := h.parts().Apply([]state.Change{{Before: before, After: after}})
	return err
}

func (h *host) must(before, after state.Object) {
	h.Helper()
	if err := h.apply(before, after); err != nil {
		h.Fatal(err)
	}
}

func (h *host) want(want ...state.Object) {
	h.Helper()
	got, err := h.parts().Read()
	if err != nil {
		h.Fatal(err)
	}
	got = slices.DeleteFunc(got, func(o state.Object) bool { return o.(state.Config).Topology == "" })
	if diff := cmp.Diff(state.Objects(want), got, cmpopts.EquateEmpty()); diff != "" {
		h.Error(diff)
	}
}

func config(program, topology, text string) state.Object {
	return state.Config{Program: program, Topology: topology, Text: text}
}

// mains are the main files as hosts have them before lvsform comes.
var mains = map[string]struct {
	text   string
	mode   os.FileMode
	absent bool
}{
	"absent":                 {absent: true},
	"empty":                  {mode: 0o644},
	"by hand":                {text: "global_defs {\n}\n", mode: 0o640},
	"without an end of line": {text: "# mine", mode: 0o600},
}

func TestPartsComeAndGoAndLeaveTheRestAsItWas(t *testing.T) {
	for program, main := range map[string]string{Keepalived: keepalivedFile, Ldirectord: ldirectordFile} {
		for name, had := range mains {
			t.Run(program+" "+name, func(t *testing.T) {
				h := newHost(t)
				if err := os.MkdirAll(filepath.Dir(h.path(main)), 0o755); err != nil {
					t.Fatal(err)
				}
				if !had.absent {
					h.write(main, had.text, had.mode)
				}
				before := h.tree()
				web, mail := config(program, "web", "first\nsecond\n"), config(program, "mail", "other\n")
				h.must(nil, web)
				h.want(web)
				h.must(nil, mail)
				again := config(program, "web", "third\n")
				h.must(web, again)
				h.want(mail, again)
				if all := h.tested[len(h.tested)-1]; !strings.Contains(all, "third\n") || !strings.Contains(all, "other\n") || strings.Contains(all, "first") {
					t.Errorf("what was tested is not what is in place now: %s", all)
				}
				if !strings.HasPrefix(h.tree()[main][11:], had.text) {
					t.Errorf("what was there is not: %q", h.tree()[main])
				}
				h.must(mail, nil)
				h.want(again)
				h.must(again, nil)
				h.want()
				if diff := cmp.Diff(before, h.tree()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestPartsMayHoldSecrets(t *testing.T) {
	h := newHost(t)
	h.write(ldirectordFile, "# mine\n", 0o644)
	h.must(nil, config(Keepalived, "web", "x\n"))
	h.must(nil, config(Ldirectord, "web", "x\n"))
	for _, name := range []string{keepalivedDir + "/web.conf", ldirectordFile} {
		if info, err := os.Stat(h.path(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestPartsThatNobodyReadsAreNone(t *testing.T) {
	h := newHost(t)
	web := config(Keepalived, "web", "x\n")
	h.must(nil, web)
	h.write(keepalivedFile, "somebody else's\n", 0o644)
	h.want()
	h.must(nil, web)
	h.want(web)
}

func TestAnIncludeByHandStays(t *testing.T) {
	h := newHost(t)
	h.write(keepalivedFile, "a\n  include   /etc/keepalived/lvsform/*.conf\nb\n", 0o644)
	before := h.tree()
	web := config(Keepalived, "web", "x\n")
	h.must(nil, web)
	h.want(web)
	h.must(web, nil)
	if diff := cmp.Diff(before, h.tree()); diff != "" {
		t.Error(diff)
	}
}

func TestHostileFilesAreRefused(t *testing.T) {
	web := func(program string) state.Object { return config(program, "web", "x\n") }
	for name, tc := range map[string]struct {
		program string
		arrange func(h *host)
		want    string
	}{
		"a part that all may write": {Keepalived, func(h *host) {
			h.must(nil, web(Keepalived))
			h.write(keepalivedDir+"/web.conf", "y\n", 0o666)
		}, "root's alone"},
		"a directory that all may write": {Keepalived, func(h *host) {
			h.must(nil, web(Keepalived))
			_ = os.Chmod(h.path(keepalivedDir), 0o777)
		}, "root's alone"},
		"a part that is a link": {Keepalived, func(h *host) {
			h.must(nil, web(Keepalived))
			_ = os.Symlink("/etc/shadow", h.path(keepalivedDir+"/mail.conf"))
		}, "symbolic link"},
		"a directory that is a link": {Keepalived, func(h *host) {
			h.write("etc/keepalived/elsewhere/x", "", 0o600)
			_ = os.Symlink("elsewhere", h.path(keepalivedDir))
		}, "no directory"},
		"a huge main file": {Ldirectord, func(h *host) {
			h.write(ldirectordFile, strings.Repeat("#\n", mostText), 0o600)
		}, "at most"},
		"a section without its end": {Ldirectord, func(h *host) {
			h.write(ldirectordFile, beginSection+"web\nx\n", 0o600)
		}, "lost its begin or its end"},
		"two sections of one topology": {Ldirectord, func(h *host) {
			section := beginSection + "web\nx\n" + endSection + "web\n"
			h.write(ldirectordFile, section+section, 0o600)
		}, "two sections"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			tc.arrange(h)
			before := h.tree()
			if _, err := h.parts().Read(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("read: %v", err)
			}
			if err := h.apply(nil, config(tc.program, "new", "x\n")); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("apply: %v", err)
			}
			if diff := cmp.Diff(before, h.tree()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatCannotBePutInPlaceIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		config  state.Object
		without bool
		want    string
	}{
		"without the program":       {config(Keepalived, "web", "x\n"), true, "not installed"},
		"of another program":        {config("haproxy", "web", "x\n"), false, "haproxy"},
		"a path as a name":          {config(Keepalived, "../web", "x\n"), false, "no name"},
		"a text without its end":    {config(Keepalived, "web", "x"), false, "end"},
		"a text that is a section":  {config(Ldirectord, "web", "x\n"+endSection+"web\n"), false, "ends a section"},
		"a text that is too large":  {config(Keepalived, "web", strings.Repeat("#\n", mostText)), false, "at most"},
		"a text that no file holds": {config(Keepalived, "web", "\x00\n"), false, "NUL"},
	} {
		h := newHost(t)
		h.without = tc.without
		if err := h.apply(nil, tc.config); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(map[string]string{}, h.tree()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func tcp(address string, port uint16) state.ServiceID {
	a := netip.MustParseAddr(address)
	return state.ServiceID{Protocol: "tcp", Address: a, Port: port, Family: familyOf(a.Is6())}
}

func TestAReloadIsOverWhenTheTableShowsIt(t *testing.T) {
	vs := func(port string) string { return "virtual_server 192.0.2.1 " + port + " {\n}\n" }
	old, now := config(Keepalived, "web", vs("80")+vs("81")), config(Keepalived, "web", vs("81")+vs("82"))
	for name, tc := range map[string]struct {
		table []state.ServiceID
		want  string // "": no error
	}{
		"as wanted":          {[]state.ServiceID{tcp("192.0.2.9", 1), tcp("192.0.2.1", 81), tcp("192.0.2.1", 82)}, ""},
		"one is not there":   {[]state.ServiceID{tcp("192.0.2.1", 81)}, "has not set up the virtual service tcp/192.0.2.1:82"},
		"one is still there": {[]state.ServiceID{tcp("192.0.2.1", 80), tcp("192.0.2.1", 81), tcp("192.0.2.1", 82)}, "has not given up the virtual service tcp/192.0.2.1:80"},
	} {
		h := newHost(t)
		h.must(nil, old)
		h.runs, h.table = true, tc.table
		err := h.apply(old, now)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) || h.reloads != 1 {
			t.Errorf("%s: %d reloads, %v", name, h.reloads, err)
		}
	}
}

func TestServicesOfATextAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		program, text string
		want          []state.ServiceID
	}{
		"keepalived": {Keepalived, `! virtual_server 1.2.3.4 5 {
global_defs { router_id "virtual_server { 9" }
vrrp_instance a_1 {
	virtual_ipaddress { 192.0.2.1/32 }
}
virtual_server 192.0.2.1 80 { # the web
	real_server 10.0.0.1 80 {
		HTTP_GET { url { path "/}" } }
	}
	protocol udp
}
virtual_server 2001:db8::1 443 {
	protocol TCP
}
virtual_server fwmark 7 {
	ip_family inet6
	real_server fd00::1 0 { weight 1 }
}
virtual_server 192.0.2.2 80 {
	ha_suspend
}
`, []state.ServiceID{
			{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Family: "ipv4"},
			tcp("2001:db8::1", 443), {FWMark: 7, Family: "ipv6"}}},
		"ldirectord": {Ldirectord, `checkinterval = 3
# virtual=1.2.3.4:5
virtual=192.0.2.1:53
	real=10.0.0.1:53 gate
	protocol=udp
virtual6=[2001:db8::1]:443
        protocol = tcp
virtual=7
	protocol=fwm
quiescent=no
	protocol=udp
`, []state.ServiceID{
			{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.1"), Port: 53, Family: "ipv4"},
			tcp("2001:db8::1", 443), {FWMark: 7, Family: "ipv4"}}},
	} {
		if diff := cmp.Diff(tc.want, services(tc.program, tc.text), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A reload is over when keepalived has given up what it was told to give up.
func TestAReloadWaitsForAddresses(t *testing.T) {
	h := newHost(t)
	h.runs = true
	vip, other := netip.MustParseAddr("192.0.2.100"), netip.MustParseAddr("2001:db8::100")
	instance := func(addresses ...string) string {
		return "vrrp_instance a {\n  virtual_router_id 7\n  virtual_ipaddress {\n    " + strings.Join(addresses, "\n    ") + "\n  }\n" +
			"  virtual_ipaddress_excluded {\n    2001:db8::100/128 dev eth0\n  }\n  unicast_peer {\n    192.0.2.9\n  }\n}\n"
	}
	asked := 0
	p := h.parts()
	p.Wait = time.Minute
	p.Addresses = func() ([]netip.Addr, error) {
		if asked++; asked < 3 {
			return []netip.Addr{other, vip}, nil
		}
		return []netip.Addr{other}, nil
	}
	if err := p.reload(Keepalived, texts{part: instance("192.0.2.100/32 label eth0:0", "192.0.2.101")}, texts{part: instance("192.0.2.101")}); err != nil || asked != 3 {
		t.Errorf("looked %d times: %v", asked, err)
	}
	want := []netip.Addr{netip.MustParseAddr("192.0.2.101"), other}
	if diff := cmp.Diff(want, floating(Keepalived, instance("192.0.2.101/24")), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
