package ldirectord

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

// handWritten are files as people write them.
var handWritten = map[string]string{
	"globals are defaults": `# a comment
checktimeout=3
checkinterval=1
fallback=127.0.0.1:443
autoreload=yes
quiescent=yes

virtual=192.168.34.41:443
	real=192.168.34.26:443 gate
	real=192.168.34.27:443 gate 5 # the large one
	# inside
	scheduler=wlc
	persistent=600
	protocol=tcp
	checktype=connect
`,
	"globals behind services": "virtual = 10.0.0.1:http\n        real = 10.0.0.2->10.0.0.4:www masq 2\nfailurecount = 4\n",
	"an exchange and thresholds": "virtual=10.0.0.1:80\n    real=10.0.0.2:80 gate 3 \"/a b\", \"ok\" l:1 u:2\n    service=http\n" +
		"    request=\"index.html\"\n    virtualhost=www.example.org # name\n",
	"a comment that touches": "virtual=10.0.0.1:80#comment\n    protocol=tcp#comment\n",
	"an IPv6 mark":           "fallback6 = [2001:db8::9]:80\nvirtual6=5\n    real6=[2001:db8::2] gate\n    fallback6=[2001:db8::3]:81 ipip\n",
}

func TestHandWrittenFilesAreRead(t *testing.T) {
	want := map[string]Config{
		"globals are defaults": {
			Global: Global{CheckInterval: time.Second, AutoReload: yes},
			Services: []Virtual{{
				Address: addr("192.168.34.41"), Port: 443, Protocol: "tcp", Scheduler: "wlc", Persistent: 600 * time.Second,
				Check: CheckConnect, CheckTimeout: 3 * time.Second, Quiescent: yes, Fallback: &Fallback{addr("127.0.0.1"), 443, "gate"},
				Reals: []Real{
					{Address: addr("192.168.34.26"), Port: 443, Forward: "gate", Weight: 1},
					{Address: addr("192.168.34.27"), Port: 443, Forward: "gate", Weight: 5},
				},
			}},
		},
		"globals behind services": {Services: []Virtual{{
			Address: addr("10.0.0.1"), Port: 80, Protocol: "tcp", FailureCount: 4,
			Reals: []Real{
				{Address: addr("10.0.0.2"), Port: 80, Forward: "masq", Weight: 2},
				{Address: addr("10.0.0.3"), Port: 80, Forward: "masq", Weight: 2},
				{Address: addr("10.0.0.4"), Port: 80, Forward: "masq", Weight: 2},
			},
		}}},
		"an exchange and thresholds": {Services: []Virtual{{
			Address: addr("10.0.0.1"), Port: 80, Protocol: "tcp", Service: "http", Request: "index.html", VirtualHost: "www.example.org",
			Reals: []Real{{Address: addr("10.0.0.2"), Port: 80, Forward: "gate", Weight: 3, Check: &Exchange{"/a b", "ok"}, Lower: 1, Upper: 2}},
		}}},
		"a comment that touches": {Services: []Virtual{{Address: addr("10.0.0.1"), Port: 80, Protocol: "tcp"}}},
		"an IPv6 mark": {Services: []Virtual{{
			FWMark: 5, Family: "ipv6", Fallback: &Fallback{addr("2001:db8::3"), 81, "ipip"},
			Reals: []Real{{Address: addr("2001:db8::2"), Forward: "gate", Weight: 1}},
		}}},
	}
	for name, text := range handWritten {
		t.Run(name, func(t *testing.T) {
			got, issues, err := Parse(text)
			if err != nil || len(issues) > 0 {
				t.Fatal(issues, err)
			}
			if diff := cmp.Diff(want[name], got, addresses, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAServicesOwnTimeoutIsNotMixedWithGlobalOnes(t *testing.T) {
	c, _, err := Parse("checktimeout=9\nnegotiatetimeout=8\nvirtual=1\n    checktype=on\nvirtual=2\n    negotiatetimeout=3\n")
	if err != nil {
		t.Fatal(err)
	}
	got := [][2]time.Duration{}
	for _, v := range c.Services {
		got = append(got, [2]time.Duration{v.CheckTimeout, v.NegotiateTimeout})
	}
	if diff := cmp.Diff([][2]time.Duration{{9 * time.Second, 8 * time.Second}, {0, 3 * time.Second}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeCarriedOverIsListed(t *testing.T) {
	const service = "virtual=10.0.0.1:80\n    protocol=tcp\n"
	for name, tc := range map[string]struct {
		text, keyword, why string
		line               int
	}{
		"a service's name":                {"virtual=www:80\n    service=http\n", "virtual", "is a name", 1},
		"a port's name":                   {"virtual=10.0.0.1:frob\n    service=http\n", "virtual", "name of a port", 1},
		"a service without a port":        {"virtual=10.0.0.1\n    service=http\n", "virtual", "firewall mark 10", 1},
		"a real server's name":            {service + "    real=web1:80 gate\n", "real", `"web1" is a name`, 3},
		"a fallback's name":               {service + "    fallback=sorry\n", "fallback", `"sorry" is a name`, 3},
		"a large range":                   {service + "    real=10.0.0.1->10.0.9.1 gate\n", "real", "more than 256", 3},
		"another file":                    {"execute = other\n", "execute", "other", 1},
		"a directive without effect":      {service + "    load = \"x\"\n", "load", "does not use it", 3},
		"an interval without processes":   {service + "    checkinterval=3\n", "checkinterval", "fork", 3},
		"a netmask without persistence":   {service + "    netmask=255.255.255.0\n", "netmask", "without persistent", 1},
		"a netmask with holes":            {service + "    netmask=255.0.255.0\n", "netmask", "stand together", 3},
		"one packet of tcp":               {service + "    ops=yes\n", "ops", "udp", 1},
		"a quote in a string":             {service + "    login=\"a\"b\"\n", "login", `has a "`, 3},
		"a quote in a password":           {service + "    passwd=\"hush\"b\"\n", "passwd", "quote", 3},
		"Perl's own expressions":          {service + "    receive=\"(?=x)\"\n", "receive", "regular expression", 3},
		"a number of which a part counts": {service + "    checktimeout=5s\n", "checktimeout", `reads "5"`, 3},
		"a word before the weight":        {service + "    real=10.0.0.2:80 gate x 5\n", "real", "passes over", 3},
		"thresholds in the wrong order":   {service + "    real=10.0.0.2:80 gate 1 u:9 l:5\n", "real", "passes over", 3},
		"a command with arguments":        {service + "    checkcommand=\"/bin/x -v\"\n", "checkcommand", "without arguments", 3},
		"a global fallback of a mark":     {"fallback=10.0.0.9\nvirtual=5\n    protocol=fwm\n", "fallback", "does not work", 2},
		"a service of all ports":          {"virtual=10.0.0.1:0\n    protocol=tcp\n", "virtual", "all ports", 1},
		"a bare IPv6 fallback":            {"fallback6=2001:db8::1\n", "fallback6", "is no address", 1},
		"no alerts' states":               {service + "    emailalertstatus=\n", "emailalertstatus", "no value", 3},
		"another port without masq":       {service + "    real=10.0.0.2:81 gate\n", "real", "port 80", 1},
		"a real server without a port":    {service + "    real=10.0.0.2 masq\n", "real", "port 80", 1},
		"a fallback of another port":      {"fallback=10.0.0.9:81\n" + service, "fallback", "port 80", 2},
		"a persistence of no time":        {service + "    persistent=0\n", "persistent", "refuses", 3},
	} {
		t.Run(name, func(t *testing.T) {
			_, issues, err := Parse(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if len(issues) == 0 {
				t.Fatal("no issue")
			}
			got := issues[0]
			if got.Line != tc.line || got.Keyword != tc.keyword || !strings.Contains(got.Why, tc.why) {
				t.Errorf("%+v, want line %d, %s: …%s…", got, tc.line, tc.keyword, tc.why)
			}
			if strings.Contains(got.Why, "hush") {
				t.Error("the issue shows a secret")
			}
		})
	}
}

func TestWhatLdirectordRefusesIsAMistake(t *testing.T) {
	for name, text := range refused {
		t.Run(name, func(t *testing.T) {
			c, issues, err := Parse(text)
			if err == nil {
				t.Errorf("read as %+v, %v", c, issues)
			}
		})
	}
}

const some = "virtual=10.0.0.1:80\n    "

// refused are files of which ldirectord says that it cannot read them.
var refused = map[string]string{
	"an unknown word":                   "frobnicate = yes\n",
	"an indented global":                "  quiescent = yes\n",
	"a blank behind yes":                "quiescent = yes \n",
	"a comment behind yes":              some + "quiescent = yes # really\n",
	"a carriage return":                 "quiescent = yes\r\n",
	"a string without quotes":           some + "request = index.html\n",
	"an empty string":                   some + "receive = \"\"\n",
	"a service twice":                   some + "protocol=tcp\n" + some + "protocol=tcp\n",
	"a service that nothing follows":    "virtual=10.0.0.1:80\n",
	"an IPv6 address of virtual":        "virtual=[2001:db8::1]:80\n    protocol=tcp\n",
	"an IPv4 real server of virtual6":   "virtual6=[2001:db8::1]:80\n    real=10.0.0.1:80 gate\n",
	"an IPv4 address in real6":          "virtual6=[2001:db8::1]:80\n    real6=10.0.0.1:80 gate\n",
	"a real server without forwarding":  some + "real=10.0.0.2:80\n",
	"another forwarding":                some + "real=10.0.0.2:80 dr\n",
	"a request without an answer":       some + "real=10.0.0.2:80 gate 1 \"x\"\n",
	"a request taken for a weight":      some + "real=10.0.0.2:80 gate \"a 5\", \"b\"\n",
	"words behind a real server":        some + "real=10.0.0.2:80 gate 1 now\n",
	"quoted thresholds":                 some + "real=10.0.0.2:80 gate 1 \"l:5\"\n",
	"a falling range":                   some + "real=10.0.0.9->10.0.0.2:80 gate\n",
	"fwm for an address":                some + "protocol=fwm\n",
	"tcp for a mark":                    "virtual=5\n    protocol=tcp\n",
	"another check":                     some + "checktype=tcp\n",
	"another service":                   some + "service=gopher\n",
	"another method":                    some + "httpmethod=POST\n",
	"a timeout of no time":              some + "checktimeout=0\n",
	"a port above 65535":                some + "checkport=70000\n",
	"an old directive":                  "timeout=5\n",
	"a prefix length for IPv4":          some + "netmask=24\n",
	"a directive behind an empty line":  some + "protocol=tcp\n\n    service=http\n",
	"a line of blanks":                  some + "protocol=tcp\n      \n",
	"a directive with too little blank": some + "protocol=tcp\n   service=http\n",
	"states of alerts with none":        some + "emailalertstatus=none,starting\n",
	"a bare IPv6 service":               "virtual6=2001:db8::1:80\n    protocol=tcp\n",
	"a mail server in quotes":           "smtp = \"mail\"\n",
	"a blank behind alerts' states":     some + "emailalertstatus=none \n",
	"a directive without quotes":        some + "load=x\n",
	"an exchange that touches":          some + "real=10.0.0.2:80 gate\"a\", \"b\"\n",
}

func TestRenderRefusesAndSaysWhat(t *testing.T) {
	base := func() Virtual {
		return Virtual{Address: addr("10.0.0.1"), Port: 80, Protocol: "tcp"}
	}
	for name, tc := range map[string]struct {
		change func(*Virtual)
		want   string
	}{
		"a newline":                 {func(v *Virtual) { v.Request = "/\n    login = \"x\"" }, "virtual tcp/10.0.0.1:80: request has the character U+000A"},
		"a quote":                   {func(v *Virtual) { v.Login = `a"b` }, `login has a "`},
		"a comment":                 {func(v *Virtual) { v.VirtualHost = "a#b" }, "virtualhost has a #"},
		"a blank at the end":        {func(v *Virtual) { v.Comment = "a " }, "comment begins or ends with a blank"},
		"NUL":                       {func(v *Virtual) { v.Name = "a\x00" }, "servicename has the character U+0000"},
		"a shell's command":         {func(v *Virtual) { v.SchedulerFlags = "sh-port;reboot" }, "schedflags is"},
		"a fallback's shell":        {func(v *Virtual) { v.FallbackCommand = "/bin/x;reboot" }, "fallbackcommand is"},
		"arguments of a check":      {func(v *Virtual) { v.CheckCommand = "/bin/x -v" }, "without arguments"},
		"half a second":             {func(v *Virtual) { v.CheckTimeout = 1500 * time.Millisecond }, "checktimeout is 1.5s"},
		"Perl that does not run":    {func(v *Virtual) { v.Receive = "(" }, "receive is no regular expression"},
		"a flag that Perl has not":  {func(v *Virtual) { v.Receive = "(?U)x" }, "receive has"},
		"another family":            {func(v *Virtual) { v.Reals = []Real{{Address: addr("::1"), Forward: "gate"}} }, "real [::1]: address ::1 is of the other address family"},
		"an address in an address":  {func(v *Virtual) { v.Address = addr("::ffff:10.0.0.1") }, "embeds an IPv4 address"},
		"sctp":                      {func(v *Virtual) { v.Protocol = "sctp" }, `protocol is "sctp": choose one of tcp, udp`},
		"one packet of tcp":         {func(v *Virtual) { v.OnePacket = true }, "ops is for udp"},
		"a mask alone":              {func(v *Virtual) { v.Netmask = 24 }, "netmask is for persistent"},
		"connects of another check": {func(v *Virtual) { v.Check, v.ConnectsPerCheck = CheckConnect, 3 }, "checktype is"},
		"an interval of its own":    {func(v *Virtual) { v.CheckInterval = time.Second }, "checkinterval"},
		"a port that gate has not":  {func(v *Virtual) { v.Reals = []Real{{Address: addr("10.0.0.2"), Port: 81, Forward: "gate"}} }, "real 10.0.0.2:81: port is 81, where the kernel delivers to 80"},
		"a fallback's port":         {func(v *Virtual) { v.Fallback = &Fallback{addr("10.0.0.2"), 81, "ipip"} }, "fallback's port is 81"},
		"the kernel's limits":       {func(v *Virtual) { v.Reals = []Real{{Address: addr("10.0.0.2"), Forward: "gate", Lower: 3}} }, "lower threshold"},
	} {
		t.Run(name, func(t *testing.T) {
			v := base()
			tc.change(&v)
			text, err := Config{Services: []Virtual{v}}.Render()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Render = %q, %v; want an error with %q", text, err, tc.want)
			}
		})
	}
	t.Run("a service twice", func(t *testing.T) {
		_, err := Config{Services: []Virtual{base(), base()}}.Render()
		if err == nil || !strings.Contains(err.Error(), "virtual tcp/10.0.0.1:80: is there twice") {
			t.Error(err)
		}
	})
	t.Run("a secret is not in the complaint", func(t *testing.T) {
		v := base()
		v.Password = "hush\n"
		_, err := Config{Services: []Virtual{v}}.Render()
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Error(err)
		}
	})
}

func TestMaskHidesSecretsAlone(t *testing.T) {
	in := "virtual=1\n    login = \"eve\"\n    passwd=\"a\"b\" # x\r\n# old: Secret = y\n+   secret\t= z"
	want := "virtual=1\n    login = \"eve\"\n    passwd= \"(sensitive)\"\r\n# old: Secret = \"(sensitive)\"\n+   secret\t= \"(sensitive)\""
	if diff := cmp.Diff(want, Mask(in)); diff != "" {
		t.Error(diff)
	}
}

func TestLiteralIsAnExpressionThatCanBeRead(t *testing.T) {
	if got, want := Literal(` <a href="/x.html">#1 ok$`+"\n"), `\x20<a href=\x22/x\.html\x22>\x231 ok\$\x0a`; got != want {
		t.Errorf("Literal = %s, want %s", got, want)
	}
	for _, expression := range []string{"a.c", "^ok", `\d`, "a|b", `\1`, `\é`} {
		if text, ok := Text(expression); ok {
			t.Errorf("Text(%s) = %q, though it is an expression", expression, text)
		}
	}
}

func TestOptionsThatAreUnsetAreNotWritten(t *testing.T) {
	v := Virtual{Address: addr("10.0.0.1"), Port: 80, Protocol: "tcp"}
	text, err := Config{Services: []Virtual{v}}.Render()
	if want := "virtual = 10.0.0.1:80\n    protocol = tcp\n"; err != nil || text != want {
		t.Errorf("Render = %q, %v; want %q", text, err, want)
	}
	v.Quiescent = state.Some(false)
	if text, _ = (Config{Services: []Virtual{v}}).Render(); !strings.Contains(text, "quiescent = no") {
		t.Errorf("no is not written: %q", text)
	}
}

func TestTextForPeopleMayBeMissing(t *testing.T) {
	c, issues, err := Parse(some + "servicename=\n    comment = \n")
	if err != nil || len(issues) > 0 || len(c.Services) != 1 {
		t.Error(c, issues, err)
	}
}

func TestLinesAreCountedBehindAService(t *testing.T) {
	text := "virtual=192.0.2.1:80\n    checkport=80\n    real=192.0.2.2:80 gate\n    checktype=on\nvirtual=192.0.2.1:81\n    real=192.0.2.2:81 gate\n    real=192.0.2.3:81 gate\n    checktype=on\n# end\nexecute=other\n"
	_, issues, err := Parse(text)
	if err != nil || len(issues) != 1 || issues[0].Line != 10 {
		t.Errorf("%v, %+v, want an issue in line 10", err, issues)
	}
	want := []Block{{First: 1, Last: 4, ID: "tcp/192.0.2.1:80"}, {First: 5, Last: 8, ID: "tcp/192.0.2.1:81"}}
	if diff := cmp.Diff(want, Blocks(text)); diff != "" {
		t.Error(diff)
	}
}
