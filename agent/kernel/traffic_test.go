//go:build linux && kernel

package kernel_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/module"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// Hosts on one wire: the director, which is where the test runs, a client and a
// real server.
const threeHosts = `
sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip link set lo up
ip link add eth0 type bridge
ip link set eth0 up
ip addr add 192.0.2.1/24 dev eth0
ip addr add 192.0.2.9/24 dev eth0
ip addr add 2001:db8::1/64 dev eth0 nodad
ip addr add 203.0.113.7/32 dev lo
ip addr add 2001:db8:7::7/128 dev lo nodad preferred_lft 0
`

// around makes a namespace beside the director's, named by its last number.
func around(t *testing.T, last int) (name string) {
	t.Helper()
	name = fmt.Sprintf("lvsform-test-%d-%d", os.Getpid(), last)
	shell(t, strings.NewReplacer("NAME", name, "LAST", fmt.Sprint(last)).Replace(`
ip netns add NAME
ip link add portLAST type veth peer name eth0 netns NAME
ip link set portLAST master eth0 up
ip -n NAME link set lo up
ip netns exec NAME sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0
ip -n NAME link set eth0 up
ip -n NAME addr add 192.0.2.LAST/24 dev eth0
ip -n NAME addr add 2001:db8::LAST/64 dev eth0 nodad
ip -n NAME route add 203.0.113.7 via 192.0.2.1
ip -n NAME route add 2001:db8:7::7 via 2001:db8::1
`))
	t.Cleanup(func() { shell(t, "ip netns del "+name) })
	return name
}

// in runs f in another namespace.
func in(t *testing.T, namespace string, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with it
		fd, err := unix.Open("/run/netns/"+namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- err
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Fatalf("enter %s: %v", namespace, err)
	}
}

// serve answers every connection with the address that it comes from, then with
// what it is sent.
func serve(t *testing.T, namespace string, ports ...int) {
	t.Helper()
	in(t, namespace, func() {
		for _, port := range ports {
			l, err := net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						fmt.Fprintf(c, "%s at %d\n", netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().Unmap(), port)
						_, _ = io.Copy(c, c)
					}()
				}
			}()
		}
	})
}

// ask connects and returns the answer.
func ask(t *testing.T, address string) string {
	t.Helper()
	answer, c := hold(t, address)
	if c != nil {
		c.Close()
	}
	return answer
}

