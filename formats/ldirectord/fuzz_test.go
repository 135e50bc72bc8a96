package ldirectord

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

// draw makes a configuration of a fuzzer's strings and numbers: strings go to
// every place that takes one.
func draw(s [6]string, n [6]uint32, bits uint16) Config {
	on := func(i int) bool { return bits&(1<<i) != 0 }
	opt := func(i int) state.Opt[bool] {
		if !on(i) {
			return state.Opt[bool]{}
		}
		return state.Some(on(i + 1))
	}
	seconds := func(i int) time.Duration { return time.Duration(n[i]%100000) * time.Second }
	a4 := netip.AddrFrom4([4]byte{10, byte(n[0]), byte(n[0] >> 8), 1})
	v := Virtual{
		Address: a4, Port: uint16(n[0]), Protocol: s[0], Scheduler: s[1], SchedulerFlags: s[2], Persistent: seconds(1), Netmask: int(n[2] % 40),
		OnePacket: on(0), Check: s[3], ConnectsPerCheck: int(n[3] % 3), Service: s[4], CheckCommand: s[5], CheckPort: uint16(n[3]),
		CheckTimeout: seconds(4), NegotiateTimeout: seconds(5), FailureCount: int(n[4] % 5), CheckCount: int(n[5] % 3),
		Request: s[0], Receive: s[1], HTTPMethod: s[2], VirtualHost: s[3], Login: s[4], Password: s[5], Secret: s[0], Database: s[1],
		Quiescent: opt(1), CleanStop: opt(3), FallbackCommand: s[2], MonitorFile: s[3], EmailAlert: s[4], EmailAlertEvery: seconds(2),
		EmailAlertStates: s[5], SMTP: s[0], Name: s[1], Comment: s[2],
		Reals:    []Real{{a4, uint16(n[1]), s[3], int(n[2]), &Exchange{s[4], s[5]}, n[3], n[4]}},
		Fallback: &Fallback{a4, uint16(n[5]), s[0]},
	}
	// Without these most draws would be refused for one and the same reason.
	words := []struct {
		bit  int
		to   *string
		with string
	}{{5, &v.Protocol, "udp"}, {6, &v.Check, "connect"}, {7, &v.Service, "http"}, {8, &v.HTTPMethod, "HEAD"}, {9, &v.Reals[0].Forward, "masq"},
		{9, &v.Fallback.Forward, "ipip"}, {10, &v.CheckCommand, "/bin/true"}, {10, &v.FallbackCommand, ""}, {10, &v.MonitorFile, ""},
		{11, &v.EmailAlertStates, "none"}, {12, &v.SMTP, "mail"}, {13, &v.Scheduler, "wrr"}, {13, &v.SchedulerFlags, ""}}
	for _, w := range words {
		if on(w.bit) {
			*w.to = w.with
		}
	}
	if on(14) {
		v.ConnectsPerCheck, v.Reals[0].Weight, v.Reals[0].Upper, v.Reals[0].Lower = 0, 5, 0, 0
	}
	if on(15) {
		six := netip.MustParseAddr("2001:db8::1")
		v.Address, v.Port, v.Protocol, v.FWMark, v.Family = netip.Addr{}, 0, "", n[0], "ipv6"
		v.Reals[0].Address, v.Fallback.Address, v.OnePacket = six, six, false
	}
	return Config{Global: Global{CheckInterval: seconds(0), EmailFrom: s[3], LogFile: s[4]}, Services: []Virtual{v}}
}

