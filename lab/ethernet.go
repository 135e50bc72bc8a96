package lab

import (
	"io"
	"net"
	"sync"
)

// ethernet is a switch between NICs of machines. Frames that nobody fetches are
// dropped, as on a real one: a machine that is off holds nobody up.
type ethernet struct {
	mu    sync.Mutex
	ports map[*port]bool
	known map[[6]byte]*port
}

// port is where one NIC is plugged in.
type port struct {
	net  *ethernet
	wire net.Conn // one frame each read and write
	out  chan []byte
}

const (
	queued   = 512     // frames that wait for a NIC
	maxFrame = 1 << 16 // QEMU hands over no longer ones
)

func newEthernet() *ethernet {
	return &ethernet{ports: map[*port]bool{}, known: map[[6]byte]*port{}}
}

// add plugs a wire in.
func (e *ethernet) add(wire net.Conn) *port {
	p := &port{net: e, wire: wire, out: make(chan []byte, queued)}
	e.mu.Lock()
	e.ports[p] = true
	e.mu.Unlock()
	go p.receive()
	go p.send()
	return p
}

func (p *port) receive() {
	for frame := make([]byte, maxFrame); ; {
		n, err := p.wire.Read(frame)
		if err != nil {
			return // unplugged
		}
		if n >= 14 { // the header of IEEE 802.3: destination, source, type
			p.net.forward(p, append([]byte(nil), frame[:n]...))
		}
	}
}

func (p *port) send() {
	for frame := range p.out {
		// An error is a NIC that has gone, or goes on without this frame.
		_, _ = p.wire.Write(frame)
	}
}

// forward learns where a frame comes from, and hands it to where it is going: to
// all when that is a group or not known yet.
func (e *ethernet) forward(from *port, frame []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ports[from] {
		return
	}
	e.known[[6]byte(frame[6:12])] = from
	if to := e.known[[6]byte(frame[:6])]; to != nil && frame[0]&1 == 0 {
		if to != from {
			to.enqueue(frame)
		}
		return
	}
	for p := range e.ports {
		if p != from {
			p.enqueue(frame)
		}
	}
}

func (p *port) enqueue(frame []byte) {
	select {
	case p.out <- frame:
	default: // dropped
	}
}

// unplug forgets the NIC.
func (p *port) unplug() error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if !p.net.ports[p] {
		return nil
	}
	delete(p.net.ports, p)
	for address, at := range p.net.known {
		if at == p {
			delete(p.net.known, address)
		}
	}
	close(p.out)
	return p.wire.Close()
}

// close unplugs everybody.
func (e *ethernet) close() {
	e.mu.Lock()
	var wires []io.Closer
	for p := range e.ports {
		delete(e.ports, p)
		close(p.out)
		wires = append(wires, p.wire)
	}
	e.known = map[[6]byte]*port{}
	e.mu.Unlock()
	for _, w := range wires {
		w.Close()
	}
}
