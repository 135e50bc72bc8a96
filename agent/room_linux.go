package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// leastRoom is what a directory must have left, in bytes, before a run begins:
// a journal, and a ledger beside the old one, of a large director.
const leastRoom = 16 << 20

// checkRoom finds out before anything is changed anywhere what would fail the
// first transaction: a directory, or the one that it is to be made in, that
// cannot be written to.
func checkRoom(dir string) error {
	at := dir
	for {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	switch left := uint64(fs.Bavail) * uint64(fs.Bsize); { //nolint:unconvert // types differ between systems
	case fs.Flags&unix.ST_RDONLY != 0:
		return fmt.Errorf("%s is on a file system that is mounted read-only: lvsform keeps there what it has changed", dir)
	case left < leastRoom:
		return fmt.Errorf("the file system of %s has %d KiB left, %d are needed: make room", dir, left>>10, leastRoom>>10)
	case fs.Files > 0 && fs.Ffree < 8:
		return fmt.Errorf("the file system of %s has no inodes left: remove files", dir)
	}
	return nil
}