// Whatever is not refused is read back as it was, and adds no line: there are
// as many as without the strings' content.
func FuzzRender(f *testing.F) {
	f.Add("", "", "", "", "", "", uint32(80), uint32(0), uint32(0), uint32(0), uint32(0), uint32(0), uint16(0x7fff))
	f.Add("a\nvirtual = 1", "x\" y", "a # b", "/\t", "l:5", "u:7", uint32(1), uint32(2), uint32(3), uint32(4), uint32(5), uint32(6), uint16(0xffff))
	f.Add("a", "b, c", "7", "(.*)", "/ 5 l:3", `a\`, uint32(1), uint32(2), uint32(0), uint32(4), uint32(5), uint32(6), uint16(0xffe0))
	f.Fuzz(func(t *testing.T, s0, s1, s2, s3, s4, s5 string, n0, n1, n2, n3, n4, n5 uint32, bits uint16) {
		c := draw([6]string{s0, s1, s2, s3, s4, s5}, [6]uint32{n0, n1, n2, n3, n4, n5}, bits)
		if _, err := c.Render(); err != nil {
			return
		}
		text := readBack(t, c)
		for line := range strings.Lines(text) {
			if !lineForm.MatchString(line) {
				t.Fatalf("the line %q has not the form of a directive", line)
			}
		}
	})
}

var lineForm = regexp.MustCompile(`^(|[a-z]+6? = [^\n\r\x00-\x1f"#]*|[a-z]+ = "[^\n\r\x00-\x1f"#]+"|virtual6? = [0-9a-f.:\[\]]+|    (real6? = [0-9a-f.:\[\]]+ [a-z]+ [0-9]+( "[^"#\n]+", "[^"#\n]*")?( l:[0-9]+)?( u:[0-9]+)?|[a-z0-9]+ = ("[^"#\n]+"|[^"#\n]+)))\n$`)

// What is read of any text can be rendered, and has then the same meaning.
func FuzzParse(f *testing.F) {
	for _, c := range golden {
		text, err := c.Render()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range handWritten {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := Parse(text)
		if err != nil {
			return
		}
		rendered, err := c.Render()
		if err != nil {
			t.Fatalf("read but not rendered: %s", err)
		}
		again, issues, err := Parse(rendered)
		if err != nil || len(issues) > 0 {
			t.Fatalf("%v %v in\n%s", issues, err, rendered)
		}
		if diff := cmp.Diff(c, again, addresses, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzLiteral(f *testing.F) {
	f.Add(`a.b*c "x" #1`+"\n é\xff ", "")
	f.Fuzz(func(t *testing.T, text, _ string) {
		e := Literal(text)
		if err := expression(e); err != nil {
			t.Fatal(err)
		}
		if back, ok := Text(e); !ok || back != text {
			t.Fatalf("%q became %q, which is read as %q, %t", text, e, back, ok)
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add("    passwd = \"x\"\n# secret=y", "s3cret")
	f.Fuzz(func(t *testing.T, before, secret string) {
		if secret == "" || strings.ContainsAny(secret, "\n\r") || strings.Contains(hidden+"\n passwd = \"", secret) || strings.Contains(before, secret) {
			return
		}
		if masked := Mask(before + "\n    passwd = \"" + secret + "\"\n"); strings.Contains(masked, secret) {
			t.Fatalf("%q shows in %q", secret, masked)
		}
	})
}

// A string at any place where text is free: most are taken, and none of them
// changes what the others say.
func FuzzString(f *testing.F) {
	f.Add("plain", uint8(0))
	f.Add("l:5 u:6", uint8(1))
	f.Add(`\", \"`, uint8(2))
	f.Add("= 5", uint8(7))
	f.Add("'it`s $HOME @x %y {z} !", uint8(4))
	f.Fuzz(func(t *testing.T, s string, place uint8) {
		v := Virtual{Address: addr("10.0.0.1"), Port: 80, Protocol: "tcp", Request: "a", Receive: "b", Login: "c", Password: "d",
			Reals: []Real{{addr("10.0.0.2"), 80, "gate", 5, &Exchange{"e", "f"}, 7, 6}}, Comment: "g"}
		x := v.Reals[0].Check
		places := []*string{&v.Request, &x.Request, &x.Receive, &v.Receive, &v.Login, &v.Password, &v.Comment, &v.Name, &v.Secret,
			&v.Database, &v.VirtualHost, &v.EmailAlert}
		*places[int(place)%len(places)] = s
		c := Config{Services: []Virtual{v}}
		if _, err := c.Render(); err == nil {
			readBack(t, c)
		}
	})
}
