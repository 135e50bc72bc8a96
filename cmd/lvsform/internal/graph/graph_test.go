package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/topology"
)

var update = flag.Bool("update", false, "write the golden files")

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func host(name, address string, nics ...string) *topology.Host {
	h := &topology.Host{Name: name, Path: "host." + name, Address: addr(address), Managed: true}
	for i, n := range nics {
		h.Interfaces = append(h.Interfaces, topology.Interface{Name: fmt.Sprintf("eth%d", i), Addresses: []netip.Prefix{netip.MustParsePrefix(n)}})
	}
	return h
}

func service(name, on, vip string, port uint16, servers ...topology.RealServer) *topology.Resource {
	family := "ipv4"
	if addr(vip).Is6() {
		family = "ipv6"
	}
	return &topology.Resource{Path: "virtual_service." + name, Host: on, Body: &topology.VirtualService{
		Protocol: "tcp", Address: addr(vip), Port: port, Family: family, Scheduler: "wlc", RealServers: servers}}
}

func server(name, address, forward string, weight int) topology.RealServer {
	return topology.RealServer{Name: name, Host: name, Address: addr(address), Port: 80, Weight: weight, Forward: forward}
}

// twoServers is a topology with two real servers, in every mode.
func twoServers(forward string) *topology.Topology {
	t := &topology.Topology{Name: "web-" + forward, Hosts: []*topology.Host{
		host("dir1", "192.168.10.254", "203.0.113.109/24", "192.168.10.254/24"),
		host("rs1", "192.168.10.1", "192.168.10.1/24"),
		host("rs2", "192.168.10.2", "192.168.10.2/24"),
		host("spare", "192.168.10.9", "192.168.10.9/24"),
	}}
	mode := forward
	if mode == "fullnat" {
		mode = "nat"
		t.Resources = append(t.Resources, &topology.Resource{Path: "masquerade.web", Host: "dir1", Body: &topology.Masquerade{
			VIP: addr("203.0.113.110"), Protocol: "tcp", Port: 80, To: []netip.Addr{addr("192.168.10.1"), addr("192.168.10.2")}}})
	}
	if mode == "nat" {
		for _, h := range t.Hosts[1:3] {
			h.Gateway = addr("192.168.10.254")
		}
	}
	t.Resources = append(t.Resources, service("web", "dir1", "203.0.113.110", 80,
		server("rs1", "192.168.10.1", mode, 1), server("rs2", "192.168.10.2", mode, 2)))
	return t
}

// crowd has the longest texts and the most of everything.
func crowd(servers int) *topology.Topology {
	long := strings.Repeat("a-very-long-host-name.", 9) + "example.net"
	t := &topology.Topology{Name: "large " + long, Hosts: []*topology.Host{
		host("director-"+long, "2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:1111:2222:3333:4444:5555:6666/64")}}
	var list []topology.RealServer
	for i := range servers {
		a := fmt.Sprintf("2001:db8:aaaa:%d:bbbb:cccc:dddd:%x", i%3, 0x1000+i)
		h := host(fmt.Sprintf("rs%d-%s", i, long), a, a+"/64")
		h.Managed = i%2 == 0
		t.Hosts = append(t.Hosts, h)
		s := topology.RealServer{Name: h.Name, Host: h.Name, Address: addr(a), Port: uint16(8000 + i), Weight: i, Forward: "tun",
			Upper: 60000, Lower: 50000, Tunnel: &topology.Tunnel{Type: "gue", Port: 6080}}
		if i%4 == 3 {
			s.Forward, s.Tunnel = "dr", nil
		}
		list = append(list, s)
	}
	for i := range 30 {
		t.Resources = append(t.Resources, service(fmt.Sprintf("s%d", i), "director-"+long, "2001:db8:1111:2222:3333:4444:5555:7777", uint16(1+i), list...))
	}
	t.Resources = append(t.Resources, service("none", "director-"+long, "2001:db8:1111:2222::1", 443))
	return t
}

