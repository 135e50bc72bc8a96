// Package graph draws the packets' way through a topology.
package graph

import (
	"net/netip"
	"strings"

	"github.com/lvsform/lvsform/cmd/lvsform/internal/view"
	"github.com/lvsform/lvsform/topology"
)

// Drawing is what a picture of a topology shows, whatever its format.
type Drawing struct {
	Title    string
	Services int // virtual services; one may have several flows
	Flows    []Flow
	Others   []string // hosts that no packet of a service passes, sorted
}

// Mode is how packets reach a real server, which decides the way back.
type Mode string

const (
	None    Mode = "none" // a service without real servers
	DR      Mode = "dr"
	NAT     Mode = "nat"
	TUN     Mode = "tun"
	FullNAT Mode = "fullnat"
)

// modes are in the order in which the flows of one service are drawn.
func modes() []Mode { return []Mode{DR, NAT, FullNAT, TUN} }

// Title is the mode as a heading.
func (m Mode) Title() string {
	switch m {
	case DR:
		return "Direct routing (DR)"
	case NAT:
		return "Address translation (NAT)"
	case TUN:
		return "Tunnel (TUN)"
	case FullNAT:
		return "Address translation both ways (FullNAT)"
	}
	return "No real server"
}

// Straight tells whether answers go past the director.
func (m Mode) Straight() bool { return m == DR || m == TUN }

// Flow is the way of packets of services that share their directors, their mode
// and their real servers.
type Flow struct {
	Mode      Mode
	Directors []Director
	Services  []Service
	Outside   string // the network of the VIP, "" where it is not known
	Servers   []Server
	More      string // says what was left out of Servers, "" for nothing
	Legs      []Leg
	more      int
}

// Director is a host that holds the VIP.
type Director struct{ Name, Address string }

// Service is one virtual service: what clients connect to, how it is spread.
type Service struct{ VIP, Text string }

// Server is one real server.
type Server struct {
	Name, Address string // the address with a port where the port is its own
	Weight        string // "weight 2"
	Notes         []string
	Network       string // the one that its address belongs to, "" where it is not known
	gateway       string
}

// Leg is one part of the way, in the order of the packets.
type Leg struct {
	From, To Place
	Packet   string // the addresses of the packet: "CIP → VIP"
	Caption  string // what happens, one sentence
	Tunnel   bool
}

// Back tells whether the leg belongs to the way back.
func (l Leg) Back() bool { return l.From == Servers || l.To == Clients }

// Place is an end of a leg.
type Place int

const (
	Clients Place = iota
	Directors
	Servers
)

// New makes the drawing of a topology.
func New(t *topology.Topology) Drawing {
	b := newBuilder(t)
	d := Drawing{Title: clean(t.Name), Flows: b.flows()}
	for _, r := range t.Resources {
		if _, ok := r.Body.(*topology.VirtualService); ok {
			d.Services++
		}
	}
	for _, h := range t.Hosts {
		if !b.drawn[h.Name] {
			d.Others = append(d.Others, clean(h.Name))
		}
	}
	return d
}

// clean keeps what a file may not choose for its reader out of a picture.
func clean(s string) string { return strings.Join(strings.Fields(view.Clean(s)), " ") }

// networkOf is the network that an address of a host belongs to.
func networkOf(h *topology.Host, a netip.Addr) string {
	if h == nil || !a.IsValid() {
		return ""
	}
	for _, nic := range h.Interfaces {
		for _, p := range nic.Addresses {
			if p.Contains(a) && p.Bits() < a.BitLen() {
				return p.Masked().String()
			}
		}
	}
	return ""
}
