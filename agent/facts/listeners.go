//go:build linux

// Package facts reads what the checks look at beside objects.
package facts

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

const (
	// procNet is of the network namespace of the calling thread. Its files are
	// read rather than asked for by netlink, which would load a module.
	procNet = "/proc/thread-self/net"
	// mostListeners bounds what is answered, mostSockets what is looked at.
	mostListeners = 4096
	mostSockets   = 1 << 16
	// stateListen is TCP_LISTEN of linux/tcp_states.h.
	stateListen = 10
)

// Listeners are the sockets of the network namespace that take connections or
// datagrams, sorted; not more than a few thousand.
func Listeners() ([]state.Listener, error) { return listeners(procNet) }

func listeners(dir string) ([]state.Listener, error) {
	var out []state.Listener
	for _, source := range []struct {
		file string
		read func(io.Reader) []state.Listener
	}{
		{"tcp", listening}, {"tcp6", listening},
		{"udp", unconnected}, {"udp6", unconnected},
		{"sctp/eps", endpoints},
	} {
		f, err := os.Open(filepath.Join(dir, source.file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6, or without SCTP for the moment
		}
		if err != nil {
			return nil, fmt.Errorf("read listening sockets: %w", err)
		}
		out = append(out, source.read(f)...)
		f.Close()
	}
	slices.SortStableFunc(out, compareListeners)
	out = slices.Compact(out)
	return out[:min(len(out), mostListeners)], nil
}

func compareListeners(a, b state.Listener) int {
	if n := strings.Compare(a.Protocol, b.Protocol); n != 0 {
		return n
	}
	if n := int(a.Port) - int(b.Port); n != 0 {
		return n
	}
	return a.Address.Compare(b.Address)
}

// rows calls f with the fields of every line below the heading, until it says
// that it has seen enough.
func rows(r io.Reader, f func(fields []string) (more bool)) {
	lines := bufio.NewScanner(r)
	lines.Scan()
	for n := 0; n < mostSockets && lines.Scan(); n++ {
		if !f(strings.Fields(lines.Text())) {
			return
		}
	}
}

// listening reads /proc/net/tcp. The kernel lists the listening sockets before
// all others, which may be very many.
func listening(r io.Reader) (out []state.Listener) {
	rows(r, func(f []string) bool {
		if len(f) < 4 || number(f[3]) != stateListen {
			return false
		}
		if local, err := parseEndpoint(f[1]); err == nil {
			out = append(out, state.Listener{Protocol: "tcp", Address: local.Addr(), Port: local.Port()})
		}
		return true
	})
	return out
}

// unconnected reads /proc/net/udp.
func unconnected(r io.Reader) (out []state.Listener) {
	rows(r, func(f []string) bool {
		if len(f) < 4 {
			return true
		}
		local, err := parseEndpoint(f[1])
		peer, peerErr := parseEndpoint(f[2])
		if err == nil && peerErr == nil && peer.Port() == 0 && local.Port() != 0 {
			out = append(out, state.Listener{Protocol: "udp", Address: local.Addr(), Port: local.Port()})
		}
		return true
	})
	return out
}

// endpoints reads /proc/net/sctp/eps: ENDPT SOCK STY SST HBKT LPORT UID INODE
// LADDRS…
func endpoints(r io.Reader) (out []state.Listener) {
	rows(r, func(f []string) bool {
		if len(f) < 9 || f[3] != strconv.Itoa(stateListen) {
			return true
		}
		port, err := strconv.ParseUint(f[5], 10, 16)
		if err != nil {
			return true
		}
		for _, text := range f[8:] {
			if a, err := netip.ParseAddr(text); err == nil {
				out = append(out, state.Listener{Protocol: "sctp", Address: a, Port: uint16(port)})
			}
		}
		return true
	})
	return out
}

// number reads a hexadecimal number, -1 where it is none.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return -1
	}
	return n
}

// parseEndpoint reads "0100007F:0050": 32-bit words in the host's byte order. A
// socket for both families has the address ::.
func parseEndpoint(text string) (out netip.AddrPort, err error) {
	address, port, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(address)
	if err != nil {
		return out, err
	}
	for i := 0; i+4 <= len(words); i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	a, ok := netip.AddrFromSlice(words)
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil || !ok {
		return out, fmt.Errorf("%q is no address and port", text)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}
