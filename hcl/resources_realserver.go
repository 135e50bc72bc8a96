package hcl

import (
	"math"
	"strings"

	"github.com/lvsform/lvsform/topology"
)

// realServer reads one real server of a service.
func (o *object) realServer(s *topology.VirtualService, forward string) topology.RealServer {
	r := topology.RealServer{Name: o.label, Weight: 1, Forward: o.choice("forward", "nat", "dr", "tun"), Port: s.Port, Range: toRange(o.header)}
	if r.Name == "" || len(r.Name) > 255 || strings.ContainsFunc(r.Name, misleads) {
		o.l.r.error(o.header, "Invalid real server name", "A real server's name has from 1 to 255 characters and no control characters, unlike %q.", clip(r.Name))
		o.bad["name"] = true
	}
	if r.Forward == "" {
		r.Forward = forward
	}
	host, hostAddress := o.host("host")
	r.Host, r.Address = host, hostAddress
	if o.has("address") {
		r.Address = o.address("address")
	}
	if !o.has("host") && !o.has("address") {
		o.l.r.error(o.header, "Real server without an address", "A real server needs host = host.NAME, or address, or both.")
		o.bad["address"] = true
	}
	if o.vals["weight"].IsWhollyKnown() && o.has("weight") {
		r.Weight = o.weight()
	}
	o.port(s, &r)
	o.thresholds(&r)
	if b := o.block("tunnel"); b != nil {
		r.Tunnel = b.tunnel()
		if r.Forward != "tun" {
			o.l.r.error(b.header, "tunnel without tun", "This real server is reached by %s. Set forward = \"tun\", or take the block out.", r.Forward)
			o.bad["forward"] = true
		}
	}
	o.checkRealServer(s, &r)
	return r
}

// ranged is whole, as a finding of a numbered check.
func (o *object) ranged(check, name string, low, high int64) (int64, bool) {
	before := len(o.l.r.found)
	n, ok := o.whole(name, low, high)
	for i := before; i < len(o.l.r.found); i++ {
		o.l.r.found[i].Check = check
	}
	return n, ok
}

func (o *object) weight() int {
	n, ok := o.ranged("LVS015", "weight", 0, math.MaxInt32) // as ipvsadm(8) takes it
	if !ok {
		return 1
	}
	return int(n)
}

// port reads the server's port. Without one it is the service's; 0 is only for
// services of every port.
func (o *object) port(s *topology.VirtualService, r *topology.RealServer) {
	low := int64(1)
	if s.Port == 0 {
		low = 0
	}
	port, ok := o.whole("port", low, 65535)
	if !ok {
		return
	}
	r.Port = uint16(port)
	// With a firewall mark there is no port of the service to differ from: the
	// kernel keeps the number and leaves the packets as they are.
	if r.Forward == "nat" || r.Port == s.Port || s.FWMark != 0 {
		return
	}
	o.l.r.check("LVS001", o.rangeOf("port"), "Port mapping without NAT",
		"With forward %q the packet reaches the real server as the client sent it, to port %d, never to port %d. Leave port out, or use forward = \"nat\".", r.Forward, s.Port, r.Port)
	o.bad["port"] = true
}

func (o *object) thresholds(r *topology.RealServer) {
	// Linux 6.1 refuses more than an int holds.
	upper, _ := o.whole("upper_threshold", 0, math.MaxInt32)
	lower, _ := o.whole("lower_threshold", 0, math.MaxInt32)
	r.Upper, r.Lower = uint32(upper), uint32(lower)
	if r.Lower > r.Upper && !o.bad["upper_threshold"] {
		o.l.r.check("LVS015", o.rangeOf("lower_threshold"), "Lower threshold above the upper one",
			"lower_threshold is %d and upper_threshold %d; the kernel refuses it. Above the upper one a server gets no new connections until it is below the lower one.", r.Lower, r.Upper)
		o.bad["lower_threshold"] = true
	}
}

func (o *object) tunnel() *topology.Tunnel {
	t := &topology.Tunnel{Type: o.choice("type", "ipip", "gue", "gre"), Checksum: o.choice("checksum", "none", "csum", "remcsum")}
	if t.Checksum == "" {
		t.Checksum = "none"
	}
	port, ok := o.whole("port", 1, 65535)
	t.Port = uint16(port)
	switch {
	case t.Type == "gue" && !ok && !o.has("port"):
		o.l.r.error(o.header, "GUE tunnel without a port", "A gue tunnel needs the UDP port at which the real server decapsulates: port = 6080.")
		o.bad["port"] = true
	case t.Type != "gue" && t.Type != "":
		o.refuse("port", "a gue tunnel")
	}
	switch {
	case t.Type == "ipip" && t.Checksum != "none":
		o.fail("checksum", "Checksum without a header for it", "An ipip tunnel has no checksum. Take it out, or use gue or gre.")
	case t.Type == "gre" && t.Checksum == "remcsum":
		o.fail("checksum", "remcsum without GUE", "Only a gue tunnel has remote checksum offload. Use csum or none.")
	}
	return t
}

// checkRealServer holds what the kernel asks of a destination.
func (o *object) checkRealServer(s *topology.VirtualService, r *topology.RealServer) {
	a := r.Address
	if !a.IsValid() || s.Family == "" {
		return
	}
	name := "address"
	if !o.has("address") {
		name = "host"
	}
	switch {
	case a.IsUnspecified() || a.IsMulticast():
		o.fail(name, "Invalid address", "%s cannot be a real server's address.", a)
	case a.Is4() != (s.Family == "ipv4") && r.Forward != "tun":
		o.l.r.check("LVS021", o.rangeOf(name), "Mixed address families",
			"The service is %s and the real server %s is not; only forward = \"tun\" carries one in the other. Use an address of the same family.", familyName(s.Family == "ipv4"), a)
		o.bad[name] = true
	case a.IsLoopback() && r.Forward == "nat":
		o.fail(name, "NAT to a loopback address", "The kernel drops what it rewrites to %s. Use forward = \"dr\" for a server on the director itself.", a)
	}
}
