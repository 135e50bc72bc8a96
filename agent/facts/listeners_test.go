//go:build linux

package facts

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestReadsTheKernelsTables(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sctp"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"tcp": `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0A0200C0:0016 010200C0:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 00000000:0017 00000000:0000 0A after the first connection nobody looks
`,
		"tcp6": "heading\n   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A x\n" +
			"   1: B80D0120000000000000000007000000:0051 00000000000000000000000000000000:0000 0A x\n",
		"udp": "heading\n  10: 0100007F:0035 00000000:0000 07 x\n  11: 0A0200C0:9999 010200C0:0035 01 x\n  12: nonsense\n",
		"sctp/eps": " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n" +
			"ffff ffff 2   10  5    5060  0     1 192.0.2.10 2001:db8::10 \nffff ffff 2   7  5    5061  0     1 192.0.2.10 \n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listener := func(protocol, address string, port uint16) state.Listener {
		return state.Listener{Protocol: protocol, Address: netip.MustParseAddr(address), Port: port}
	}
	want := []state.Listener{
		listener("sctp", "192.0.2.10", 5060), listener("sctp", "2001:db8::10", 5060),
		listener("tcp", "0.0.0.0", 22), listener("tcp", "::", 80), listener("tcp", "2001:db8::7", 81), listener("tcp", "127.0.0.1", 8080),
		listener("udp", "127.0.0.1", 53),
	}
	got, err := listeners(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Error(diff)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	dir := t.TempDir()
	var lines strings.Builder
	lines.WriteString("heading\n")
	for port := range 2 * mostSockets {
		fmt.Fprintf(&lines, "0: 00000000:%04X 00000000:0000 0A x\n", port&0xffff)
	}
	if err := os.WriteFile(filepath.Join(dir, "tcp"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := listeners(dir)
	if err != nil || len(got) != mostListeners {
		t.Errorf("%d listeners, %v", len(got), err)
	}
}

func TestFindsSocketsOfThisProcess(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	got, err := Listeners()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{tcp.Addr().String(), udp.LocalAddr().String()} {
		want := netip.MustParseAddrPort(text)
		if !slices.ContainsFunc(got, func(l state.Listener) bool { return l.Address == want.Addr() && l.Port == want.Port() }) {
			t.Errorf("%s is not among %v", want, got)
		}
	}
}
