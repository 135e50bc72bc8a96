//go:build linux && kernel

package kernel_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/kernel"
	"github.com/lvsform/lvsform/agent/nft"
	"github.com/lvsform/lvsform/agent/txn"
	"github.com/lvsform/lvsform/state"
)

// The tests of this file come first: the later ones load modules.

func TestReadLoadsNoModule(t *testing.T) {
	enter(t, plainHost)
	k := kernel.New()
	defer k.Close()
	before, _ := os.ReadFile("/proc/modules")
	_, err := k.Read(txn.Query{
		Sysctls: []string{"net.ipv4.ip_forward", "net.ipv4.vs.conntrack", "net.ipv4.conf.tunl0.rp_filter"},
		Modules: []string{"ip_vs", "ipip", "fou", "nf_tables", "nosuchmodule"}, Network: true, NFT: true, IPVS: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Facts(true); err != nil {
		t.Error(err)
	}
	if err := k.Announce(address("tunl0", "192.0.2.1/32")); err != nil {
		t.Error(err)
	}
	after, _ := os.ReadFile("/proc/modules")
	if diff := cmp.Diff(names(before), names(after)); diff != "" {
		t.Error(diff)
	}
}

func TestNftablesThatCannotBeLoadedIsNamed(t *testing.T) {
	enter(t, "ip link set lo up")
	k := kernel.New()
	defer k.Close()
	if nft.Loaded() {
		t.Log("loaded already: run these tests in a fresh guest to see more")
	} else {
		// Deleting what cannot be there needs no nftables.
		apply(t, k, state.Change{Before: packetObjects()[0]})
		was := strings.TrimSpace(shell(t, "sysctl -n kernel.modprobe"))
		shell(t, "sysctl -qw kernel.modprobe=/bin/false")
		defer shell(t, "sysctl -qw kernel.modprobe="+was)
		err := run(k, step(nil, packetObjects()[0]))
		if err == nil || !strings.Contains(err.Error(), "install or allow its module nf_tables") {
			t.Errorf("got %v", err)
		}
	}
	if have := packets(t, k); len(have) > 0 {
		t.Errorf("read %v", have)
	}
}

// names are those of the loaded modules.
func names(modules []byte) (out []string) {
	for line := range strings.Lines(string(modules)) {
		name, _, _ := strings.Cut(line, " ")
		out = append(out, name)
	}
	return out
}

func TestLoadsWhatIsAbsent(t *testing.T) {
	enter(t, plainHost)
	k := kernel.New()
	defer k.Close()
	steps := director()
	sized := state.Module{Name: "ip_vs", Parameters: "conn_tab_bits=10"}
	steps[0] = step(nil, sized)
	steps = append(steps, step(nil, state.Timeouts{TCP: time.Hour}))
	steps = found(t, k, steps)
	absent := steps[0].Change.Before == nil // the tests may run more than once
	if absent {
		if err := run(k, append(steps[:len(steps):len(steps)], impossible())...); err == nil {
			t.Error("the impossible was made")
		}
		if have := live(t, k, state.Timeouts{}.Key()); have != state.Object(state.DefaultTimeouts) {
			t.Errorf("after a rollback the timeouts are %v", have)
		}
		if have := live(t, k, sized.Key()); have != state.Object(sized) {
			t.Errorf("the module is loaded as %v", have)
		}
		steps = found(t, k, director())
	}
	must(t, k, steps...)
	link := live(t, k, state.Link{Name: "tunl0"}.Key()).(state.Link)
	if !link.Fallback || !link.Up.Value || link.MTU.Value != 1450 {
		t.Errorf("tunl0 is %+v", link)
	}
	must(t, k, step(link, nil))
	link = live(t, k, link.Key()).(state.Link)
	if link.Up.Value || link.MTU.Value != 1480 {
		t.Errorf("after its deletion tunl0 is %+v", link)
	}
}
