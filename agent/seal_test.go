package agent

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/wire"
)

// remembered by a host: one of everything that its files hold.
func files(t testing.TB) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	service := state.ServiceID{Protocol: "tcp", Address: netip.MustParseAddr("203.0.113.7"), Port: 80, Family: "ipv4"}
	off, on := state.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}, state.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}
	claim := func(o state.Object) state.Claim {
		return state.Claim{Topology: "web", Addresses: []string{"x.y"}, Value: state.Boxed{Object: o}, Sensitive: []string{"value"}}
	}
	begin := wire.Begin{Topology: "web", Members: []string{"lb1"}, Steps: []wire.Step{
		{ID: "a", Change: &state.Change{Before: off, After: on}, Claim: &state.ClaimChange{Claim: claim(on), Before: state.Boxed{Object: off}}},
		{ID: "b", Change: &state.Change{After: state.Service{ServiceID: service, Scheduler: "wlc", Netmask: 32}}}}}
	l := state.Ledger{Members: map[string][]string{"web": {"lb1", "rs1"}}}.Update([]state.ClaimChange{
		{Claim: claim(on), Before: state.Boxed{Object: off}},
		{Claim: claim(state.Destination{Service: service, Address: netip.MustParseAddr("192.0.2.9"), Port: 80, Weight: 7, Forward: "dr"})}})
	if err := writeLedger(dir, ledgerName, l); err != nil {
		t.Fatal(err)
	}
	f, err := records{dir: dir}.open(txn.Pending{Token: "abc", Begin: begin, Before: state.Objects{off}},
		wire.LockInfo{Owner: "me", Since: time.Unix(1, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return dir
}

// decoders read the files of the state directory.
var decoders = map[string]func([]byte) (any, error){
	ledgerName: func(file []byte) (any, error) { return decodeLedger(file) },
	journalName: func(file []byte) (any, error) {
		var whole journal
		o, err := decodeOutline(file)
		if err == nil {
			err = json.Unmarshal(o.body, &whole)
		}
		return whole, err
	},
}

// A ledger or a journal that lost its end or has a flipped bit is refused, or
// means what it meant.
func TestDamageToWhatAHostRemembersIsNoticed(t *testing.T) {
	dir := files(t)
	for name, decode := range decoders {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := decode(whole)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		try := func(what string, at int, body []byte) {
			t.Helper()
			got, err := decode(body)
			if err != nil {
				refused++
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s at %d is read as\n%+v", name, what, at, got)
			}
		}
		for i := range whole {
			for bit := range 8 {
				damaged := slices.Clone(whole)
				damaged[i] ^= 1 << bit
				try("a flipped bit", i, damaged)
			}
			try("its end", i, whole[:i])
		}
		if refused < 8*len(whole) {
			t.Errorf("%s: only %d of %d were refused", name, refused, 9*len(whole))
		}
	}
}

// FuzzRemembered looks for files that crash their reader, or a ledger that would
// be written otherwise than it was read.
func FuzzRemembered(f *testing.F) {
	dir := files(f)
	for name := range decoders {
		body, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		body, err = unseal(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := unseal(seal(body)); err != nil || !bytes.Equal(got, body) {
			t.Errorf("sealed, it is %q, %v", got, err)
		}
		for _, decode := range decoders {
			got, err := decode(body)
			l, ok := got.(state.Ledger)
			if err != nil || !ok {
				continue
			}
			text, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeLedger(text)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := json.Marshal(again); err != nil || !bytes.Equal(twice, text) {
				t.Errorf("the ledger %s comes back as %s, %v", text, twice, err)
			}
		}
	})
}
