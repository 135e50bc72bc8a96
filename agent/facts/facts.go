//go:build linux

package facts

import (
	"os"

	"github.com/lvsform/lvsform/agent/nft"
	"github.com/lvsform/lvsform/state"
)

// Read reads the facts of the current network namespace; those about traffic
// only when asked: the kernel looks through its whole table of connections for
// the sockets that listen.
func Read(traffic bool) (f state.Facts, err error) {
	_, err = os.Lstat("/run/systemd/system") // sd_booted(3)
	f.NoSystemd, f.Boot = err != nil, Boot("/")
	if !traffic {
		return f, nil
	}
	f.Programs = Programs("/proc", "/")
	if f.Listeners, err = Listeners(); err != nil {
		return f, err
	}
	f.Filters, err = nft.Filters()
	return f, err
}
