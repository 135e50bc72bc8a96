//go:build linux

package facts

import (
	"github.com/lvsform/lvsform/agent/nft"
	"github.com/lvsform/lvsform/state"
)

// Read reads the facts of the current network namespace.
func Read() (f state.Facts, err error) {
	if f.Listeners, err = Listeners(); err != nil {
		return f, err
	}
	f.Filters, err = nft.Filters()
	return f, err
}