// hold connects and returns the answer, and the connection.
func hold(t *testing.T, address string) (string, net.Conn) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 20*time.Second)
	if err != nil {
		t.Errorf("%v\n%s", err, shell(t, "ipvsadm -Ln; ipvsadm -Lnc; nft list ruleset"))
		return "", nil
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Error(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(line), c
}

// wantAnswer asks from a namespace.
func wantAnswer(t *testing.T, namespace, address, want string) {
	t.Helper()
	in(t, namespace, func() {
		if got := ask(t, address); got != want {
			t.Errorf("%s answers %q, want %q", address, got, want)
		}
	})
}

// serviceOf is a service of the VIP and its real server, which is forwarded to
// by NAT.
func serviceOf(vip, server netip.Addr, port uint16) (state.Service, state.Destination) {
	s := state.Service{ServiceID: state.ServiceID{Protocol: "tcp", Address: vip, Port: port, Family: "ipv4"}, Scheduler: "rr", Netmask: 32}
	if vip.Is6() {
		s.Family, s.Netmask = "ipv6", 128
	}
	return s, state.Destination{Service: s.ServiceID, Address: server, Port: port, Weight: 1, Forward: "nat"}
}

// director puts the test into the director's namespace.
func directorOf(t *testing.T) *kernel.Kernel {
	t.Helper()
	if err := module.Load("ip_vs"); err != nil {
		t.Fatal(err)
	}
	enter(t, threeHosts)
	k := kernel.New()
	t.Cleanup(k.Close)
	return k
}

func TestMasqueradedConnectionsComeFromTheDirector(t *testing.T) {
	for name, a := range map[string]struct{ vip, server, client, director, other netip.Addr }{
		"IPv4": {vip4, real4, netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")},
		"IPv6": {vip6, real6, netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::1")},
	} {
		t.Run(name, func(t *testing.T) {
			k := directorOf(t)
			client, server := around(t, 2), around(t, 20)
			settled(t)
			serve(t, server, 80, 81)
			svc, dst := serviceOf(a.vip, a.server, 80)
			other, otherDst := serviceOf(a.vip, a.server, 81)
			full := state.Masquerade{VIP: a.vip, Protocol: "tcp", Port: 80, To: a.server}
			every := state.Masquerade{VIP: a.vip, Protocol: "tcp", To: a.server, Source: a.other}
			must(t, k, step(live(t, k, sysctl("net.ipv4.vs.conntrack", "").Key()), sysctl("net.ipv4.vs.conntrack", "1")),
				step(nil, full), step(nil, every), step(nil, svc), step(nil, dst), step(nil, other), step(nil, otherDst))
			wantAnswer(t, client, netip.AddrPortFrom(a.vip, 80).String(), a.director.String()+" at 80")
			wantAnswer(t, client, netip.AddrPortFrom(a.vip, 81).String(), a.other.String()+" at 81")
			// A connection outlives that the table is written anew, and that its
			// own rule goes while there is another: the kernel translates as long
			// as there is a chain for it.
			var held net.Conn
			more := with(full, func(m *state.Masquerade) { m.Port = 9999 })
			in(t, client, func() { _, held = hold(t, netip.AddrPortFrom(a.vip, 80).String()) })
			if held == nil {
				return
			}
			defer held.Close()
			for i, change := range []wire.Step{step(nil, more), step(full, nil)} {
				must(t, k, change)
				fmt.Fprintf(held, "line %d\n", i)
				if line, err := bufio.NewReader(held).ReadString('\n'); err != nil || line != fmt.Sprintf("line %d\n", i) {
					t.Errorf("after %s the connection says %q, %v", change.ID, line, err)
				}
			}
			must(t, k, step(more, nil), step(every, nil))
			// What does not go through the VIP keeps its source.
			wantAnswer(t, client, netip.AddrPortFrom(a.server, 80).String(), a.client.String()+" at 80")
		})
	}
}

func TestAMarkFeedsAServiceOfTwoPorts(t *testing.T) {
	for name, a := range map[string]struct {
		vip, server netip.Addr
		family      string
	}{"IPv4": {vip4, real4, "ipv4"}, "IPv6": {vip6, real6, "ipv6"}} {
		t.Run(name, func(t *testing.T) {
			k := directorOf(t)
			client, server := around(t, 2), around(t, 20)
			settled(t)
			serve(t, server, 80, 443)
			mark := state.Mark{Protocol: "tcp", Address: a.vip, Ports: "80,443", Mark: 0x80000007}
			svc := state.Service{ServiceID: state.ServiceID{FWMark: mark.Mark, Family: a.family}, Scheduler: "rr", Netmask: 32}
			if a.family == "ipv6" {
				svc.Netmask = 128
			}
			dst := state.Destination{Service: svc.ServiceID, Address: a.server, Weight: 1, Forward: "nat"}
			// With NAT the answers must come back through the director.
			masquerade := state.Masquerade{VIP: a.vip, Protocol: "tcp", To: a.server}
			must(t, k, step(live(t, k, sysctl("net.ipv4.vs.conntrack", "").Key()), sysctl("net.ipv4.vs.conntrack", "1")),
				step(nil, mark), step(nil, masquerade), step(nil, svc), step(nil, dst))
			from := map[string]string{"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}[a.family]
			for _, port := range []uint16{80, 443} {
				address := netip.AddrPortFrom(a.vip, port).String()
				wantAnswer(t, client, address, fmt.Sprintf("%s at %d", from, port))
				// The director is a client too.
				if got := ask(t, address); !strings.HasSuffix(got, fmt.Sprintf(" at %d", port)) {
					t.Errorf("the director's own request is answered by %q", got)
				}
			}
		})
	}
}

// tunnelled is what a real server needs for a kind of tunnel.
type tunnelled struct {
	vip, server netip.Addr
	kind        string
	port        uint16
	link        string
	needs       []state.Object
	module      string
}

func TestTunnelsAreUnwrapped(t *testing.T) {
	link := func(name, kind string) state.Link {
		return state.Link{Name: name, Kind: kind, Up: state.Some(true), MTU: state.Some(1400)}
	}
	loose := func(device string) state.Sysctl { return sysctl("net.ipv4.conf."+device+".rp_filter", "2") }
	gue := state.FOU{Family: "ipv4", Port: 5555, Protocol: "gue"}
	gue6 := state.FOU{Family: "ipv6", Port: 5556, Protocol: "gue"}
	local := link("gre7", "gre")
	local.Local = real4
	for name, a := range map[string]tunnelled{
		"ipip":           {vip4, real4, "ipip", 0, "tunl0", []state.Object{link("tunl0", "ipip"), loose("tunl0")}, "ipip"},
		"gue":            {vip4, real4, "gue", 5555, "tunl0", []state.Object{gue, link("tunl0", "ipip"), loose("tunl0")}, "ipip"},
		"gre":            {vip4, real4, "gre", 0, "gre0", []state.Object{link("gre0", "gre"), loose("gre0")}, "ip_gre"},
		"gre, own link":  {vip4, real4, "gre", 0, "gre7", []state.Object{local, loose("gre7")}, "ip_gre"},
		"ipip over IPv6": {vip6, real6, "ipip", 0, "ip6tnl0", []state.Object{link("ip6tnl0", "ip6tnl")}, "ip6_tunnel"},
		"gue over IPv6":  {vip6, real6, "gue", 5556, "ip6tnl0", []state.Object{gue6, link("ip6tnl0", "ip6tnl")}, "ip6_tunnel"},
		"IPv6 over IPv4": {vip6, real4, "ipip", 0, "sit0", []state.Object{link("sit0", "sit")}, "sit"},
	} {
		t.Run(name, func(t *testing.T) {
			k := directorOf(t)
			client, server := around(t, 2), around(t, 20)
			settled(t)
			svc, dst := serviceOf(a.vip, a.server, 80)
			dst.Forward, dst.TunnelType, dst.TunnelPort = "tun", a.kind, a.port
			must(t, k, step(nil, svc), step(nil, dst))
			before := ""
			in(t, server, func() { before = a.unwrap(t) })
			serve(t, server, 80)
			from := map[bool]string{true: "192.0.2.2", false: "2001:db8::2"}[a.vip.Is4()]
			wantAnswer(t, client, netip.AddrPortFrom(a.vip, 80).String(), from+" at 80")
			in(t, server, func() { a.undo(t, before) })
		})
	}
}

// objects are those of the real server, with the VIP on the tunnel.
func (a tunnelled) objects() []state.Object {
	vip := address(a.link, netip.PrefixFrom(a.vip, a.vip.BitLen()).String())
	vip.NoDAD, vip.Deprecated = a.vip.Is6(), a.vip.Is6()
	return append(a.needs[:len(a.needs):len(a.needs)], vip)
}

// unwrap makes the real server ready; a fault on the way leaves nothing. It
// returns how the host was.
func (a tunnelled) unwrap(t *testing.T) string {
	if err := module.Load(a.module); err != nil {
		t.Error(err)
	}
	shell(t, "ip link set "+map[bool]string{true: "lo", false: a.link}[a.link == "gre7"]+" up")
	if a.link != "gre7" { // the first use gives a fallback link a queue, for good
		shell(t, "ip link set "+a.link+" down")
	}
	k := kernel.New()
	defer k.Close()
	var steps []wire.Step
	for _, o := range a.objects() {
		steps = append(steps, step(nil, o))
	}
	steps = found(t, k, steps)
	shell(t, "modprobe fou")
	before := a.look(t)
	wantRolledBack(t, k, steps...)
	if diff := cmp.Diff(before, a.look(t)); diff != "" {
		t.Error(diff)
	}
	must(t, k, steps...)
	return before
}

func (a tunnelled) look(t *testing.T) string {
	return dump(t) + shell(t, "ip fou show; ip -6 fou show")
}

// undo takes it all away again.
func (a tunnelled) undo(t *testing.T, before string) {
	k := kernel.New()
	defer k.Close()
	objects := a.objects()
	var steps []wire.Step
	for i := len(objects) - 1; i >= 0; i-- {
		if o, ok := objects[i].(state.Sysctl); ok {
			steps = append(steps, step(o, sysctl(o.Name, "0")))
			continue
		}
		steps = append(steps, step(live(t, k, objects[i].Key()), nil))
	}
	must(t, k, steps...)
	if diff := cmp.Diff(before, a.look(t)); diff != "" {
		t.Error(diff)
	}
}