func TestPicturesOfSmallTopologies(t *testing.T) {
	for _, mode := range []string{"dr", "nat", "tun", "fullnat"} {
		d := New(twoServers(mode))
		for ending, content := range map[string][]byte{"svg": SVG(Layout(d)), "dot": DOT(d), "mmd": Mermaid(d)} {
			t.Run(mode+"."+ending, func(t *testing.T) {
				file := filepath.Join("testdata", mode+"."+ending)
				if *update {
					if err := os.WriteFile(file, content, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
				if diff := cmp.Diff(string(want), string(content)); diff != "" {
					t.Errorf("go test -update writes it anew (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Every text stands inside its box, boxes and writing keep clear of each other,
// and everything is inside the picture.
func TestNothingOverlapsOrOverflows(t *testing.T) {
	cases := map[string]*topology.Topology{"nothing": {Name: "empty"}}
	for _, mode := range []string{"dr", "nat", "tun", "fullnat"} {
		cases[mode] = twoServers(mode)
	}
	for _, n := range []int{1, 3, 19, 20, 21, 300} {
		cases[fmt.Sprint(n, " real servers")] = crowd(n)
	}
	for name, top := range cases {
		t.Run(name, func(t *testing.T) {
			p := Layout(New(top))
			inside := Rect{0, 0, p.W, p.H}
			var solid []Rect
			for _, b := range p.Boxes {
				solid = append(solid, b.Rect)
				for i, text := range b.Texts {
					if !within(text.Rect(), b.Rect) {
						t.Errorf("%q (%v) overflows its box %v", text.Text, text.Rect(), b.Rect)
					}
					for _, other := range b.Texts[:i] {
						if overlap(text.Rect(), other.Rect()) {
							t.Errorf("%q lies over %q", text.Text, other.Text)
						}
					}
				}
			}
			for _, l := range p.Labels {
				solid = append(solid, l.Rect())
			}
			for _, m := range p.Markers {
				solid = append(solid, Rect{m.X - radius, m.Y - radius, 2 * radius, 2 * radius})
			}
			for i, r := range solid {
				if !within(r, inside) {
					t.Errorf("%v is outside the picture %v", r, inside)
				}
				for _, other := range solid[:i] {
					if overlap(r, other) {
						t.Errorf("%v lies over %v", r, other)
					}
				}
			}
			linesKeepClear(t, p)
		})
	}
}

// linesKeepClear wants no line to cross a box or writing.
func linesKeepClear(t *testing.T, p Picture) {
	for _, l := range p.Lines {
		for i := 1; i < len(l.Points); i++ {
			a, b := l.Points[i-1], l.Points[i]
			line := Rect{min(a.X, b.X), min(a.Y, b.Y), max(a.X, b.X) - min(a.X, b.X), max(a.Y, b.Y) - min(a.Y, b.Y)}
			for _, box := range p.Boxes {
				if crosses(line, box.Rect) {
					t.Errorf("line %v crosses box %v", line, box.Rect)
				}
			}
			for _, text := range p.Labels {
				if crosses(line, text.Rect()) {
					t.Errorf("line %v crosses %q %v", line, text.Text, text.Rect())
				}
			}
		}
	}
}

func within(a, b Rect) bool {
	return a.X >= b.X && a.Y >= b.Y && a.Right() <= b.Right() && a.Bottom() <= b.Bottom()
}

func overlap(a, b Rect) bool {
	return a.X < b.Right() && b.X < a.Right() && a.Y < b.Bottom() && b.Y < a.Bottom()
}

// crosses tells of a horizontal or vertical line, which is a Rect without area.
func crosses(line, r Rect) bool {
	return line.X < r.Right() && r.X < line.Right()+btoi(line.W == 0) && line.Y < r.Bottom() && r.Y < line.Bottom()+btoi(line.H == 0)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestManyServersAreSummarised(t *testing.T) {
	for _, tc := range []struct {
		servers int
		shown   int
		more    string
	}{{20, 20, ""}, {21, 19, "… and 2 more real servers"}, {300, 19, "… and 281 more real servers"}} {
		top := twoServers("dr")
		var list []topology.RealServer
		for i := range tc.servers {
			list = append(list, topology.RealServer{Name: fmt.Sprint("rs", i), Address: addr(fmt.Sprintf("10.0.%d.%d", i/200, i%200+1)), Port: 80, Weight: 1, Forward: "dr"})
		}
		top.Resources = []*topology.Resource{service("web", "dir1", "203.0.113.110", 80, list...)}
		f := New(top).Flows[0]
		if len(f.Servers) != tc.shown || f.More != tc.more {
			t.Errorf("%d servers: %d shown and %q", tc.servers, len(f.Servers), f.More)
		}
	}
}

func TestEqualWaysAreDrawnOnce(t *testing.T) {
	top := twoServers("dr")
	web := top.Resources[0].Body.(*topology.VirtualService)
	mapped := func(port uint16) []topology.RealServer {
		list := append([]topology.RealServer{}, web.RealServers...)
		for i := range list {
			list[i].Port = port
		}
		return list
	}
	top.Resources = append(top.Resources,
		service("https", "dir1", "203.0.113.110", 443, mapped(443)...),
		service("other", "dir1", "203.0.113.110", 81, web.RealServers[0]))
	got := New(top)
	if len(got.Flows) != 2 {
		t.Fatalf("%d flows, want 2: %+v", len(got.Flows), got.Flows)
	}
	want := []Service{{"203.0.113.110", "tcp :80 wlc"}, {"203.0.113.110", "tcp :443 wlc"}}
	if diff := cmp.Diff(want, got.Flows[0].Services); diff != "" {
		t.Errorf("services of the first flow (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Service{{"203.0.113.110", "tcp :81 → :80 wlc"}}, got.Flows[1].Services); diff != "" {
		t.Errorf("the mapped port (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"spare"}, got.Others); diff != "" {
		t.Errorf("hosts without packets (-want +got):\n%s", diff)
	}
}

func TestSensitiveValuesAreNotDrawn(t *testing.T) {
	top := twoServers("dr")
	top.Resources[0].Sensitive = []string{"scheduler", "real_server.rs1.weight"}
	d := New(top)
	for name, content := range map[string][]byte{"svg": SVG(Layout(d)), "dot": DOT(d), "mermaid": Mermaid(d)} {
		if bytes.Contains(content, []byte("wlc")) || bytes.Contains(content, []byte("weight 1")) {
			t.Errorf("%s shows a sensitive value:\n%s", name, content)
		}
		if !bytes.Contains(content, []byte("weight 2")) {
			t.Errorf("%s lacks what may be shown", name)
		}
	}
}

// hostile is a name with everything that one of the languages could take for
// its own.
const hostile = "a</text><script>alert(1)</script>&\"'`\\\x00\x1b[31m\u202e]]>-->{}|#;%%end"

func TestNamesCannotBecomeMarkup(t *testing.T) {
	top := twoServers("dr")
	v := top.Resources[0].Body.(*topology.VirtualService)
	v.RealServers[0].Name, v.RealServers[0].Host, v.RealServers[0].Address = hostile, "", addr("10.9.9.9")
	top.Name = hostile
	d := New(top)

	svg := SVG(Layout(d))
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the SVG is no XML: %v\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "script" {
			t.Error("the SVG has a script element")
		}
	}
	for name, content := range map[string][]byte{"svg": svg, "dot": DOT(d), "mermaid": Mermaid(d)} {
		if bytes.ContainsAny(content, "\x00\x1b\u202e") {
			t.Errorf("%s has control characters:\n%q", name, content)
		}
	}
	for line := range strings.Lines(string(Mermaid(d))) {
		if strings.Count(line, `"`)%2 != 0 || strings.Contains(line, "<script") || strings.Contains(line, "%%") {
			t.Errorf("mermaid: %s", line)
		}
	}
	for line := range strings.Lines(string(DOT(d))) {
		if bare := strings.NewReplacer(`\\`, "", `\"`, "").Replace(line); strings.Count(bare, `"`)%2 != 0 {
			t.Errorf("dot: a string does not end: %s", line)
		}
	}
}

func TestMarkedServicesShowWhatIsMarked(t *testing.T) {
	top := twoServers("fullnat")
	v := top.Resources[1].Body.(*topology.VirtualService)
	*v = topology.VirtualService{FWMark: 7, Family: "ipv4", Scheduler: "rr", RealServers: v.RealServers}
	for i := range v.RealServers {
		v.RealServers[i].Port = 0
	}
	top.Resources = append(top.Resources, &topology.Resource{Path: "mark.web", Host: "dir1", Body: &topology.Mark{
		Protocol: "tcp", Address: addr("203.0.113.110"), Ports: []topology.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8100}}, Mark: 7}})
	f := New(top).Flows[0]
	if f.Mode != FullNAT || f.Outside != "203.0.113.0/24" {
		t.Errorf("mode %s on %q", f.Mode, f.Outside)
	}
	if diff := cmp.Diff([]Service{{"203.0.113.110", "tcp :80,8000-8100 mark 7 rr"}}, f.Services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}
