package lab

import (
	"net/netip"
	"time"
)

// One connection of the control channel carries one request: a line of JSON
// from the machine, then lines of JSON from the guest, the last one with Done.
// After a successful dial the connection is the dialled connection instead.
type request struct {
	Token string
	Op    string // one of the op constants
	Lab   int    // 0 is the guest itself, where Host is ""
	Host  string
	Argv  []string  `json:",omitempty"`
	Stdin []byte    `json:",omitempty"`
	Build *build    `json:",omitempty"`
	Port  uint16    `json:",omitempty"`
	Load  *Requests `json:",omitempty"`
	Keep  *Load     `json:",omitempty"`

	Network string `json:",omitempty"`
	Target  string `json:",omitempty"`
}

const (
	opBuild   = "build"
	opDown    = "down"
	opExec    = "exec"
	opServe   = "serve"
	opUnserve = "unserve"
	opRequest = "request"
	opLoad    = "load" // until a byte comes
	opDial    = "dial"
	opOff     = "off"
)

// event is one line of an answer.
type event struct {
	Out    []byte   `json:",omitempty"`
	Err    []byte   `json:",omitempty"`
	Code   int      `json:",omitempty"` // with Done after an exec
	Error  string   `json:",omitempty"` // with Done: it failed
	Answer *Answers `json:",omitempty"`
	Loaded *Loaded  `json:",omitempty"` // without Done: so far
	Done   bool     `json:",omitempty"`
}

// build is a Config made concrete.
type build struct {
	Hosts      []buildHost
	Networks   int
	Wired      bool   // the networks leave the machine by its NICs after the first
	Authorized string // the public key that may log in
}

type buildHost struct {
	Host
	HostKey string // OpenSSH private key
	Port    int    // where its SSH server listens in the guest
}

// bootConfig reaches the guest in its initial RAM disk.
type bootConfig struct {
	Token   string
	Control int    // port
	Machine string // the name of the host that this machine is; "" for one that holds hosts
}

const guestAddress = "10.0.2.15" // the first that QEMU's user network gives

// Requests is a series of new connections (or datagrams), one after the other.
type Requests struct {
	Network string // tcp, udp or sctp
	Target  string // address:port
	Source  netip.Addr
	Count   int
	Timeout time.Duration // of one request; 0 is 3 s
}

// Answers is what a series of requests came to.
type Answers struct {
	By       []string // who answered, in order; "" where nobody did
	Failures []string // why, in order
}

// Counts says how often each host answered.
func (a Answers) Counts() map[string]int {
	counts := map[string]int{}
	for _, who := range a.By {
		if who != "" {
			counts[who]++
		}
	}
	return counts
}
